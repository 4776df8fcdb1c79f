"""Draws figure 3 from finished runs."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from skip_paper.figure3 import COLOURS, EXAMPLE_EPOCH, Results
from skip_paper.fits import mean_and_error

LABELS = {
    "train_accuracy": "training accuracy (%)",
    "degenerate": "non-degenerate eigenvalues,\n1 − degenerate fraction (%)",
    "negative": "negative eigenvalues (%)",
}


def draw(results: list[Results], caption: str, path: Path) -> None:
    """Write one row of four panels a condition."""
    figure, rows = plt.subplots(len(results), 4, figsize=(15, 3.9 * len(results)), layout="constrained", squeeze=False)
    for axes, result in zip(rows, results, strict=True):
        _draw_accuracy(axes[0], result)
        _draw_fraction(axes[1], result, "degenerate")
        _draw_fraction(axes[2], result, "negative")
        _draw_spectra(axes[3], result)
        axes[0].annotate(
            f"condition: {result.condition.name}\n"
            f"(pixels {result.condition.scaling}, hidden start × {result.condition.hidden_start:g})",
            (-0.32, 0.5), xycoords="axes fraction", rotation=90, ha="center", va="center", fontsize=11,
        )  # fmt: skip
    for letter, ax in zip("abcd", rows[0], strict=True):
        ax.set_title(letter, loc="left", fontweight="bold")
    handles = [Line2D([], [], color=colour, label=name) for name, colour in COLOURS.items()]
    handles += [
        Line2D([], [], color="0.4", marker="o", ls="", label="fit inside the grid"),
        Line2D([], [], color="0.4", marker="o", mfc="white", ls="", label="a fit on an edge of the paper's grid"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=5, frameon=False)
    figure.supxlabel(caption, fontsize=9)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def _draw_accuracy(ax: Axes, result: Results) -> None:
    for name in result.fractions:
        mean, error = mean_and_error(100 * result.values("train_accuracy", name))
        ax.errorbar(np.arange(len(mean)), mean, error, color=COLOURS[name], marker="o", ms=4, capsize=2)
    _label(ax, "train_accuracy")


def _draw_fraction(ax: Axes, result: Results, quantity: str) -> None:
    """Draw on a logarithmic axis; the degenerate fraction as its complement, downwards: up is more degenerate."""
    for name, fractions in result.fractions.items():
        values = 100 * result.values(quantity, name)
        mean, error = mean_and_error(100 - values if quantity == "degenerate" else values)
        mean = np.where(mean > 0, mean, np.nan)
        epochs = np.arange(len(mean))
        edge = fractions.on_edge.any(axis=0)
        ax.errorbar(epochs, mean, np.minimum(error, 0.9 * mean), color=COLOURS[name], capsize=2)
        ax.plot(epochs[~edge], mean[~edge], "o", ms=5, color=COLOURS[name])
        ax.plot(epochs[edge], mean[edge], "o", ms=5, color=COLOURS[name], mfc="white")
    ax.set_yscale("log")
    if quantity == "degenerate":
        ax.invert_yaxis()
    _label(ax, quantity)


def _draw_spectra(ax: Axes, result: Results) -> None:
    """Draw the fitted mixture of the first run of each architecture."""
    epoch: Any = None
    for name, fractions in result.fractions.items():
        epoch = min(EXAMPLE_EPOCH, fractions.fits.shape[1] - 1)
        fit = fractions.fits[0, epoch]
        if fit is None:
            continue
        m = fit.mixture
        reach = max(1.0, abs(m.location) + 4 * m.scale)
        x = np.sinh(np.linspace(-1, 1, 4001) * np.arcsinh(reach / 1e-3)) * 1e-3
        density = m.pdf(x)
        ax.plot(x, np.where(density > 0, density, np.nan), color=COLOURS[name])
    ax.set_yscale("log")
    ax.set_ylim(1e-13, 1e4)
    ax.set_xscale("asinh", linear_width=0.1)
    ax.set_xticks([-100, -1, 0, 1, 100], minor=False)
    ax.set_xticks([], minor=True)
    ax.set_xlabel("eigenvalue")
    ax.set_ylabel(f"fitted density after {epoch} epochs")


def _label(ax: Axes, quantity: str) -> None:
    ax.set_xlabel("epoch")
    ax.set_ylabel(LABELS[quantity])
    ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
