"""Traces of layers: unbiased, with true errors, better than plain samples of the same products."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matrices import kinds
from torch import nn

from hessdens import as_operator, hessian_operator
from hessdens.reference import dense_hessian
from hessdens.structure import diagonal, layer_traces
from hessdens.testing import symmetric_matrices

KINDS = kinds()
HALVES = {"first": slice(0, 20), "second": slice(20, 60)}
SEEDS = 60


def exact(matrix):
    return np.array([np.diag(matrix)[:20].sum(), np.diag(matrix)[20:].sum()])


@pytest.mark.parametrize("low_memory", [False, True])
@pytest.mark.parametrize("name", ["decaying", "indefinite", "network"])
def test_unbiased_and_errors_are_those_of_many_seeds(name, low_memory):
    """Means within four of their standard errors; reported errors within 25% of the spread, which is known to 9%.

    ``benchmarks/structure.py`` has 300 seeds of more matrices.
    """
    options = {"max_products": 16, "low_memory": low_memory}
    found = [layer_traces(KINDS[name], HALVES, seed=seed, **options) for seed in range(SEEDS)]
    errors = np.array([result.values for result in found]) - exact(KINDS[name])
    reported = np.mean([result.standard_errors**2 for result in found], axis=0) ** 0.5
    spread = np.mean(errors**2, axis=0) ** 0.5
    assert np.abs(errors.mean(axis=0)).max() / (spread.max() / SEEDS**0.5) < 4
    assert (reported / spread >= 0.75).all()
    assert (reported / spread <= 1.4).all()


@pytest.mark.parametrize("name", ["decaying", "network", "definite network"])
def test_smaller_errors_than_plain_samples_of_as_many_products(name):
    errors = {}
    for low_memory in (False, True):
        found = [layer_traces(KINDS[name], HALVES, max_products=20, seed=s, low_memory=low_memory) for s in range(15)]
        errors[low_memory] = np.mean([(result.values - exact(KINDS[name])) ** 2 for result in found])
    assert errors[False] < errors[True] / 4


@pytest.mark.parametrize(("name", "sign"), [("network", 1), ("definite network", -1)])
def test_few_products_serve_outliers_of_either_sign(name, sign):
    """Eight products: of 40 seeds, errors are below a fifth of those of plain samples, and reported ones are true.

    ``benchmarks/structure.py`` has 300 seeds of more matrices, and 12 and 16 products.
    """
    matrix, squares, reported = sign * KINDS[name], {}, 0.0
    for low_memory in (False, True):
        found = [layer_traces(matrix, HALVES, max_products=8, seed=s, low_memory=low_memory) for s in range(40)]
        squares[low_memory] = np.mean([(result.values - exact(matrix)) ** 2 for result in found])
        reported = reported or np.mean([result.standard_errors**2 for result in found])
    assert (squares[False] / squares[True]) ** 0.5 < 0.2
    assert 0.75 < (reported / squares[False]) ** 0.5 < 1.4


def test_layers_of_a_model_may_overlap():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    inputs, targets = torch.randn(9, 4).double(), torch.randn(9, 2).double()
    H = hessian_operator(model, nn.MSELoss(), [(inputs, targets)])
    truth = dense_hessian(model, nn.MSELoss(), inputs, targets).diagonal().detach().numpy()
    found = layer_traces(H, {"all": "*", "biases": "*.bias", "column": {"2.weight": np.s_[:, 1]}}, max_products=44)
    np.testing.assert_allclose(
        found.values, [truth.sum(), truth[24:30].sum() + truth[42:].sum(), truth[[31, 37]].sum()]
    )
    assert (found.standard_errors == 0).all()
    found = layer_traces(H, max_products=20)
    assert (found.names, found.sizes) == (("0", "2"), (30, 14))
    assert np.abs((found.values - [truth[:30].sum(), truth[30:].sum()]) / found.standard_errors).max() < 5


@pytest.mark.parametrize("name", ["decaying", "network"])
def test_an_accuracy_is_kept(name):
    """By at least 36 of 40 seeds, for each layer; ``benchmarks/accuracy_of_traces.py`` has 100 of more matrices."""
    matrix, rtol = KINDS[name] + 0.1 * np.eye(60), 0.1
    found = [layer_traces(matrix, HALVES, rtol=rtol, max_products=500, seed=seed) for seed in range(40)]
    errors = np.abs(np.array([result.values for result in found]) - exact(matrix))
    assert (np.mean(errors <= rtol * np.abs(exact(matrix)), axis=0) >= 0.9).all()
    widths = np.array([np.diff(result.interval(), axis=0)[0] / 2 for result in found])
    assert (widths <= rtol * np.abs([result.values for result in found])).all()
    assert (np.mean(errors <= widths, axis=0) >= 0.85).all()
    assert max(result.num_products for result in found) <= 60


def test_an_absolute_accuracy_serves_a_trace_near_zero():
    matrix = KINDS["decaying"] - np.diag(np.diag(KINDS["decaying"]))
    found = layer_traces(matrix, HALVES, atol=0.2, max_products=50)
    assert found.num_products < 50
    assert np.diff(found.interval(), axis=0).max() <= 0.4
    with pytest.warns(UserWarning, match=r"rtol=0.1 was not reached after \d+ products of max_products=50: .* be 0"):
        layer_traces(matrix, HALVES, rtol=0.1, max_products=50)


def test_an_accuracy_beyond_the_budget_is_said():
    with pytest.warns(UserWarning, match=r"rtol=0.001 was not reached .* It takes about \d+ products"):
        found = layer_traces(KINDS["flat"] + np.eye(60), HALVES, rtol=1e-3, max_products=40)
    assert found.num_products <= 40


def test_an_accuracy_that_needs_many_products_is_exact():
    for most, spent in ((60, 60), (70, 69), (1_000, 78)):  # after some looks
        found = layer_traces(KINDS["flat"], HALVES, rtol=1e-6, max_products=most)
        np.testing.assert_allclose(found.values, exact(KINDS["flat"]))
        assert (found.standard_errors == 0).all()
        assert 60 <= found.num_products <= most
        assert found.num_products == pytest.approx(spent, abs=5)


def test_a_checkpoint_serves_a_closer_accuracy(tmp_path):
    matrix, counts = KINDS["decaying"] + 0.1 * np.eye(60), []

    def product(V):
        counts.append(V.shape[1])
        return torch.from_numpy(matrix) @ V

    operator = as_operator(product, size=60, dtype=torch.float64, check_symmetric=False)
    options = {"layers": HALVES, "checkpoint": tmp_path}
    first = layer_traces(operator, rtol=0.1, **options)
    spent = sum(counts)
    second = layer_traces(operator, rtol=0.05, **options)
    assert first.num_products < second.num_products
    assert sum(counts) - spent <= second.num_products - first.num_products + 2  # and those that know the function
    np.testing.assert_array_equal(second.values, layer_traces(matrix, HALVES, rtol=0.05).values)


def test_bad_input():
    for options, message in (({"rtol": 2.0}, "rtol must lie between 0 and 1; got 2"), ({"atol": -1.0}, "atol must be")):
        with pytest.raises(ValueError, match=message):
            layer_traces(KINDS["flat"], HALVES, **options)
    with pytest.raises(ValueError, match="max_products must be at least 4; got 2"):
        layer_traces(KINDS["flat"], HALVES, max_products=2)
    nowhere = as_operator(lambda V: V * torch.nan, size=50, check_symmetric=False)
    for low_memory in (False, True):
        with pytest.raises(ValueError, match=r"that of probe 0 is not \(overflow or NaN\)"):
            layer_traces(nowhere, {"all": slice(0, 50)}, max_products=8, low_memory=low_memory)
    with pytest.raises(TypeError, match="parts=None needs an operator that knows its parameters"):
        layer_traces(KINDS["flat"])


@settings(max_examples=25, deadline=None)
@given(symmetric_matrices(), st.sampled_from([-66, 0, 66]), st.integers(4, 12))
def test_layers_of_one_parameter_are_entries_of_the_diagonal(case, exponent, max_products):
    """Whatever the spectrum and the scale, in float32: both are made of the same samples."""
    matrix = np.ldexp(case[0].astype(np.float32), exponent)
    layers = {f"{i}": slice(i, i + 1) for i in range(len(matrix))} | {"all": slice(0, len(matrix))}
    traces, entries = (f(matrix, max_products=max_products) for f in (partial(layer_traces, layers=layers), diagonal))
    size = np.abs(matrix).max()
    np.testing.assert_allclose(traces.values[:-1], entries.values, rtol=1e-5, atol=1e-5 * size)
    assert abs(traces.of("all")[0] - entries.values.sum()) <= 1e-4 * size * len(matrix)
    assert np.isfinite(traces.standard_errors).all()
