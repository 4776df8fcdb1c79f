"""The axis of eigenvalues: even points, bins and ticks."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from naive import Normal

from hessdens.plotting.axes import (
    HIGHEST,
    NAME,
    SIZE,
    axes_or_new,
    evenly,
    height_of_rows,
    linear_width_of,
    mean_density,
    name_rows,
    place_ticks,
)


def test_points_are_even_on_the_scale_and_reach_beyond_the_values_by_the_margin():
    points = evenly(np.array([2.0, -1.0, 40.0]), 0.01, 31, 0.05)
    steps = np.diff(np.arcsinh(points / 0.01))
    np.testing.assert_allclose(steps, steps[0])
    np.testing.assert_allclose(np.arcsinh(points[[0, -1]] / 0.01), [np.arcsinh(-100) - 0.05, np.arcsinh(4000) + 0.05])
    np.testing.assert_allclose(evenly(np.array([-1.0, 40.0]), 0.01, 2), [-1, 40])


def test_mean_density_has_the_mass_of_each_bin():
    edges = np.array([-9.0, -1.0, 0.5, 9.0])
    np.testing.assert_allclose(mean_density(Normal(0.0), edges) * np.diff(edges), np.diff(Normal(0.0).cdf(edges)))
    assert (mean_density(Normal(0.0), np.linspace(-90, 90, 200)) >= 0).all()


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((-3.0, 250.0), [-1, -0.1, 0, 0.1, 1, 10, 100]),
        ((-0.05, 0.05), [0]),
        ((-0.1, 0.1), [-0.1, 0, 0.1]),
        ((0.5, 20.0), [1, 10]),
    ],
)
def test_ticks_are_zero_and_powers_of_ten_within_the_limits(limits, expected):
    ax = Figure().subplots()
    ax.set_yscale("asinh", linear_width=0.01)
    ax.set_ylim(*limits)
    place_ticks(ax.yaxis, 0.01)
    np.testing.assert_allclose(ax.get_yticks(), expected)
    assert len(ax.get_yticks(minor=True)) == 0
    assert ax.get_ylim() == limits


def test_scale_is_linear_well_inside_the_window():
    assert linear_width_of(0.2) == 0.01
    for window in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"window must be (positive|finite)"):
            linear_width_of(window)


def test_axes_are_one_of_matplotlib():
    figure = Figure()
    ax = figure.subplots()
    assert axes_or_new(ax) is ax
    with pytest.raises(TypeError, match=r"ax must be one Axes .*; got Figure\. Write ax=figure\.subplots\(\)"):
        axes_or_new(figure)
    with pytest.raises(TypeError, match=r"ax must be one Axes of matplotlib; got ndarray\.$"):
        axes_or_new(figure.subplots(1, 2))


def test_a_figure_of_rows_is_as_high_as_names_need_within_limits():
    assert (height_of_rows(1), height_of_rows(10**6)) == (SIZE[1] / 2, HIGHEST)
    for count in (3, 50):
        ax = Figure((6, height_of_rows(count))).subplots()
        name_rows(ax, ["name"] * count)
        assert ax.get_yticks().tolist() == [*range(count)]
        assert ax.get_yticklabels()[0].get_fontsize() == NAME
    ax = Figure((6, 1)).subplots()
    name_rows(ax, ["name"] * 50)
    assert ax.get_yticklabels()[0].get_fontsize() < NAME / 5
