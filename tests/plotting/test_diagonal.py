"""Drawings of diagonals: what is drawn, not how it looks."""

import dataclasses

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from hessdens.plotting import plot_diagonal
from hessdens.structure import diagonal

mpl.use("Agg")
VALUES = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 7.0])
FOUND = dataclasses.replace(diagonal(np.diag(VALUES)), names=("a", ""), sizes=(5, 2), standard_errors=0.1 * VALUES)


def test_rows_of_parameters():
    ax = plot_diagonal(FOUND, ax=Figure().subplots())
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "(the model itself)"]
    every, middle = (np.array(lines.get_segments())[:, :, 0] for lines in ax.collections[:2])
    np.testing.assert_allclose(every, [[1, 5], [7, 7]])
    np.testing.assert_allclose(middle, [[2, 4], [7, 7]])
    points, _, (bars,) = ax.containers[0].lines
    np.testing.assert_allclose(points.get_xdata(), [3, 7])
    typical = [0.1 * np.sqrt(11), 0.7]
    np.testing.assert_allclose(np.ptp(np.array(bars.get_segments())[:, :, 0], axis=1), np.multiply(2, typical))
    assert ax.get_xscale() == "linear"
    assert plot_diagonal(FOUND).figure is not ax.figure, "without axes, new ones"


def test_far_entries_are_on_an_axis_that_shows_them_all():
    found = dataclasses.replace(FOUND, values=np.array([-50.0, 0.0, 0.1, 0.2, 0.1, 1.0, 300.0]))
    ax = plot_diagonal(found, ax=Figure().subplots())
    low, high = ax.get_xlim()
    assert (ax.get_xscale(), low < -50, high > 300) == ("asinh", True, True)
    assert plot_diagonal(dataclasses.replace(FOUND, values=np.zeros(7))).get_xscale() == "linear"


def test_other_results_are_refused():
    with pytest.raises(TypeError, match=r"diagonal must be a Diagonal, from structure.diagonal; got ndarray"):
        plot_diagonal(VALUES)
