"""Plots of densities for a page: the bulk around 0 as a curve, single eigenvalues as marks."""

from typing import TYPE_CHECKING, Any

import numpy as np

from hessdens._checks import LEVEL, check_level, half_window
from hessdens._types import FloatArray, Window
from hessdens.densities.base import Density, check_density
from hessdens.densities.lanczos import LanczosDensity
from hessdens.densities.spectrum import Spectrum
from hessdens.plotting.axes import axes_or_new, evenly, linear_width_of, place_ticks
from hessdens.plotting.curve import Bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Where less than this mass is left on a side, a density is not drawn.
TAIL_MASS = 1e-12
# Nor is a band, where there is less in a bin.
LEAST_MASS = 1e-15
NUM_POINTS = 2000
# Marks of single eigenvalues: their height, and how far those of two densities are apart, in heights of the axes.
MARK, MARK_STEP = 0.045, 0.055
EXACT = "0.55"
# Opacity of a curve where the interval begins at 0.
FAINT = 0.4
# Nor is the shape of a curve known where the interval ends at so many times its beginning.
OPEN = 30.0
WINDOW_COLOR = "0.4"


def plot_density(
    estimate: Density,
    *,
    exact: Spectrum | None = None,
    ax: "Axes | None" = None,
    label: str | None = None,
    color: Any = None,
    window: Window | None = None,
    level: float | None = LEVEL,
    bandwidth: float | None = None,
    zoom: float | None = None,
) -> "Axes":
    """Draw a spectral density on a logarithmic scale, over eigenvalues on an inverse hyperbolic sine scale.

    The curve is the bulk: its area over an interval is the fraction of eigenvalues there. Marks of equal height at the
    bottom are eigenvalues that are known one by one. They are those that stand alone, which are not in the curve. They
    are also the ten largest and smallest outside of the window, and the three at either end that a summary prints.

    A `LanczosDensity` has a band, the confidence interval of the bulk: of its mean over a fortieth of the axis,
    smoothed as the curve is. Where it reaches the bottom, there may be no eigenvalue. The curve is faint where the band
    is wide: no shape is known there.

    The axis is linear near 0, well inside the window, and logarithmic outside. The curve is smoothed on that axis, so a
    peak at 0 is higher and narrower for a smaller window: its area is the same. Compare areas, not heights.
    Call it again with the same ``ax`` to draw several densities.

    Parameters
    ----------
    estimate
        A density: a `Spectrum`, a `LanczosDensity`, or any other, such as ``fit.mixture``.
    exact
        Exact eigenvalues, drawn in grey behind the estimate.
    ax
        Axes to draw on, which are returned. Default: new ones, of 6 x 4 inches at 150 dpi. Nothing is shown or saved.
    label, color
        Of the estimate.
    window
        Size of the window around 0 that counts as degenerate: between dotted lines. The axis is linear well inside it.
        Two densities of different windows have lines each.
        A share, such as "1%", is of the largest absolute eigenvalue. Default: that of the estimate, 0.2 unless it has
        another.
    level
        Confidence level of the band, pointwise; None: no band. The curve is faint where its shape is open all the same.
    bandwidth
        Standard deviation, in units of the eigenvalues, of a Gaussian that smooths all eigenvalues into one curve, as
        other libraries do. Default: only the bulk is a curve, smoothed on the axis by a hundredth of its length.
    zoom
        Show eigenvalues up to this absolute value only.

    Raises
    ------
    TypeError
        If ``estimate`` is no density, or ``exact`` no `Spectrum`.
    ValueError
        If ``window``, ``bandwidth`` or ``zoom`` is not positive and finite, ``level`` not between 0 and 1, or a
        bandwidth is given for a density that has one of its own.

    Examples
    --------
    >>> from hessdens import Spectrum, plot_density
    >>> from matplotlib.figure import Figure
    >>> ax = plot_density(Spectrum([-0.01, 0.0, 0.02, 3.0]), ax=Figure().subplots(), label="four eigenvalues")
    >>> ax.get_xscale(), ax.get_yscale()
    ('asinh', 'log')
    """
    _check(estimate, exact, level, bandwidth, zoom)
    width = 2 * half_window(estimate.window if window is None else window, float(np.abs(estimate.nodes()).max()))
    linear_width = linear_width_of(width if zoom is None else min(width, zoom))
    ax = axes_or_new(ax)
    first = not any(each.lines or each.collections for each in ax.get_shared_x_axes().get_siblings(ax))
    if zoom is None or zoom > width / 2:
        _draw_window(ax, width / 2, is_own=window is not None or estimate.has_window)
    values = np.concatenate([density.nodes() for density in (estimate, exact) if density is not None])
    if zoom is not None:
        values = np.array([-zoom, zoom])
    elif bandwidth is not None:
        values = np.array([values.min() - 4 * bandwidth, values.max() + 4 * bandwidth])
    bins = Bins.of(values, linear_width)
    row, half = len([line for line in ax.lines if line.get_gid() == "marks"]), None if bandwidth else width / 2
    if exact is not None:
        _draw_exact(ax, exact, bins, bandwidth)
        row += _draw_marks(ax, exact, bins, EXACT, row, half)
    band: FloatArray | None = None
    if isinstance(estimate, LanczosDensity) and bandwidth is None:
        band = bins.band(estimate, LEVEL if level is None else level)
    style = {"label": "estimate" if label is None else label, "color": color}
    color = _draw_curve(ax, estimate, bins, band, bandwidth=bandwidth, **style)
    _draw_marks(ax, estimate, bins, color, row, half)
    if band is not None and level is not None:
        _draw_band(ax, bins, band, color, f"{100 * level:g}% interval")
    _finish(ax, estimate, bins, zoom, first=first)
    return ax


