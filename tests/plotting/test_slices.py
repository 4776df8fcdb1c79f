"""Drawings of losses along directions: what is drawn, not how it looks."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from hessdens.eigenvectors import LossSlice
from hessdens.plotting import plot_slice

mpl.use("Agg")
OFFSETS = np.linspace(-2, 2, 9)
# 1 + x^2, and x^4 beyond.
LINE = LossSlice(OFFSETS, (1 + OFFSETS**2 + OFFSETS**4)[:, None], 1.0, [0.0], [[2.0]], [1.0], 0.0)


def test_losses_prediction_and_where_it_fails():
    ax = plot_slice(LINE, ax=Figure().subplots(), label="first", color="C3")
    exact, held, failed, predicted = ax.lines
    np.testing.assert_allclose(exact.get_ydata(), LINE.losses[:, 0])
    assert held.get_xdata().tolist() == [0.0]
    assert len(failed.get_xdata()) == 8
    np.testing.assert_allclose(predicted.get_ydata(), 1 + predicted.get_xdata() ** 2)
    assert {line.get_color() for line in ax.lines} == {"C3"}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["first", "first, quadratic"]


def test_a_map_of_two_directions_has_the_first_to_the_right():
    x, y = np.meshgrid(OFFSETS, OFFSETS, indexing="ij")
    losses = 1 + 3 * x**2 + y**2 + np.where(x > 1.5, 50.0, 0.0)
    losses[0, 0] = np.nan
    surface = LossSlice(OFFSETS, losses, 1.0, [0.0, 0.0], [[6.0, 0.0], [0.0, 2.0]], [1.0, 1.0], 0.0)
    figure = Figure()
    ax = plot_slice(surface, ax=figure.subplots())
    assert len(figure.axes) == 2, "with a bar of colours"
    hatched = ax.collections[-1]
    assert hatched.hatches == ["//"]
    corners = np.concatenate([path.vertices for path in hatched.get_paths()])
    assert corners[:, 0].max() == 2, "where the first is above 1.5"
    assert (corners[:, 1][corners[:, 0] > 1.5]).min() == -2


def test_new_axes_and_what_is_no_slice():
    assert plot_slice(LINE).get_xlabel() == "offset along the direction"
    with pytest.raises(TypeError, match="slice_ must be a LossSlice, from loss_slice; got list"):
        plot_slice([1.0])
    mpl.pyplot.close("all")
