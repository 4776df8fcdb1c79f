"""Figure S6: plain against residual networks with two hidden layers, where gradients do not vanish."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from skip_paper.figures.parts import panels, small_pairs
from skip_paper.measures.fits import mean_and_error
from skip_paper.runs.experiment import Outcome, Setting, caption_of, outcome
from skip_paper.runs.store import RunSpec

TITLE = "Shallow networks"
QUANTITIES = ("train_accuracy", "test_accuracy", "negative", "degenerate", "gradient_norm", "overlap")
CLAIMS = (("gradient_norm", True, "norm"), ("overlap", False, "correlation"))


def stages(setting: Setting) -> Iterator[list[RunSpec]]:
    """Yield the runs."""
    yield from small_pairs.stages(setting, num_components=None)


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    groups = {s.condition.name: small_pairs.series(s, num_components=None) for s in settings}
    figure, rows = panels.grid(2 * len(settings), 3)
    for index, setting in enumerate(settings):
        group, axes = groups[setting.condition.name], rows[2 * index : 2 * index + 2].ravel()
        for ax, name in zip(axes, QUANTITIES, strict=True):
            if name == "gradient_norm":
                for series in group:
                    mean, error = mean_and_error(series.values(name).mean(axis=2))
                    ax.errorbar(np.arange(len(mean)), mean, error, color=series.colour, marker="o", ms=3.5, capsize=2)
                ax.set_xlabel("epoch")
                ax.set_ylabel("mean gradient norm")
            else:
                (panels.fractions if name in ("degenerate", "negative") else panels.curves)(ax, group, name)
        if len(settings) > 1:
            panels.name_row(axes[0], setting.condition.words)
    caption = caption_of(settings[0])
    panels.finish(figure, groups[settings[0].condition.name], caption, path)
    verdicts = {name: small_pairs.judge(group, CLAIMS) for name, group in groups.items()}
    return outcome(groups, verdicts, QUANTITIES, caption)
