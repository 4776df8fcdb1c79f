"""Figure S2: the best against the worst of many small plain networks, with exact spectra."""

from collections.abc import Iterator
from pathlib import Path

from skip_paper.figures.figS3 import NUM_COMPONENTS
from skip_paper.figures.parts import best_and_worst
from skip_paper.runs.experiment import Outcome, Setting, caption_of, outcome
from skip_paper.runs.store import RunSpec

TITLE = "Best against worst of many small networks, exact spectra"
PANELS = ("train_accuracy", "test_accuracy", "negative", "degenerate", "weight_norm", "overlap")


def stages(setting: Setting) -> Iterator[list[RunSpec]]:
    """Yield the runs of each stage."""
    yield from best_and_worst.stages(setting, "cifar100", num_components=NUM_COMPONENTS)


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    groups = {s.condition.name: best_and_worst.series(s, "cifar100", num_components=NUM_COMPONENTS) for s in settings}
    caption = caption_of(settings[0]) + f"; inputs: {NUM_COMPONENTS} principal components"
    best_and_worst.draw({s.condition.words: groups[s.condition.name] for s in settings}, caption, path, PANELS)
    verdicts = {name: best_and_worst.judge(group, figure="S2") for name, group in groups.items()}
    return outcome(groups, verdicts, best_and_worst.QUANTITIES, caption)
