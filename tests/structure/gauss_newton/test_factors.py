"""Inner products of gradients by their factors, against the gradients."""

import pytest
import torch

from hessdens.structure.gauss_newton import factors
from hessdens.structure.gauss_newton.factors import Factors


def made(lengths, rows=3, n=5, m=4, *, is_bias=False):
    generator = torch.Generator().manual_seed(0)
    found, gradients = Factors(), []
    for T in lengths:
        X, D = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((T, n), (rows, T, m)))
        found.add([(None if is_bias else X, D)])
        gradients += list(D.sum(dim=1) if is_bias else torch.einsum("rtm,tn->rmn", D, X).flatten(start_dim=1))
    whole = torch.stack(gradients)
    return found, whole @ whole.T


@pytest.mark.parametrize("lengths", [(1, 1, 1), (2, 2), (3, 1, 2), (7, 7)])
@pytest.mark.parametrize("way", ["_by_factors", "_multiplied_out"])
def test_both_ways(lengths, way, monkeypatch):
    other = "_multiplied_out" if way == "_by_factors" else "_by_factors"
    monkeypatch.setattr(factors, other, getattr(factors, way))
    found, expected = made(lengths)
    torch.testing.assert_close(found.gram(), expected)


def test_biases_and_small_chunks(monkeypatch):
    found, expected = made((2, 3), is_bias=True)
    torch.testing.assert_close(found.gram(), expected)
    monkeypatch.setattr(factors, "ENTRIES_PER_CHUNK", 40)
    found, expected = made((9, 9))
    torch.testing.assert_close(found.gram(), expected)


def test_several_uses_in_a_block_add_up():
    X, D = torch.randn(2, 1, 5), torch.randn(2, 3, 1, 4)
    found = Factors()
    found.add([(X[0], D[0]), (X[1], D[1])])
    whole = sum(torch.einsum("rtm,tn->rmn", D[i], X[i]).flatten(start_dim=1) for i in range(2)).double()
    torch.testing.assert_close(found.gram(), whole @ whole.T, rtol=1e-5, atol=1e-5)
