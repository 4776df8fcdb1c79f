"""Figure 4: the best against the worst of many plain networks on CIFAR-100."""

from collections.abc import Iterator
from pathlib import Path

from skip_paper.figures.parts import best_and_worst
from skip_paper.runs.experiment import Outcome, Setting, caption_of, outcome
from skip_paper.runs.store import RunSpec

TITLE = "Training accuracy is related to distance from degenerate manifolds"


def stages(setting: Setting) -> Iterator[list[RunSpec]]:
    """Yield the runs of each stage."""
    yield from best_and_worst.stages(setting, "cifar100")


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    groups = {s.condition.name: best_and_worst.series(s, "cifar100") for s in settings}
    caption = caption_of(settings[0])
    best_and_worst.draw({s.condition.words: groups[s.condition.name] for s in settings}, caption, path)
    verdicts = {name: best_and_worst.judge(group) for name, group in groups.items()}
    return outcome(groups, verdicts, best_and_worst.QUANTITIES, caption)
