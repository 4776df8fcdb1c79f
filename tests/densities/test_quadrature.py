"""What single eigenvalues and Ritz values say of counts, masses and moments."""

import numpy as np
import pytest

from hessdens.densities.quadrature import Quadrature


def of_ten_eigenvalues(interlaces=True):
    """Return a quadrature that knows two eigenvalues to 0.1, and has three points, one an atom, for the other eight."""
    points, weights = np.array([-1.0, 0.0, 2.0]), np.array([[0.2, 0.4, 0.2], [0.4, 0.2, 0.2]])
    atoms = np.array([False, True, False])
    return Quadrature(np.array([-3.0, 5.0]), np.full(2, 0.1), points, weights, atoms, 10, interlaces)


def test_counts_are_those_of_cauchy():
    x = np.array([-np.inf, -3.5, -3.0, -0.5, 0.0, 5.0, np.inf])
    expected = [[0, 0, 1, 2, 3, 5, 10], [0, 5, 6, 7, 8, 10, 10]]  # five Ritz values of ten eigenvalues
    assert of_ten_eigenvalues().counts(x).tolist() == expected
    assert of_ten_eigenvalues(interlaces=False).counts(x).tolist() == [[0] * 6 + [10], [0] + [10] * 6]


def test_ritz_values_within_rounding_of_a_point_may_be_on_either_side():
    x = np.array([-3.05, -0.05, 0.05, np.inf])
    assert of_ten_eigenvalues().counts(x, rounding=0.1).tolist() == [[0, 2, 2, 10], [6, 8, 8, 10]]


def test_eigenvalues_between_ends_are_told_to_their_errors():
    low = np.array([-np.inf, -3.1, -3.2, -3.2, -3.05, -4.0])
    high = np.array([np.inf, 0.0, -2.9, -2.95, 0.0, 5.1])
    assert of_ten_eigenvalues().found_between(low, high).tolist() == [[2, 0, 1, 0, 0, 2], [2, 1, 1, 1, 1, 2]]


def test_errors_of_moments_are_those_of_eigenvalues_and_of_points_with_less_than_one():
    """Residuals of 0.1 at distances of 2 and 3, of -3 and 5; points of weights 0.3, 0.3 and 0.2 have more than 0.1."""
    orders = np.arange(1, 4)
    expected = sum((size + 0.01 / gap) ** orders - size**orders for size, gap in ((3.0, 2.0), (5.0, 3.0))) / 10
    np.testing.assert_allclose(of_ten_eigenvalues().moment_errors(3), [expected, expected])
    weights = np.array([[0.04, 0.7, 0.06], [0.02, 0.68, 0.1]])  # means 0.03, 0.69 and 0.08
    parts = np.array([-1.0, 0.0, 2.0]), weights, np.zeros(3, bool), 10
    quadrature = Quadrature(np.array([-3.0, 5.0]), np.full(2, 0.1), *parts, interlaces=True)
    below, above = quadrature.moment_errors(3) - expected
    np.testing.assert_allclose(below, [0.07, 0, 0.07], atol=1e-15)
    np.testing.assert_allclose(above, [0.04, 0.07 + 0.08, 0.16], atol=1e-15)
    apart = Quadrature(np.array([-3.0, 5.0]), np.full(2, 0.1), *parts, interlaces=False)
    np.testing.assert_allclose(apart.moment_errors(3), [expected, expected])


def test_two_eigenvalues_at_one_place_are_known_to_their_residuals():
    parts = np.empty(0), np.empty((2, 0)), np.empty(0, bool), 2
    quadrature = Quadrature(np.array([2.0, 2.0]), np.array([0.1, 0.3]), *parts, interlaces=True)
    np.testing.assert_allclose(quadrature.moment_errors(1), 0.2)


def test_eigenvalues_and_points_make_one_distribution():
    quadrature = of_ten_eigenvalues()
    weights = quadrature.mean_weights()
    np.testing.assert_allclose(weights, [0.3, 0.3, 0.2])
    measure = quadrature.measure(weights, 4)
    np.testing.assert_allclose(quadrature.cdf(np.array([-3.1, -3.0, -1.0, 0.0, 2.0, 4.9, 5.0]), measure),
                               [0, 0.1, 0.25, 0.4 + 0.7 / 3, 0.9, 0.9, 1])  # fmt: skip
    np.testing.assert_allclose(quadrature.ritz_values(), [-3, -1, 0, 2, 5])
    # Cauchy: no more than 8 of 10 at 0, where three of five Ritz values are.
    assert quadrature.cdf(np.array([0.0]), quadrature.measure(np.array([0.0, 0.8, 0.0]), 4))[0] == pytest.approx(0.8)


@pytest.mark.parametrize(("half", "mass"), [(0.0, 0), (2.0, 0.7), (3.0, 0.8), (3.1, 0.9), (5.0, 0.9), (5.1, 1)])
def test_mass_of_a_window_is_without_its_ends(half, mass):
    quadrature = of_ten_eigenvalues()
    assert quadrature.inside(half, quadrature.measure(quadrature.mean_weights(), 4))[0] == pytest.approx(mass)
    both = quadrature.inside(half, quadrature.measure(quadrature.weights, 4))
    assert both.mean() == pytest.approx(mass)


def test_window_holds_no_more_than_ritz_values_leave():
    quadrature = of_ten_eigenvalues()
    all_inside = quadrature.measure(np.array([0.0, 0.8, 0.0]), 4)
    assert quadrature.inside(0.5, all_inside)[0] == pytest.approx(0.6)  # four Ritz values are outside
    assert of_ten_eigenvalues(interlaces=False).inside(0.5, all_inside)[0] == pytest.approx(0.8)
