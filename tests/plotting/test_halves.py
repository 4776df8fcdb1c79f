"""Drawings of both halves of a Hessian: three densities on one pair of axes."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from hessdens.plotting import plot_halves
from hessdens.structure import curvature_halves

mpl.use("Agg")


def test_three_densities_share_axes():
    G = np.diag([9.0, 4.0, *np.zeros(18)])
    halves = curvature_halves(G - np.diag([*np.zeros(19), 1.0]), G, max_products=40)
    ax = plot_halves(halves, ax=Figure().subplots(), window=0.2, level=None)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[:3] == ["Hessian H", "Gauss-Newton matrix G", "rest R"]
    assert ax.get_xlim()[0] < -1 < 9 < ax.get_xlim()[1]
    assert plot_halves(halves).figure is not ax.figure, "without axes, new ones"


def test_what_is_no_result_is_refused():
    with pytest.raises(TypeError, match="halves must be CurvatureHalves, from curvature_halves; got dict"):
        plot_halves({})
