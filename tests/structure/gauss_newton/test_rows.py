"""Rows of one block: against the Jacobian, by factors and entry by entry, and uses that factors do not tell of."""

import pytest
import torch
from gauss_newton_cases import Tied, make_cases

from hessdens.structure.gauss_newton.outputs import blocks_of, root_of
from hessdens.structure.gauss_newton.rows import OtherUseError, Rows, Share, add_block, pulled

CASES = make_cases()


def jacobian_rows(G, block, root):
    """Return F^T J of one block, shape (r, N)."""
    loss, values = G.problem.loss, dict(G.problem.loss.named(G.parameter_names))
    return pulled(loss, block, values, root, torch.eye(root.rank, dtype=torch.float64))


def first(G):
    loss, values = G.problem.loss, dict(G.problem.loss.named(G.parameter_names))
    block, weight = next(iter(blocks_of(G)))
    return loss, values, block, root_of(loss, block, values, weight)


def test_pulled_rows_give_the_matrix_of_the_block():
    G = CASES["not split"]
    _, _, block, root = first(G)
    J = jacobian_rows(G, block, root)
    torch.testing.assert_close(J.T @ J, G @ torch.eye(G.size, dtype=torch.float64))


@pytest.mark.parametrize("name", ["perceptron", "tied", "encoder"])
def test_grams_of_each_parameter(name):
    G = CASES[name]
    loss, values, block, root = first(G)
    factored = frozenset(
        n for n in G.parameter_names if "embedding" not in n and "norm" not in n and "in_proj" not in n
    )
    factored -= {n for n in factored if "out_proj" in n}  # torch calls these inside of a function of its own
    rows = Rows(Share(factored, {n: slice(None) for n in G.parameter_names if n not in factored}))
    add_block(rows, loss, block, values, factored, root)
    pieces = jacobian_rows(G, block, root).split(list(G.parameter_sizes.values()), dim=1)
    grams = rows.grams()
    assert grams.keys() == G.parameter_sizes.keys()
    for parameter, J in zip(G.parameter_names, pieces, strict=True):
        torch.testing.assert_close(grams[parameter], J @ J.T)
    assert (rows.factors, rows.entries) == ({}, {})


def test_parameters_with_other_uses_are_named():
    G = CASES["tied"]
    loss, values, block, root = first(G)
    factored = frozenset(["embedding.weight"])
    with pytest.raises(OtherUseError) as caught:
        add_block(Rows(Share(factored, {})), loss, block, values, factored, root)
    assert caught.value.names == factored
    assert isinstance(loss.model, Tied)


def test_a_factored_parameter_without_a_use_is_named():
    G = CASES["perceptron"]
    loss, values, block, root = first(G)
    rows = Rows(Share(frozenset(["0.weight", "lost"]), {}))
    with pytest.raises(OtherUseError, match="lost"):
        add_block(rows, loss, block, values | {"lost": torch.zeros(1)}, rows.share.factored, root)
