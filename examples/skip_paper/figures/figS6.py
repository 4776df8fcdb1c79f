"""Figure S6: plain against residual networks with two hidden layers, where gradients do not vanish."""

from pathlib import Path

from matplotlib.axes import Axes

from skip_paper.figures.parts import panels, small_pairs
from skip_paper.figures.parts.judging import scene_of, verdicts_of
from skip_paper.measures.fits import mean_and_error
from skip_paper.measures.series import Series
from skip_paper.report.outcome import Outcome, caption_of, outcome
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec

TITLE = "Shallow networks"
WORDS = (
    "Two hidden layers. (a, b) Accuracy, (c) negative and (d) degenerate eigenvalues, (e) gradient "
    "norm in the paper's unit, (f) overlap in the second layer. The paper: residual networks are slightly better, "
    "less degenerate, with more negative eigenvalues, larger gradients and less overlap; gradients do not vanish "
    "in either."
)
QUANTITIES = ("train_accuracy", "test_accuracy", "negative", "degenerate", "gradient_norm", "overlap")
LAYER = 2  # the paper's overlap is that of the second hidden layer


def runs(setting: Setting) -> list[RunSpec]:
    """Return the runs of both architectures."""
    return small_pairs.runs(setting)


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    groups = {s.name: small_pairs.series(s) for s in settings}
    figure, rows = panels.grid(2 * len(settings), 3)
    for index, setting in enumerate(settings):
        group, axes = groups[setting.name], rows[2 * index : 2 * index + 2].ravel()
        for ax, name in zip(axes, QUANTITIES, strict=True):
            if name == "overlap":
                _draw_overlap(ax, group)
            elif name in ("degenerate", "negative"):
                panels.fractions(ax, group, name, scene_of(setting).parameters)
            else:
                panels.curves(ax, group, name)
            if name == "gradient_norm":
                panels.paper_tick(ax, 0.0015)
        panels.name_row(axes[0], setting.words)
    caption = caption_of(settings, WORDS)
    panels.finish(figure, groups[settings[0].name], caption, path, ticks=True)
    verdicts = {s.name: verdicts_of("figS6", groups[s.name], scene_of(s)) for s in settings}
    return outcome(groups, verdicts, QUANTITIES, caption)


def _draw_overlap(ax: Axes, group: list[Series]) -> None:
    for series in group:
        mean, error = mean_and_error(series.by_layer("overlap")[:, :, LAYER - 1])
        ax.errorbar(series.epochs("overlap"), mean, error, color=series.colour, marker="o", ms=3.5, lw=1.4, capsize=2)
    ax.axhline(0, color="0.7", lw=0.8)
    ax.set_xlabel("epoch")
    ax.set_ylabel(f"mean overlap in layer {LAYER}")
