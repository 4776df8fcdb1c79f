"""Figure 3: training accuracy, degenerate and negative fractions of plain, residual and hyper-residual networks."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from skip_paper.figures.parts import panels
from skip_paper.figures.parts.judging import scene_of, verdicts_of
from skip_paper.measures.series import Series, early
from skip_paper.networks.skip_network import ARCHITECTURES
from skip_paper.report.outcome import Outcome, caption_of, outcome
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec
from skip_paper.verdicts.decisions import Verdict

TITLE = "Model degeneracy increases training difficulty"
COLOURS = {"plain": panels.BLACK, "residual": panels.BLUE, "hyper-residual": panels.RED}
WORDS = (
    "(a) Training accuracy. (b) Degenerate eigenvalues, |λ| < 0.1, and (c) negative ones. (d) Spectra fitted by "
    "the paper's mixture. The paper: hyper-residual networks train fastest and are the least degenerate, plain "
    "ones the slowest and the most; the reverse for negative eigenvalues; differences are largest early."
)
QUANTITIES = (
    "train_accuracy", "test_accuracy", "mixture degenerate", "mixture negative", "lanczos degenerate",
    "lanczos negative", "relative", "participation", "overlap", "variance_explained", "zero_rectified",
    "dead_units", "gradient_norm",
)  # fmt: skip


def runs(setting: Setting) -> list[RunSpec]:
    """Return the runs; seeds come first, so that early results have all architectures."""
    return [spec for group in zip(*_specs(setting).values(), strict=True) for spec in group]


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    by_condition = {s.name: _series(s) for s in settings}
    verdicts = {s.name: _judge(s, by_condition[s.name]) for s in settings}
    caption = caption_of(settings, WORDS)
    _draw(settings, by_condition, caption, path)
    return outcome(by_condition, verdicts, QUANTITIES, caption)


def _judge(setting: Setting, group: list[Series]) -> list[Verdict]:
    orthogonal = f"hyper-residual, {setting.size.width} vectors"
    also = {label: s for s in group for label in ("hyper-residual, orthogonal",) if s.label == orthogonal}
    return verdicts_of("fig3", group, scene_of(setting), also=also)


def _specs(setting: Setting) -> dict[str, list[RunSpec]]:
    kinds = {architecture: setting.network(architecture) for architecture in ARCHITECTURES}
    for value in setting.size.values:  # note 2: more distinct vectors of skips
        kinds[f"hyper-residual, {value:g} vectors"] = setting.network("hyper-residual", num_skip_vectors=int(value))
    return {label: setting.specs(network) for label, network in kinds.items()}


def _series(setting: Setting) -> list[Series]:
    return [setting.series(label, COLOURS.get(label, panels.YELLOW), specs) for label, specs in _specs(setting).items()]


def _draw(settings: list[Setting], groups: dict[str, list[Series]], caption: str, path: Path) -> None:
    figure, rows = panels.grid(len(settings), 4)
    for axes, setting, group in zip(rows, settings, groups.values(), strict=True):
        panels.curves(axes[0], group, "train_accuracy")
        count = scene_of(setting).parameters
        panels.fractions(axes[1], group, "degenerate", count)
        panels.paper_tick(axes[1], 99.9, degenerate=True)
        panels.fractions(axes[2], group, "negative", count)
        panels.paper_tick(axes[2], 2.5e-3)
        _draw_spectra(axes[3], group)
        panels.name_row(axes[0], setting.words)
    panels.finish(figure, next(iter(groups.values())), caption, path, ticks=True)


def _draw_spectra(ax: Axes, group: list[Series]) -> None:
    """Draw the fitted mixture of the first run of each architecture."""
    epoch: Any = None
    for series in group:
        if not series.has("samples"):
            continue
        index = early(series)
        epoch, fit = series.spectrum_epochs[index], series.fits.fits[0, index]
        if fit is None:
            continue
        m = fit.mixture
        reach = max(1.0, abs(m.location) + 4 * m.scale)
        x = np.sinh(np.linspace(-1, 1, 4001) * np.arcsinh(reach / 1e-3)) * 1e-3
        density = m.pdf(x)
        ax.plot(x, np.where(density > 0, density, np.nan), color=series.colour)
    ax.set_yscale("log")
    ax.set_ylim(1e-13, 1e4)
    ax.set_xscale("asinh", linear_width=0.1)
    ax.set_xticks([-100, -1, 0, 1, 100], minor=False)
    ax.set_xticks([], minor=True)
    ax.set_xlabel("eigenvalue")
    ax.set_ylabel(f"fitted density after {epoch} epochs")
