"""Panels that several figures share: curves over epochs with standard errors, and fractions on logarithmic axes."""

from collections.abc import Mapping, Sequence
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
from skip_paper.measures.series import Series

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
    "gradient_norm": "mean gradient norm",
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

    Lines: exact eigenvalues, else `lanczos_density`. Circles: the paper's fit; open ones where a fit lies on an edge of
    the paper's grid. Fractions below 1e-9 percent are left out.
    """
    for series in group:
        if not series.has(name):
            continue
        source = series.source(name)
        if source != "mixture":
            epochs, mean, error = _shown(series, f"{source} {name}")
            ax.errorbar(epochs, mean, error, color=series.colour, capsize=2, lw=1.4, marker="x", ms=5)
        if series.has("samples"):
            epochs, mean, error = _shown(series, f"mixture {name}")
            edge = series.fits.on_edge.any(axis=0)
            ax.errorbar(epochs, mean, error, color=series.colour, capsize=2, lw=0.8, ls=":")
            ax.plot(epochs[~edge], mean[~edge], "o", ms=4.5, color=series.colour)
            ax.plot(epochs[edge], mean[edge], "o", ms=4.5, color=series.colour, mfc="white")
    ax.set_yscale("log")
    if ax.get_ylim()[0] < LEAST_PERCENT:
        ax.set_ylim(bottom=LEAST_PERCENT)
    if name == "degenerate":
        ax.invert_yaxis()
    _label(ax, name)


def _shown(series: Series, name: str) -> tuple[Any, Any, Any]:
    """Return epochs, mean in percent (of the degenerate the complement) and standard error, for a logarithmic axis."""
    values = 100 * series.values(name)
    mean, error = mean_and_error(100 - values if name.endswith("degenerate") else values)
    mean = np.where(mean > 0, mean, np.nan)
    return series.epochs(name), mean, np.minimum(np.nan_to_num(error), 0.9 * mean)


def gradients(ax: Axes, group: Sequence[Series], epoch: int) -> None:
    """Draw the mean norm of gradients by layer at the start of an epoch."""
    for series in group:
        at = np.flatnonzero(series.measured_epochs == epoch)
        if not series.runs or not len(at):
            continue
        mean, error = mean_and_error(series.by_layer("gradient_norm")[:, at[0]])
        layers = np.arange(1, len(mean) + 1)
        ax.plot(layers, mean, color=series.colour, lw=1.5)
        low = np.maximum(mean - error, 0.1 * mean)
        ax.fill_between(layers, low, mean + error, color=series.colour, alpha=0.2, lw=0)
    ax.set_yscale("log")
    ax.set_xlabel("layer")
    ax.set_ylabel(LABELS["gradient_norm"])


def finish(
    figure: Figure,
    group: Sequence[Series],
    caption: str,
    path: Path,
    *,
    spectra: bool = True,
    styles: Mapping[str, str] = {},
) -> None:
    """Add legend and caption, write the file, and close the figure. ``styles`` are lines of labels; else whole ones."""
    handles = [Line2D([], [], color=s.colour, label=s.label, ls=styles.get(s.label, "-")) for s in group]
    if spectra and any(series.has("samples") for series in group):
        grey = {"color": "0.4", "ls": ""}
        handles += [
            Line2D([], [], marker="o", label="the paper's fit, inside its grid", **grey),
            Line2D([], [], marker="o", mfc="white", label="the paper's fit, a run on an edge of its grid", **grey),
        ]
        found = next(series for series in group if series.has("samples"))
        if found.source("degenerate") != "mixture":
            handles.append(Line2D([], [], marker="x", label=f"{found.source('degenerate')} (0 is not drawn)", **grey))
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
