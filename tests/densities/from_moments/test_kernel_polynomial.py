"""The kernel polynomial density: against the kernel itself, numerical integration, and exact spectra."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from hessdens import Spectrum, compare
from hessdens.densities import KernelPolynomialDensity, kernel_polynomial
from hessdens.densities.from_moments.kernel_polynomial import jackson_factors
from hessdens.results import ChebyshevMoments, Moments
from hessdens.testing import spectra


def density_of(eigenvalues, order, kernel="jackson", support=None):
    weights = np.full(len(eigenvalues), 1 / len(eigenvalues))
    moments = ChebyshevMoments.from_quadrature(eigenvalues, weights, order, support=support)
    return kernel_polynomial(moments, kernel=kernel)


EXAMPLE = density_of(np.array([-1.0, 0.0, 0.0, 0.05, 2.0]), 40)


@given(spectra(), st.integers(1, 40))
def test_never_negative_for_moments_of_a_density(eigenvalues, order):
    density = density_of(eigenvalues, order)
    x = density.nodes()
    peak = 1 / (x[-1] - x[0])
    assert density.pdf(x[1:-1]).min() > -1e-10 * peak
    assert np.all(np.diff(density.cdf(x)) > -1e-13)
    assert density.cdf([*density.support]).tolist() == [0, 1]


def test_cdf_is_the_integral_of_the_pdf():
    for low, high in [(-0.5, 0.02), (0.3, 1.9)]:
        area, _ = quad(lambda x: float(EXAMPLE.pdf(x)), low, high, epsabs=1e-11)
        assert EXAMPLE.mass(low, high) == pytest.approx(area, abs=1e-9)


def test_moments_are_integrals_of_the_density():
    """E[X^k] = high^k - ∫ k x^(k-1) F(x) dx, by parts, since the density is singular at the ends."""
    low, high = EXAMPLE.support
    for k, moment in enumerate(EXAMPLE.moments(5), start=1):
        area, _ = quad(lambda x, k=k: k * x ** (k - 1) * float(EXAMPLE.cdf(x)), low, high, limit=400, epsabs=1e-11)
        assert moment == pytest.approx(high**k - area, abs=1e-6)


@given(spectra(), st.integers(1, 12))
def test_the_plain_series_has_the_moments_themselves(eigenvalues, order):
    density = density_of(eigenvalues, order, "dirichlet")
    size = np.abs([*density.support]).max() ** np.arange(1, order + 1)
    np.testing.assert_allclose(density.moments(order) / size, Spectrum(eigenvalues).moments(order) / size, atol=1e-12)


def test_resolution_is_the_width_of_the_kernel():
    """One eigenvalue in the middle is spread over π h / K."""
    density = density_of(np.array([0.0]), 200, support=(-3, 3))
    assert np.sqrt(density.moments(2)[1]) == pytest.approx(density.resolution, rel=0.02)
    assert density.resolution == pytest.approx(np.pi * 3 / 200)


def test_jackson_factors_are_those_of_the_positive_kernel():
    """The kernel is the square of a trigonometric polynomial: its coefficients' autocorrelation (Weiße et al. 2006)."""
    count = 9
    a = np.sin(np.pi * np.arange(1, count + 1) / (count + 1))
    correlation = np.correlate(a, a, mode="full")[count - 1 :] / (a @ a)
    np.testing.assert_allclose(jackson_factors(count - 1), correlation[1:], atol=1e-14)


def test_converges_to_the_spectrum():
    eigenvalues = np.random.default_rng(0).standard_normal(400)
    distances = [compare(density_of(eigenvalues, order), Spectrum(eigenvalues)).wasserstein for order in (16, 64, 256)]
    assert distances[2] < 0.5 * distances[1] < 0.25 * distances[0]


def test_window_and_both_sides_make_one():
    parts = [EXAMPLE.fraction_negative(), EXAMPLE.fraction_degenerate(), EXAMPLE.mass(0.1, np.inf)]
    assert sum(parts) == pytest.approx(1)
    assert EXAMPLE.fraction_degenerate(6.0) == pytest.approx(1)
    fine = density_of(np.array([-1.0, 0.0, 0.0, 0.05, 2.0]), 2000)
    assert fine.fraction_degenerate() == pytest.approx(0.6, abs=1e-3)
    assert fine.fraction_negative() == pytest.approx(0.2, abs=1e-3)


