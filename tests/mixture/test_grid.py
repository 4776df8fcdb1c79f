"""`Grid`: the paper's axes, ranges scaled to moments, and bad axes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hessdens.mixture.grid import AXES, Grid
from hessdens.mixture.model import SkewNormalMixture
from hessdens.results.moments import Moments

AXIS_VALUES = {"weights": [0.1, 0.5], "locations": [-1.0, 0.0, 1.0], "scales": [0.5, 2.0], "shapes": [-3.0, 3.0]}


def test_paper():
    """Note 3."""
    grid = Grid.paper()
    assert grid.num_points == 10**8
    assert grid.shape == (100, 100, 100, 100)
    assert grid.narrow_scale == 1e-3
    np.testing.assert_allclose(np.diff(np.log10(grid.weights)), 6 / 99)
    np.testing.assert_allclose(np.diff(np.log10(grid.scales)), 4 / 99)
    np.testing.assert_allclose(np.diff(grid.locations), 20 / 99)
    np.testing.assert_allclose(np.diff(grid.shapes), 100 / 99)
    ends = [(1e-9, 1e-3), (-10, 10), (0.1, 1e3), (-50, 50)]
    for name, (first, last) in zip(AXES, ends, strict=True):
        assert getattr(grid, name)[[0, -1]] == pytest.approx([first, last])
    assert Grid.paper() is grid


def test_axes_are_copied_and_read_only():
    axis = np.array([0.1, 0.2])
    grid = Grid(axis, [0], [1], [0])
    axis[0] = 9
    assert grid.weights[0] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        grid.weights[0] = 1
    assert all(getattr(grid, name).dtype == np.float64 for name in AXES)


def test_points():
    grid = Grid(**AXIS_VALUES, narrow_scale=0.25)
    assert grid.point((1, 2, 0, 1)) == SkewNormalMixture(0.5, 1.0, 0.5, 3.0, 0.25)
    for index in [(2, 0, 0, 0), (0, 0, -1, 0), (0, 0, 0)]:
        with pytest.raises(IndexError, match=r"below the grid's shape \(2, 3, 2, 2\); got \("):
            grid.point(index)


def test_summary():
    assert str(Grid(**AXIS_VALUES)) == (
        "Grid of 24 mixtures: 2 weights 0.1..0.5, 3 locations -1..1, 2 scales 0.5..2, 2 shapes -3..3; "
        "narrow scale 0.001"
    )


@pytest.mark.parametrize("name", AXES)
@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ([], r"must be a one-dimensional array of at least one number; got shape \(0,\)"),
        ([[0.1, 0.2]], r"must be a one-dimensional array of at least one number; got shape \(1, 2\)"),
        ([0.1, np.nan], "must be finite; got nan"),
        ([0.1, 0.3, 0.2], "must be strictly increasing; got 0.3 before 0.2 at position 1"),
        ([0.1, 0.1], "must be strictly increasing; got 0.1 before 0.1 at position 0. Sort the axis"),
    ],
)
def test_bad_axes(name, axis, message):
    with pytest.raises(ValueError, match=f"^{name} {message}"):
        Grid(**{**AXIS_VALUES, name: axis})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("weights", [0.0, 0.5], r"weights must be in \(0, 1\]; got 0 to 0.5"),
        ("weights", [0.5, 1.5], r"weights must be in \(0, 1\]; got 0.5 to 1.5"),
        ("scales", [0.0, 0.5], "scales must be positive; got 0"),
        ("scales", [-1.0, 0.5], "scales must be positive; got -1"),
        ("narrow_scale", 0.0, "narrow_scale must be positive and finite; got 0.0"),
        ("narrow_scale", np.inf, "narrow_scale must be positive and finite; got inf"),
    ],
)
def test_values_out_of_range(name, value, message):
    with pytest.raises(ValueError, match=message):
        Grid(**{**AXIS_VALUES, name: value})


@given(st.floats(-100, 100), st.floats(1e-3, 10), st.floats(-50, 50), st.floats(1e-6, 1))
def test_grid_for_moments_holds_the_mixture_they_are_of(location, scale, shape, weight):
    """Where the narrow component is small, the ranges contain every mixture but those narrower than a near point."""
    values = SkewNormalMixture(weight, location, scale, shape, 1e-9).moments(4)
    grid = Grid.for_moments(values)
    assert grid.weights[0] <= weight <= grid.weights[-1] * (1 + 1e-12)
    assert grid.locations[0] <= location <= grid.locations[-1]
    assert scale <= grid.scales[-1]
    assert grid.scales[0] <= max(scale, 0.01001 * np.sqrt(values[3] / values[1]))
    assert grid.narrow_scale**2 <= 0.01001 * values[1]


@given(st.floats(1e-30, 1e30))
def test_grid_for_moments_scales_with_the_eigenvalues(factor):
    values = np.array([0.01, 0.05, 1.0, 30.0])
    grid, scaled = Grid.for_moments(values), Grid.for_moments(values * factor ** np.arange(1.0, 5))
    np.testing.assert_allclose(scaled.weights, grid.weights)
    np.testing.assert_allclose(scaled.locations, factor * grid.locations)
    np.testing.assert_allclose(scaled.scales, factor * grid.scales)
    np.testing.assert_array_equal(scaled.shapes, grid.shapes)
    assert scaled.narrow_scale == pytest.approx(factor * grid.narrow_scale, rel=1e-12, abs=0)


def test_grid_for_moments_takes_moments_and_any_number_of_points():
    samples = np.array([[0.1, 1.0, 0.2, 9.0]] * 2)
    moments = Moments.from_samples(samples, size=10, num_products=2)
    grid = Grid.for_moments(moments, num_points=7)
    assert grid.shape == (7, 7, 7, 7)
    np.testing.assert_array_equal(grid.weights, Grid.for_moments(samples[0], num_points=7).weights)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2, 3], r"needs at least four moments in one dimension; got shape \(3,\)"),
        (np.ones((2, 4)), r"needs at least four moments in one dimension; got shape \(2, 4\)"),
        ([1, 0, 1, 1], "m_2 must be positive and finite for a grid scaled to the moments; got 0.0"),
        ([1, 1, 1, -2], "m_4 must be positive and finite for a grid scaled to the moments; got -2.0"),
        ([1, np.nan, 1, 1], "m_2 must be positive and finite for a grid scaled to the moments; got nan"),
    ],
)
def test_no_grid_for_bad_moments(values, message):
    with pytest.raises(ValueError, match=message):
        Grid.for_moments(values)


def test_grid_for_moments_has_the_axes_that_it_says():
    """By s = sqrt(m_4 / m_2) = 2 and u = m_2² / m_4 = 1/400, or 1/4, where weights end at 1."""
    grid = Grid.for_moments([0.1, 0.01, 0.0, 0.04], num_points=5)
    np.testing.assert_allclose(grid.weights, 2.5e-4 * 100 ** np.linspace(0, 1, 5))
    np.testing.assert_allclose(grid.locations, [-3, -1.5, 0, 1.5, 3])
    np.testing.assert_allclose(grid.scales, 0.02 * 200 ** np.linspace(0, 1, 5))
    np.testing.assert_allclose(np.diff(np.arctan(grid.shapes)), np.arctan(50) / 2)
    np.testing.assert_allclose(grid.shapes[[0, 2, 4]], [-50, 0, 50], atol=1e-12)
    assert grid.narrow_scale == pytest.approx(0.002)
    assert Grid.for_moments([0.1, 1.0, 0.0, 4.0]).weights[[0, -1]] == pytest.approx([0.025, 1])
    assert Grid.for_moments([0.0, 1e-8, 0.0, 1e-2]).narrow_scale == pytest.approx(1e-5)  # a tenth of sqrt(m_2)
