"""Figure S1: plain against residual networks small enough for exact spectra."""

from pathlib import Path

from skip_paper.figures.parts import panels, small_pairs
from skip_paper.figures.parts.judging import scene_of, verdicts_of
from skip_paper.report.outcome import Outcome, caption_of, outcome
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec

TITLE = "Plain and residual networks, exact spectra"
WORDS = (
    "(a, b) Accuracy of small plain and residual networks, (c) negative and (d) degenerate eigenvalues. The "
    "paper: residual networks have better accuracy, are less degenerate, and have more negative eigenvalues."
)
QUANTITIES = ("train_accuracy", "test_accuracy", "negative", "degenerate")


def runs(setting: Setting) -> list[RunSpec]:
    """Return the runs of both architectures."""
    return small_pairs.runs(setting)


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    groups = {s.name: small_pairs.series(s) for s in settings}
    figure, rows = panels.grid(len(settings), 4)
    for axes, setting in zip(rows, settings, strict=True):
        for ax, name in zip(axes, QUANTITIES, strict=True):
            if name.endswith("accuracy"):
                panels.curves(ax, groups[setting.name], name)
            else:
                panels.fractions(ax, groups[setting.name], name, scene_of(setting).parameters)
        panels.name_row(axes[0], setting.words)
    caption = caption_of(settings, WORDS)
    panels.finish(figure, groups[settings[0].name], caption, path)
    verdicts = {s.name: verdicts_of("figS1", groups[s.name], scene_of(s)) for s in settings}
    return outcome(groups, verdicts, (*QUANTITIES, "relative", "participation"), caption)