def test_outside_the_interval_and_shapes(monkeypatch):
    monkeypatch.setattr("hessdens.densities.base.PAIRS_PER_CHUNK", 100)  # several chunks
    np.testing.assert_array_equal(EXAMPLE.pdf([[-9.0, 9.0, np.nan]]), [[0, 0, np.nan]])
    np.testing.assert_array_equal(EXAMPLE.cdf([[-np.inf, -9.0, 9.0, np.inf, np.nan]]), [[0, 0, 1, 1, np.nan]])
    assert EXAMPLE.cdf(0.0).shape == ()


@pytest.mark.parametrize("eigenvalue", [0.0, -4.0])
def test_one_eigenvalue(eigenvalue):
    density = density_of(np.array([eigenvalue]), 64)
    assert density.moments(1)[0] == pytest.approx(eigenvalue, abs=1e-12)


def test_summary_says_when_it_is_coarse():
    coarse = density_of(np.array([0.0, 10.0]), 20, support=(-1, 11))
    assert str(coarse).startswith("Kernel polynomial density of 20 Chebyshev moments (jackson) in [-1, 11], resolution")
    assert "resolution 0.94: " in str(coarse)
    assert "COARSE: the resolution is above half the window" in str(coarse)
    assert "COARSE" not in str(density_of(np.array([0.0, 1.0]), 200))


def test_files(tmp_path):
    for density in (EXAMPLE, density_of(np.array([1.0, 2.0]), 4, "dirichlet")):
        density.save(tmp_path / "d.npz")
        loaded = KernelPolynomialDensity.load(tmp_path / "d.npz")
        np.testing.assert_array_equal(loaded.coefficients, density.coefficients)
        assert (loaded.support, loaded.kernel) == (density.support, density.kernel)
    with pytest.raises(ValueError, match="read-only"):
        EXAMPLE.coefficients[0] = 0


def test_bad_arguments():
    moments = ChebyshevMoments([0.1], [0.0], [[0.1]], (-1, 1), 3, 0)
    with pytest.raises(ValueError, match="kernel must be one of jackson, dirichlet; got 'lorentz'"):
        kernel_polynomial(moments, kernel="lorentz")
    with pytest.raises(TypeError, match=r"must be ChebyshevMoments; got Moments\. Make them by chebyshev_moments"):
        kernel_polynomial(Moments([0.1], [0.0], [[0.1]], 3, 0))
    with pytest.raises(ValueError, match=r"coefficients must be finite, of shape \(K,\), K at least 1; got \[nan\]"):
        KernelPolynomialDensity([np.nan], (-1, 1))
    for coefficients in ([], [[0.1]]):
        with pytest.raises(ValueError, match=r"coefficients must be finite, of shape \(K,\), K at least 1; got \["):
            KernelPolynomialDensity(coefficients, (-1, 1))
    for question in (EXAMPLE.fraction_degenerate, EXAMPLE.fraction_negative):
        with pytest.raises(ValueError, match="window must be finite and at least 0; got -1"):
            question(-1)
    with pytest.raises(ValueError, match="low must not exceed high; got 3 and 0"):
        EXAMPLE.mass(3, 0)
    with pytest.raises(ValueError, match="order must be at least 1; got 0"):
        EXAMPLE.moments(0)


@pytest.mark.parametrize(("order", "is_coarse"), [(31, True), (32, False)])
def test_coarse_is_above_half_of_the_window(order, is_coarse):
    """Of 0.1: π h / K at h = 1."""
    assert ("COARSE" in str(density_of(np.array([0.0]), order, support=(-1, 1)))) == is_coarse


def test_numbers():
    numbers = EXAMPLE.numbers(0.3)
    assert (numbers["kernel"], numbers["resolution"]) == ("jackson", EXAMPLE.resolution)
    assert numbers["support"] == [*EXAMPLE.support] == pytest.approx([numbers["lowest"], numbers["highest"]])
    assert numbers["fractions"]["degenerate"]["value"] == EXAMPLE.fraction_degenerate(0.3)
