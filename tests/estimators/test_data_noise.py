"""`data_noise`: against dense influences, the delete-one jackknife, and the scatter over new data."""

import numpy as np
import pytest
import torch
from torch import nn

from hessdens import NonFiniteError, as_operator, hessian_operator, spectral_moments
from hessdens.estimators import data_noise

SIZE, ORDERS = 12, np.arange(1, 6)


def batches(count, seed=0, spread=0.3):
    """Return symmetric matrices that scatter around one of their own."""
    rng = np.random.default_rng(seed)
    centre = np.random.default_rng(99).standard_normal((SIZE, SIZE))
    noise = rng.standard_normal((count, SIZE, SIZE))
    matrices = np.diag([4.0, -2.0, *np.zeros(SIZE - 2)]) + 0.1 * (centre + centre.T) + spread * noise
    return (matrices + matrices.transpose(0, 2, 1)) / 2


def exact_moments(matrix):
    return np.array([np.trace(np.linalg.matrix_power(matrix, k)) for k in ORDERS]) / len(matrix)


def exact_data_errors(matrices, shares):
    mean = np.tensordot(shares, matrices, axes=1)
    variance = np.zeros(len(ORDERS))
    for share, matrix in zip(shares, matrices, strict=True):
        influence = [
            k / SIZE * np.trace(np.linalg.matrix_power(mean, k - 1) @ (matrix - mean)) for k in map(int, ORDERS)
        ]
        variance += (share * np.array(influence)) ** 2
    return np.sqrt(variance * len(matrices) / (len(matrices) - 1))


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 5.0, 3.0, 1.0, 2.0]])
def test_data_variance_is_unbiased(weights):
    matrices = batches(6)
    shares = np.full(6, 1 / 6) if weights is None else np.array(weights) / np.sum(weights)
    expected = exact_data_errors(matrices, shares)
    runs = [data_noise(matrices, 5, weights=weights, num_probes=40, seed=seed) for seed in range(60)]
    squares = np.array([run.data_errors**2 for run in runs])
    deviation = np.abs(squares.mean(axis=0) - expected**2)
    assert np.all(deviation < 4 * squares.std(axis=0) / np.sqrt(60))
    assert np.all(squares.std(axis=0) / np.sqrt(60) < 0.2 * expected**2)  # else the line above says little


def test_moments_and_probe_errors_are_those_of_the_mean_matrix():
    matrices = batches(4)
    noise = data_noise(matrices, 5, num_probes=9, seed=3, block_size=4)
    moments = spectral_moments(matrices.mean(axis=0), 5, method="skilling", num_probes=9, seed=3)
    np.testing.assert_allclose(noise.values, moments.values, rtol=1e-12)
    np.testing.assert_allclose(noise.probe_errors, moments.standard_errors, rtol=1e-12)
    np.testing.assert_allclose(noise.total_errors**2, noise.probe_errors**2 + noise.data_errors**2)
    assert noise.num_products == 4 * 9 * 3
    assert (noise.size, noise.num_batches, noise.num_probes) == (SIZE, 4, 9)
    np.testing.assert_allclose(data_noise(matrices, 2, num_probes=9, seed=3).values, noise.values[:2], rtol=1e-12)


def test_close_to_the_delete_one_jackknife():
    matrices = batches(40, spread=0.1)
    left_out = np.array([exact_moments(np.delete(matrices, g, axis=0).mean(axis=0)) for g in range(40)])
    jackknife = np.sqrt(39 * np.mean((left_out - left_out.mean(axis=0)) ** 2, axis=0))
    found = exact_data_errors(matrices, np.full(40, 1 / 40))
    np.testing.assert_allclose(found, jackknife, rtol=0.02)
    np.testing.assert_allclose(data_noise(matrices, 5, num_probes=2000).data_errors, jackknife, rtol=0.1)


def test_data_errors_are_the_scatter_over_new_data():
    values, errors = [], []
    for seed in range(200):
        noise = data_noise(batches(8, seed), 5, num_probes=40, seed=seed)
        values.append(exact_moments(batches(8, seed).mean(axis=0)))
        errors.append(noise.data_errors**2)
    np.testing.assert_allclose(np.sqrt(np.mean(errors, axis=0)), np.std(values, axis=0), rtol=0.2)


@pytest.mark.parametrize("count", [2, 8])
def test_intervals_cover_the_moments_of_all_batches(count):
    """Of 200 samples of data 91% to 99%: with a probability of 99%. By normal quantiles two batches had 70%."""
    centre, held = batches(1, spread=0.0)[0], []
    for seed in range(200):
        low, high = data_noise(batches(count, seed), 1, num_probes=10, seed=seed).interval()
        held.append(low[0] <= exact_moments(centre)[0] <= high[0])
    assert 0.91 <= np.mean(held) <= 0.99


def test_equal_batches_have_no_data_noise():
    noise = data_noise(np.repeat(batches(1), 3, axis=0), 5, num_probes=10)
    np.testing.assert_allclose(noise.data_errors, 0, atol=1e-6 * np.abs(noise.values).max())
    assert np.all(noise.probe_errors > 0)


def test_batches_of_a_model():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    data = [(torch.randn(n, 3).double(), torch.randint(0, 2, (n,))) for n in (5, 9, 4)]
    loss = nn.CrossEntropyLoss()
    parts = [hessian_operator(model, loss, [batch]) for batch in data]
    whole = spectral_moments(hessian_operator(model, loss, data), method="skilling", num_probes=4)
    noise = data_noise(parts, weights=[5, 9, 4], num_probes=4)
    np.testing.assert_allclose(noise.values, whole.values, rtol=1e-10)
    text = str(noise)
    assert "3 batches and 4 probes, 24 products with a batch" in text
    assert "(probes)" in text
    assert "(data)" in text


def test_bad_input():
    matrices = batches(3)
    with pytest.raises(
        TypeError, match=r"operators must be a list with one for each batch; got a matrix .* Write \[hess"
    ):
        data_noise(as_operator(np.eye(3)))
    with pytest.raises(ValueError, match="operators must be at least 2, of a batch each; got 1"):
        data_noise(matrices[:1])
    with pytest.raises(ValueError, match="operators must have the same size; got 12 and, at position 1, 5"):
        data_noise([matrices[0], np.eye(5)])
    with pytest.raises(ValueError, match=r"weights must have shape \(3,\), one per operator; got \(2,\)"):
        data_noise(matrices, weights=[1, 2])
    with pytest.raises(ValueError, match=r"weights must be positive and finite; got \[1.0, 0.0, 2.0\]"):
        data_noise(matrices, weights=[1, 0, 2])
    with pytest.raises(ValueError, match="num_moments must be at least 1; got 0"):
        data_noise(matrices, 0)
    with pytest.raises(ValueError, match="block_size must be at least 1; got 0"):
        data_noise(matrices, block_size=0)
    with pytest.raises(ValueError, match="num_probes must be at least 2, for a standard error; got 1"):
        data_noise(matrices, num_probes=1)
    broken = as_operator(lambda V: V * (float("nan") if V.shape[1] > 2 else 1.0), size=SIZE, dtype=torch.float64)
    with pytest.raises(NonFiniteError, match="product 1 of probe 0 with operator 1 is not"):
        data_noise([as_operator(matrices[0]), broken])
    with pytest.raises(NonFiniteError, match="m_5 overflows"):
        data_noise(1e70 * matrices, 5)


def test_progress_counts_products(capsys):
    data_noise(batches(3), 3, num_probes=5, block_size=2, progress=True)
    assert "30/30" in capsys.readouterr().err
