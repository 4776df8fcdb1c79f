"""Figure S1: plain against residual networks small enough for exact spectra."""

from collections.abc import Iterator
from pathlib import Path

from skip_paper.figures.figS3 import NUM_COMPONENTS
from skip_paper.figures.parts import panels, small_pairs
from skip_paper.runs.experiment import Outcome, Setting, caption_of, outcome
from skip_paper.runs.store import RunSpec

TITLE = "Plain and residual networks, exact spectra"
QUANTITIES = ("train_accuracy", "test_accuracy", "negative", "degenerate")


def stages(setting: Setting) -> Iterator[list[RunSpec]]:
    """Yield the runs."""
    yield from small_pairs.stages(setting, num_components=NUM_COMPONENTS)


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    groups = {s.condition.name: small_pairs.series(s, num_components=NUM_COMPONENTS) for s in settings}
    figure, rows = panels.grid(len(settings), 4)
    for axes, setting in zip(rows, settings, strict=True):
        for ax, name in zip(axes, QUANTITIES, strict=True):
            draw = panels.curves if name.endswith("accuracy") else panels.fractions
            draw(ax, groups[setting.condition.name], name)
        if len(settings) > 1:
            panels.name_row(axes[0], setting.condition.words)
    caption = caption_of(settings[0]) + f"; inputs: {NUM_COMPONENTS} principal components"
    panels.finish(figure, groups[settings[0].condition.name], caption, path)
    verdicts = {name: small_pairs.judge(group) for name, group in groups.items()}
    return outcome(groups, verdicts, QUANTITIES, caption)
