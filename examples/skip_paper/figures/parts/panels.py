"""Panels that several figures share: curves over epochs with standard errors, and fractions on logarithmic axes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from skip_paper.figures.parts.look import BLACK, BLUE, CYAN, GREEN, MAGENTA, RED, YELLOW, plt, save
from skip_paper.measures.fits import mean_and_error
from skip_paper.measures.series import Series

__all__ = (
    "BLACK", "BLUE", "CYAN", "GREEN", "MAGENTA", "RED", "YELLOW", "curves", "finish", "fractions", "gradients", "grid",
    "name_row", "paper_tick",
)  # fmt: skip
PAPER = "#8c5a2b"  # ticks of the paper's axes
LABELS = {
    "train_accuracy": "training accuracy (%)",
    "test_accuracy": "test accuracy (%)",
    "degenerate": "degenerate eigenvalues (%)",
    "negative": "negative eigenvalues (%)",
    "weight_norm": "mean norm of incoming weights",
    "overlap": "mean overlap",
    "variance_explained": "variance explained\nby top 3 modes (%)",
    "zero_probability": "probability of zero responses",
    "zero_rectified": "probability of zero ReLU outputs",
    "gradient_norm": "mean gradient norm",
}
PERCENT = ("train_accuracy", "test_accuracy", "degenerate", "negative", "variance_explained")


def grid(rows: int, columns: int, *, width: float = 3.6, height: float = 3.1) -> tuple[Figure, Any]:
    """Return a figure and its axes, lettered."""
    figure, axes = plt.subplots(
        rows, columns, figsize=(width * columns + 0.6, height * rows + 0.9), layout="constrained", squeeze=False
    )
    for letter, ax in zip(ascii_lowercase, axes.flat, strict=False):
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


def fractions(ax: Axes, group: Sequence[Series], name: str, parameters: int) -> None:
    """Draw a fraction on a logarithmic axis; the degenerate one by its distance from 100%: up is more degenerate.

    Lines: exact eigenvalues, else `lanczos_density`. Circles: the paper's fit; open where a fit lies on an edge of its
    grid, faint where most do not have their moments. Dotted: one of the eigenvalues, as many as ``parameters``; what
    lies below a tenth of it is left out.
    """
    one = 100 / parameters
    for series in group:
        if not series.has(name):
            continue
        source = series.source(name)
        if source != "mixture":
            epochs, mean, error = _shown(series, f"{source} {name}", one)
            ax.errorbar(epochs, mean, error, color=series.colour, capsize=2, lw=1.4, marker="x", ms=5)
        if series.has("samples"):
            epochs, mean, error = _shown(series, f"mixture {name}", one)
            edge = series.fits.on_edge.any(axis=0)
            poor = (
                np.array([[fit is None or fit.is_poor for fit in row] for row in series.fits.fits]).mean(axis=0) > 0.5
            )
            ax.errorbar(epochs, mean, error, color=series.colour, capsize=2, lw=0.8, ls=":", alpha=0.5)
            for x, y, is_edge, is_poor in zip(epochs, mean, edge, poor, strict=True):
                look = {"mfc": "white"} if is_edge else {}
                ax.plot(x, y, "o", ms=4.5, color=series.colour, alpha=0.3 if is_poor else 1.0, **look)
    ax.set_yscale("log")
    ax.axhline(one, color="0.5", lw=1, ls=(0, (1, 2)), zorder=0)
    if name == "degenerate":
        ax.invert_yaxis()
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 - y:.10g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    _label(ax, name)


def paper_tick(ax: Axes, value: float, *, degenerate: bool = False) -> None:
    """Draw a tick of the paper's own axis, which its text layer keeps."""
    ax.axhline(100 - value if degenerate else value, color=PAPER, lw=1, ls="-.", zorder=0)


def _shown(series: Series, name: str, one: float) -> tuple[Any, Any, Any]:
    """Return epochs, mean in percent (of the degenerate the complement) and standard error, for a logarithmic axis."""
    values = 100 * series.values(name)
    mean, error = mean_and_error(100 - values if name.endswith("degenerate") else values)
    mean = np.where(mean > one / 10, mean, np.nan)
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
    ticks: bool = False,
    styles: Mapping[str, str] | None = None,
) -> None:
    """Add legend and caption, write the files, and close the figure.

    ``ticks``: whether ticks of the paper are drawn. ``styles`` are lines of labels; else whole ones.
    """
    styles = styles or {}
    handles = [Line2D([], [], color=s.colour, label=s.label, ls=styles.get(s.label, "-")) for s in group]
    if spectra and any(series.has("degenerate") for series in group):
        handles += _of_spectra(group)
    if ticks:
        handles.append(Line2D([], [], color=PAPER, ls="-.", lw=1, label="a tick of the paper's axis"))
    columns = max(1, int(figure.get_figwidth() / 2.1))
    figure.legend(
        handles=handles, loc="outside upper center", ncols=min(columns, len(handles)), frameon=False, fontsize=9
    )
    save(figure, path, caption)


def _of_spectra(group: Sequence[Series]) -> list[Line2D]:
    grey = {"color": "0.4", "ls": ""}
    handles = [Line2D([], [], color="0.5", ls=(0, (1, 2)), lw=1, label="one eigenvalue")]
    sources = {series.source("degenerate") for series in group if series.has("degenerate")} - {"mixture"}
    if sources:
        handles.append(Line2D([], [], marker="x", label=" and ".join(sorted(sources)), **grey))
    if any(series.has("samples") for series in group):
        for label, look in (
            ("the paper's fit", {}),
            ("on an edge of its grid", {"mfc": "white"}),
            ("poor", {"alpha": 0.3}),
        ):
            handles.append(Line2D([], [], marker="o", label=label, **grey, **look))
    return handles


def name_row(ax: Axes, text: str) -> None:
    """Write what a row of panels shows, left of its first panel."""
    lines = text.replace(" (", "\n(")
    ax.annotate(
        lines, (-0.4, 0.5), xycoords="axes fraction", rotation=90, ha="center", va="center", fontsize=8.5
    )  # fmt: skip


def _label(ax: Axes, name: str) -> None:
    ax.set_xlabel("epoch")
    ax.set_ylabel(LABELS[name])
    ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
