"""Maximum entropy: against closed forms, its own moments, and what it must do where no density has the moments."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad

from hessdens import Spectrum, compare
from hessdens.densities import MaximumEntropyDensity, cdf_bounds, maximum_entropy
from hessdens.densities.bounds import eigenvalue_support
from hessdens.results import ChebyshevMoments, Moments
from hessdens.testing import spectra


def chebyshev_of(eigenvalues, order, support=None):
    weights = np.full(len(eigenvalues), 1 / len(eigenvalues))
    return ChebyshevMoments.from_quadrature(eigenvalues, weights, order, support=support)


def power_moments(values, size=100, errors=None):
    values = np.asarray(values, dtype=float)
    return Moments(values, np.zeros(len(values)) if errors is None else errors, values[None], size, 0)


SPIKE = np.concatenate([np.linspace(-0.01, 0.01, 970), np.linspace(0.5, 10, 30)])
EXAMPLE = maximum_entropy(chebyshev_of(np.linspace(-1, 2, 50) ** 3, 6))


def test_two_moments_on_a_wide_interval_give_a_gaussian():
    density = maximum_entropy(power_moments([1.0, 1.25]), support=(-6, 8))
    x = np.linspace(-3, 4, 50)
    np.testing.assert_allclose(density.pdf(x), stats.norm(1, 0.5).pdf(x), atol=1e-6)
    np.testing.assert_allclose(density.cdf(x), stats.norm(1, 0.5).cdf(x), atol=1e-6)


def test_one_moment_gives_an_exponential():
    """On [0, 1] exp(a x) with the mean asked for."""
    rate = 3.0
    mean = 1 / (1 - np.exp(-rate)) - 1 / rate
    density = maximum_entropy(power_moments([mean]), support=(0, 1))
    x = np.linspace(0, 1, 9)
    np.testing.assert_allclose(density.pdf(x), rate * np.exp(rate * x) / np.expm1(rate), rtol=1e-6)


def test_moments_of_the_uniform_give_the_uniform():
    density = maximum_entropy(power_moments(1 / np.arange(2.0, 8.0)), support=(0, 1))
    np.testing.assert_allclose(density.multipliers, 0, atol=1e-4)
    np.testing.assert_allclose(density.cdf([0.0, 0.25, 1.0]), [0, 0.25, 1], atol=1e-6)


@pytest.mark.parametrize("order", [12, 30])
def test_a_spike_of_a_thousandth_of_the_interval(order):
    """97% of the mass in 0.2% of the interval, as in trained networks: the panels have to find it."""
    moments = chebyshev_of(SPIKE, order)
    density = maximum_entropy(moments)
    assert np.abs(density.residuals).max() < 1e-6
    np.testing.assert_allclose(integrated_moments(density, order), moments.values, atol=1e-5)
    assert density.fraction_degenerate() == pytest.approx(0.97, abs=0.01 if order == 12 else 0.002)


def integrated_moments(density, order):
    """Chebyshev moments by a midpoint rule in the angle, finer than the density's panels by far, from its cdf."""
    edges = np.concatenate([[0.0], *(np.linspace(*ends, 101)[1:] for ends in itertools.pairwise(density.edges))])
    low, high = density.support
    masses = -np.diff(density.cdf((low + high) / 2 + (high - low) / 2 * np.cos(edges)))
    middles = (edges[1:] + edges[:-1]) / 2
    return np.cos(np.outer(np.arange(1, order + 1), middles)) @ masses


@settings(max_examples=30)
@given(spectra(), st.integers(1, 14))
def test_exact_moments_are_met(eigenvalues, order):
    """Fewer distinct eigenvalues than moments included, where only atoms have them exactly."""
    moments = chebyshev_of(eigenvalues, order)
    density = maximum_entropy(moments)
    assert np.abs(density.residuals).max() < 1e-5
    size = np.abs([*density.support]).max() ** np.arange(1, order + 1)
    first = min(order, 4)
    np.testing.assert_allclose(
        density.moments(first) / size[:first], Spectrum(eigenvalues).moments(first) / size[:first], atol=1e-4
    )
    x = density.nodes()
    assert np.all(np.diff(density.cdf(x)) >= -1e-9)  # multipliers of 1e5 leave a rounding of 1e-11


