"""Chebyshev-Markov-Stieltjes bounds: against a linear programme, closed forms, and spectra that must obey them."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from naive import lanczos_quadrature, least_and_largest_mass

from hessdens import Spectrum
from hessdens.densities import cdf_bounds, degenerate_bounds, negative_bounds
from hessdens.densities.bounds import eigenvalue_support, jacobi_matrix, largest_mass
from hessdens.results import ChebyshevMoments, Moments
from hessdens.testing import spectra


def chebyshev_of(eigenvalues, order):
    return ChebyshevMoments.from_quadrature(eigenvalues, np.full(len(eigenvalues), 1 / len(eigenvalues)), order)


def all_sources(eigenvalues, order):
    """Exact moments in every form."""
    values = Spectrum(eigenvalues).moments(order)
    as_moments = Moments(values, np.zeros(order), values[None], len(eigenvalues), 0)
    return [values, as_moments, chebyshev_of(eigenvalues, order)]


def points_of(eigenvalues):
    """Eigenvalues themselves, both sides of them, the middle between neighbours, and beyond the ends."""
    distinct = np.unique(eigenvalues)
    middles = (distinct[1:] + distinct[:-1]) / 2
    sides = np.concatenate([np.nextafter(distinct, -np.inf), np.nextafter(distinct, np.inf)])
    return np.concatenate([distinct, middles, sides, [-0.1, 0.0, 0.1, distinct[0] - 1, 2 * distinct[-1] + 1]])


def assert_obeyed(source, nodes, weights):
    """F(x-) and F(x) lie between the bounds, and so do both fractions, without any tolerance."""
    x = points_of(nodes)
    lower, upper = cdf_bounds(source, x)
    rounding = 1e-15 * len(nodes)  # of the reference's own sums
    left = (weights * (nodes < x[:, None])).sum(axis=1)
    at = (weights * (nodes <= x[:, None])).sum(axis=1)
    assert np.all(lower <= left + rounding)
    assert np.all(at <= upper + rounding)
    for window in (0.0, 0.2, 2.0 * abs(nodes[0])):
        low, high = degenerate_bounds(source, window)
        assert low - rounding <= weights[np.abs(nodes) < window / 2].sum() <= high + rounding
        low, high = negative_bounds(source, window)
        assert low - rounding <= weights[nodes <= -window / 2].sum() <= high + rounding


@settings(max_examples=150)
@given(spectra(), st.integers(1, 12))
@example(np.zeros(3), 4)
@example(np.full(5, 0.1), 6)
@example(np.full(4, -3e8), 2)
@example(np.array([7.0]), 5)
@example(np.array([1e-9, 1.0]), 8)
@example(np.array([1.0, 1.0 + 1e-8]), 2)  # the variance drowns in rounding
@example(np.repeat([-1.0, 2.0, 2.0 + 1e-7], 4), 10)
def test_exact_moments_are_never_violated(eigenvalues, order):
    """Where moments outnumber eigenvalues, too, and where x is an eigenvalue."""
    for source in all_sources(eigenvalues, order):
        assert_obeyed(source, eigenvalues, np.full(len(eigenvalues), 1 / len(eigenvalues)))


@settings(max_examples=100)
@given(spectra(max_size=40), st.integers(1, 12), st.integers(0, 1000))
def test_quadrature_of_a_probe_is_never_violated(eigenvalues, steps, seed):
    """Its bounds are for the measure of the probe, whose weights are the squares of its coordinates."""
    probe = np.random.default_rng(seed).standard_normal(len(eigenvalues))
    probe /= np.linalg.norm(probe)
    assert_obeyed(lanczos_quadrature(eigenvalues, probe, steps), eigenvalues, probe**2)


@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("seed", [0, 1])
def test_bounds_are_the_sharpest(order, seed):
    """A linear programme over measures on a fine grid, as wide as the extremal measures need."""
    eigenvalues = np.random.default_rng(seed).standard_normal(30)
    far = np.geomspace(5, 100, 300)
    grid = np.unique(np.concatenate([-far, np.linspace(-5, 5, 2001), far]))
    for x in (-1.0, 0.25, 1.5):
        expected = least_and_largest_mass(Spectrum(eigenvalues).moments(order), x, grid)
        for source in all_sources(eigenvalues, order):
            lower, upper = cdf_bounds(source, x)
            assert lower <= expected[0] + 2e-5  # the programme's own tolerance
            assert upper >= expected[1] - 2e-5
            np.testing.assert_allclose([lower, upper], expected, atol=1e-3)


def test_two_moments_give_the_inequality_of_cantelli():
    """Mass left of mean - t is at most variance / (variance + t^2); right of it at least that of the complement."""
    lower, upper = cdf_bounds([1.0, 1.0 + 4.0], [1 - 3.0, 1 + 3.0, 1.0])
    np.testing.assert_allclose(lower, [0, 9 / 13, 0], atol=1e-8)
    np.testing.assert_allclose(upper, [4 / 13, 1, 1], atol=1e-8)


def test_an_odd_moment_at_the_end_adds_nothing():
    values = Spectrum(np.linspace(-1, 2, 9)).moments(5)
    np.testing.assert_array_equal(cdf_bounds(values, 0.3), cdf_bounds(values[:4], 0.3))


def test_more_moments_are_sharper():
    eigenvalues = np.random.default_rng(3).standard_normal(200)
    widths = [np.ptp(cdf_bounds(chebyshev_of(eigenvalues, order), 0.1)) for order in (2, 6, 14, 30)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.25


def test_as_many_atoms_as_moments_determine_are_known():
    """Two distinct eigenvalues from four moments: nothing is left open between them."""
    lower, upper = cdf_bounds(Spectrum([-1.0, -1.0, 3.0, 3.0, 3.0]).moments(4), [-2.0, 0.0, 4.0])
    np.testing.assert_allclose(lower, [0, 0.4, 1], atol=1e-6)
    np.testing.assert_allclose(upper, [0, 0.4, 1], atol=1e-6)
    assert degenerate_bounds(np.zeros(4)) == pytest.approx((1, 1), abs=1e-6)


def test_where_the_orthogonal_polynomial_is_zero():
    """At a node of the Gauss quadrature the canonical representation has an atom at infinity, without mass."""
    eigenvalues = np.random.default_rng(5).standard_normal(50)
    nodes, weights = lanczos_quadrature(eigenvalues, np.full(50, 50**-0.5), 4)
    source = Spectrum(eigenvalues).moments(8)
    slack = 1e-9 * jacobi_matrix(source).scale  # where the polynomial is evaluated is at its zero
    for shift in (0.0, slack, -slack, 1e-13, -1e-13, 1e-7, 1e-5, -1e-5):
        lower, upper = cdf_bounds(source, nodes + shift)
        np.testing.assert_allclose(lower, np.cumsum(weights) - weights, atol=2e-5)
        np.testing.assert_allclose(upper, np.cumsum(weights), atol=2e-5)
        jacobi = jacobi_matrix(source)
        largest = [largest_mass(jacobi, x) for x in nodes + shift]
        np.testing.assert_allclose(upper - lower, largest, atol=2e-8)


def test_clusters_whose_polynomials_drown_in_rounding():
    """Six clusters with a width of 1e-6: the norms of the seventh polynomial and later are mostly rounding."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        eigenvalues = rng.choice([0, 1e-3, 1e-2, 0.1, 1, 10.0], 30) + 1e-6 * rng.standard_normal(30)
        for source in (Spectrum(eigenvalues).moments(20), chebyshev_of(eigenvalues, 64)):
            assert_obeyed(source, eigenvalues, np.full(30, 1 / 30))


