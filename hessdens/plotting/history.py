"""The evolution of a spectrum in training: density as a heat map over steps, fractions with bands, edges."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hessdens._checks import PAPER_WINDOW, half_window
from hessdens._types import FloatArray, Window
from hessdens.monitor.history import SpectrumHistory
from hessdens.plotting.axes import AXIS_MARGIN, evenly, linear_width_of, mean_density, new_figure, place_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUM_BINS = 160
# Decades of the density that colours show, below its largest value.
DECADES = 8
PANELS = 3
SIZE = (7, 8)  # inches


def plot_history(
    history: SpectrumHistory | Mapping[str, SpectrumHistory],
    *,
    axes: "Sequence[Axes] | None" = None,
    window: Window = PAPER_WINDOW,
) -> "tuple[Axes, Axes, Axes]":
    """Draw how a spectrum has changed in training, in three panels over the training step.

    Of one run: the density, on a logarithmic colour scale over eigenvalues on an inverse hyperbolic sine scale. Below
    it are the fractions of eigenvalues that are not degenerate and that are negative, with 95% intervals. Then come the
    largest and the smallest Ritz value: bounds of the largest and the smallest eigenvalue. Of several runs: the
    largest, the fraction that is not degenerate, and the fraction that is negative. Steps whose products were not
    finite are left white, and marked by a cross.

    Parameters
    ----------
    history
        A run with at least one record with a density; or several runs by their labels, as in
        ``{"SGD": first, "SAM": second}``.
    axes
        Three axes to draw on, which are returned. Default: new ones, one below the other. Nothing is shown or saved.
    window
        Size of the window around 0 that counts as degenerate: between the lines in the first panel. A share, such as
        "1%", is of the largest absolute eigenvalue of all steps, so that the window is the same at each.

    Raises
    ------
    TypeError
        If ``history`` is no `SpectrumHistory`.
    ValueError
        If no record has a density, ``window`` is not positive and finite, or ``axes`` are not three.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdens import lanczos_density
    >>> from hessdens.monitor import SpectrumHistory, SpectrumRecord
    >>> from matplotlib.figure import Figure
    >>> density = lanczos_density(np.diag([0.0, 0.0, 1.0, 9.0]), max_products=8)
    >>> records = tuple(SpectrumRecord(step, 0.5, density, "", 1.0, 0.1) for step in (0, 10))
    >>> top, middle, bottom = plot_history(SpectrumHistory({}, records), axes=Figure().subplots(3))
    >>> bottom.get_xlabel()
    'training step'
    """
    runs = history if isinstance(history, Mapping) else {"": history}
    if not runs:
        raise ValueError("history must hold one run at least; got none.")
    for run in runs.values():
        _check(run)
    window = 2 * half_window(window, _largest(runs.values()))
    linear_width = linear_width_of(window)
    axes = history_axes(new_figure(SIZE)) if axes is None else axes
    if len(axes) != PANELS:
        raise ValueError(f"axes must be three; got {len(axes)}.")
    top, middle, bottom = axes
    if isinstance(history, Mapping):
        _draw_runs(axes, history, window)
    else:
        columns = history.columns(window)
        _draw_density(top, history, window, linear_width)
        _draw_fractions(middle, history.steps, columns, window / 2)
        _draw_edges(bottom, history.steps, columns, window / 2)
    failed = [record.step for run in runs.values() for record in run if record.density is None]
    if failed:  # a line without points would reach to the corner of the figure in its layout
        for ax in axes:
            ax.plot(failed, np.zeros(len(failed)), "x", color="C3", clip_on=False, transform=ax.get_xaxis_transform())
    bottom.set_xlabel("training step")
    return top, middle, bottom


def _check(history: SpectrumHistory) -> None:
    if not isinstance(history, SpectrumHistory):
        raise TypeError(
            f"history must be a SpectrumHistory, or several by their labels as {{'SGD': first, 'SAM': second}}; got "
            f"{type(history).__name__}."
        )
    if not any(record.density is not None for record in history):
        raise ValueError(f"history must have a record with a density; got {len(history)} records without.")


def _largest(runs: Iterable[SpectrumHistory]) -> float:
    """Return the largest absolute Ritz value of all steps."""
    densities = [record.density for run in runs for record in run if record.density is not None]
    return max(float(np.abs(density.nodes()[[0, -1]]).max()) for density in densities)


def _draw_runs(axes: "Sequence[Axes]", runs: Mapping[str, SpectrumHistory], window: float) -> None:
    """Draw the same three numbers of several runs."""
    half = window / 2
    names = ("largest", "degenerate", "negative")
    titles = ("largest eigenvalue", f"% with |λ| ≥ {half:.3g}", f"% with λ ≤ −{half:.3g}")
    for ax, name, title in zip(axes, names, titles, strict=True):
        for index, (label, run) in enumerate(runs.items()):
            columns, color = run.columns(window), f"C{index}"
            shown = [columns[f"{name}{end}"] for end in ("", "_low", "_high") if f"{name}{end}" in columns]
            if name != "largest":
                shown = [100 * (1 - values if name == "degenerate" else values) for values in shown]
                ax.fill_between(run.steps, shown[1], shown[2], color=color, alpha=0.15, lw=0)
            ax.plot(run.steps, shown[0], ".-", color=color, label=label)
        ax.set_ylim(bottom=0)
        ax.set_ylabel(title)
    axes[0].legend(frameon=False)


def history_axes(figure: "Figure") -> "Sequence[Axes]":
    """Return three new axes, one below the other, in a figure of ``SIZE``."""
    return figure.subplots(PANELS, 1, sharex=True, height_ratios=(2, 1, 1))


def _draw_density(ax: "Axes", history: SpectrumHistory, window: float, linear_width: float) -> None:
    from matplotlib.colors import LogNorm

    nodes = np.concatenate([record.density.nodes() for record in history if record.density is not None])
    edges = evenly(nodes, linear_width, NUM_BINS + 1, AXIS_MARGIN)
    no_density = np.full(NUM_BINS, np.nan)
    values = np.array([mean_density(r.density, edges) if r.density is not None else no_density for r in history]).T
    peak = float(np.nanmax(values))
    floor = peak * 10.0**-DECADES
    shown = np.ma.masked_invalid(np.maximum(values, floor))  # zero has no logarithm
    norm = LogNorm(floor, peak)
    mesh = ax.pcolormesh(step_edges(history.steps), edges, shown, norm=norm, cmap="magma_r", rasterized=True)
    for end in (-window / 2, window / 2):
        ax.axhline(end, color="C0", lw=1, ls=":")
    ax.set_yscale("asinh", linear_width=linear_width)
    ax.set_ylim(edges[0], edges[-1])
    place_ticks(ax.yaxis, linear_width)
    name = next(record.density.matrix for record in history if record.density is not None)
    ax.set_ylabel(f"eigenvalue of the {name}" if name else "eigenvalue")
    ax.figure.colorbar(mesh, ax=ax, label="spectral density")


def step_edges(steps: NDArray[np.int64]) -> FloatArray:
    """Return edges half-way between steps, shape (n + 1,)."""
    if len(steps) == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    between = (steps[1:] + steps[:-1]) / 2
    return np.concatenate([[steps[0]], between, [steps[-1] + (steps[-1] - steps[-2]) / 2]])


def _draw_fractions(ax: "Axes", steps: NDArray[np.int64], columns: Mapping[str, FloatArray], half: float) -> None:
    other = [100 * (1 - columns[f"degenerate{end}"]) for end in ("", "_high", "_low")]
    negative = [100 * columns[f"negative{end}"] for end in ("", "_low", "_high")]
    labels = (f"not degenerate, |λ| ≥ {half:.3g}", f"negative, λ ≤ −{half:.3g}")
    for (values, low, high), label, color in zip((other, negative), labels, ("C0", "C1"), strict=True):
        ax.fill_between(steps, low, high, color=color, alpha=0.25, lw=0)
        ax.plot(steps, values, ".-", color=color, label=label)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("% of eigenvalues")
    ax.legend(frameon=False)


def _draw_edges(ax: "Axes", steps: NDArray[np.int64], columns: Mapping[str, FloatArray], linear_width: float) -> None:
    ax.plot(steps, columns["largest"], ".-", color="C3", label="largest Ritz value")
    ax.plot(steps, columns["smallest"], ".-", color="C2", label="smallest Ritz value")
    ax.set_yscale("asinh", linear_width=linear_width)
    place_ticks(ax.yaxis, linear_width)
    ax.axhline(0, color="0.7", lw=0.8, zorder=0)
    ax.set_ylabel("eigenvalue")
    ax.legend(frameon=False)
