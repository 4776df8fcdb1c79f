"""The loss along directions: exact, next to what gradient and curvature predict."""

from typing import TYPE_CHECKING, Any

import numpy as np

from hessdens.eigenvectors.slices import TOLERATED, LossSlice
from hessdens.plotting.axes import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVELS = 20
# Points of a predicted curve.
NUM_POINTS = 200


def plot_slice(slice_: LossSlice, *, ax: "Axes | None" = None, label: str | None = None, color: Any = None) -> "Axes":
    """Draw losses along one direction as a line, or along two as a map, and the quadratic prediction with dashes.

    Where the prediction is off by more than 10% of what it says that changes, points are crosses, and the map is
    hatched.

    Parameters
    ----------
    slice_
        From `loss_slice`.
    ax
        Axes to draw on, which are returned. Default: new ones. Nothing is shown or saved.
    label, color
        Of the line along one direction.

    Raises
    ------
    TypeError
        If it is no `LossSlice`.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from hessdens.eigenvectors import LossSlice
    >>> curve = LossSlice([-1, 0, 1], [[2.0], [1.0], [2.0]], 1.0, [0.0], [[2.0]], [1.0], 0.0)
    >>> plot_slice(curve, ax=Figure().subplots()).get_ylabel()
    'loss'
    """
    if not isinstance(slice_, LossSlice):
        raise TypeError(f"slice_ must be a LossSlice, from loss_slice; got {type(slice_).__name__}.")
    ax = axes_or_new(ax)
    if slice_.num_directions == 1:
        _draw_line(ax, slice_, label, color)
    else:
        _draw_map(ax, slice_)
    return ax


def _draw_line(ax: "Axes", slice_: LossSlice, label: str | None, color: Any) -> None:
    offsets, losses, failed = slice_.offsets, slice_.losses[:, 0], slice_.fails()[:, 0]
    (line,) = ax.plot(offsets, losses, color=color, label=label)
    color = line.get_color()
    ax.plot(offsets[~failed], losses[~failed], ".", color=color)
    ax.plot(offsets[failed], losses[failed], "x", color=color)
    x = np.linspace(offsets[0], offsets[-1], NUM_POINTS)
    predicted = slice_.loss + x * slice_.slopes[0] + x**2 * slice_.curvatures[0, 0] / 2
    ax.plot(x, predicted, "--", color=color, label=None if label is None else f"{label}, quadratic")
    ax.set_xlabel("offset along the direction")
    ax.set_ylabel("loss")
    if label is not None:
        ax.legend(frameon=False)


def _draw_map(ax: "Axes", slice_: LossSlice) -> None:
    x, y = slice_.offsets, slice_.offsets
    losses = np.ma.masked_invalid(slice_.losses).T  # the first direction to the right
    filled = ax.contourf(x, y, losses, LEVELS, cmap="viridis")
    ax.contour(x, y, slice_.predictions().T, filled.levels, colors="white", linestyles="dashed", linewidths=0.7)
    failed = slice_.fails().T.astype(float)
    if failed.mean() > 0:
        ax.contourf(x, y, failed, [0.5, 1.5], colors="none", hatches=["//"])
    ax.figure.colorbar(filled, ax=ax, label="loss")
    ax.set_xlabel("offset along the first direction")
    ax.set_ylabel("offset along the second direction")
    ax.set_title(f"dashed: quadratic prediction; hatched: off by {TOLERATED:.0%}", fontsize="small")
