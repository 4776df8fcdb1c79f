"""Moments from levels: unbiased, with intervals that hold, as accurate as asked for, and cheaper than plain probes."""

import numpy as np
import pytest
import torch
from levels import SIZE, TOTAL, Matrices, setting
from torch import nn

from hessdens import hessian_operator, spectral_moments
from hessdens.multilevel import multilevel_moments
from hessdens.multilevel.estimate import estimated
from hessdens.multilevel.plan import candidates

CHOICES = sorted(candidates(256, TOTAL))


@pytest.mark.parametrize("num_moments", [2, 4])
def test_moments_are_unbiased_and_intervals_hold(num_moments):
    """100 draws of probes, for one set of matrices: without the last level, or what is deflated, means are off."""
    matrices = Matrices(0)
    exact = [np.trace(np.linalg.matrix_power(matrices.matrix(TOTAL), k)) / SIZE for k in range(1, num_moments + 1)]
    found = [estimated(setting(num_moments, seed), matrices, CHOICES, 24.0)[0] for seed in range(100)]
    values = np.array([result.values for result in found])
    z = (values.mean(axis=0) - exact) / (values.std(axis=0, ddof=1) / np.sqrt(len(found)))
    assert np.abs(z).max() < 4
    intervals = np.array([result.interval() for result in found])
    held = np.mean((intervals[:, 0] <= exact) & (exact <= intervals[:, 1]), axis=0)
    assert held.min() >= 0.9, held
    errors = np.sqrt(np.mean([result.standard_errors**2 for result in found], axis=0))
    assert (errors > 0.85 * values.std(axis=0, ddof=1)).all()
    assert (errors < 2 * values.std(axis=0, ddof=1)).all()
    assert max(result.num_products for result in found) < 24.5


def test_an_accuracy_is_kept_and_costs_less_than_plain_probes():
    matrices = Matrices(1)
    exact = np.array([np.trace(np.linalg.matrix_power(matrices.matrix(TOTAL), k)) / SIZE for k in (1, 2)])
    found = [estimated(setting(2, seed, 0.03), matrices, CHOICES, 1e4) for seed in range(40)]
    assert all(needed == 0 for _, needed in found)
    off = np.array([np.abs(result.values / exact - 1) for result, _ in found])
    assert np.mean(off < 2 * 0.033, axis=0).min() > 0.9
    plain = spectral_moments(matrices.operator(TOTAL), 2, method="skilling", num_probes=400, seed=1)
    needed = np.max(plain.samples.std(axis=0) / plain.values) ** 2 / 0.03**2
    assert np.mean([result.num_products for result, _ in found]) < needed / 5


def trained_problem(total=2_000):
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    x = torch.randn(total, 4, generator=generator, dtype=torch.float64)
    return net, [(part, (part.sum(dim=1) > 0).long() + (part[:, 0] > 1)) for part in x.split(250)]


def test_moments_of_a_network_are_those_of_all_examples():
    net, data = trained_problem()
    H = hessian_operator(net, nn.CrossEntropyLoss(), data)
    exact = torch.linalg.eigvalsh(H @ torch.eye(H.size, dtype=torch.float64)).numpy()
    moments = multilevel_moments(H, 2, max_products=30, seed=2)
    assert moments.num_examples[-1] == 2_000
    assert moments.num_products <= 30.5
    low, high = moments.interval(0.999)
    for k in (1, 2):
        assert low[k - 1] <= np.mean(exact**k) <= high[k - 1]
    assert str(multilevel_moments(H, 2, max_products=30, seed=2)).splitlines()[:4] == str(moments).splitlines()[:4]


def test_levels_may_be_given_and_work_is_kept(tmp_path, capsys):
    net, data = trained_problem()
    H = hessian_operator(net, nn.CrossEntropyLoss(), data)
    given = {"num_examples": [100, 500], "max_products": 30, "checkpoint": tmp_path}
    first = multilevel_moments(H, 3, **given, progress=True)
    assert first.num_examples == (100, 500, 2_000)
    assert "product" in capsys.readouterr().err
    assert {"first", "level-1-0", "level-1-1", "level-2-1", "level-2-2"} <= {p.name for p in tmp_path.iterdir()}
    again = multilevel_moments(H, 3, **given)
    np.testing.assert_array_equal(again.values, first.values)


def test_an_accuracy_beyond_the_budget_says_what_it_takes():
    net, data = trained_problem()
    H = hessian_operator(net, nn.CrossEntropyLoss(), data)
    with pytest.warns(UserWarning, match=r"rtol=1e-07 was not reached: .* It takes about .* give max_products alone"):
        multilevel_moments(H, 2, rtol=1e-7, max_products=30)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_moments": 0}, "num_moments must be at least 1; got 0"),
        ({"seed": -1}, "seed must be at least 0; got -1"),
        ({"block_size": 0}, "block_size must be at least 1; got 0"),
        ({"rtol": 0.0}, "rtol must lie between 0 and 1; got 0"),
        ({"max_products": 0.0}, "max_products must be positive and finite; got 0"),
        ({"max_products": 3.0}, r"max_products must be at least \d+\.?\d*, for 6 probes with all examples; got 3"),
        ({"num_examples": [3_000]}, "num_examples must ascend, to fewer than the 2,000"),
    ],
)
def test_bad_arguments(arguments, message):
    net, data = trained_problem()
    with pytest.raises(ValueError, match=message):
        multilevel_moments(hessian_operator(net, nn.CrossEntropyLoss(), data), **arguments)


def test_few_examples_have_no_levels():
    net, data = trained_problem(40)
    with pytest.raises(
        ValueError, match=r"The data must have at least 64 examples .* they have 40\. Use spectral_moments"
    ):
        multilevel_moments(hessian_operator(net, nn.CrossEntropyLoss(), data))