def test_lies_within_the_bounds_of_its_moments():
    eigenvalues = np.random.default_rng(0).standard_normal(300)
    moments = chebyshev_of(eigenvalues, 14)
    x = np.linspace(-3, 3, 61)
    lower, upper = cdf_bounds(moments, x)
    cdf = maximum_entropy(moments).cdf(x)
    assert np.all((lower < cdf + 1e-6) & (cdf < upper + 1e-6))


def test_more_moments_come_closer():
    eigenvalues = np.random.default_rng(1).gamma(2.0, size=500)
    distances = [
        compare(maximum_entropy(chebyshev_of(eigenvalues, 24), num_moments=order), Spectrum(eigenvalues)).wasserstein
        for order in (2, 6, 24)
    ]
    assert distances[2] < 0.5 * distances[1] < 0.4 * distances[0]


def test_noisy_moments_are_met_within_their_errors():
    exact = chebyshev_of(np.random.default_rng(2).standard_normal(200), 12)
    errors = np.full(12, 0.02)
    noisy = exact.values + errors * np.random.default_rng(3).standard_normal(12)
    density = maximum_entropy(ChebyshevMoments(noisy, errors, noisy[None], exact.support, 200, 0))
    assert np.abs(density.residuals / errors).max() < 2
    np.testing.assert_array_equal(density.deviations, errors)
    np.testing.assert_allclose(density.residuals, -(errors**2) * density.multipliers, atol=1e-8)
    assert "at most" in str(density)
    assert "CONTRADICTORY" not in str(density)


def test_contradictory_moments_are_said_to_be():
    """μ_2 >= 2 μ_1^2 - 1 for every density: (0.9, -0.9) is 1.5 away from one."""
    values = np.array([0.9, -0.9])
    density = maximum_entropy(ChebyshevMoments(values, [0.01, 0.01], values[None], (-1, 1), 10, 0))
    assert "CONTRADICTORY MOMENTS: no density on this interval has them within their errors" in str(density)
    exactly = maximum_entropy(ChebyshevMoments(values, [0, 0], values[None], (-1, 1), 10, 0))
    assert "REGULARISED: exact moments had to be allowed a standard deviation of" in str(exactly)


def test_default_interval_of_power_moments_holds_all_eigenvalues():
    for order in (2, 4, 12):
        density = maximum_entropy(power_moments(Spectrum(SPIKE).moments(order), len(SPIKE)))
        low, high = density.support
        assert low <= SPIKE.min() < SPIKE.max() <= high
    assert density.fraction_degenerate() == pytest.approx(0.97, abs=0.01)


@pytest.mark.parametrize("matrix", [np.zeros(3), np.full(4, 3.0), np.array([-2.0]), np.full(3, 1e-20)])
@pytest.mark.parametrize("order", [4, 12])
def test_operators_of_one_eigenvalue(matrix, order):
    """Their moments are an atom's; the interval that power moments allow is next to nothing."""
    for moments in (chebyshev_of(matrix, order), power_moments(Spectrum(matrix).moments(order), len(matrix))):
        density = maximum_entropy(moments)
        assert density.moments(1)[0] == pytest.approx(matrix[0], abs=1e-3 * abs(matrix[0]) + 1e-8)
        width = 0.05 * max(abs(matrix[0]), density.support.high - density.support.low)
        assert density.mass(matrix[0] - width, matrix[0] + width) > 0.99


def test_cdf_is_the_integral_of_the_pdf():
    for low, high in [(-0.9, 0.02), (0.3, 7.0)]:
        area, _ = quad(lambda x: float(EXAMPLE.pdf(x)), low, high, epsabs=1e-11)
        assert EXAMPLE.mass(low, high) == pytest.approx(area, abs=1e-9)


def test_window_and_both_sides_make_one():
    parts = [EXAMPLE.fraction_negative(), EXAMPLE.fraction_degenerate(), EXAMPLE.mass(0.1, np.inf)]
    assert sum(parts) == pytest.approx(1, abs=1e-12)


