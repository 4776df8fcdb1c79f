"""Drawings of eigenpairs: what is drawn, not how it looks."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from hessdens import eigenpairs, lanczos_density
from hessdens.plotting import plot_eigenpairs

mpl.use("Agg")
MATRIX = np.diag([*np.linspace(-1, 1, 80), 4.0, 4.0, 9.0])


def drawn(pairs):
    ax = plot_eigenpairs(pairs, ax=Figure().subplots())
    legend = ax.get_legend()
    return ax, [] if legend is None else [text.get_text() for text in legend.get_texts()]


def test_values_with_bounds_and_clusters():
    pairs = eigenpairs(MATRIX, 3, rtol=1e-6)
    ax, labels = drawn(pairs)
    assert labels == ["one cluster", "eigenvalue"]
    (container,) = ax.containers
    points, _, (bars,) = container.lines
    np.testing.assert_array_equal(points.get_ydata(), pairs.values)
    np.testing.assert_allclose(np.ptp(np.array(bars.get_segments())[:, :, 1], axis=1), 2 * pairs.errors, atol=1e-13)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), pairs.values[1:])
    assert (ax.get_yscale(), ax.get_xlabel()) == ("linear", "index (largest)")
    assert plot_eigenpairs(pairs).figure is not ax.figure, "without axes, new ones"


def test_values_that_have_not_converged_are_hollow():
    with pytest.warns(UserWarning, match="was not reached"):
        pairs = eigenpairs(MATRIX, 6, rtol=1e-9, max_products=24)
    assert 0 < pairs.is_converged.sum() < 6
    ax, labels = drawn(pairs)
    assert labels[-2:] == ["eigenvalue", "not converged"]
    assert ax.containers[-1].lines[0].get_markerfacecolor() == "none"


def test_far_values_are_on_a_logarithmic_axis():
    assert drawn(eigenpairs(np.diag([*np.zeros(9), 1.0, 100.0]), 2))[0].get_yscale() == "log"
    assert drawn(eigenpairs(np.diag([*np.zeros(9), -1.0, 100.0]), 2, which="both"))[0].get_yscale() == "linear"


def test_a_density_that_has_found_none_has_an_empty_picture():
    found = lanczos_density(np.zeros((9, 9)), max_products=4, eigenvectors=True).eigenpairs
    assert drawn(found)[1] == []


def test_other_results_are_refused():
    with pytest.raises(TypeError, match="pairs must be Eigenpairs, from eigenpairs; got ndarray"):
        plot_eigenpairs(MATRIX)
