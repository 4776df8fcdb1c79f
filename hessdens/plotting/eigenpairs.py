"""Eigenvalues by their rank, with the bounds of their errors and their clusters."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hessdens.plotting.axes import axes_or_new
from hessdens.results.eigenpairs import Eigenpairs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Positive values that differ by more than this factor are on a logarithmic axis.
FAR = 30.0


def plot_eigenpairs(pairs: Eigenpairs, *, ax: "Axes | None" = None) -> "Axes":
    """Draw eigenvalues over their index, with bounds of their errors.

    Those of one cluster are joined by a line. Those that have not reached ``rtol`` are hollow. The axis is linear, or
    logarithmic where all values are positive and differ by a factor above 30.

    Parameters
    ----------
    pairs
        From `eigenpairs`, or those that `lanczos_density` found.
    ax
        Axes to draw on, which are returned. Default: new ones. Nothing is shown or saved.

    Raises
    ------
    TypeError
        If they are no `Eigenpairs`.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from hessdens import eigenpairs
    >>> pairs = eigenpairs(np.diag([*np.zeros(30), 1.0, 5.0, 9.0]), 3)
    >>> plot_eigenpairs(pairs, ax=Figure().subplots()).get_ylabel()
    'eigenvalue'
    """
    if not isinstance(pairs, Eigenpairs):
        raise TypeError(f"pairs must be Eigenpairs, from eigenpairs; got {type(pairs).__name__}.")
    from matplotlib.ticker import MaxNLocator  # here, because it takes 0.3 s to import

    ax = axes_or_new(ax)
    places = np.arange(len(pairs.values))
    for members in map(list, pairs.subspaces):
        if len(members) > 1:
            ax.plot(
                places[members], pairs.values[members], color="0.7", lw=4, zorder=1, label=_first(ax, "one cluster")
            )
    for chosen, face, label in (
        (pairs.is_converged, "C0", "eigenvalue"),
        (~pairs.is_converged, "none", "not converged"),
    ):
        _points(ax, pairs, np.flatnonzero(chosen), face, label)
    if len(places) and pairs.values.min() > 0 and pairs.values.max() > FAR * pairs.values.min():
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel=f"index ({pairs.which})", ylabel="eigenvalue")
    if len(places):
        ax.legend(frameon=False, fontsize="small")
    return ax


def _points(ax: "Axes", pairs: Eigenpairs, chosen: NDArray[np.intp], face: str, label: str) -> None:
    if len(chosen):
        ax.errorbar(
            chosen, pairs.values[chosen], yerr=pairs.errors[chosen], fmt="o", ms=4, lw=1.2, color="C0",
            markerfacecolor=face, label=label,
        )  # fmt: skip


def _first(ax: "Axes", label: str) -> str:
    """Return a label, or one that a legend leaves out where there is such a line already."""
    return "_" if label in [line.get_label() for line in ax.lines] else label
