"""Traces of layers with their intervals, a row for each."""

from typing import TYPE_CHECKING, Any

import numpy as np

from hessdens._checks import LEVEL
from hessdens._types import FloatArray
from hessdens.plotting.axes import SIZE, axes_or_new, evenly, height_of_rows, name_rows, place_ticks
from hessdens.results.structure.named import shown
from hessdens.results.structure.traces import LayerTraces

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Traces that differ by more than this factor are on a logarithmic axis.
FAR = 30.0
# Points of several results are so far apart, in rows.
APART = 0.25
# Free space at each end of an inverse hyperbolic sine axis, in its lengths.
MARGIN = 0.05


def plot_layer_traces(
    traces: LayerTraces, *, ax: "Axes | None" = None, label: str | None = None, color: Any = None, level: float = LEVEL
) -> "Axes":
    """Draw the trace of each layer as a point with its confidence interval, one row for each, the first at the top.

    The axis is linear. Where traces differ by a factor above 30 it is logarithmic, or an inverse hyperbolic sine if
    some interval reaches 0 or below. Call it again with the same ``ax`` to compare results of the same layers.

    Parameters
    ----------
    traces
        From `layer_traces`.
    ax
        Axes to draw on, which are returned. Default: new ones, as high as the layers need. Nothing is shown or saved.
    label, color
        Of the points.
    level
        Confidence level of the intervals.

    Raises
    ------
    TypeError
        If it is no `LayerTraces`.
    ValueError
        If ``level`` is not between 0 and 1, or the axes have the rows of other layers.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from hessdens.structure import layer_traces
    >>> traces = layer_traces(np.diag([1.0, 2.0, 3.0, 4.0]), {"first": slice(0, 2), "second": slice(2, 4)})
    >>> [text.get_text() for text in plot_layer_traces(traces, ax=Figure().subplots()).get_yticklabels()]
    ['first', 'second']
    """
    if not isinstance(traces, LayerTraces):
        raise TypeError(f"traces must be LayerTraces, from layer_traces; got {type(traces).__name__}.")
    spread = (traces.interval(level) - traces.values) * [[-1], [1]]
    ax = axes_or_new(ax, (SIZE[0], height_of_rows(len(traces.names))))
    names, rows = [shown(name) for name in traces.names], np.arange(float(len(traces.names)))
    before = len(_drawn(ax))
    if before and [text.get_text() for text in ax.get_yticklabels()] != names:
        raise ValueError(f"traces must be of the layers that ax shows, to share it; got {', '.join(names[:3])}, ...")
    ax.errorbar(
        traces.values, rows + APART * before, xerr=spread, fmt="o", ms=3.5, lw=1.2, gid="traces",
        color=f"C{before}" if color is None else color, label=f"{100 * level:g}% interval" if label is None else label,
    )  # fmt: skip
    if not before:
        name_rows(ax, names)
        ax.grid(axis="y", color="0.92")
        ax.set_axisbelow(True)
    ax.set_ylim(len(rows) - 1 + 0.6 + APART * before, -0.6)
    _scale(ax)
    ax.set_xlabel("trace of the layer's block")
    ax.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return ax


def _drawn(ax: "Axes") -> "list[tuple[FloatArray, FloatArray]]":
    """Return the traces that axes show, shape (L,), and the ends of their intervals, shape (L, 2), for each result."""
    from matplotlib.container import ErrorbarContainer  # here, because it takes 0.3 s to import

    lines = [each.lines for each in ax.containers if isinstance(each, ErrorbarContainer)]
    return [
        (np.asarray(points.get_xdata(), float), np.array(bars[0].get_segments())[:, :, 0])
        for points, _, bars in lines
        if points is not None and points.get_gid() == "traces"
    ]


def _scale(ax: "Axes") -> None:
    """Set the scale that shows all traces."""
    values, ends = (np.concatenate(part) for part in zip(*_drawn(ax), strict=True))
    sizes = np.abs(values[values != 0])
    if not len(sizes) or sizes.max() <= FAR * sizes.min():
        return
    if ends.min() > 0:
        ax.set_xscale("log")
        return
    is_resolved = np.sign(ends[:, 0]) * np.sign(ends[:, 1]) > 0
    linear_width = float(np.abs(values[is_resolved]).min() if is_resolved.any() else np.median(sizes)) / 2
    ax.set_xscale("asinh", linear_width=linear_width)
    places = np.arcsinh(np.array([ends.min(), ends.max()]) / linear_width)
    ax.set_xlim(*evenly(ends, linear_width, 2, MARGIN * float(np.ptp(places))))
    place_ticks(ax.xaxis, linear_width)
    ax.tick_params(axis="x", labelsize="small")
    ax.axvline(0, color="0.7", lw=0.8, zorder=0)
