"""Which eigenvalues stand alone, and that the curve has the rest."""

import numpy as np
import pytest

from hessdens import Spectrum
from hessdens.plotting.curve import FEW, Bins

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
