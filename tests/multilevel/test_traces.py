"""Traces of layers from levels: unbiased, with intervals that hold, as accurate as asked for."""

import numpy as np
import pytest
import torch
from levels import TOTAL, Matrices, trace_setting
from torch import nn

from hessdens import hessian_operator
from hessdens.multilevel import multilevel_layer_traces
from hessdens.multilevel.estimate import estimated
from hessdens.multilevel.plan import candidates

CHOICES = sorted(candidates(256, TOTAL))


def exact(matrices):
    diagonal = np.diag(matrices.matrix(TOTAL))
    return np.array([diagonal[:15].sum(), diagonal[15:].sum()])


def test_traces_are_unbiased_and_intervals_hold():
    """100 draws of probes, for one set of matrices: without the last level, or what is deflated, means are off."""
    matrices = Matrices(0)
    found = [estimated(trace_setting(seed), matrices, CHOICES, 24.0)[0] for seed in range(100)]
    values, errors = (np.array([getattr(r, n) for r in found]) for n in ("values", "standard_errors"))
    z = (values.mean(axis=0) - exact(matrices)) / (values.std(axis=0, ddof=1) / 10)
    assert np.abs(z).max() < 4
    intervals = np.array([result.interval() for result in found])
    held = np.mean((intervals[:, 0] <= exact(matrices)) & (exact(matrices) <= intervals[:, 1]), axis=0)
    assert held.min() >= 0.9, held
    reported = np.sqrt(np.mean(errors**2, axis=0)) / values.std(axis=0, ddof=1)
    assert (reported > 0.8).all()
    assert (reported < 2).all()
    assert max(result.num_products for result in found) < 24.5
    assert {result.num_deflated for result in found} != {0}


def test_an_accuracy_is_kept():
    matrices = Matrices(1)
    found = [estimated(trace_setting(seed, 0.1, 0.3), matrices, CHOICES, 1e4) for seed in range(30)]
    assert all(needed == 0 for _, needed in found)
    allowed = np.maximum(0.1 * np.abs(exact(matrices)), 0.3)
    off = np.array([np.abs(result.values - exact(matrices)) for result, _ in found])
    assert np.mean(off <= allowed, axis=0).min() >= 0.9


def problem(total=2_000):
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    x = torch.randn(total, 4, generator=generator, dtype=torch.float64)
    data = [(part, (part.sum(dim=1) > 0).long() + (part[:, 0] > 1)) for part in x.split(250)]
    return hessian_operator(net, nn.CrossEntropyLoss(), data)


def test_traces_of_a_network_are_those_of_all_examples(tmp_path):
    H = problem()
    diagonal = (H @ torch.eye(H.size, dtype=torch.float64)).diagonal().numpy()
    options = {"num_examples": [100, 500], "max_products": 30, "checkpoint": tmp_path}
    found = multilevel_layer_traces(H, {"all": "*", "2": "2.*"}, **options, seed=2)
    assert found.num_examples == (100, 500, 2_000)
    assert found.num_products <= 30.5
    low, high = found.interval(0.999)
    for i, part in enumerate((diagonal, diagonal[30:])):
        assert low[i] <= part.sum() <= high[i]
    again = multilevel_layer_traces(H, {"all": "*", "2": "2.*"}, **options, seed=2)
    np.testing.assert_array_equal(again.values, found.values)
    assert {"first", "level-1-0", "level-1-1", "level-2-1", "level-2-2"} <= {p.name for p in tmp_path.iterdir()}


def test_an_accuracy_beyond_the_budget_says_what_it_takes():
    with pytest.warns(UserWarning, match=r"rtol=1e-07 was not reached after the cost of .* It takes about .* products"):
        multilevel_layer_traces(problem(), rtol=1e-7, max_products=30)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rtol": 0.0}, "rtol must lie between 0 and 1; got 0"),
        ({"atol": 0.0}, "atol must be positive and finite; got 0"),
        ({"max_products": 3.0}, r"max_products must be at least \d+\.?\d*, for 6 probes with all examples; got 3"),
        ({"layers": {"a": "nothing"}}, "nothing"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        multilevel_layer_traces(problem(), **arguments)
