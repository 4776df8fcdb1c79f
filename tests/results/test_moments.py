"""`Moments`: statistics over probes, consistency, and files."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hessdens import Spectrum
from hessdens.results import Moments
from hessdens.results.certificates import Certificates
from hessdens.testing import spectra

SAMPLES = np.array([[1.0, 2.0], [3.0, 6.0], [2.0, 1.0]])


def moments():
    return Moments.from_samples(SAMPLES, size=10, num_products=3)


def test_mean_and_standard_error():
    result = moments()
    np.testing.assert_allclose(result.values, [2.0, 3.0])
    np.testing.assert_allclose(result.standard_errors, [1 / np.sqrt(3), np.sqrt(7 / 3)])
    assert (result.num_probes, result.size, result.num_products) == (3, 10, 3)


def test_standard_errors_of_large_and_small_moments():
    """Squares of these are beyond float64; scaling by a power of two changes no bit of others."""
    for scale in (2.0**900, 2.0**-900):
        result = Moments.from_samples(scale * SAMPLES, size=10, num_products=3)
        np.testing.assert_array_equal(result.standard_errors, scale * moments().standard_errors)


def test_immutable():
    result = moments()
    with pytest.raises(ValueError, match="read-only"):
        result.values[0] = 1
    with pytest.raises(AttributeError):
        result.size = 3


@given(spectra(), st.integers(1, 4))
def test_moments_of_a_density_are_consistent(eigenvalues, half):
    values = Spectrum(eigenvalues).moments(2 * half)
    result = Moments(values, np.zeros(2 * half), np.tile(values, (2, 1)), len(eigenvalues), 0)
    assert result.hankel_eigenvalue() > -1e-9


def test_contradictory_moments_are_seen():
    """No density has a variance below zero: m_2 < m_1^2."""
    values = [2.0, 1.0]
    result = Moments(values, [0, 0], [values, values], 10, 0)
    assert result.hankel_eigenvalue() == pytest.approx(1 - 2.0)


def test_summary():
    assert str(moments()).splitlines() == [
        "Moments of 10 eigenvalues from 3 probes, 3 products",
        "  m_1 =  2.0000e+00 ± 5.8e-01",
        "  m_2 =  3.0000e+00 ± 1.5e+00",
    ]


def test_files(tmp_path):
    moments().save(tmp_path / "m.npz")
    loaded = Moments.load(tmp_path / "m.npz")
    for name in ("values", "standard_errors", "samples", "size", "num_products"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(moments(), name))
    assert isinstance(loaded.size, int)


def test_certificates_are_part_of_summary_and_file(tmp_path):
    certificates = Certificates(1e-12, 3, 0.5, "versions", symmetry=1e-3)
    result = replace(moments(), certificates=certificates)
    assert str(result).splitlines()[3:] == [
        "  defects: symmetry 1e-03 (threshold 1e-12)",
        "  3 products, 0.5 s, versions",
        "  WARNING: the operator's products are not symmetric (symmetry 1.0e-03, threshold 1.0e-12).",
    ]
    result.save(tmp_path / "m.npz")
    assert str(Moments.load(tmp_path / "m.npz")) == str(result)
    unknown = replace(result, certificates=replace(certificates, symmetry=np.nan))
    assert "  defects: none can be told (threshold 1e-12)" in str(unknown)
    assert "WARNING" not in str(unknown)


def test_bad_shapes():
    with pytest.raises(ValueError, match=r"at least 2 probes; got shape \(1, 4\)"):
        Moments.from_samples(np.ones((1, 4)), size=3, num_products=1)
    with pytest.raises(ValueError, match=r"must have shape \(P, K\), .*; got \(2, 3\), \(2,\) and \(3,\)"):
        Moments(np.ones(2), np.ones(3), np.ones((2, 3)), 3, 1)
