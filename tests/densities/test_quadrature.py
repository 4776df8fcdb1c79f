"""The distribution function between the points of a quadrature: values at points, steps of atoms, shapes between."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hessdens.densities.quadrature import Quadrature, QuadratureCdf, mass_between, mass_beyond

POINTS, WEIGHTS = np.array([-2.0, 0.0, 1.0, 4.0]), np.array([0.1, 0.6, 0.2, 0.1])


@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_is_a_distribution_function(count, seed):
    rng = np.random.default_rng(seed)
    points, weights, atoms = np.sort(rng.standard_normal(count)), rng.dirichlet(np.ones(count)), rng.random(count) < 0.4
    x = np.sort(np.concatenate([np.linspace(-6, 6, 50), points]))
    cdf = QuadratureCdf(points, weights, atoms)
    values, left = cdf(x), cdf(x, "left")
    assert (np.diff(values) >= -1e-12).all()
    assert (left <= values + 1e-12).all()
    assert values[0] == 0
    assert values[-1] == pytest.approx(1)
    # Never further from the quadrature than the weight of the points beside x.
    steps = np.array([weights[points <= value].sum() for value in x])
    assert np.abs(values - steps).max() <= weights.max() + 1e-12
    many = QuadratureCdf(points, np.stack([weights, weights[::-1]]), atoms)
    np.testing.assert_array_equal(many(x)[0], values)


def test_half_of_a_weight_lies_on_either_side():
    cdf = QuadratureCdf(POINTS, WEIGHTS, np.zeros(4, bool))
    np.testing.assert_allclose(cdf(POINTS[1:3]), [0.4, 0.8])
    assert cdf(np.array([-2.001]))[0] == 0
    assert cdf(np.array([4.0]))[0] == pytest.approx(1)


def test_atoms_are_steps():
    cdf = QuadratureCdf(POINTS, WEIGHTS, np.ones(4, bool))
    x = np.array([-1.0, 0.0, 0.5, 1.0, 3.9])
    np.testing.assert_allclose(cdf(x), [0.1, 0.7, 0.7, 0.9, 0.9])
    np.testing.assert_allclose(cdf(x, "left"), [0.1, 0.1, 0.7, 0.7, 0.9])


def test_tails_fall_as_powers_and_the_middle_is_even():
    cdf = QuadratureCdf(POINTS, WEIGHTS, np.zeros(4, bool))
    assert cdf(np.array([2.0]))[0] == pytest.approx(1 - np.sqrt(0.2 * 0.05))  # half way from 1 to 4 in log x
    assert cdf(np.array([0.5]))[0] == pytest.approx(0.6)


def test_mass_between_points():
    x = np.array([0.5, 0.0, -2.5, -4.1, 6.9, 7.1])
    np.testing.assert_allclose(mass_between(POINTS, WEIGHTS, x), [0.4, 0.4, 0.1, 0, 0.1, 0])
    without_second = np.where(np.arange(4) == 1, 0.0, WEIGHTS)
    np.testing.assert_allclose(mass_between(POINTS, without_second, x), [0.1, 0.1, 0.1, 0, 0.1, 0])
    wide = [0.4, 0.4, 0.7, 0.7, 0.3, 0.3]
    np.testing.assert_allclose(mass_between(POINTS, WEIGHTS, x, width=2), wide)
    np.testing.assert_allclose(mass_between(POINTS[:1], np.ones(1), np.array([-3.0, -2.0, 0.0])), [0, 1, 0])
    assert mass_between(np.empty(0), np.empty(0), x).tolist() == [0] * 6


@given(st.integers(1, 40), st.floats(0.01, 10.0), st.integers(0, 99))
def test_mass_beyond_bounds_what_lies_on_the_other_side(count, x, seed):
    """Of any points with this mean square distance from theirs (Chebyshev), on both sides together."""
    points = np.random.default_rng(seed).standard_normal(count) ** 3
    radius = np.sqrt(np.mean(points**2))
    bound = mass_beyond(np.zeros(1), np.ones(1), np.array([radius]), np.array([x, -x, 0.0]))
    assert (bound[:2] >= np.mean(np.abs(points) > x)).all()
    assert bound.max() <= bound[2] == 1


def test_mass_beyond_of_exact_points_is_none():
    x = np.array([-1.0, 0.0, 2.0, 3.0])
    assert mass_beyond(np.array([0.0, 2.0]), np.array([0.4, 0.6]), np.zeros(2), x).tolist() == [0] * 4
    found = mass_beyond(np.array([0.0, 2.0]), np.array([0.4, 0.6]), np.array([0.5, 0.0]), x)
    np.testing.assert_allclose(found, [0.1, 0.4, 0.025, 0.4 / 36])


def test_without_points():
    cdf = QuadratureCdf(np.empty(0), np.empty((3, 0)), np.empty(0, bool))
    assert cdf(np.array([1.0])).shape == (3, 1)


def of_ten_eigenvalues(interlaces=True):
    """Return a quadrature that knows two eigenvalues to 0.1, and has three points, one an atom, for the other eight."""
    points, weights = np.array([-1.0, 0.0, 2.0]), np.array([[0.2, 0.4, 0.2], [0.4, 0.2, 0.2]])
    atoms, radii = np.array([False, True, False]), np.array([0.0, 0.5, 0.0])
    return Quadrature(np.array([-3.0, 5.0]), np.full(2, 0.1), points, weights, atoms, radii, 10, interlaces)


def test_counts_are_those_of_cauchy():
    x = np.array([-np.inf, -3.5, -3.0, -0.5, 0.0, 5.0, np.inf])
    expected = [[0, 0, 1, 2, 3, 5, 10], [0, 5, 6, 7, 8, 10, 10]]  # five Ritz values of ten eigenvalues
    assert of_ten_eigenvalues().counts(x).tolist() == expected
    assert of_ten_eigenvalues(interlaces=False).counts(x).tolist() == [[0] * 6 + [10], [0] + [10] * 6]


def test_bounds_of_bins_follow_from_counts_and_eigenvalues():
    edges = np.array([-4.0, -2.0, 1.0, 6.0])
    np.testing.assert_allclose(of_ten_eigenvalues().mass_bounds(edges), [[0.1, 0, 0.1], [0.6, 0.7, 0.7]])
    # An eigenvalue lies in a bin (low, high] if all of its interval does.
    for edges, inside in (([-3.1, 0], 0), ([-3.2, -2.9], 1), ([-3.2, -2.95], 0), ([-3.05, 0], 0), ([-4, 5.1], 2)):
        assert of_ten_eigenvalues().mass_bounds(np.array(edges))[0, 0] == pytest.approx(inside / 10)
    four = Quadrature(np.empty(0), np.empty(0), POINTS, WEIGHTS[None], np.zeros(4, bool), np.zeros(4), 4, True)
    np.testing.assert_allclose(four.mass_bounds(np.array([-3.0, 0.5, 5.0])), [[0.5, 0.5]] * 2)


def test_eigenvalues_and_points_make_one_distribution():
    quadrature = of_ten_eigenvalues()
    weights = quadrature.mean_weights()
    np.testing.assert_allclose(weights, [0.3, 0.3, 0.2])
    np.testing.assert_allclose(quadrature.cdf(np.array([-3.1, -3.0, -1.0, 0.0, 2.0, 4.9, 5.0]), weights),
                               [0, 0.1, 0.25, 0.7, 0.9, 0.9, 1])  # fmt: skip
    np.testing.assert_allclose(quadrature.ritz_values(), [-3, -1, 0, 2, 5])
    # Cauchy: no more than 8 of 10 at 0, where three of five Ritz values are.
    assert quadrature.cdf(np.array([0.0]), np.array([0.0, 0.8, 0.0]))[0] == pytest.approx(0.8)


@pytest.mark.parametrize(("half", "mass"), [(0.0, 0), (2.0, 0.7), (3.0, 0.8), (3.1, 0.9), (5.0, 0.9), (5.1, 1)])
def test_mass_of_a_window_is_without_its_ends(half, mass):
    quadrature = of_ten_eigenvalues()
    assert quadrature.inside(half, quadrature.mean_weights())[0] == pytest.approx(mass)
    both = quadrature.inside(half, quadrature.weights)
    assert both.mean() == pytest.approx(mass)


def test_window_holds_no_more_than_ritz_values_leave():
    all_inside = np.array([0.0, 0.8, 0.0])
    assert of_ten_eigenvalues().inside(0.5, all_inside)[0] == pytest.approx(0.6)  # four Ritz values are outside
    assert of_ten_eigenvalues(interlaces=False).inside(0.5, all_inside)[0] == pytest.approx(0.8)


def test_unresolved_mass_is_that_of_points_beside_and_of_atoms_twice():
    found = of_ten_eigenvalues().unresolved(np.array([1.0, -0.5, -9.0]))
    np.testing.assert_allclose(found, [0.1 + 2 * 0.3 * 0.25, 0.15 + 2 * 0.3, 2 * 0.3 * (0.5 / 9) ** 2])


def test_tails_are_even_from_points_without_mass():
    cdf = QuadratureCdf(np.array([-1.0, 1.0, 3.0, 5.0]), np.array([0.0, 0.2, 0.8, 0.0]), np.zeros(4, bool))
    np.testing.assert_allclose(cdf(np.array([-0.5, 0.0, 0.5])), [0.025, 0.05, 0.075])  # up to half of 0.2
    upper = QuadratureCdf(np.array([-5.0, -3.0, -1.0, 1.0]), np.array([0.0, 0.8, 0.2, 0.0]), np.zeros(4, bool))
    np.testing.assert_allclose(upper(np.array([-0.5, 0.0, 0.5])), [0.925, 0.95, 0.975])
