"""Figure S6: plain against residual networks with two hidden layers, where gradients do not vanish."""

from pathlib import Path

from matplotlib.axes import Axes

from skip_paper.figures.parts import panels, small_pairs
from skip_paper.measures.fits import mean_and_error
from skip_paper.measures.series import Series
from skip_paper.report.outcome import Outcome, caption_of, outcome
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec
from skip_paper.verdicts import claims
from skip_paper.verdicts.claims import Verdict

TITLE = "Shallow networks"
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
            else:
                (panels.fractions if name in ("degenerate", "negative") else panels.curves)(ax, group, name)
        panels.name_row(axes[0], setting.words)
    caption = caption_of(settings)
    panels.finish(figure, groups[settings[0].name], caption, path)
    return outcome(groups, {name: judge(group) for name, group in groups.items()}, QUANTITIES, caption)


def judge(group: list[Series]) -> list[Verdict]:
    """Return the verdicts: means of each run over the epochs after the start."""
    plain, residual = group
    verdicts = small_pairs.judge(group, (("gradient_norm", True, "norm"),))
    overlaps = [s.by_layer("overlap")[:, s.epochs("overlap") >= 1, LAYER - 1].mean(axis=1) for s in (plain, residual)]
    verdicts.append(
        claims.difference(
            "Residual network: less overlap in the second layer", *overlaps, "correlation, mean over epochs"
        )
    )
    return verdicts


def _draw_overlap(ax: Axes, group: list[Series]) -> None:
    for series in group:
        mean, error = mean_and_error(series.by_layer("overlap")[:, :, LAYER - 1])
        ax.errorbar(series.epochs("overlap"), mean, error, color=series.colour, marker="o", ms=3.5, lw=1.4, capsize=2)
    ax.axhline(0, color="0.7", lw=0.8)
    ax.set_xlabel("epoch")
    ax.set_ylabel(f"mean overlap in layer {LAYER}")
