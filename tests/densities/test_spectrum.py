"""`Spectrum`: the density questions answered by counting."""

import numpy as np
import pytest
from hypothesis import given
from scipy.integrate import quad

from hessdens import Spectrum, as_operator, compare, lanczos_density
from hessdens.mixture import SkewNormalMixture
from hessdens.testing import spectra

EXAMPLE = Spectrum([3.0, -0.5, 0.05, 0.0, -0.1, 0.1, -0.02, 0.3])


def test_sorted_and_immutable():
    assert EXAMPLE.eigenvalues.tolist() == sorted(EXAMPLE.eigenvalues.tolist())
    with pytest.raises(ValueError, match="read-only"):
        EXAMPLE.eigenvalues[0] = 0


def test_fractions_and_mass():
    """The edges of the window count as outside: -0.1 is negative, 0.1 positive."""
    assert EXAMPLE.fraction_degenerate() == 3 / 8
    assert EXAMPLE.fraction_negative() == 2 / 8
    assert EXAMPLE.fraction_degenerate(window=0.7) == 6 / 8
    assert EXAMPLE.mass(0.0, 0.3) == 3 / 8
    np.testing.assert_array_equal(EXAMPLE.cdf([-1, -0.5, 0, 10]), [0, 1 / 8, 4 / 8, 1])


@given(spectra())
def test_moments_are_power_sums(eigenvalues):
    expected = [sum(float(x) ** k for x in eigenvalues) / len(eigenvalues) for k in (1, 2, 3, 4, 5)]
    scale = np.abs(eigenvalues).max() ** np.arange(1, 6) + 1e-300
    np.testing.assert_allclose(Spectrum(eigenvalues).moments(5) / scale, np.array(expected) / scale, atol=1e-13)


@given(spectra())
def test_window_and_both_sides_make_one(eigenvalues):
    spectrum = Spectrum(eigenvalues)
    mirrored = Spectrum(-eigenvalues)
    total = spectrum.fraction_negative() + spectrum.fraction_degenerate() + mirrored.fraction_negative()
    assert total == pytest.approx(1)


def test_smoothed_density_integrates_to_one_and_peaks_at_the_eigenvalues(monkeypatch):
    monkeypatch.setattr("hessdens.densities.base.PAIRS_PER_CHUNK", 16)  # several chunks
    area, _ = quad(lambda x: float(EXAMPLE.pdf(x, bandwidth=0.05)), -2, 5, limit=500, points=[0, 3])
    assert area == pytest.approx(1, abs=1e-6)
    assert EXAMPLE.pdf([3.0])[0] > 10 * EXAMPLE.pdf([2.5])[0]
    assert EXAMPLE.pdf(np.zeros((2, 3))).shape == (2, 3)
    assert np.isfinite(Spectrum([2.0, 2.0]).pdf(2.0))


def test_files_and_summary(tmp_path):
    EXAMPLE.save(tmp_path / "s.npz")
    np.testing.assert_array_equal(Spectrum.load(tmp_path / "s.npz").eigenvalues, EXAMPLE.eigenvalues)
    assert str(EXAMPLE).splitlines() == [
        "Spectrum of 8 eigenvalues from -0.5 to 3",
        "  degenerate: 37.50%, 3 of 8",
        "  negative: 25.00%, 2 of 8",
        "  window: 0.2, that is |λ| < 0.1, 6.7% of the largest |λ|",
    ]


def test_an_operator_is_no_spectrum():
    with pytest.raises(TypeError, match=r"eigenvalues must be an array, .* got FunctionOperator. Write exact_spectrum"):
        Spectrum(as_operator(np.eye(2)))


@pytest.mark.parametrize("bad", [[], [[1.0]], [np.nan, 1.0]])
def test_bad_eigenvalues(bad):
    with pytest.raises(ValueError, match="eigenvalues must be a non-empty finite array of shape"):
        Spectrum(bad)


def test_bad_bandwidth():
    with pytest.raises(ValueError, match="bandwidth must be positive; got 0"):
        EXAMPLE.pdf(1.0, bandwidth=0)


@pytest.mark.parametrize("density", [EXAMPLE, SkewNormalMixture(0.1, 1.0, 1.0, 0.0)])
def test_every_density_refuses_the_same(density):
    for window in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="window must be finite and at least 0; got"):
            density.fraction_degenerate(window)
        with pytest.raises(ValueError, match="window must be finite and at least 0; got"):
            density.fraction_negative(window)
    with pytest.raises(ValueError, match="low must not exceed high; got 3 and 0"):
        density.mass(3, 0)
    with pytest.raises(ValueError, match="order must be at least 1; got 0"):
        density.moments(0)
    assert np.isnan(density.cdf(np.nan))


def test_numbers():
    numbers = EXAMPLE.numbers(0.7)
    assert (numbers["size"], numbers["lowest"], numbers["highest"]) == (8, -0.5, 3.0)
    assert [row["value"] for row in numbers["moments"]] == EXAMPLE.moments(4).tolist()
    assert numbers["fractions"]["window"] == 0.7
    assert numbers["fractions"]["degenerate"] == {"value": 6 / 8}
    assert numbers["fractions"]["negative"] == {"value": 1 / 8}


def test_default_bandwidth_is_a_hundredth_of_the_standard_deviation():
    x = np.linspace(-1, 4, 7)
    np.testing.assert_array_equal(EXAMPLE.pdf(x), EXAMPLE.pdf(x, bandwidth=EXAMPLE.eigenvalues.std() / 100))
    assert Spectrum([-4.0, -4.0]).pdf(-4.0) == pytest.approx(1 / (4e-3 * np.sqrt(2 * np.pi)))


def test_a_window_may_be_a_share_of_the_largest_eigenvalue():
    values = np.concatenate([np.linspace(-0.375, 0.375, 41), [-8.0, 32.0]])
    for density in (Spectrum(values), lanczos_density(np.diag(values), max_products=43)):
        for number in ("fraction_degenerate", "fraction_negative"):
            assert getattr(density, number)("1%") == pytest.approx(getattr(density, number)(0.32), rel=1e-12)
        assert density.numbers("1%")["fractions"]["window"] == pytest.approx(0.32)
    np.testing.assert_allclose(density.degenerate_interval("1%"), density.degenerate_interval(0.32), rtol=1e-12)
    assert compare(Spectrum([0.3, 1.0]), Spectrum(values), window="1%").degenerate == 0
    half = lanczos_density(np.diag(values / 2), max_products=43)
    by_share, by_size = (density.difference(half, window=window).values for window in ("1%", 0.32))
    np.testing.assert_allclose(by_share, by_size, rtol=1e-12, atol=1e-12)