def test_quadrature_with_nodes_that_repeat_or_have_no_mass():
    """Two atoms in five nodes: Lanczos ends early, and nothing is left open."""
    lower, upper = cdf_bounds(([1.0, 1.0, 2.0, 2.0, 5.0], [0.125, 0.125, 0.5, 0.25, 0.0]), [0.0, 1.5, 3.0])
    np.testing.assert_allclose(lower, [0, 0.25, 1], atol=1e-8)
    np.testing.assert_allclose(upper, [0, 0.25, 1], atol=1e-8)
    lower, upper = cdf_bounds(([0.0, 0.0], [0.5, 0.5]), [-1.0, 1.0])
    np.testing.assert_allclose([lower, upper], [[0, 1], [0, 1]], atol=1e-8)
    np.testing.assert_array_equal(cdf_bounds(([3.0], [1.0]), 3.0), [0, 1])  # a mean alone says nothing


def test_infinities_and_shapes():
    values = Spectrum([1.0, 2.0, 5.0]).moments(4)
    lower, upper = cdf_bounds(values, [[-np.inf, np.inf, np.nan]])
    np.testing.assert_array_equal(lower, [[0, 1, np.nan]])
    np.testing.assert_array_equal(upper, [[0, 1, np.nan]])
    assert cdf_bounds(values, 1.0)[0].shape == ()
    np.testing.assert_array_equal(cdf_bounds([1.0], [-1e9, 1e9]), [[0, 0], [1, 1]])


