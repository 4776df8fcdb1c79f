"""`Moments`: statistics over probes, consistency, and files."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hessdens import Spectrum
from hessdens.results import Moments
from hessdens.results.certificates import Certificates
from hessdens.results.moments import least_hankel_eigenvalue
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


def test_intervals_have_the_skewness_of_what_is_not_known():
    """A constant that is known moves them, and changes nothing else."""
    plain = Moments.from_samples(SAMPLES, size=10, num_products=3)
    known = np.array([7.0, -50.0])
    moved = replace(Moments.from_samples(SAMPLES + known, size=10, num_products=3), known=known)
    np.testing.assert_allclose(moved.interval(0.9), plain.interval(0.9) + known)
    assert plain.known.tolist() == [0, 0]
    unknown = replace(moved, known=np.zeros(2))
    assert np.abs(unknown.interval(0.9) - moved.interval(0.9)).max() > 0.1
    with pytest.raises(ValueError, match=r"known must have the shape of values, \(2,\); got \(3,\)"):
        replace(plain, known=np.zeros(3))


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
        "  trace = 20.0 ± 5.8 (standard error; 95% interval 2.863 to 61.06)",
        "  m_1 =  2.0000e+00 ± 5.8e-01",
        "  m_2 =  3.0000e+00 ± 1.5e+00",
    ]


def test_trace_is_that_of_the_matrix():
    assert (moments().trace, moments().trace_error) == (20.0, 10 * moments().standard_errors[0])


def test_files(tmp_path):
    moments().save(tmp_path / "m.npz")
    loaded = Moments.load(tmp_path / "m.npz")
    for name in ("values", "standard_errors", "samples", "size", "num_products"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(moments(), name))
    assert isinstance(loaded.size, int)


def test_certificates_are_part_of_summary_and_file(tmp_path):
    certificates = Certificates(1e-12, 3, 0.5, "versions", symmetry=1e-3)
    result = replace(moments(), certificates=certificates)
    assert str(result).splitlines()[4:] == [
        "  defects: symmetry 1e-03 (threshold 1e-12)",
        "  cost: 3 products, 0.5 s (versions)",
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


def test_two_samples_are_enough():
    result = Moments.from_samples([[1.0], [2.0]], size=4, num_products=2)
    assert (result.values[0], result.standard_errors[0]) == (1.5, pytest.approx(0.5))


def test_numbers_have_intervals_and_counts():
    numbers = replace(moments(), num_deflated=4, certificates=Certificates(1e-12, 3, 0.5, "versions")).numbers(0.2, 0.8)
    low, high = moments().interval(0.8)
    assert numbers["moments"][1] == {
        "order": 2, "value": 3.0, "standard_error": pytest.approx(np.sqrt(7 / 3)), "low": low[1], "high": high[1]
    }  # fmt: skip
    assert {name: numbers[name] for name in ("size", "num_products", "num_probes", "num_deflated", "seconds")} == {
        "size": 10, "num_products": 3, "num_probes": 3, "num_deflated": 4, "seconds": 0.5
    }  # fmt: skip


def test_hankel_matrix_is_scaled_and_of_all_moments():
    """Each row by itself, in any unit; the diagonal 1, m_2, m_4 is scaled to 1 where it is not 0."""
    rows = np.array([[0.0, 1.0, 0.0, 1.0], [0.5, 1.0, 1.0, 4.0], [2.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    halves = [[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 1]]
    scaled = [[[1, 0, 1], [0, 1, 0], [1, 0, 1]], halves, [[1, 2, 1], [2, 1, 0], [1, 0, 1]], np.diag([1, 0, 0])]
    for unit in (1e-3, 1.0, 1e3):
        found = least_hankel_eigenvalue(rows * unit ** np.arange(1, 5))
        np.testing.assert_allclose(found, [np.linalg.eigvalsh(matrix)[0] for matrix in scaled], atol=1e-12)
