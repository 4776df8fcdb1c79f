"""Numbers of a matrix: closed forms of exact spectra, and intervals of estimated ones that hold them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hessdens import Spectrum, lanczos_density
from hessdens.densities import Density, LanczosDensity
from hessdens.densities.quantities import (
    condition_number,
    effective_dimension,
    frobenius_norm,
    log_determinant,
    numerical_rank,
    participation_ratio,
    schatten_norm,
    spectral_sum,
    stable_rank,
    trace,
)
from hessdens.mixture import SkewNormalMixture

POSITIVE = np.concatenate([10 ** np.linspace(-6, 0, 380), np.linspace(2, 30, 20)])
INDEFINITE = np.concatenate([np.linspace(-0.05, 0.06, 385), np.linspace(1, 30, 12), [-3.0, -2.0, -1.0]])
OF_ANY = {
    "trace": trace,
    "Frobenius norm": frobenius_norm,
    "nuclear norm": lambda density: schatten_norm(density, 1),
    "stable rank": stable_rank,
    "participation ratio": participation_ratio,
    "numerical rank": numerical_rank,
    "sum of exponentials": lambda density: spectral_sum(density, lambda x: np.exp(-x)),
}
OF_POSITIVE = {
    **OF_ANY,
    "log-determinant": lambda density: log_determinant(density, 1e-3),
    "effective dimension": lambda density: effective_dimension(density, 1e-2),
}
spectra = st.lists(st.floats(-100, 100), min_size=1, max_size=20).filter(lambda values: max(map(abs, values)) > 1e-3)


@given(spectra)
def test_exact_spectra_have_the_numbers_of_their_matrix(values):
    spectrum, matrix = Spectrum(values), np.diag(values)
    norms = {1: "nuc", 2: "fro", math.inf: 2}
    for p, name in norms.items():
        assert schatten_norm(spectrum, p) == pytest.approx([np.linalg.norm(matrix, name)] * 3, rel=1e-12)
    assert trace(spectrum).value == pytest.approx(np.trace(matrix), abs=1e-10)
    largest = np.linalg.norm(matrix, 2)
    rank = np.linalg.matrix_rank(matrix / largest, tol=0.5 * (1 - 1e-12), hermitian=True)
    assert numerical_rank(spectrum, rtol=0.5).value == pytest.approx(rank)
    assert stable_rank(spectrum).value == pytest.approx(np.linalg.norm(matrix) ** 2 / largest**2)
    shift = 1 - min(values)
    positive = matrix + shift * np.eye(len(values))
    assert log_determinant(spectrum, shift).value == pytest.approx(np.linalg.slogdet(positive)[1], abs=1e-9)
    assert condition_number(spectrum, shift).value == pytest.approx(np.linalg.cond(positive))
    ridge = np.trace(matrix @ np.linalg.inv(positive))
    assert effective_dimension(spectrum, shift).value == pytest.approx(ridge, rel=1e-9, abs=1e-7)


@given(st.integers(1, 30), st.integers(0, 30), st.floats(0.1, 10))
def test_as_many_eigenvalues_take_part_as_have_one_size(count, zeros, size):
    spectrum = Spectrum([size, *[-size] * (count - 1), *[0.0] * zeros])
    assert participation_ratio(spectrum).value == pytest.approx(count)


@pytest.mark.parametrize("name", OF_POSITIVE)
@pytest.mark.parametrize("max_products", [30, 90])
def test_intervals_hold_the_numbers_of_the_matrix(name, max_products):
    """Of 10 seeds one may miss at a level of 95%: more do with a probability of 1%, if intervals are true."""
    for values in (POSITIVE, INDEFINITE):
        if name not in OF_ANY and values is INDEFINITE:
            continue
        quantity = OF_POSITIVE[name]
        exact = quantity(Spectrum(values)).value
        found = [quantity(lanczos_density(np.diag(values), max_products=max_products, seed=seed)) for seed in range(10)]
        assert sum(not q.low <= exact <= q.high for q in found) <= 2
        assert all(q.low <= q.value <= q.high for q in found)


def test_few_steps_leave_a_function_with_a_pole_open():
    values = np.concatenate([np.zeros(300), POSITIVE])

    def ridge(x):
        return x / (x + 1e-4)

    exact, widths = spectral_sum(Spectrum(values), ridge).value, []
    for max_products in (20, 200):
        found = spectral_sum(lanczos_density(np.diag(values), max_products=max_products), ridge, support=(0, math.inf))
        assert found.low <= exact <= found.high
        widths.append(found.high - found.low)
    assert widths[0] > 3 * widths[1]


def test_means_are_those_of_the_density():
    values = np.array([0.0, 0.5, 2.0, 2.0])
    for density in (Spectrum(values), Steps(values)):
        assert density.expect(lambda x: x**2) == pytest.approx(np.mean(values**2), rel=1e-12)
    mixture = SkewNormalMixture(0.4, 0.5, 1.0, 2.0, 0.01)
    assert [mixture.expect(lambda x, k=k: x**k) for k in (1, 2)] == pytest.approx(mixture.moments(2), rel=1e-4)


class Steps(Density):
    """Eigenvalues, as a density that answers only what it must."""

    def __init__(self, values):
        self._exact = Spectrum(values)
        for name in ("moments", "cdf", "pdf", "nodes"):
            setattr(self, name, getattr(self._exact, name))

    moments = cdf = pdf = nodes = None


Steps.__abstractmethods__ = frozenset()


@pytest.mark.parametrize(
    ("quantity", "error", "message"),
    [
        (lambda d: trace(3.0), TypeError, r"density must be a density .* got float"),
        (
            lambda d: trace(SkewNormalMixture(0.4, 0.5, 1.0, 2.0, 0.01)),
            TypeError,
            r"a LanczosDensity or a Spectrum, which know the number of eigenvalues; got SkewNormalMixture",
        ),
        (lambda d: trace(d, level=1.0), ValueError, r"level must lie between 0 and 1; got 1\.0"),
        (lambda d: schatten_norm(d, 0.5), ValueError, r"p must be at least 1; got 0\.5"),
        (lambda d: schatten_norm(d, math.nan), ValueError, r"p must be at least 1; got nan"),
        (lambda d: numerical_rank(d, rtol=0.0), ValueError, r"rtol must lie between 0 and 1; got 0\.0"),
        (lambda d: log_determinant(d), ValueError, r"positive definite; got shift=0 and an eigenvalue of -1"),
        (lambda d: effective_dimension(d, math.nan), ValueError, r"positive definite; got shift=nan"),
        (lambda d: condition_number(d, 1.0), ValueError, r"positive definite; got shift=1 and an eigenvalue of -1"),
        (lambda d: stable_rank(Spectrum([0.0])), ValueError, r"needs an eigenvalue that is not 0; all are"),
        (lambda d: spectral_sum(d, np.log), ValueError, r"finite where there are eigenvalues; f\(-1\) is nan"),
        (lambda d: spectral_sum(d, np.sum), ValueError, r"the shape that it is given, \(3,\); got \(\)"),
    ],
)
def test_what_cannot_be_answered_is_refused(quantity, error, message):
    with pytest.raises(error, match=message):
        quantity(Spectrum([-1.0, 0.0, 2.0]))


def test_ends_that_are_not_known_are_infinite():
    density = lanczos_density(np.diag(POSITIVE), max_products=20)
    assert isinstance(density, LanczosDensity)
    exact = Spectrum(POSITIVE)
    for quantity in (lambda d: schatten_norm(d, math.inf), lambda d: condition_number(d, 1e-6)):
        found = quantity(density)
        assert found.low <= quantity(exact).value < found.high == math.inf
