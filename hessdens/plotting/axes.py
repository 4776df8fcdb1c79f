"""The axis of eigenvalues in all pictures: an inverse hyperbolic sine scale, with its bins and ticks."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hessdens._checks import half_window
from hessdens._types import FloatArray
from hessdens.densities.base import Density

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# The scale is linear up to the window divided by this, well inside the window.
WINDOW_OVER_LINEAR_WIDTH = 20
# Size of a new figure, in inches, and its dots per inch.
SIZE, DPI = (6.0, 4.0), 150
# Ticks are so far apart at least, in lengths of the axis.
CLOSEST_TICKS = 0.09
# Free space at each end of the bins at least, on the scale.
AXIS_MARGIN = 0.05


def new_figure(size: tuple[float, float] = SIZE) -> "Figure":
    """Return a new figure of pyplot for a page, as `page_class` makes them."""
    import matplotlib.pyplot as plt  # here, because it takes 0.3 s to import

    return plt.figure(figsize=size, dpi=DPI, layout="constrained", FigureClass=page_class())


def axes_or_new(ax: Any, size: tuple[float, float] = SIZE) -> "Axes":
    """Return the axes that were given, or those of a new figure; TypeError for anything else."""
    from matplotlib.axes import Axes

    if ax is None:
        return new_figure(size).subplots()
    if not isinstance(ax, Axes):
        hint = " Write ax=figure.subplots()." if hasattr(ax, "subplots") else ""
        raise TypeError(f"ax must be one Axes of matplotlib; got {type(ax).__name__}.{hint}")
    return ax


def page_class() -> "type[Figure]":
    """Return a class of figures with TrueType fonts in files: journals refuse Type 3, which is matplotlib's default."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    class Page(Figure):
        def savefig(self, *args: Any, **keywords: Any) -> None:
            with mpl.rc_context({"pdf.fonttype": 42, "ps.fonttype": 42}):
                super().savefig(*args, **keywords)

    return Page


def linear_width_of(window: float) -> float:
    """Return up to where the scale is linear; ValueError if the window is not positive and finite."""
    if not half_window(window) > 0:
        raise ValueError(f"window must be positive, since it sets the scale of the axis; got {window}.")
    return window / WINDOW_OVER_LINEAR_WIDTH


def evenly(values: FloatArray, linear_width: float, num: int, margin: float = 0.0) -> FloatArray:
    """Return ``num`` points from the least to the greatest value and a margin further, even on the scale."""
    low, high = np.arcsinh(np.array([values.min(), values.max()]) / linear_width)
    return linear_width * np.sinh(np.linspace(low - margin, high + margin, num))


def mean_density(density: Density, edges: FloatArray) -> FloatArray:
    """Return the mean density in each bin, shape (len(edges) - 1,)."""
    return np.maximum(np.diff(density.cdf(edges)), 0.0) / np.diff(edges)


def place_ticks(axis: "Axis", linear_width: float) -> None:
    """Put ticks at 0 and at powers of ten outside the linear part; matplotlib's own overlap around 0."""
    low, high = axis.get_view_interval()
    first = round(np.log10(10 * linear_width))
    length = float(np.ptp(np.arcsinh(np.array([low, high]) / linear_width)))
    step = max(1, math.ceil(CLOSEST_TICKS * length / math.log(10)))
    powers = 10.0 ** np.arange(first, max(np.log10(max(abs(low), abs(high))), first) + 1, step)
    ticks = np.concatenate([-powers[::-1], [0.0], powers])
    axis.set_ticks(ticks[(ticks >= low) & (ticks <= high)])
    axis.set_ticks([], minor=True)
