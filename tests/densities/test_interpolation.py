"""Distribution functions between points: of Gauss quadratures, of peaks, of atoms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hessdens.densities.interpolation import MeasureCdf, QuadratureCdf, gauss_quadrature

POINTS, WEIGHTS = np.array([-2.0, 0.0, 1.0, 4.0]), np.array([0.1, 0.6, 0.2, 0.1])
NO_ATOMS = np.zeros(4, bool)


def random_measure(count, seed):
    rng = np.random.default_rng(seed)
    return np.sort(rng.standard_normal(count)), rng.dirichlet(np.ones(count))


@given(st.integers(1, 40), st.integers(0, 40), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_is_a_distribution_function(count, num_atoms, num_steps, seed):
    points, weights = random_measure(count, seed)
    atoms = np.arange(count) < num_atoms
    atoms = np.random.default_rng(seed).permutation(atoms)
    x = np.sort(np.concatenate([np.linspace(-6, 6, 200), points]))
    cdf = MeasureCdf(points, weights, atoms, num_steps)
    values, left = cdf(x), cdf(x, "left")
    assert (np.diff(values) >= -1e-12).all()
    assert (left <= values + 1e-12).all()
    assert values[0] == 0
    assert values[-1] == pytest.approx(1)
    np.testing.assert_allclose(cdf(points[atoms]) - cdf(points[atoms], "left"), weights[atoms], atol=1e-12)
    many = MeasureCdf(points, np.stack([weights, weights[::-1]]), atoms, num_steps)
    np.testing.assert_array_equal(many(x)[0], values)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_a_gauss_quadrature_has_as_many_moments_as_it_can(count, num_nodes, seed):
    points, weights = random_measure(count, seed)
    nodes, masses = gauss_quadrature(points, 3 * weights, num_nodes)
    assert len(nodes) <= min(num_nodes, count)
    assert (np.diff(nodes) > 0).all()
    scale = np.abs(points).max()
    powers = np.arange(2 * min(num_nodes, count))
    expected = 3 * weights @ (points[:, None] / scale) ** powers
    np.testing.assert_allclose(masses @ (nodes[:, None] / scale) ** powers, expected, rtol=1e-9, atol=1e-9)


def test_of_a_measure_with_few_points_the_gauss_quadrature_is_the_points():
    repeated = np.repeat([-1.0, 0.5, 2.0], 10), np.full(30, 1 / 30)
    nodes, masses = gauss_quadrature(*repeated, 12)
    np.testing.assert_allclose(nodes, [-1, 0.5, 2], atol=1e-12)
    np.testing.assert_allclose(masses, np.full(3, 1 / 3), rtol=1e-12)


def test_a_peak_has_the_shape_that_its_points_tell():
    """Most of the mass within 1e-3 of 0, the rest to 1: one node of the quadrature holds all of the peak."""
    inner, outer = np.linspace(-1e-3, 1e-3, 41), np.linspace(0.02, 1, 59)
    points = np.concatenate([inner, outer])
    weights = np.concatenate([np.full(41, 0.8 / 41), np.full(59, 0.2 / 59)])
    cdf = MeasureCdf(points, weights, np.zeros(100, bool), 8)
    x = np.linspace(-0.9e-3, 0.9e-3, 19)
    np.testing.assert_allclose(cdf(x), QuadratureCdf(points, weights)(x), atol=1e-12)
    np.testing.assert_allclose(cdf(x), 0.4 + 400 * x, atol=0.02)


def test_half_of_a_weight_lies_on_either_side():
    cdf = QuadratureCdf(POINTS, WEIGHTS)
    np.testing.assert_allclose(cdf(POINTS[1:3]), [0.4, 0.8])
    assert cdf(np.array([-2.001]))[0] == 0
    assert cdf(np.array([4.0]))[0] == pytest.approx(1)


def test_atoms_are_steps():
    cdf = MeasureCdf(POINTS, WEIGHTS, np.ones(4, bool), 4)
    x = np.array([-1.0, 0.0, 0.5, 1.0, 3.9])
    np.testing.assert_allclose(cdf(x), [0.1, 0.7, 0.7, 0.9, 0.9])
    np.testing.assert_allclose(cdf(x, "left"), [0.1, 0.1, 0.7, 0.7, 0.9])


def test_tails_fall_as_powers_and_the_middle_is_even():
    for cdf in (QuadratureCdf(POINTS, WEIGHTS), MeasureCdf(POINTS, WEIGHTS, NO_ATOMS, 4)):
        assert cdf(np.array([2.0]))[0] == pytest.approx(1 - np.sqrt(0.2 * 0.05))  # half way from 1 to 4 in log x
        assert cdf(np.array([0.5]))[0] == pytest.approx(0.6)


def test_without_points():
    assert QuadratureCdf(np.empty(0), np.empty(0))(np.array([1.0])).tolist() == [0]
    assert MeasureCdf(np.empty(0), np.empty((3, 0)), np.empty(0, bool), 4)(np.array([1.0])).shape == (3, 1)


def test_tails_are_even_from_points_without_mass():
    cdf = QuadratureCdf(np.array([-1.0, 1.0, 3.0, 5.0]), np.array([0.0, 0.2, 0.8, 0.0]))
    np.testing.assert_allclose(cdf(np.array([-0.5, 0.0, 0.5])), [0.025, 0.05, 0.075])  # up to half of 0.2
    upper = QuadratureCdf(np.array([-5.0, -3.0, -1.0, 1.0]), np.array([0.0, 0.8, 0.2, 0.0]))
    np.testing.assert_allclose(upper(np.array([-0.5, 0.0, 0.5])), [0.925, 0.95, 0.975])
