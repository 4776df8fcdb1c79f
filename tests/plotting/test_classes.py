"""Drawings of class structure: heights of bars."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from hessdens.plotting import plot_class_structure
from hessdens.results import ClassStructure

mpl.use("Agg")


def test_bars_end_at_the_eigenvalues_and_are_divided_by_shares():
    parts = [[6.0, 0], [0, 0], [0, 0]], [[0, 2.0], [0, 1], [0, 0]], [[0, 0], [0, 1], [0, 0]], [[0, 0]] * 3
    ax = plot_class_structure(ClassStructure(30, [8.0, 2.0, 0.0], *parts, (4, 5)), ax=Figure().subplots())
    assert ax.get_yscale() == "log"
    tops = np.array([[bar.get_y() + bar.get_height() for bar in bars] for bars in ax.containers])
    np.testing.assert_allclose(tops[-1], [8, 2])
    np.testing.assert_allclose(tops[0], [8**0.75, 1])
    np.testing.assert_allclose(tops[1], [8, 2**0.5])


def test_what_is_no_result_is_refused():
    with pytest.raises(TypeError, match="structure must be a ClassStructure, from class_structure; got list"):
        plot_class_structure([])
