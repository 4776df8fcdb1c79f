"""Figure 3: training accuracy, degenerate and negative fractions of plain, residual and hyper-residual networks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from skip_paper.figures.parts import panels
from skip_paper.networks.skip_network import ARCHITECTURES, NetworkSpec
from skip_paper.runs.experiment import Outcome, Series, Setting, caption_of, early, outcome
from skip_paper.runs.store import RunSpec
from skip_paper.verdicts import claims
from skip_paper.verdicts.claims import Verdict

TITLE = "Model degeneracy increases training difficulty"
COLOURS = {"plain": panels.BLACK, "residual": panels.BLUE, "hyper-residual": panels.RED}
QUANTITIES = ("train_accuracy", "test_accuracy", "degenerate", "negative", "lanczos degenerate", "lanczos negative")


def stages(setting: Setting) -> Iterator[list[RunSpec]]:
    """Yield the runs; seeds come first, so that early results have all architectures."""
    groups = _specs(setting)
    yield [spec for group in zip(*groups.values(), strict=True) for spec in group]


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    by_condition = {s.condition.name: _series(s) for s in settings}
    verdicts = {name: judge(group) for name, group in by_condition.items()}
    caption = caption_of(settings[0]) + "; mixture fitted on the paper's grid"
    _draw(settings, by_condition, caption, path)
    return outcome(by_condition, verdicts, QUANTITIES, caption)


def judge(group: list[Series]) -> list[Verdict]:
    """Return the verdicts on the paper's orderings: means of each run over the epochs after the start."""
    plain, residual, hyper = group
    verdicts = [
        claims.difference(
            f"Training accuracy: {a.label} above {b.label}",
            *(100 * s.of_runs("train_accuracy") for s in (a, b)), "percentage points, mean over epochs",
        )
        for a, b in ((residual, plain), (hyper, residual))
    ]  # fmt: skip
    orders = {"degenerate": ((plain, residual), (residual, hyper)), "negative": ((residual, plain), (hyper, residual))}
    for kind, source in (("", "mixture fit, mean over spectra"), ("lanczos ", "lanczos_density, last spectrum")):
        for quantity, pairs in orders.items():
            if kind and quantity not in plain.runs[0]:
                continue
            verdicts += [
                claims.difference(
                    f"Fraction of {quantity} eigenvalues: {a.label} above {b.label}",
                    *(100 * s.of_runs(kind + quantity) for s in (a, b)), f"percentage points, {source}",
                )
                for a, b in pairs
            ]  # fmt: skip
    return verdicts


def _specs(setting: Setting) -> dict[str, list[RunSpec]]:
    size, start = setting.size, setting.condition.hidden_start
    return {a: setting.specs(NetworkSpec(a, size.depth, size.width, hidden_start=start)) for a in ARCHITECTURES}


def _series(setting: Setting) -> list[Series]:
    return [setting.series(label, COLOURS[label], specs) for label, specs in _specs(setting).items()]


def _draw(settings: list[Setting], groups: dict[str, list[Series]], caption: str, path: Path) -> None:
    figure, rows = panels.grid(len(settings), 4)
    for axes, setting, group in zip(rows, settings, groups.values(), strict=True):
        panels.curves(axes[0], group, "train_accuracy")
        panels.fractions(axes[1], group, "degenerate")
        panels.fractions(axes[2], group, "negative")
        _draw_spectra(axes[3], group)
        panels.name_row(axes[0], setting.condition.words)
    panels.finish(figure, next(iter(groups.values())), caption, path)


def _draw_spectra(ax: Axes, group: list[Series]) -> None:
    """Draw the fitted mixture of the first run of each architecture."""
    epoch: Any = None
    for series in group:
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
