"""A spectrum of low rank answers as that of all its eigenvalues does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hessdens import Spectrum, compare
from hessdens.structure import LowRankSpectrum

NUMBERS = st.floats(-10, 10).map(lambda x: round(x, 3))


@given(st.lists(NUMBERS, max_size=6), st.integers(0, 5), NUMBERS)
def test_answers_are_those_of_all_eigenvalues(eigenvalues, others, rest):
    size = len(eigenvalues) + others
    if size == 0:
        return
    found, whole = LowRankSpectrum(eigenvalues, size, rest), Spectrum([*eigenvalues, *[rest] * others])
    x = np.array([-11.0, *whole.eigenvalues, 0.5, 11.0])
    np.testing.assert_allclose(found.cdf(x), whole.cdf(x), atol=1e-12)
    np.testing.assert_allclose(found.moments(4), whole.moments(4), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.pdf(x, bandwidth=0.3), whole.pdf(x, bandwidth=0.3), atol=1e-12)
    assert found.expect(np.square) == pytest.approx(whole.expect(np.square))
    for window in (0.2, "30%"):
        assert found.fraction_degenerate(window) == pytest.approx(whole.fraction_degenerate(window))
        assert found.fraction_negative(window) == pytest.approx(whole.fraction_negative(window))
    np.testing.assert_array_equal(found.nodes(), np.unique(whole.eigenvalues))


def test_it_is_a_density_for_comparisons():
    comparison = compare(LowRankSpectrum([3.0, 1.0], 10), Spectrum([3.0, 1.0, *[0.0] * 8]))
    assert comparison.kolmogorov < 1e-12


def test_usual_bandwidth_is_that_of_a_spectrum():
    found, whole = LowRankSpectrum([3.0, 1.0], 10), Spectrum([3.0, 1.0, *[0.0] * 8])
    np.testing.assert_allclose(found.pdf([0.0, 1.0]), whole.pdf([0.0, 1.0]))


def test_texts_and_numbers():
    found = LowRankSpectrum([3.0, 1.0], 10, 0.5)
    assert str(found).startswith("Spectrum of 10 eigenvalues, 2 from 1 to 3, all others 0.5: 0.00% (0) degenerate")
    assert str(LowRankSpectrum([], 10)).startswith("Spectrum of 10 eigenvalues, all others 0: 100.00% (10) degenerate")
    assert repr(found) == "LowRankSpectrum(rank=2, size=10)"
    numbers = found.numbers()
    assert (numbers["size"], numbers["rank"], numbers["rest"], numbers["highest"]) == (10, 2, 0.5, 3.0)


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"eigenvalues must have shape \(r,\), r at most 1; got \(2,\)"):
        LowRankSpectrum([1.0, 2.0], 1)
    with pytest.raises(ValueError, match="bandwidth must be positive; got 0"):
        LowRankSpectrum([1.0], 2).pdf(0.0, bandwidth=0)
    with pytest.raises(ValueError, match="order must be at least 1; got 0"):
        LowRankSpectrum([1.0], 2).moments(0)
