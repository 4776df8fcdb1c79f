"""The evolution of a spectrum in training: density as a heat map over steps, fractions with bands, edges."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hessdens._checks import PAPER_WINDOW, half_window
from hessdens._types import FloatArray
from hessdens.monitor.history import SpectrumHistory, SpectrumRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUM_BINS = 160
# Decades of the density that colours show, below its largest value.
DECADES = 8
PANELS = 3
SIZE = (7, 8)  # inches


def plot_history(
    history: SpectrumHistory, *, axes: "Sequence[Axes] | None" = None, window: float = PAPER_WINDOW
) -> "tuple[Axes, Axes, Axes]":
    """Draw how a spectrum has changed in training, in three panels over the training step.

    The density, on a logarithmic colour scale over eigenvalues on an inverse hyperbolic sine scale; the fractions of
    eigenvalues that are not degenerate and that are negative, with 95% intervals; the largest and smallest eigenvalue
    found. Steps whose products were not finite are left white, and marked by a cross.

    Parameters
    ----------
    history
        At least one record with a density.
    axes
        Three axes to draw on. Default: new ones, one below the other. Nothing is shown or saved.
    window
        Size of the window around 0 that counts as degenerate: between the lines in the first panel.

    Returns
    -------
    tuple
        The three axes.

    Raises
    ------
    TypeError
        If ``history`` is no `SpectrumHistory`.
    ValueError
        If no record has a density, ``window`` is not positive and finite, or ``axes`` are not three.
    """
    if not isinstance(history, SpectrumHistory):
        raise TypeError(f"history must be a SpectrumHistory; got {type(history).__name__}.")
    if not half_window(window) > 0:
        raise ValueError(f"window must be positive, since it sets the scale of the axis; got {window}.")
    if not any(record.density is not None for record in history):
        raise ValueError(f"history must have a record with a density; got {len(history)} records without.")
    if axes is None:
        import matplotlib.pyplot as plt  # here, because it takes 0.3 s to import

        axes = history_axes(plt.figure(figsize=SIZE, layout="constrained"))
    if len(axes) != PANELS:
        raise ValueError(f"axes must be three; got {len(axes)}.")
    top, middle, bottom = axes
    _draw_density(top, history, window)
    _draw_fractions(middle, history, window)
    _draw_edges(bottom, history, window)
    failed = [record.step for record in history if record.density is None]
    if failed:  # a line without points would reach to the corner of the figure in its layout
        for ax in (top, middle, bottom):
            ax.plot(failed, np.zeros(len(failed)), "x", color="C3", clip_on=False, transform=ax.get_xaxis_transform())
    bottom.set_xlabel("training step")
    return top, middle, bottom


def history_axes(figure: "Figure") -> "Sequence[Axes]":
    """Return three new axes, one below the other, in a figure of ``SIZE``."""
    return figure.subplots(PANELS, 1, sharex=True, height_ratios=(2, 1, 1))


def _draw_density(ax: "Axes", history: SpectrumHistory, window: float) -> None:
    from matplotlib.colors import LogNorm

    linear_width = window / 20
    nodes = np.concatenate([record.density.nodes() for record in history if record.density is not None])
    low, high = np.arcsinh(np.array([nodes.min(), nodes.max()]) / linear_width)
    edges = linear_width * np.sinh(np.linspace(low - 0.05, high + 0.05, NUM_BINS + 1))
    values = np.array([_histogram(record, edges) for record in history]).T
    peak = float(np.nanmax(values))
    # Zero has no logarithm, and is less than all that is shown.
    shown = np.ma.masked_invalid(np.maximum(values, peak * 10.0**-DECADES))
    mesh = ax.pcolormesh(
        step_edges(history.steps),
        edges,
        shown,
        norm=LogNorm(peak * 10.0**-DECADES, peak),
        cmap="magma_r",
        rasterized=True,
    )
    for end in (-window / 2, window / 2):
        ax.axhline(end, color="C0", lw=1, ls=":")
    ax.set_yscale("asinh", linear_width=linear_width)
    ticks = powers_of_ten(linear_width, nodes)
    ax.set_ylim(edges[0], edges[-1])
    ax.set_yticks(ticks[(ticks >= edges[0]) & (ticks <= edges[-1])])
    ax.set_yticks([], minor=True)
    ax.set_ylabel("eigenvalue of the Hessian")
    ax.figure.colorbar(mesh, ax=ax, label="spectral density")


def _histogram(record: SpectrumRecord, edges: FloatArray) -> FloatArray:
    """Return the mean density in each bin; NaN where there is no density."""
    if record.density is None:
        return np.full(len(edges) - 1, np.nan)
    return np.maximum(np.diff(record.density.cdf(edges)), 0.0) / np.diff(edges)


def step_edges(steps: NDArray[np.int64]) -> FloatArray:
    """Return edges half-way between steps, shape (n + 1,)."""
    if len(steps) == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    between = (steps[1:] + steps[:-1]) / 2
    return np.concatenate([[steps[0]], between, [steps[-1] + (steps[-1] - steps[-2]) / 2]])


def powers_of_ten(linear_width: float, values: FloatArray) -> FloatArray:
    """Return ticks at 0 and at powers of ten on both sides, outside the linear part of the scale."""
    first = round(np.log10(10 * linear_width))
    powers = 10.0 ** np.arange(first, max(np.log10(np.abs(values).max() + 1e-300), first) + 1)
    return np.concatenate([-powers[::-1], [0.0], powers])


def _draw_fractions(ax: "Axes", history: SpectrumHistory, window: float) -> None:
    half = window / 2
    outside = 1 - history.values("degenerate", window=window)
    rows = (
        (outside, 1 - history.interval("degenerate", window=window)[::-1], f"not degenerate, |λ| ≥ {half:g}", "C0"),
        (
            history.values("negative", window=window),
            history.interval("negative", window=window),
            f"negative, λ ≤ −{half:g}",
            "C1",
        ),
    )
    for values, (low, high), label, color in rows:
        ax.fill_between(history.steps, 100 * low, 100 * high, color=color, alpha=0.25, lw=0)
        ax.plot(history.steps, 100 * values, ".-", color=color, label=label)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("% of eigenvalues")
    ax.legend(frameon=False)


def _draw_edges(ax: "Axes", history: SpectrumHistory, window: float) -> None:
    largest, smallest = history.values("largest"), history.values("smallest")
    ax.plot(history.steps, largest, ".-", color="C3", label="largest eigenvalue found")
    ax.plot(history.steps, smallest, ".-", color="C2", label="smallest")
    ax.set_yscale("asinh", linear_width=window / 2)
    ends = np.concatenate([largest, smallest])
    ticks = powers_of_ten(window / 2, ends[np.isfinite(ends)])
    low, high = ax.get_ylim()
    ax.set_yticks(ticks[(ticks >= low) & (ticks <= high)])
    ax.set_yticks([], minor=True)
    ax.axhline(0, color="0.7", lw=0.8, zorder=0)
    ax.set_ylabel("eigenvalue")
    ax.legend(frameon=False)
