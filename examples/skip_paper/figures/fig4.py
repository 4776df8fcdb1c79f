"""Figure 4: the best against the worst of many plain networks on CIFAR-100."""

from pathlib import Path

from skip_paper.figures.parts import best_and_worst
from skip_paper.report.outcome import Outcome, caption_of, outcome
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec

TITLE = "Training accuracy is related to distance from degenerate manifolds"


def runs(setting: Setting) -> list[RunSpec]:
    """Return all runs."""
    return best_and_worst.runs(setting, "cifar100")


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    groups = {s.name: best_and_worst.series(s, "cifar100") for s in settings}
    caption = caption_of(settings)
    best_and_worst.draw({s.words: groups[s.name] for s in settings}, caption, path)
    verdicts = {name: best_and_worst.judge(group) for name, group in groups.items()}
    return outcome(groups, verdicts, best_and_worst.QUANTITIES, caption)