def _draw_window(ax: "Axes", half: float, *, is_own: bool) -> None:
    """Draw the ends of a window, unless they are drawn already, or another's are and it is one by default."""
    ends = [np.abs(line.get_xdata()).max() for line in ax.lines if line.get_gid() == "window"]
    if not ends or (is_own and not np.isclose(half, ends, rtol=1e-3).any()):
        dashes, name = "-." if ends else ":", f"window |λ| < {half:.3g}"
        for end, label in ((-half, name), (half, None)):
            ax.axvline(end, color=WINDOW_COLOR, lw=0.8, ls=dashes, zorder=0, gid="window", label=label)


def _check(
    estimate: Density, exact: Spectrum | None, level: float | None, bandwidth: float | None, zoom: float | None
) -> None:
    check_density(estimate, "estimate")
    if exact is not None and not isinstance(exact, Spectrum):
        raise TypeError(f"exact must be a Spectrum; got {type(exact).__name__}. Pass Spectrum(eigenvalues).")
    if level is not None:
        check_level(level)
    for name, value in (("bandwidth", bandwidth), ("zoom", zoom)):
        if value is not None and not 0 < value < np.inf:
            raise ValueError(f"{name} must be positive and finite; got {value}.")
    if bandwidth is not None and not isinstance(estimate, Spectrum | LanczosDensity):
        raise ValueError(f"bandwidth is for a Spectrum or a LanczosDensity; got {type(estimate).__name__}.")


def _curve(density: Density, bins: Bins, bandwidth: float | None) -> tuple[FloatArray, FloatArray]:
    """Return points and the density there, NaN where nothing is drawn."""
    if not isinstance(density, Spectrum | LanczosDensity):
        x = _curve_points(density, bins)
        values = density.pdf(x)
    elif bandwidth is not None:
        x = _around(density.nodes(), bandwidth, evenly(bins.edges, bins.linear_width, NUM_POINTS))
        values = density.pdf(x, bandwidth=bandwidth)
        values = np.where(values * density.size * bandwidth > 1e-3, values, 0.0)
    else:
        x, values = bins.centres, bins.curve(density, density.size)
    return x, np.where(values > 0, values, np.nan)


def _around(nodes: FloatArray, bandwidth: float, points: FloatArray) -> FloatArray:
    """Return points, and more around nodes where they are too far apart to show a peak of this bandwidth."""
    gaps = np.interp(nodes, points[1:], np.diff(points))
    peaks = np.unique(np.round(nodes[gaps > bandwidth / 4] / bandwidth * 4) * bandwidth / 4)
    return np.union1d(points, np.add.outer(peaks, bandwidth * np.linspace(-4, 4, 33)))


def _curve_points(density: Density, bins: Bins) -> FloatArray:
    """Return points that are dense on the axis and near the nodes, as far as there is mass."""
    nodes = density.nodes()
    cdf = density.cdf(nodes)
    inside = nodes[(cdf > TAIL_MASS) & (cdf < 1 - TAIL_MASS)]
    low, high = bins.edges[[0, -1]]
    even = evenly(inside if len(inside) else nodes, bins.linear_width, NUM_POINTS)
    points = np.union1d(even, inside)
    return points[(points >= low) & (points <= high)]


