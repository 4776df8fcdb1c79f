"""Norms of blocks: unbiased, with true errors, and the share and cosine of what lies outside of the diagonal."""

import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matrices import kinds, rotated
from torch import nn

from hessdens import as_operator, hessian_operator
from hessdens.reference import dense_hessian
from hessdens.structure import block_norms
from hessdens.testing import symmetric_matrices

KINDS = kinds()
EDGES = (0, 7, 30, 60)
PARTS = {name: slice(*ends) for name, ends in zip("abc", pairwise(EDGES), strict=True)}
SEEDS = 100


def exact_norms(matrix):
    blocks = [slice(*ends) for ends in pairwise(EDGES)]
    return np.array([[np.sum(matrix[i, j] ** 2) for j in blocks] for i in blocks])


@pytest.mark.parametrize("name", ["decaying", "network", "diagonal"])
def test_unbiased_and_errors_are_those_of_many_seeds(name):
    """Means of 100 seeds within four of their standard errors; mean reported variances within 30% of the spread's."""
    matrix, truth = KINDS[name], exact_norms(KINDS[name])
    found = [block_norms(matrix, PARTS, num_probes=6, seed=seed) for seed in range(SEEDS)]
    errors = np.array([norms.values for norms in found]) - truth
    spread = np.mean(errors**2, axis=0)
    assert (np.abs(errors.mean(axis=0)) <= 4 * np.sqrt(spread / SEEDS) + 1e-12).all()
    reported = np.mean([norms.standard_errors**2 for norms in found], axis=0)
    assert 0.7 * spread.sum() - 1e-12 <= reported.sum() <= 1.3 * spread.sum() + 1e-12
    share = 1 - np.trace(truth) / truth.sum()
    shares = np.array([norms.share_outside() for norms in found])
    assert abs(shares.mean() - share) < 4 * shares.std() / SEEDS**0.5 + 0.005
    covered = [
        low <= share + 1e-9 and share - 1e-9 <= high for low, high in (n.share_outside_interval() for n in found)
    ]
    assert np.mean(covered) > 0.85
    traces = [norms.trace_of("b")[0] for norms in found]
    assert abs(np.mean(traces) - np.trace(matrix[7:30, 7:30])) < 4 * np.std(traces) / SEEDS**0.5 + 1e-12


def test_a_block_diagonal_matrix_has_nothing_outside():
    matrix = np.zeros((60, 60))
    for low, high in pairwise(EDGES):
        matrix[low:high, low:high] = rotated(np.arange(1.0, 1 + high - low), seed=low)
    norms = block_norms(matrix, PARTS, num_probes=3)
    assert norms.share_outside() == 0.0
    assert norms.cosine() == pytest.approx(1.0)
    assert norms.share_outside_interval() == (0.0, 0.0)


def test_cosine_is_that_of_whole_probes():
    matrix = KINDS["decaying"]
    own = np.zeros_like(matrix)
    for low, high in pairwise(EDGES):
        own[low:high, low:high] = matrix[low:high, low:high]
    probes = np.random.default_rng(0).choice([-1.0, 1.0], (60, 4000))
    whole, part = matrix @ probes, own @ probes
    cosines = np.sum(whole * part, axis=0) / np.linalg.norm(whole, axis=0) / np.linalg.norm(part, axis=0)
    norms = block_norms(matrix, PARTS, num_probes=60)
    low, high = norms.cosine_interval(0.999)
    assert low <= cosines.mean() <= high
    assert high - low < 0.2


def test_cosine_of_some_parts_is_that_of_their_own_matrix():
    matrix = KINDS["decaying"].copy()
    some = {name: PARTS[name] for name in "ab"}
    inside = block_norms(matrix, some, num_probes=3)
    matrix[30:] = matrix[:, 30:] = 0
    assert block_norms(matrix, some, num_probes=3).cosine() == pytest.approx(inside.cosine())


def test_parts_of_a_model():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    inputs, targets = torch.randn(9, 4).double(), torch.randn(9, 2).double()
    H = hessian_operator(model, nn.MSELoss(), [(inputs, targets)])
    dense = dense_hessian(model, nn.MSELoss(), inputs, targets).detach().numpy()
    norms = block_norms(H, num_probes=200, block_size=50)
    truth = np.array(
        [[np.sum(dense[i, j] ** 2) for j in (slice(30), slice(30, 44))] for i in (slice(30), slice(30, 44))]
    )
    assert np.abs((norms.values - truth) / norms.standard_errors).max() < 4.5
    assert (norms.names, norms.num_products) == (("0", "2"), 400)


@pytest.mark.parametrize("block_size", [1, 2, 16])
def test_block_size_does_not_change_the_result(block_size, monkeypatch):
    reference = block_norms(KINDS["network"], PARTS, num_probes=3, block_size=3)
    found = block_norms(KINDS["network"], PARTS, num_probes=3, block_size=block_size)
    np.testing.assert_allclose(found.samples, reference.samples, rtol=1e-10)
    np.testing.assert_allclose(found.cosines, reference.cosines, rtol=1e-10)


def test_blocks_are_smaller_where_memory_is_short(monkeypatch):
    widths = []

    def product(V):
        widths.append(V.shape[1])
        return V

    operator = as_operator(product, size=60, check_symmetric=False)
    module = sys.modules["hessdens.structure.block_norms"]  # its name in the package is that of the function
    monkeypatch.setattr(module, "usual_bytes", lambda device: 2 * 4 * 60 * 8)
    block_norms(operator, PARTS, num_probes=2)
    assert widths == [2, 1, 2, 1]


def test_progress_counts_products(capsys):
    block_norms(KINDS["flat"], PARTS, num_probes=2, progress=True)
    assert "6/6" in capsys.readouterr().err


def test_bad_input():
    with pytest.raises(ValueError, match="num_probes must be at least 2, for a standard error; got 1"):
        block_norms(KINDS["flat"], PARTS, num_probes=1)
    with pytest.raises(ValueError, match="block_size must be at least 1; got 0"):
        block_norms(KINDS["flat"], PARTS, block_size=0)
    with pytest.raises(ValueError, match=r"that of part 0 of probe 0 is not \(overflow or NaN\)"):
        block_norms(as_operator(lambda V: V * torch.nan, size=60, check_symmetric=False), PARTS)


@settings(max_examples=25, deadline=None)
@given(symmetric_matrices(), st.sampled_from([-66, 0, 66]))
def test_blocks_of_one_entry_are_exact_at_all_scales(case, exponent):
    """A probe of one entry is ±1 there: its product is a column."""
    matrix = np.ldexp(case[0].astype(np.float32), exponent)
    parts = {f"{i}": slice(i, i + 1) for i in range(len(matrix))}
    norms = block_norms(matrix, parts, num_probes=2)
    squares = matrix.astype(np.float64) ** 2
    np.testing.assert_allclose(norms.values, squares, rtol=1e-5, atol=1e-12 * squares.max())
    assert (norms.standard_errors <= 1e-5 * squares.max()).all()
    assert 0 <= norms.share_outside() <= 1
    assert -1 <= norms.cosine() <= 1 + 1e-9
