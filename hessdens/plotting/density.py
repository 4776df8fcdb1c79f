"""Log-density plots that show the bulk around 0 and single outliers at once."""

from typing import TYPE_CHECKING, Any

import numpy as np

from hessdens._checks import LEVEL, PAPER_WINDOW, check_level
from hessdens._types import FloatArray
from hessdens.densities.base import Density, check_density
from hessdens.densities.lanczos import LanczosDensity
from hessdens.densities.spectrum import Spectrum
from hessdens.plotting.axes import AXIS_MARGIN, evenly, linear_width_of, mean_density, place_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Where less than this mass is left on a side, a density is not drawn.
TAIL_MASS = 1e-12
NUM_BINS = 120
NUM_POINTS = 2000
# What a logarithmic axis takes for zero.
ALMOST_ZERO = 1e-300


def plot_density(
    estimate: Density,
    *,
    exact: Spectrum | None = None,
    ax: "Axes | None" = None,
    label: str | None = None,
    color: Any = None,
    window: float = PAPER_WINDOW,
    level: float | None = LEVEL,
) -> "Axes":
    """Draw a spectral density on a logarithmic scale, over eigenvalues on an inverse hyperbolic sine scale.

    A `LanczosDensity` has a band: the confidence interval of the density in each bin, down to the lower edge of the
    axes where it may be zero. Its ticks at the bottom are the eigenvalues found one by one.

    Parameters
    ----------
    estimate
        A density: a `Spectrum` or `LanczosDensity`, which have single eigenvalues (a histogram), or any other, such as
        ``fit.mixture`` (a line).
    exact
        Exact eigenvalues, drawn as a histogram behind the estimate and as a rug below it.
    ax
        Axes to draw on, which are returned. Default: new ones. Nothing is shown or saved; that is the caller's to do.
    label, color
        Of the estimate.
    window
        Size of the window around 0 that counts as degenerate: shaded. The axis is linear well inside it.
    level
        Confidence level of the band, pointwise; None: no band.

    Raises
    ------
    TypeError
        If ``estimate`` is no density, or ``exact`` no `Spectrum`.
    ValueError
        If ``window`` is not positive and finite, or ``level`` not between 0 and 1.

    Examples
    --------
    >>> from hessdens import Spectrum, plot_density
    >>> from matplotlib.figure import Figure
    >>> ax = plot_density(Spectrum([-0.01, 0.0, 0.02, 3.0]), ax=Figure().subplots(), label="four eigenvalues")
    >>> ax.get_xscale(), ax.get_yscale()
    ('asinh', 'log')
    """
    check_density(estimate, "estimate")
    if exact is not None and not isinstance(exact, Spectrum):
        raise TypeError(f"exact must be a Spectrum; got {type(exact).__name__}. Pass Spectrum(eigenvalues).")
    linear_width = linear_width_of(window)
    if level is not None:
        check_level(level)
    if ax is None:
        import matplotlib.pyplot as plt  # here, because it takes 0.3 s to import

        _, ax = plt.subplots(layout="constrained")
    ax.axvspan(-window / 2, window / 2, color="0.93", zorder=0)
    if exact is not None:
        edges = _bins(exact, linear_width)
        _draw_histogram(ax, exact, edges, "0.6", label=f"exact ({exact.size:,} eigenvalues)", fill=True)
        _draw_rug(ax, exact.eigenvalues, 0.02, "0.25")
    if isinstance(estimate, Spectrum | LanczosDensity):
        edges = _bins(estimate if exact is None else exact, linear_width)
        color = _draw_histogram(ax, estimate, edges, color, label=label)
    else:
        x = _curve_points(estimate, linear_width)
        values = estimate.pdf(x)
        ax.plot(x, np.where(values > 0, values, np.nan), label=label, color=color)
    ax.set_yscale("log")
    ax.set_xscale("asinh", linear_width=linear_width)
    place_ticks(ax.xaxis, linear_width)
    ax.set_xlabel(f"eigenvalue of the Hessian (shaded: window {window:g})")
    name = "spectral density"
    if isinstance(estimate, LanczosDensity):
        _draw_rug(ax, estimate.eigenvalues_found, 0.05, color)
        if level is not None:
            low, high = estimate.mass_interval(edges, level) / np.diff(edges)
            band = {"color": color, "fill": True, "alpha": 0.2, "zorder": 0.5}
            ax.stairs(high, edges, baseline=np.maximum(low, ALMOST_ZERO), **band)
            name = f"spectral density (band: {100 * level:g}%)"
    if name.startswith(ax.get_ylabel()):  # none yet, or that of a density without a band
        ax.set_ylabel(name)
    _limit_y(ax, exact if exact is not None else estimate, linear_width)
    if exact is not None or label is not None:
        ax.legend(frameon=False)
    return ax


def _draw_histogram(ax: "Axes", density: Density, edges: FloatArray, color: Any, **style: Any) -> Any:
    """Draw the mean density in each bin, and return the color."""
    if color is not None:  # the next one of the axes; None itself is black
        style["color"] = color
    return ax.stairs(mean_density(density, edges), edges, baseline=ALMOST_ZERO, **style).get_edgecolor()


def _draw_rug(ax: "Axes", eigenvalues: FloatArray, height: float, color: Any) -> None:
    """Draw a tick for each eigenvalue, at a share of the height of the axes."""
    ax.plot(eigenvalues, np.full(len(eigenvalues), height), "|", color=color, ms=7, transform=ax.get_xaxis_transform())


def _bins(density: Density, linear_width: float) -> FloatArray:
    """Return the edges of bins of equal width on the axis."""
    nodes = density.nodes()
    length = np.ptp(np.arcsinh(nodes / linear_width))
    return evenly(nodes, linear_width, NUM_BINS + 1, max(0.02 * length, AXIS_MARGIN))


def _curve_points(density: Density, linear_width: float) -> FloatArray:
    """Return points that are dense on the axis and near the nodes, as far as there is mass."""
    nodes = density.nodes()
    cdf = density.cdf(nodes)
    inside = nodes[(cdf > TAIL_MASS) & (cdf < 1 - TAIL_MASS)]
    return np.union1d(evenly(inside if len(inside) else nodes, linear_width, NUM_POINTS), inside)


def _limit_y(ax: "Axes", reference: Density, linear_width: float) -> None:
    """Show all that is drawn, from below the density of one eigenvalue, or 15 decades below the peak."""
    drawn = [np.asarray(line.get_ydata())[1:] for line in ax.lines if line.get_transform() == ax.transData]
    drawn += [patch.get_data()[0] for patch in ax.patches if hasattr(patch, "get_data")]
    top = 5 * max(float(np.nanmax(values)) for values in drawn if len(values))
    bottom = top * 1e-15
    if isinstance(reference, Spectrum | LanczosDensity):
        bottom = 0.1 / (reference.size * np.diff(_bins(reference, linear_width)).max())
    ax.set_ylim(bottom, top)
