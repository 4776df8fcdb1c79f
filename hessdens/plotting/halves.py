"""The Hessian and its two halves on one set of axes."""

from typing import TYPE_CHECKING

from hessdens._checks import LEVEL
from hessdens._types import Window
from hessdens.plotting.density import plot_density
from hessdens.structure.halves import CurvatureHalves

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_halves(
    halves: CurvatureHalves,
    *,
    ax: "Axes | None" = None,
    window: Window | None = None,
    level: float | None = LEVEL,
) -> "Axes":
    """Draw the densities of the Hessian H, the Gauss-Newton matrix G and the rest R on one pair of axes.

    Parameters
    ----------
    halves
        From `curvature_halves`.
    ax, window, level
        As in `plot_density`.

    Raises
    ------
    TypeError
        If it is no `CurvatureHalves`.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from hessdens.structure import curvature_halves
    >>> G = np.diag([9.0, 4.0, *np.zeros(18)])
    >>> halves = curvature_halves(G + np.diag([0.0, 0.4, *np.zeros(17), -1.0]), G, max_products=40)
    >>> [text.get_text() for text in plot_halves(halves, ax=Figure().subplots()).get_legend().get_texts()][:3]
    ['Hessian H', 'Gauss-Newton matrix G', 'rest R']
    """
    if not isinstance(halves, CurvatureHalves):
        raise TypeError(f"halves must be CurvatureHalves, from curvature_halves; got {type(halves).__name__}.")
    densities = {"Hessian H": halves.hessian, "Gauss-Newton matrix G": halves.gauss_newton, "rest R": halves.rest}
    for number, (label, density) in enumerate(densities.items()):
        ax = plot_density(density, ax=ax, label=label, color=f"C{number}", window=window, level=level)
    assert ax is not None  # since there are densities
    return ax
