"""The diagonal of a matrix, a row for each parameter."""

from typing import TYPE_CHECKING

import numpy as np

from hessdens._types import FloatArray
from hessdens.plotting.axes import SIZE, axes_or_new, evenly, height_of_rows, name_rows, place_ticks
from hessdens.results.structure.diagonal import Diagonal
from hessdens.results.structure.named import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Entries that differ by more than this factor are on an inverse hyperbolic sine axis.
FAR = 30.0
# Its linear part ends at this quantile of the absolute entries.
LINEAR = 0.25
# Free space at each end of that axis, in its lengths.
MARGIN = 0.05


def plot_diagonal(diagonal: Diagonal, *, ax: "Axes | None" = None) -> "Axes":
    """Draw the entries of a diagonal, a row for each parameter: all of them, the middle half, and the median.

    Estimated entries spread by their standard errors too: the bar at the median has the typical one of the row. The
    axis is linear, or an inverse hyperbolic sine where entries differ by a factor above 30.

    Parameters
    ----------
    diagonal
        From `hessdens.structure.diagonal`.
    ax
        Axes to draw on, which are returned. Default: new ones, as high as the parameters need. Nothing is shown or
        saved.

    Raises
    ------
    TypeError
        If it is no `Diagonal`.

    Examples
    --------
    >>> import torch
    >>> from matplotlib.figure import Figure
    >>> from hessdens import hessian_operator
    >>> from hessdens.structure import diagonal
    >>> H = hessian_operator(torch.nn.Linear(2, 1), torch.nn.MSELoss(), [(torch.eye(2), torch.ones(2, 1))])
    >>> [text.get_text() for text in plot_diagonal(diagonal(H), ax=Figure().subplots()).get_yticklabels()]
    ['weight', 'bias']
    """
    if not isinstance(diagonal, Diagonal):
        raise TypeError(f"diagonal must be a Diagonal, from structure.diagonal; got {type(diagonal).__name__}.")
    rows = np.arange(float(len(diagonal.names)))
    ax = axes_or_new(ax, (SIZE[0], height_of_rows(len(rows))))
    ends = np.cumsum(diagonal.sizes)[:-1]
    points = np.array([np.quantile(part, [0, 0.25, 0.5, 0.75, 1]) for part in np.split(diagonal.values, ends)])
    errors = [np.sqrt(np.mean(part**2)) for part in np.split(diagonal.standard_errors, ends)]
    ax.hlines(rows, points[:, 0], points[:, 4], color="0.7", lw=1, label="all entries")
    ax.hlines(rows, points[:, 1], points[:, 3], color="C0", lw=4, alpha=0.5, label="middle half")
    ax.errorbar(
        points[:, 2], rows, xerr=errors, fmt="o", ms=3.5, lw=1.2, color="C0",
        label="median ± standard error of an entry",
    )  # fmt: skip
    _scale(ax, diagonal, np.append(points[:, 2] - errors, points[:, 2] + errors))
    name_rows(ax, [shown(name) for name in diagonal.names])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlabel("entry of the diagonal")
    ax.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return ax


def _scale(ax: "Axes", diagonal: Diagonal, bars: FloatArray) -> None:
    """Set the scale that shows all entries, and the ends of all bars."""
    sizes = np.abs(diagonal.values[diagonal.values != 0])
    if not len(sizes) or sizes.max() <= FAR * sizes.min():
        return
    linear_width = float(np.quantile(sizes, LINEAR))
    ends = np.append(diagonal.values, bars)
    ax.set_xscale("asinh", linear_width=linear_width)
    places = np.arcsinh(np.array([ends.min(), ends.max()]) / linear_width)
    ax.set_xlim(*evenly(ends, linear_width, 2, MARGIN * float(np.ptp(places))))
    place_ticks(ax.xaxis, linear_width)
    ax.tick_params(axis="x", labelsize="small")
    ax.axvline(0, color="0.7", lw=0.8, zorder=0)