def test_moments_that_contradict_the_others_are_left_out():
    """No density has m_4 below m_2^2, whatever its m_3."""
    np.testing.assert_array_equal(cdf_bounds([0.0, 1.0, 0.0, 0.5], [-2.0, 2.0]), cdf_bounds([0.0, 1.0], [-2.0, 2.0]))
    np.testing.assert_array_equal(cdf_bounds([2.0, 1.0], 2.0), (0, 1))


@settings(max_examples=100)
@given(spectra(), st.integers(2, 10))
@example(np.zeros(3), 4)
@example(np.array([-1e5]), 2)
def test_interval_holds_all_eigenvalues(eigenvalues, order):
    low, high = eigenvalue_support(Spectrum(eigenvalues).moments(order), len(eigenvalues))
    assert low <= eigenvalues.min() <= eigenvalues.max() <= high


def test_interval_of_two_moments_is_that_of_samuelson():
    """No eigenvalue is more than sqrt(N - 1) standard deviations from the mean."""
    assert tuple(eigenvalue_support([3.0, 9.0 + 4.0], 10)) == pytest.approx((3 - 6, 3 + 6), abs=1e-6)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], r"moments must be finite, of shape \(K,\), K at least 1; got \[\]"),
        ([1.0, np.nan], r"moments must be finite, of shape \(K,\)"),
        (([1.0], [1.0], [1.0]), r"must be a pair \(nodes, weights\); got a tuple of 3"),
        (([1.0, 2.0], [1.0]), r"must both have shape \(n,\); got \(2,\) and \(1,\)"),
        (([1.0, 2.0], [1.5, -0.5]), "not negative with sum 1; got least weight -0.5 and sum 1.0"),
        (([1.0, 2.0], [0.5, 0.4]), "not negative with sum 1; got least weight 0.4 and sum 0.9"),
    ],
)
def test_bad_sources(source, message):
    with pytest.raises(ValueError, match=message):
        cdf_bounds(source, 0.0)


def test_no_interval_without_a_variance():
    with pytest.raises(ValueError, match=r"needs two moments that some density has; got fewer. Pass support="):
        eigenvalue_support([2.0, 1.0], 5)
    with pytest.raises(ValueError, match="window must be finite and at least 0; got -1"):
        negative_bounds([0.0, 1.0], -1)


@pytest.mark.parametrize("unit", [1e-7, 1e7])
def test_bounds_do_not_depend_on_the_unit(unit):
    eigenvalues, x = np.random.default_rng(4).standard_normal(40), np.array([-1.0, 0.0, 0.4, 3.0])
    for source, scaled in zip(all_sources(eigenvalues, 6), all_sources(unit * eigenvalues, 6), strict=True):
        np.testing.assert_allclose(cdf_bounds(scaled, unit * x), cdf_bounds(source, x), atol=1e-7)
        ends = np.array([*eigenvalue_support(source, 40)])
        np.testing.assert_allclose([*eigenvalue_support(scaled, 40)], unit * ends, rtol=1e-6)
