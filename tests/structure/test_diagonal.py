"""The diagonal: unbiased, with true errors, and no worse than XDiag at equal products."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matrices import kinds, rotated
from naive import xdiag
from torch import nn

from hessdens import as_operator, hessian_operator
from hessdens.linalg.operator import FunctionOperator
from hessdens.linalg.team import Team
from hessdens.reference import dense_hessian
from hessdens.structure import diagonal, layer_traces
from hessdens.testing import symmetric_matrices

KINDS = kinds()
SEEDS = 60


@pytest.mark.parametrize("low_memory", [False, True])
@pytest.mark.parametrize("name", ["decaying", "indefinite", "network"])
def test_unbiased_and_errors_are_those_of_many_seeds(name, low_memory):
    """Means within four of their standard errors; reported errors within 20% of the spread, which is known to 7%.

    ``benchmarks/structure.py`` has 300 seeds of more matrices.
    """
    matrix, truth = KINDS[name], np.diag(KINDS[name])
    found = [diagonal(matrix, max_products=16, seed=seed, low_memory=low_memory) for seed in range(SEEDS)]
    errors = np.array([result.values - truth for result in found])
    reported = np.mean([result.standard_errors**2 for result in found], axis=0)
    z_scores = errors.mean(axis=0) / (errors.std(axis=0) / SEEDS**0.5)
    assert np.abs(z_scores).max() < 4
    assert 0.8 < (reported.sum() / np.mean(np.sum(errors**2, axis=1))) ** 0.5 < 1.2
    trace_error = np.mean([result.trace_error**2 for result in found]) ** 0.5
    assert 0.75 < trace_error / np.mean(errors.sum(axis=1) ** 2) ** 0.5 < 1.3


@pytest.mark.parametrize("num_products", [8, 20])
@pytest.mark.parametrize("name", KINDS)
def test_no_worse_than_xdiag_at_equal_products(name, num_products):
    """Squared errors of 20 seeds: medians, and means where one seed in twenty may be far out."""
    matrix, truth, rng = KINDS[name], np.diag(KINDS[name]), np.random.default_rng(0)
    ours = [np.sum((diagonal(matrix, max_products=num_products, seed=s).values - truth) ** 2) for s in range(20)]
    theirs = [np.sum((xdiag(matrix, num_products, rng) - truth) ** 2) for _ in range(20)]
    assert np.median(ours) <= 1.1 * np.median(theirs)
    assert np.mean(ours) <= 2 * np.mean(theirs)


SCALES = [(np.float64, 100), (np.float64, -100), (np.float32, 66), (np.float32, -66)]


@settings(max_examples=40, deadline=None)
@given(symmetric_matrices(), st.sampled_from(SCALES), st.integers(4, 12), st.booleans())
def test_all_spectra_at_all_scales(case, scale, max_products, low_memory):
    """Zero, rank one, N = 1, multiple and tiny eigenvalues, times a power of two: the same digits."""
    dtype, exponent = scale
    matrix, options = case[0].astype(dtype), {"max_products": max_products, "low_memory": low_memory}
    found, scaled = (diagonal(M, **options) for M in (matrix, np.ldexp(matrix, exponent)))
    size = np.abs(found.values).max()
    for name in ("values", "standard_errors"):
        plain = getattr(found, name)
        assert np.isfinite(plain).all()
        np.testing.assert_allclose(np.ldexp(getattr(scaled, name), -exponent), plain, rtol=1e-4, atol=1e-4 * size)
    if len(matrix) <= max_products:
        np.testing.assert_allclose(found.values, np.diag(matrix), rtol=1e-5)


def test_exact_where_so_many_products_are_allowed():
    found = diagonal(KINDS["flat"], max_products=60)
    np.testing.assert_allclose(found.values, np.diag(KINDS["flat"]), rtol=1e-14)
    assert (found.num_products, found.num_probes, found.trace_error, found.relative_error()) == (60, 0, 0.0, 0.0)


def test_low_rank_is_exact_to_rounding():
    matrix = rotated(np.concatenate([[5.0, -3.0, 1.0], np.zeros(57)]))
    found = diagonal(matrix, max_products=20)
    np.testing.assert_allclose(found.values, np.diag(matrix), atol=1e-12)
    assert found.num_products == 13


def test_parameters_of_a_model_have_their_entries():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    inputs, targets = torch.randn(9, 4).double(), torch.randn(9, 2).double()
    found = diagonal(hessian_operator(model, nn.MSELoss(), [(inputs, targets)]), max_products=44)
    exact = dense_hessian(model, nn.MSELoss(), inputs, targets).diagonal().detach().numpy()
    np.testing.assert_allclose(found.of("2.weight")[0], exact[30:42])
    assert found.names == ("0.weight", "0.bias", "2.weight", "2.bias")


def test_a_small_layer_of_a_model_is_exact_for_as_many_products_as_it_has_parameters():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 20), nn.Tanh(), nn.Linear(20, 2)).double()
    inputs, targets = torch.randn(9, 4).double(), torch.randn(9, 2).double()
    whole = dense_hessian(model, nn.MSELoss(), inputs, targets).diagonal().detach().numpy()
    for layer, place in (("2.bias", slice(140, 142)), ("2.*", slice(100, 142))):
        block = hessian_operator(model, nn.MSELoss(), [(inputs, targets)], parameters=layer)
        found, [trace] = diagonal(block), layer_traces(block).values
        np.testing.assert_allclose(found.values, whole[place])
        assert trace == pytest.approx(whole[place].sum())
        assert not found.standard_errors.any()
        assert found.num_products == layer_traces(block).num_products == place.stop - place.start


@pytest.mark.parametrize("low_memory", [False, True])
def test_block_size_and_checkpoint_do_not_change_the_result(low_memory, tmp_path):
    calls = []

    def product(V):
        calls.append(V.shape[1])
        return torch.tensor(KINDS["indefinite"]) @ V

    operator = as_operator(product, size=60)
    options = {"max_products": 12, "low_memory": low_memory}
    first = diagonal(operator, block_size=3, **options, checkpoint=tmp_path / "work")
    calls.clear()
    again = diagonal(operator, block_size=3, **options, checkpoint=tmp_path / "work")
    assert sum(calls) <= 4  # to recognise the run
    np.testing.assert_array_equal(again.values, first.values)
    np.testing.assert_allclose(diagonal(operator, block_size=12, **options).values, first.values, rtol=1e-8, atol=1e-10)


def test_memory_that_is_short_is_not_used(monkeypatch):
    monkeypatch.setattr("hessdens.structure.diagonals.sampling.usual_bytes", lambda device: 100)
    found = diagonal(KINDS["indefinite"], max_products=12)
    np.testing.assert_array_equal(found.values, diagonal(KINDS["indefinite"], max_products=12, low_memory=True).values)


class Sharded(Team):
    is_sharded = True


def test_bad_input():
    with pytest.raises(ValueError, match="max_products must be at least 4; got 3"):
        diagonal(KINDS["flat"], max_products=3)
    with pytest.raises(TypeError, match=r"max_products must be a whole number; got 64\.0"):
        diagonal(KINDS["flat"], max_products=64.0)
    with pytest.raises(ValueError, match="seed must be a non-negative integer; got -1"):
        diagonal(KINDS["flat"], seed=-1)
    sharded = FunctionOperator(torch.clone, size=6, dtype=torch.float64, device=torch.device("cpu"), team=Sharded())
    with pytest.raises(ValueError, match="diagonal needs whole vectors; those of this operator are sharded"):
        diagonal(sharded)
    for low_memory in (False, True):
        with pytest.raises(ValueError, match=r"that of probe 0 is not \(overflow or NaN\)"):
            diagonal(
                as_operator(lambda V: V * torch.nan, size=50, check_symmetric=False), max_products=8,
                low_memory=low_memory,
            )  # fmt: skip
