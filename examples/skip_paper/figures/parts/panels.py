"""Panels that several figures share: curves over epochs with standard errors, and fractions on logarithmic axes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from skip_paper.measures.fits import mean_and_error
from skip_paper.runs.experiment import Series

BLACK, BLUE, RED, CYAN, MAGENTA, GREEN, YELLOW = "0.1", "#1f5fd0", "#d02020", "#00a5b5", "#c030c0", "#2a9d2a", "#d8a000"
LABELS = {
    "train_accuracy": "training accuracy (%)",
    "test_accuracy": "test accuracy (%)",
    "degenerate": "1 − degenerate fraction (%)",
    "negative": "negative eigenvalues (%)",
    "weight_norm": "mean norm of incoming weights",
    "overlap": "mean overlap",
    "variance_explained": "variance explained\nby top 3 modes (%)",
    "zero_probability": "probability of zero responses",
    "zero_rectified": "probability of zero ReLU outputs",
}
# Far below one eigenvalue of these networks: what a fit says there is a tail of a normal density.
LEAST_PERCENT = 1e-9
PERCENT = ("train_accuracy", "test_accuracy", "degenerate", "negative", "variance_explained")


def grid(rows: int, columns: int, *, width: float = 3.6, height: float = 3.1) -> tuple[Figure, Any]:
    """Return a figure and its axes, lettered in the first row."""
    figure, axes = plt.subplots(
        rows, columns, figsize=(width * columns + 0.6, height * rows + 0.9), layout="constrained", squeeze=False
    )
    for letter, ax in zip("abcdefgh", axes.flat, strict=False):
        ax.set_title(letter, loc="left", fontweight="bold")
    return figure, axes


def curves(ax: Axes, group: Sequence[Series], name: str, *, errors: bool = True) -> None:
    """Draw the mean of a quantity over runs against epochs, with standard errors."""
    factor = 100 if name in PERCENT else 1
    for series in group:
        if not series.runs:
            continue
        mean, error = mean_and_error(factor * series.values(name))
        ax.errorbar(
            series.epochs(name),
            mean,
            error if errors else None,
            color=series.colour,
            marker="o",
            ms=3.5,
            lw=1.4,
            capsize=2,
        )
    _label(ax, name)


def fractions(ax: Axes, group: Sequence[Series], name: str) -> None:
    """Draw a fraction on a logarithmic axis; the degenerate one as its complement, downwards: up is more degenerate.

    Fractions below 1e-9 percent are left out. Open markers: a fit lies on an edge of the paper's grid. Crosses:
    `lanczos_density`, where it was measured.
    """
    for series in group:
        if not series.runs:
            continue
        epochs, values = series.epochs(name), 100 * series.values(name)
        mean, error = mean_and_error(100 - values if name == "degenerate" else values)
        mean = np.where(mean > 0, mean, np.nan)
        fitted = "eigenvalues" not in series.runs[0]
        edge = series.fits.on_edge.any(axis=0) if fitted else np.zeros(len(epochs), dtype=bool)
        ax.errorbar(epochs, mean, np.minimum(np.nan_to_num(error), 0.9 * mean), color=series.colour, capsize=2, lw=1.4)
        ax.plot(epochs[~edge], mean[~edge], "o", ms=4.5, color=series.colour)
        ax.plot(epochs[edge], mean[edge], "o", ms=4.5, color=series.colour, mfc="white")
        if name in series.runs[0]:
            better, better_error = mean_and_error(100 * series.values(f"lanczos {name}"))
            shown = 100 - better if name == "degenerate" else better
            shown = np.where(shown > 0, shown, np.nan)
            ax.errorbar(epochs, shown, np.nan_to_num(better_error), color=series.colour, marker="x", ms=6, ls="")
    ax.set_yscale("log")
    if ax.get_ylim()[0] < LEAST_PERCENT:
        ax.set_ylim(bottom=LEAST_PERCENT)
    if name == "degenerate":
        ax.invert_yaxis()
    _label(ax, name)


def gradients(ax: Axes, group: Sequence[Series], epoch: int) -> None:
    """Draw the mean norm of gradients by layer at the start of an epoch."""
    for series in group:
        if not series.runs or series.values("gradient_norm").shape[1] <= epoch:
            continue
        mean, error = mean_and_error(series.values("gradient_norm")[:, epoch])
        layers = np.arange(1, len(mean) + 1)
        ax.plot(layers, mean, color=series.colour, lw=1.5)
        low = np.maximum(mean - error, 0.1 * mean)
        ax.fill_between(layers, low, mean + error, color=series.colour, alpha=0.2, lw=0)
    ax.set_yscale("log")
    ax.set_xlabel("layer")
    ax.set_ylabel("mean gradient norm")


def finish(figure: Figure, group: Sequence[Series], caption: str, path: Path, *, spectra: bool = True) -> None:
    """Add legend and caption, write the file, and close the figure."""
    handles = [Line2D([], [], color=series.colour, label=series.label) for series in group]
    if spectra and any("samples" in series.runs[0] for series in group if series.runs):
        grey = {"color": "0.4", "ls": ""}
        handles += [
            Line2D([], [], marker="o", label="fit inside the grid", **grey),
            Line2D([], [], marker="o", mfc="white", label="a fit on an edge of the grid", **grey),
        ]
        if any("degenerate" in series.runs[0] for series in group if series.runs):
            handles.append(Line2D([], [], marker="x", label="lanczos_density (0 is not drawn)", **grey))
    columns = max(1, int(figure.get_figwidth() / 2.1))
    figure.legend(
        handles=handles, loc="outside upper center", ncols=min(columns, len(handles)), frameon=False, fontsize=9
    )
    figure.supxlabel("\n".join(wrapped(caption, int(figure.get_figwidth() * 15))), fontsize=8)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def wrapped(text: str, width: int) -> list[str]:
    """Return a caption in lines."""
    import textwrap

    return textwrap.wrap(text, width)


def name_row(ax: Axes, text: str) -> None:
    """Write what a row of panels shows, left of its first panel."""
    ax.annotate(
        text, (-0.36, 0.5), xycoords="axes fraction", rotation=90, ha="center", va="center", fontsize=10
    )  # fmt: skip


def _label(ax: Axes, name: str) -> None:
    ax.set_xlabel("epoch")
    ax.set_ylabel(LABELS[name])
    ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
