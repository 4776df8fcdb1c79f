"""`chebyshev_moments`: against dense Chebyshev polynomials of a matrix, exact eigenvalues, and its standard errors."""

import contextlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import chebyshev_samples

from hessdens import as_operator
from hessdens.estimators import chebyshev_moments
from hessdens.estimators.chebyshev import START_PROBE, spectral_support
from hessdens.linalg.probes import operator_probes
from hessdens.results import ChebyshevMoments
from hessdens.results.support import Interval
from hessdens.testing import rotated, spectra, symmetric_matrices


def support_of(operator):
    return spectral_support(operator, operator_probes(operator, 0, START_PROBE, START_PROBE + 1, "gaussian"))


def exact(eigenvalues, order, support):
    weights = np.full(len(eigenvalues), 1 / len(eigenvalues))
    return ChebyshevMoments.from_quadrature(eigenvalues, weights, order, support=support).values


@given(symmetric_matrices(), st.integers(1, 9), st.sampled_from(["gaussian", "rademacher"]))
def test_samples_equal_dense_polynomials(case, num_moments, distribution):
    matrix, eigenvalues = case
    support = (eigenvalues[0] - 1.0, eigenvalues[-1] + 2.0)
    moments = chebyshev_moments(
        matrix, num_moments, support=support, num_probes=3, seed=5, distribution=distribution, block_size=2
    )
    probes = operator_probes(as_operator(matrix), 5, 0, 3, distribution).T.numpy()
    np.testing.assert_allclose(moments.samples, chebyshev_samples(matrix, probes, num_moments, support), atol=1e-11)
    assert moments.num_products == 3 * ((num_moments + 1) // 2)
    assert tuple(moments.support) == support


@given(spectra())
def test_interval_holds_all_eigenvalues(eigenvalues):
    """Lanczos ends with the invariant space, or close to it, for matrices as small as these."""
    matrix = rotated(eigenvalues, np.random.default_rng(0))
    (low, high), spent = support_of(as_operator(matrix))
    assert low < eigenvalues.min() <= eigenvalues.max() < high
    assert high - low <= 1.03 * np.ptp(eigenvalues) + 1e-6 * np.abs(eigenvalues).max() or np.ptp(eigenvalues) < 1e-6
    assert spent <= min(30, len(matrix))


def test_interval_ends_at_the_further_of_two_close_eigenvalues():
    """Lanczos first converges to one of them, which one depends on the start."""
    eigenvalues = np.concatenate([np.zeros(21), [-735.0, -721.0, 161.0, 500.0]])
    for seed in range(200):
        (low, _), _ = support_of(as_operator(rotated(eigenvalues, np.random.default_rng(seed))))
        assert low < -735


@pytest.mark.parametrize("power", [1, 3])
def test_interval_of_a_dense_spectrum_has_the_whole_margin(power):
    """After 30 steps the extreme Ritz values are short of the ends; the residual norms make up for that."""
    eigenvalues = np.random.default_rng(0).uniform(-1, 1, 2000) ** power
    column = torch.tensor(eigenvalues)[:, None]
    (low, high), spent = support_of(as_operator(lambda V: column * V, size=2000))
    margin = 0.01 * np.ptp(eigenvalues)
    assert low <= eigenvalues.min() - margin < eigenvalues.max() + margin <= high
    assert spent == 30


@settings(max_examples=20)
@given(spectra(min_size=2))
def test_exact_moments_lie_within_the_errors(eigenvalues):
    moments = chebyshev_moments(rotated(eigenvalues, np.random.default_rng(1)), 12, num_probes=200)
    deviation = np.abs(moments.values - exact(eigenvalues, 12, moments.support))
    assert np.all(deviation <= 6 * moments.standard_errors + 1e-6)


@pytest.mark.parametrize("distribution", ["gaussian", "rademacher"])
def test_mean_and_standard_error_over_200_seeds(distribution):
    eigenvalues = np.concatenate([np.linspace(-0.2, 0.2, 37), [3.0, 4.0, 9.0]])
    matrix, support = rotated(eigenvalues, np.random.default_rng(2)), (-1, 10)
    runs = [
        chebyshev_moments(matrix, 10, support=support, num_probes=16, seed=seed, distribution=distribution)
        for seed in range(200)
    ]
    values = np.array([run.values for run in runs])
    spread = values.std(axis=0, ddof=1)
    bias = values.mean(axis=0) - exact(eigenvalues, 10, support)
    # The ratio of a Rademacher probe is unbiased because its length is N; that of a Gaussian one by independence.
    assert np.all(np.abs(bias) < 4 * spread / np.sqrt(200))
    reported = np.sqrt(np.mean([run.standard_errors**2 for run in runs], axis=0))
    np.testing.assert_allclose(reported, spread, rtol=0.2)


def test_products_are_counted_and_kept():
    calls = []

    def product(V):
        calls.append(V.shape[1])
        return torch.linspace(-1, 2, 50, dtype=torch.float64)[:, None] * V

    operator = as_operator(product, size=50, check_symmetric=False)
    moments = chebyshev_moments(operator, 9, max_products=100)
    assert moments.num_products == sum(calls) <= 100
    assert moments.num_products > 95
    with_support = chebyshev_moments(operator, 9, support=(-1, 2), max_products=100)
    assert with_support.num_probes == 20


def test_moments_of_one_probe_are_those_of_a_density():
    moments = chebyshev_moments(rotated(np.arange(40.0) ** 2, np.random.default_rng(3)), 40, num_probes=2)
    for sample in moments.samples:
        values = np.concatenate([[1.0], sample])
        toeplitz = values[np.abs(np.subtract.outer(np.arange(41), np.arange(41)))]
        assert np.linalg.eigvalsh(toeplitz)[0] > -1e-10


@pytest.mark.parametrize("matrix", [np.zeros((5, 5)), 3 * np.eye(4), [[-2.0]], 1e-30 * np.eye(2), 1e100 * np.eye(2)])
def test_operators_of_one_eigenvalue(matrix):
    moments = chebyshev_moments(np.array(matrix), 8)
    assert moments.support.low < matrix[0][0] < moments.support.high
    np.testing.assert_allclose(moments.values, exact(np.diag(matrix), 8, moments.support), atol=1e-9)


def test_single_precision():
    eigenvalues = np.linspace(-1, 3, 30)
    matrix = torch.tensor(rotated(eigenvalues, np.random.default_rng(1)), dtype=torch.float32)
    single = chebyshev_moments(matrix, 40, support=(-1.01, 3.01))
    np.testing.assert_allclose(
        single.samples, chebyshev_moments(matrix.double(), 40, support=(-1.01, 3.01)).samples, atol=2e-5
    )


@pytest.mark.parametrize("support", [(-1.0, 2.0), (-1.0, 2.99), (-1.0, 2.999), (-0.999, 3.0)])
def test_eigenvalues_outside_the_support(support):
    """Far ones make probes grow; near ones give moments that no density has."""
    matrix = rotated(np.linspace(-1, 3, 200), np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"support must hold all eigenvalues; got .*\. Pass a wider one"):
        chebyshev_moments(matrix, 64, support=support)


def test_far_eigenvalues_are_told_from_overflow():
    with pytest.raises(ValueError, match=r"and T_1 makes a probe 8164 times as long"):
        chebyshev_moments(np.diag([0.0, 1e4]), 400, support=(-1, 1), seed=1)


def test_progress_goes_to_standard_error(capsys):
    chebyshev_moments(np.eye(3), 4, num_probes=4, support=(0, 2), progress=True)
    captured = capsys.readouterr()
    assert "8/8" in captured.err
    assert captured.out == ""


def test_products_that_are_not_finite():
    bad = as_operator(lambda V: V * torch.nan, size=3, check_symmetric=False)
    with pytest.raises(ValueError, match="Products must be finite; product 1 of probe 0 is not"):
        chebyshev_moments(bad, support=(0, 1))
    with pytest.raises(ValueError, match="Products must be finite; that of vector 0 in Lanczos step 1"):
        chebyshev_moments(bad)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_moments": 0}, "num_moments must be at least 1; got 0"),
        ({"block_size": 0}, "block_size must be at least 1; got 0"),
        ({"num_probes": 1}, "num_probes must be at least 2, for a standard error; got 1"),
        ({"seed": -1}, "seed must be a non-negative integer; got -1"),
        ({"distribution": "uniform"}, "distribution must be one of .*; got 'uniform'"),
        ({"num_probes": 2, "max_products": 90}, "num_probes or max_products may be given, not both; got 2 and 90"),
        ({"max_products": 66}, "at least 67 for 64 moments of 2 probes and the support; got 66"),
        ({"max_products": 63, "support": (0, 2)}, "at least 64 for 64 moments of 2 probes; got 63"),
        ({"support": (2, 0)}, r"support must be \(low, high\), finite, with low < high; got \(2.0, 0.0\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        chebyshev_moments(np.eye(3), **arguments)


def test_certificates_tell_products_that_are_not_symmetric(tmp_path):
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((40, 40))
    for skew, is_symmetric in ((0.0, True), (1e-2, False)):
        entries = torch.tensor(matrix + matrix.T + skew * (matrix - matrix.T))
        operator = as_operator(lambda V, E=entries: E @ V, size=40, dtype=torch.float64, check_symmetric=False)
        moments = chebyshev_moments(operator, 6, support=(-60, 60))
        assert bool(moments.certificates.warnings()) != is_symmetric
        assert ("WARNING" in str(moments)) != is_symmetric
        moments.save(tmp_path / "m.npz")
        assert str(ChebyshevMoments.load(tmp_path / "m.npz")) == str(moments)


@pytest.mark.parametrize("shift", [-100.0, 0.0, 100.0])
def test_a_shift_moves_the_support_and_costs_nothing(shift):
    """What ends the search is relative to the length of the spectrum, not to where it lies."""
    matrix = np.diag(np.concatenate([np.linspace(-1, 1, 200), [3.0, -2.0]]))
    interval, spent = support_of(as_operator(matrix))
    assert 5 < spent < 30
    shifted, cost = support_of(as_operator(matrix + shift * np.eye(202)))
    assert cost == spent
    np.testing.assert_allclose([*shifted], np.array([*interval]) + shift, rtol=1e-6)


def test_each_end_is_moved_by_its_own_residual():
    """Against Ritz pairs of the dense Krylov basis."""
    eigenvalues = np.concatenate([np.linspace(-1, 1, 300), [40.0, 39.0]])
    matrix = rotated(eigenvalues, np.random.default_rng(3))
    interval, spent = support_of(as_operator(matrix))
    vector = operator_probes(as_operator(matrix), 0, START_PROBE, START_PROBE + 1, "gaussian").numpy()
    basis = vector / np.linalg.norm(vector)
    for _ in range(spent - 1):
        product = matrix @ basis[:, -1:]
        for _ in range(2):
            product -= basis @ (basis.T @ product)
        basis = np.hstack([basis, product / np.linalg.norm(product)])
    ritz, vectors = np.linalg.eigh(basis.T @ matrix @ basis)
    residuals = np.linalg.norm(matrix @ basis @ vectors - basis @ vectors * ritz, axis=0)
    assert residuals[0] > 10 * residuals[-1]
    expected = Interval.around(ritz[0] - residuals[0], ritz[-1] + residuals[-1])
    np.testing.assert_allclose([*interval], [*expected], rtol=1e-9)


@pytest.mark.parametrize(("outside", "refused"), [(1e-9, False), (1e-7, True)])
def test_an_eigenvalue_may_be_outside_by_rounding_of_products(outside, refused):
    """The root of eps, per moment: what polynomials of that order make of an error in products."""
    matrix = np.diag([*np.linspace(-0.9, 0.5, 30), 1.0])
    with pytest.raises(ValueError, match="no density on it has these") if refused else contextlib.nullcontext():
        chebyshev_moments(matrix, 32, support=(-1, 1 - outside), num_probes=6)