def test_outside_the_interval_and_shapes():
    np.testing.assert_array_equal(EXAMPLE.pdf([[-9.0, 9.0, np.nan]]), [[0, 0, np.nan]])
    np.testing.assert_array_equal(EXAMPLE.cdf([[-np.inf, -9.0, 9.0, np.inf, np.nan]]), [[0, 0, 1, 1, np.nan]])
    assert EXAMPLE.cdf(0.0).shape == EXAMPLE.pdf(0.0).shape == ()
    assert EXAMPLE.cdf(np.array([*EXAMPLE.support])).tolist() == pytest.approx([0, 1], abs=1e-12)


def test_files_and_summary(tmp_path):
    EXAMPLE.save(tmp_path / "d.npz")
    loaded = MaximumEntropyDensity.load(tmp_path / "d.npz")
    for name in MaximumEntropyDensity.layout:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(EXAMPLE, name))
    assert str(loaded).startswith("Maximum entropy density of 6 moments in [-1.09, 8.09]: ")
    assert "Chebyshev moments within" in str(loaded)
    with pytest.raises(ValueError, match="read-only"):
        EXAMPLE.multipliers[0] = 0


def test_bad_arguments():
    moments = chebyshev_of(np.arange(5.0), 6)
    with pytest.raises(TypeError, match="moments must be ChebyshevMoments or Moments; got list"):
        maximum_entropy([1.0, 2.0])
    with pytest.raises(ValueError, match=r"support is for power moments; got \(0, 1\), and the moments' own"):
        maximum_entropy(moments, support=(0, 1))
    with pytest.raises(ValueError, match="num_moments must be from 1 to 6, those there are; got 7"):
        maximum_entropy(moments, num_moments=7)
    with pytest.raises(ValueError, match="Moments must be finite; got"):
        maximum_entropy(power_moments([1.0, np.nan]))
    with pytest.raises(ValueError, match=r"two moments that some density has; got fewer\. Pass support="):
        maximum_entropy(power_moments([2.0, 1.0]))
    with pytest.raises(ValueError, match="window must be finite and at least 0; got -1"):
        EXAMPLE.fraction_negative(-1)
    with pytest.raises(ValueError, match="window must be finite and at least 0; got nan"):
        EXAMPLE.fraction_degenerate(np.nan)
    with pytest.raises(ValueError, match="low must not exceed high; got 3 and 0"):
        EXAMPLE.mass(3, 0)
    with pytest.raises(ValueError, match="order must be at least 1; got 0"):
        EXAMPLE.moments(0)


def test_numbers():
    numbers = EXAMPLE.numbers(0.3)
    assert numbers["support"] == [numbers["lowest"], numbers["highest"]] == [*EXAMPLE.support]
    assert numbers["fractions"]["degenerate"]["value"] == EXAMPLE.fraction_degenerate(0.3)


def test_nodes_are_four_a_panel():
    nodes, (low, high) = EXAMPLE.nodes(), EXAMPLE.support
    assert (nodes[0], nodes[-1], len(nodes)) == (low, high, 4 * (len(EXAMPLE.edges) - 1) + 1)
    angles = np.arccos(np.clip((nodes[::-1] - (low + high) / 2) / ((high - low) / 2), -1, 1))
    expected = np.interp(np.arange(len(nodes)) / 4, np.arange(len(EXAMPLE.edges)), EXAMPLE.edges)
    np.testing.assert_allclose(angles, expected, atol=1e-7)


def test_default_interval_is_that_of_the_moments_unless_it_is_too_short():
    """Of eigenvalues from 1 to 3 with 4 moments it is as it is; near 1 it has a half-width of 2 · 1e-8^(1/4)."""
    wide = power_moments(Spectrum(np.linspace(1, 3, 20)).moments(4), 20)
    np.testing.assert_allclose([*maximum_entropy(wide).support], [*eigenvalue_support(wide, 20)])
    narrow = power_moments(Spectrum(1 + 1e-4 * np.linspace(-1, 1, 20)).moments(4), 20)
    low, high = maximum_entropy(narrow).support
    assert (high - low) / 2 == pytest.approx(0.02, rel=1e-3)
    assert (high + low) / 2 == pytest.approx(1, abs=1e-3)
