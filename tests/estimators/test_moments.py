"""Skilling's moments: against matrix powers, exact eigenvalues, and their own standard errors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import skilling_samples
from torch import nn

from hessdens import as_operator, hessian_operator, spectral_moments
from hessdens.estimators.budget import Budget
from hessdens.estimators.deflation import deflate, not_deflated
from hessdens.estimators.moments import _accurate
from hessdens.estimators.run import Run
from hessdens.linalg.probes import operator_probes
from hessdens.results.exchange import exchanged_samples, plain_samples
from hessdens.testing import NetworkCase, assert_moments_agree, networks, rotated, symmetric_matrices


def probe_rows(seed, count, size, distribution="gaussian"):
    return operator_probes(as_operator(np.eye(size)), seed, 0, count, distribution).T.numpy()


@given(symmetric_matrices(), st.integers(1, 7), st.sampled_from(["gaussian", "rademacher"]))
def test_samples_equal_matrix_powers(case, num_moments, distribution):
    matrix, eigenvalues = case
    moments = spectral_moments(matrix, num_moments, method="skilling", num_probes=3, seed=5, distribution=distribution)
    expected = skilling_samples(matrix, probe_rows(5, 3, len(matrix), distribution), num_moments)
    scale = np.max(np.abs(eigenvalues)) ** np.arange(1, num_moments + 1)
    np.testing.assert_allclose(moments.samples / (scale + 1e-300), expected / (scale + 1e-300), atol=1e-10)
    assert moments.num_products == 3 * ((num_moments + 1) // 2)


@given(symmetric_matrices())
def test_exact_moments_lie_within_the_errors(case):
    matrix, eigenvalues = case
    assert_moments_agree(spectral_moments(matrix, 4, method="skilling", num_probes=200), eigenvalues)


@settings(max_examples=20)
@given(networks())
def test_network_moments_agree_with_exact_eigenvalues(case):
    eigenvalues = torch.linalg.eigvalsh(case.dense_hessian())
    operator = hessian_operator(case.model, case.loss_fn, case.data)
    assert_moments_agree(spectral_moments(operator, 4, method="skilling", num_probes=128), eigenvalues)


def small_network() -> NetworkCase:
    generator = torch.Generator().manual_seed(3)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
    inputs = torch.randn(20, 6, dtype=torch.float64, generator=generator)
    targets = torch.randint(0, 3, (20,), generator=generator)
    return NetworkCase(model, nn.CrossEntropyLoss(), [(inputs[:16], targets[:16]), (inputs[16:], targets[16:])])


def statistical_cases():
    rng = np.random.default_rng(0)
    spectrum = np.concatenate([rng.standard_normal(40), [6.0, 9.0]])
    factor = rng.standard_normal((60, 3))
    case = small_network()
    return {
        "diagonal": np.diag(np.linspace(0.1, 2, 50)),
        "rotated": rotated(spectrum, rng),
        "low rank": factor @ factor.T,
        "indefinite": rotated(np.linspace(-1, 1.2, 60), rng),
        "network Hessian": hessian_operator(case.model, case.loss_fn, case.data),
    }


@pytest.mark.parametrize("name", ["diagonal", "rotated", "low rank", "indefinite", "network Hessian"])
def test_mean_and_standard_error_over_300_seeds(name):
    """The mean of 300 estimates is within 4 standard errors of exact, and the reported error is the spread to 10%."""
    operator = as_operator(statistical_cases()[name])
    matrix = operator @ torch.eye(operator.size, dtype=torch.float64)
    eigenvalues = torch.linalg.eigvalsh((matrix + matrix.T) / 2).numpy()
    exact = np.array([np.mean(eigenvalues**k) for k in range(1, 5)])
    runs = [spectral_moments(matrix, 4, method="skilling", num_probes=60, seed=seed) for seed in range(300)]
    values = np.array([run.values for run in runs])
    spread = values.std(axis=0, ddof=1)
    assert np.all(np.abs(values.mean(axis=0) - exact) < 4 * spread / np.sqrt(300))
    reported = np.sqrt(np.mean([run.standard_errors**2 for run in runs], axis=0))
    np.testing.assert_allclose(reported, spread, rtol=0.1)


@pytest.mark.parametrize("block_size", [1, 3, 7, 100])
def test_block_size_changes_only_rounding(block_size):
    matrix = rotated(np.linspace(-1, 3, 40), np.random.default_rng(1))
    reference = spectral_moments(matrix, 5, method="skilling", num_probes=10, block_size=4)
    moments = spectral_moments(matrix, 5, method="skilling", num_probes=10, block_size=block_size)
    np.testing.assert_allclose(moments.samples, reference.samples, rtol=1e-12)
    assert moments.num_products == reference.num_products == 30


def test_more_probes_extend_fewer():
    matrix = rotated(np.linspace(-1, 3, 40), np.random.default_rng(1))
    few, many = (spectral_moments(matrix, 4, method="skilling", num_probes=probes, seed=9) for probes in (5, 12))
    np.testing.assert_allclose(many.samples[:5], few.samples, rtol=1e-12)
    other = spectral_moments(matrix, 4, method="skilling", num_probes=12, seed=10)
    assert not np.isclose(other.samples, many.samples).any(), "seed + i would repeat probes of the next seed"


def test_rademacher_knows_the_trace_of_a_diagonal_matrix():
    moments = spectral_moments(np.diag([1.0, 2.0, 6.0]), 2, method="skilling", num_probes=4, distribution="rademacher")
    np.testing.assert_allclose(moments.samples[:, 0], 3.0, rtol=1e-14)


def test_inner_products_are_summed_in_float64():
    """The inner products of ±1 are integers; a running float32 sum of 3 million drifts."""
    operator = as_operator(lambda V: V, size=3_000_000, dtype=torch.float32, check_symmetric=False)
    moments = spectral_moments(operator, 2, method="skilling", num_probes=2, distribution="rademacher")
    np.testing.assert_array_equal(moments.samples, 1.0)


def test_high_orders_stay_in_range_in_float32():
    matrix = torch.diag(torch.tensor([1e9, 1e9], dtype=torch.float32))
    moments = spectral_moments(matrix, 20, method="skilling", num_probes=2, distribution="rademacher")
    np.testing.assert_allclose(moments.values, 1e9 ** np.arange(1.0, 21.0), rtol=1e-5)


def test_zero_operator_has_zero_moments():
    moments = spectral_moments(np.zeros((3, 3)), 4, method="skilling", num_probes=2)
    np.testing.assert_array_equal(moments.values, 0)


def test_global_random_state_is_untouched():
    before = torch.get_rng_state()
    spectral_moments(np.eye(3))
    assert torch.equal(before, torch.get_rng_state())


def test_progress_goes_to_standard_error(capsys):
    spectral_moments(np.eye(3), method="skilling", num_probes=4, progress=True)
    captured = capsys.readouterr()
    assert "8/8" in captured.err
    assert captured.out == ""


@pytest.mark.gpu
def test_probes_and_moments_are_the_same_on_cuda():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    matrix = torch.tensor(rotated(np.linspace(-1, 3, 40), np.random.default_rng(1)))
    on_cpu, on_cuda = (
        operator_probes(as_operator(torch.eye(1000, device=device)), 1, 0, 5, "gaussian") for device in ("cpu", "cuda")
    )
    assert torch.equal(on_cpu, on_cuda.cpu())
    for method in ("skilling", "deflated"):
        on_cpu, on_cuda = (spectral_moments(A, method=method, num_probes=8) for A in (matrix, matrix.cuda()))
        np.testing.assert_allclose(on_cuda.samples, on_cpu.samples, rtol=1e-10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_moments": 0}, "num_moments must be at least 1; got 0"),
        ({"block_size": 0}, "block_size must be at least 1; got 0"),
        ({"seed": -1}, "seed must be a non-negative integer; got -1"),
        ({"distribution": "uniform"}, "distribution must be one of .*; got 'uniform'"),
        ({"distribution": "rademacher"}, "distribution must be 'gaussian' for method='deflated', .*; got 'rademacher'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        spectral_moments(np.eye(3), **arguments)


def test_products_that_are_not_finite():
    operator = as_operator(lambda V: V * torch.nan, size=3, check_symmetric=False)
    with pytest.raises(ValueError, match="Products must be finite; product 1 of probe 0 is not"):
        spectral_moments(operator, method="skilling")


def test_moments_beyond_float64():
    with pytest.raises(ValueError, match="within the range of float64; m_4 overflows"):
        spectral_moments(1e80 * np.eye(3), 4, method="skilling")


def test_tiny_matrix_in_single_precision():
    """The products are scaled by 2^126 and more, which float32 holds in two steps only."""
    moments = spectral_moments(1e-40 * torch.eye(4), 3, method="skilling", num_probes=2, distribution="rademacher")
    np.testing.assert_allclose(moments.values[:2], [1e-40, 1e-80], rtol=1e-4)


@pytest.mark.parametrize("method", ["skilling", "deflated"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_certificates_tell_products_that_are_not_symmetric(method, dtype):
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((60, 60))
    for skew, is_symmetric in ((0.0, True), (1e-2, False)):
        entries = torch.tensor(matrix + matrix.T + skew * (matrix - matrix.T), dtype=dtype)
        operator = as_operator(lambda V, E=entries: E @ V, size=60, dtype=dtype, check_symmetric=False)
        certificates = spectral_moments(operator, method=method, max_products=40).certificates
        assert (certificates.symmetry < certificates.threshold) == is_symmetric
        assert bool(certificates.warnings()) != is_symmetric
        assert certificates.num_products <= 40
        assert np.isnan(certificates.orthogonality) == (method == "skilling")


def test_single_probes_have_no_symmetry_to_tell():
    moments = spectral_moments(np.diag([1.0, 2.0, 3.0]), method="skilling", block_size=1)
    assert np.isnan(moments.certificates.symmetry)
    assert moments.certificates.warnings() == ()


OUTLIERS = np.concatenate([np.linspace(-0.1, 0.1, 60), [5.0, -3.0, 2.0, 1.0]])


def deflation_of(matrix, num_moments, **arguments):
    """Return what `spectral_moments` deflates from a matrix, and its budget."""
    limits = (arguments.get(name) for name in ("max_products", "num_probes", "rtol"))
    budget = Budget.of_moments("deflated", num_moments, *limits)
    run = Run(matrix, num_moments, 4)
    return deflate(run, budget, run.bar(1)), budget


@pytest.mark.parametrize("arguments", [{"max_products": 41}, {"num_probes": 25}, {"rtol": 0.2}])
def test_deflated_samples_are_what_is_known_and_those_of_orthogonal_probes_of_the_rest(arguments):
    matrix = rotated(OUTLIERS, np.random.default_rng(1))
    deflation, budget = deflation_of(matrix, 3, **arguments)
    moments = spectral_moments(matrix, 3, method="deflated", seed=4, block_size=7, **arguments)
    drawn = (moments.num_products - deflation.num_products) // 2
    first = deflation.num_start + drawn - moments.num_probes  # other rounds are not in the result
    basis = deflation.basis.numpy()
    assert 0 < len(basis) < 60
    rest = np.eye(64) - basis.T @ basis
    probes = operator_probes(as_operator(matrix), 4, first, first + moments.num_probes, "gaussian").numpy()
    probes = np.linalg.qr(rest @ probes).Q
    forms = skilling_samples(rest @ matrix @ rest, probes.T, 3)
    samples = plain_samples(forms, 64 - len(basis))
    if moments.num_probes >= 10:
        products = rest @ matrix @ probes / deflation.norm
        grams = probes.T @ products, products.T @ products
        accuracy = np.finfo(np.float64).eps
        samples[:, 0] = deflation.norm / 64 * exchanged_samples(*grams, 64 - len(basis), accuracy)
    np.testing.assert_allclose(moments.samples, deflation.known / 64 + samples, rtol=1e-8, atol=1e-11)
    assert moments.num_deflated == len(basis)
    np.testing.assert_allclose(moments.known, deflation.known / 64, rtol=1e-9)
    if "rtol" in arguments:
        assert budget.first_probes(deflation.forecast, 10**4) in (drawn, drawn - moments.num_probes)
    else:
        assert drawn == moments.num_probes
        assert 0 <= arguments.get("max_products", 50) - moments.num_products < 2, "all that the budget pays"


def test_a_pilot_is_paid_for_and_left_out():
    matrix = rotated(np.linspace(-1, 2, 30), np.random.default_rng(0))
    moments = spectral_moments(matrix, 2, method="skilling", rtol=0.1, seed=4)
    count = moments.num_probes
    assert moments.num_products == 20 + count
    probes = operator_probes(as_operator(matrix), 4, 20, 20 + count, "gaussian").T.numpy()
    np.testing.assert_allclose(moments.samples, skilling_samples(matrix, probes, 2), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_a_space_that_is_all_gives_the_moments(scale):
    eigenvalues = scale * np.array([3.0, -1.0, 0.5, 0.25, 2.0])
    moments = spectral_moments(np.diag(eigenvalues), 4, max_products=40)
    np.testing.assert_allclose(moments.values, [np.mean(eigenvalues**k) for k in range(1, 5)], rtol=1e-12)
    assert (moments.num_deflated, moments.samples.shape) == (5, (2, 4))
    assert moments.num_products <= 8
    sums = [np.sum(np.abs(eigenvalues) ** k) for k in range(1, 5)]
    np.testing.assert_allclose(moments.standard_errors, 2.0**-52 * np.array(sums) / 5, rtol=1e-6)  # rounding alone


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("arguments", [{"max_products": 100}, {"rtol": 0.01}, {"max_products": 100, "block_size": 1}])
def test_where_nothing_is_left_products_end_and_rounding_is_no_asymmetry(dtype, arguments):
    factor, values = np.linalg.qr(np.random.default_rng(0).standard_normal((3000, 3)))[0], [5.0, 1.0, -0.3]
    left, middle = torch.tensor(factor, dtype=dtype), torch.tensor(values, dtype=dtype)[:, None]
    operator = as_operator(lambda V: left @ (middle * (left.T @ V)), size=3000, dtype=dtype)
    for seed in range(3):
        moments = spectral_moments(operator, seed=seed, **arguments)
        assert moments.certificates.warnings() == ()
        assert moments.num_products <= 24
        exact = [np.sum(np.power(values, k)) / 3000 for k in range(1, 5)]
        np.testing.assert_allclose(moments.values, exact, rtol=1e3 * torch.finfo(dtype).eps)


def test_an_accuracy_is_reached_if_the_budget_allows():
    """Where a pilot of 6 probes by chance asks for too few, its successors ask for more, of the budget that is left."""
    operator = as_operator(np.diag(np.repeat([0.0, 1.0], [900, 100])))
    for seed in range(12):
        moments = spectral_moments(operator, 2, rtol=0.03, seed=seed)
        assert moments.standard_errors[0] <= 0.03 * moments.values[0]
        assert moments.num_products < 2000


def test_what_is_left_of_a_budget_is_spent_where_the_accuracy_is_not_reached():
    operator = as_operator(np.diag(np.repeat([0.0, 1.0], [900, 100])))
    with pytest.warns(UserWarning, match="rtol=0.001 was not reached"):
        assert spectral_moments(operator, 2, method="skilling", rtol=0.001, max_products=90).num_probes == 70
    budget, drawn = Budget(10**6, 1, 0.2, 6), []

    def draw(count):  # of a pilot, and of samples that are first too few by half, and then cut by the budget
        drawn.append(count)
        values = [[0.5], [1.5]] if len(drawn) == 1 else [[0.0], [2.0]]
        return np.resize(values, (count, 1))

    nothing = not_deflated(operator, 1)
    samples = _accurate(budget, nothing, draw, 66, 1000)
    assert drawn == [6, 40, 20]
    assert len(samples) == 60
    drawn.clear()
    samples = _accurate(budget, nothing, draw, 1000, 1000)
    assert drawn[:2] == [6, 40]
    assert drawn[2] == pytest.approx(1.15**2 * 100 * 40 / 39, abs=1)
    assert len(samples) == drawn[2]
