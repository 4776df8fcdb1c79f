"""The axis of eigenvalues in all pictures: an inverse hyperbolic sine scale, with its bins and ticks."""

import math
from collections.abc import Sequence
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
# Height of a row and of all else in a new figure of rows, in inches, and the most that a figure has.
ROW, REST, HIGHEST = 0.17, 1.0, 40.0
# Size of names of rows, in points, and how much of the height of a row they take at most.
NAME, NAME_SHARE, POINTS_PER_INCH = 8.0, 0.8, 72
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


def height_of_rows(count: int) -> float:
    """Return the height of a figure with so many legible rows, in inches."""
    return min(max(SIZE[1] / 2, REST + ROW * count), HIGHEST)


def name_rows(ax: "Axes", names: Sequence[str]) -> None:
    """Put a name at each row, in letters as large as rows leave room for."""
    height = float(ax.bbox.height / ax.figure.dpi)
    ax.set_yticks(range(len(names)), names, fontsize=min(NAME, NAME_SHARE * POINTS_PER_INCH * height / len(names)))


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