def _draw_curve(
    ax: "Axes", density: Density, bins: Bins, band: FloatArray | None, *, bandwidth: float | None, **style: Any
) -> Any:
    """Draw the curve, faint where a band leaves its shape open, and return its color."""
    x, values = _curve(density, bins, bandwidth)
    (line,) = ax.plot(x, values, lw=1.5, solid_capstyle="round", zorder=3, gid="curve", **style)
    if band is not None:
        is_open = band[1] > OPEN * band[0]
        line.set_ydata(np.where(is_open, np.nan, values))
        name = "shape not resolved" if np.isfinite(values[is_open]).any() else None
        ax.plot(x, values, lw=1.5, alpha=FAINT, color=line.get_color(), zorder=3, gid="open curve", label=name)
    return line.get_color()


def _draw_exact(ax: "Axes", exact: Spectrum, bins: Bins, bandwidth: float | None) -> None:
    x, values = _curve(exact, bins, bandwidth)
    ax.plot(x, values, lw=4, color="0.75", zorder=2, gid="curve", label=f"exact ({exact.size:,} eigenvalues)")


def _draw_marks(ax: "Axes", density: Density, bins: Bins, color: Any, row: int, half: float | None) -> int:
    """Draw eigenvalues one by one, in a row of their own; return how many rows: 0 without ``half`` a window."""
    if half is None:
        return 0
    alone = bins.marked(density, half)
    alone = alone[(alone > bins.edges[0]) & (alone < bins.edges[-1])]
    if not len(alone):
        return 0
    low = 0.012 + row * MARK_STEP
    x, y = np.repeat(alone, 3), np.tile([low, low + MARK, np.nan], len(alone))
    ax.plot(x, y, color=color, lw=1.1, transform=ax.get_xaxis_transform(), zorder=4, gid="marks")
    return 1


def _draw_band(ax: "Axes", bins: Bins, band: FloatArray, color: Any, label: str) -> None:
    low, high = band
    is_known = high * np.diff(bins.edges) > LEAST_MASS
    ax.fill_between(
        bins.centres, np.maximum(low, 1e-300), high, where=is_known, color=color, alpha=0.13, lw=0, zorder=1,
        gid="band", label=label,
    )  # fmt: skip


def _finish(ax: "Axes", estimate: Density, bins: Bins, zoom: float | None, *, first: bool) -> None:
    """Set scales, limits, labels and legend, so that all that was drawn so far is seen."""
    low, high = bins.edges[[0, -1]]
    old = ax.get_xlim()
    ax.set_yscale("log")
    ax.set_xscale("asinh", linear_width=bins.linear_width)
    if zoom is not None:
        ax.set_xlim(-zoom, zoom)
    else:
        ax.set_xlim(*((low, high) if first else (min(low, old[0]), max(high, old[1]))))
    place_ticks(ax.xaxis, bins.linear_width)
    name = f"eigenvalue of the {estimate.matrix}" if estimate.matrix else "eigenvalue"
    ax.set_xlabel(name if first or ax.get_xlabel() == name else "eigenvalue")
    ax.set_ylabel("spectral density per unit of λ")
    panels = ax.get_shared_y_axes().get_siblings(ax)
    curves = [line for each in panels for line in each.lines if line.get_gid() in ("curve", "open curve")]
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in curves])
    values = values[np.isfinite(values)]
    if len(values):
        marks = 1 + max(len([line for line in each.lines if line.get_gid() == "marks"]) for each in panels)
        areas = [area for each in panels for area in each.collections if area.get_gid() == "band"]
        bands = [path.vertices for area in areas for path in area.get_paths()]
        highest = max((float(np.asarray(vertices)[:, 1].max()) for vertices in bands), default=0.0)
        top, bottom = max(3 * values.max(), 1.5 * highest), max(0.5 * values.min(), 1e-15 * values.max())
        # Room below the curves for the rows of marks.
        share = marks * MARK_STEP
        ax.set_ylim(bottom * (bottom / top) ** (share / (1 - share)), top)
    _legend(ax)


def _legend(ax: "Axes") -> None:
    """Name what was drawn, the same thing once, in all of its colors."""
    from matplotlib.legend_handler import HandlerTuple
    from matplotlib.lines import Line2D

    drawn = list(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    lines = [pair for pair in drawn if pair[1].get_gid() == "curve"]
    colors = dict.fromkeys(line.get_color() for line in ax.lines if line.get_gid() == "marks")
    marks = [("single eigenvalues", Line2D([], [], color=color, marker="|", ls="", ms=8)) for color in colors]
    # Areas and the window, which was drawn first, come last.
    names = dict.fromkeys(label for label, _ in [*lines, *marks, *drawn[::-1]])
    handles = {name: tuple(handle for label, handle in [*marks, *drawn] if label == name) for name in names}
    if names:
        shown = {tuple: HandlerTuple(ndivide=None, pad=0.3)}
        ax.legend(handles.values(), handles.keys(), frameon=False, fontsize="small", handler_map=shown)
