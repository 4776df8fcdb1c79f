"""Outliers of a Gauss-Newton matrix in the three levels of class structure."""

from typing import TYPE_CHECKING

import numpy as np

from hessdens.plotting.axes import axes_or_new
from hessdens.results.structure.class_structure import ClassStructure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("C3", "C1", "C0", "0.6")


def plot_class_structure(structure: ClassStructure, *, ax: "Axes | None" = None) -> "Axes":
    """Draw eigenvalues in descending order as bars, each divided by the shares of the levels in it.

    The height is the eigenvalue on a logarithmic scale; a colour takes the part of it that its level has of the sum.

    Parameters
    ----------
    structure
        From `class_structure`.
    ax
        Axes to draw on, which are returned. Default: new ones. Nothing is shown or saved.

    Raises
    ------
    TypeError
        If it is no `ClassStructure`.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from hessdens.results import ClassStructure
    >>> parts = [[2.0], [0.0]], [[0.0], [0.0]], [[1.0], [1.0]], [[0.0], [0.0]]
    >>> ax = plot_class_structure(ClassStructure(9, [3.0, 1.0], *parts, (5,)), ax=Figure().subplots())
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['class means: 1', 'cross-classes: 0', 'within classes: 1', 'own classes: 0']
    """
    if not isinstance(structure, ClassStructure):
        raise TypeError(f"structure must be a ClassStructure, from class_structure; got {type(structure).__name__}.")
    ax = axes_or_new(ax)
    values = structure.eigenvalues[structure.eigenvalues > 0]
    places, bottom = np.arange(1, len(values) + 1), np.zeros(len(values))
    floor = values[-1] / 2 if len(values) else 1.0
    heights = np.log(values / floor)
    for (name, shares), count, color in zip(structure.shares.items(), structure.counts.values(), COLORS, strict=True):
        top = bottom + shares[: len(values)] * heights
        low, high = floor * np.exp(bottom), floor * np.exp(top)
        ax.bar(places, high - low, width=1.0, bottom=low, color=color, label=f"{name}: {count}")
        bottom = top
    ax.set_yscale("log")
    ax.set_ylim(bottom=floor)
    ax.set_xlabel("number of the eigenvalue, from the largest")
    ax.set_ylabel("eigenvalue, divided by shares of levels")
    ax.legend(frameon=False)
    return ax
