"""Which eigenvalues stand alone, and that the curve has the rest."""

import numpy as np
import pytest

from hessdens import Spectrum, lanczos_density
from hessdens.plotting.curve import BAND_BINS, FEW, LEAST, SMOOTHING, Bins

BULK = np.linspace(-0.01, 0.01, 400)


def bins_of(*outliers):
    spectrum = Spectrum(np.concatenate([BULK, outliers]))
    return spectrum, Bins.of(spectrum.eigenvalues, 0.01)


def test_small_clusters_away_from_the_bulk_stand_alone():
    spectrum, bins = bins_of(2.0, 2.001, 2.002, -3.0)
    np.testing.assert_array_equal(bins.alone(spectrum), [-3.0, 2.0, 2.001, 2.002])


def test_large_clusters_are_curves():
    spectrum, bins = bins_of(*np.linspace(2, 2.1, FEW + 1), 9.0)
    np.testing.assert_array_equal(bins.alone(spectrum), [9.0])
    curve = bins.curve(spectrum, spectrum.size)
    near = (bins.centres > 1) & (bins.centres < 4)
    mass = np.nansum(curve[near] * np.diff(bins.edges)[near])
    assert mass == pytest.approx((FEW + 1) / spectrum.size, rel=0.05)


def test_equal_eigenvalues_are_a_bulk():
    spectrum = Spectrum(np.ones(5))
    bins = Bins.of(spectrum.eigenvalues, 0.01)
    assert len(bins.alone(spectrum)) == 0
    assert np.isfinite(bins.curve(spectrum, 5)).any()


def means_of(spectrum, density, bins):
    """Return what a band is of: means over wide bins, but eigenvalues known one by one where they are, smoothed."""
    alone, known = bins.alone(density), density.eigenvalues_found
    others = np.histogram(spectrum, bins.wide_edges)[0] - np.histogram(known, bins.wide_edges)[0]
    of_known = np.histogram(known, bins.edges)[0] - np.histogram(alone, bins.edges)[0]
    masses = np.repeat(others / BAND_BINS, BAND_BINS) + of_known
    places = np.arange(len(masses))
    kernel = np.exp(-0.5 * ((places[:, None] - places) / SMOOTHING) ** 2)
    return kernel / np.exp(-0.5 * (places - 120.0) ** 2 / SMOOTHING**2).sum() @ masses / len(spectrum)


@pytest.mark.parametrize("products", [30, 80, 200])
def test_band_holds_the_curve_and_the_spectrum(products):
    """Of 2,000 places 5% may be outside at a level of 95%. Shifted by two wide bins, 15% to 40% are."""
    rng, missed, shifted, total = np.random.default_rng(0), 0, 0, 0
    for spectrum in (rng.normal(0, 1, 2000), rng.chisquare(2, 1000) ** 2, np.concatenate([BULK, BULK + 1, [30.0]])):
        for seed in range(4):
            density = lanczos_density(np.diag(spectrum), max_products=products, seed=seed)
            bins = Bins.of(density.nodes(), 0.01 * np.abs(spectrum).max())
            low, high = bins.band(density, 0.95)
            curve = bins.curve(density, density.size)
            assert not ((curve < low) | (curve > high)).any()
            exact = means_of(spectrum, density, bins) / np.diff(bins.edges)
            there = exact * np.diff(bins.edges) * density.size > LEAST
            missed += np.count_nonzero(((exact < low * 0.999) | (exact > high * 1.001))[there])
            moved = np.roll(exact, 12)
            shifted += np.count_nonzero(((moved < low * 0.999) | (moved > high * 1.001))[there])
            total += np.count_nonzero(there)
    assert missed <= 0.05 * total
    assert shifted > 0.1 * total
