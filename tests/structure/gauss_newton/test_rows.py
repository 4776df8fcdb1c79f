"""Rows of one block: against the Jacobian, by factors and entry by entry, and uses that factors do not tell of."""

import numpy as np
import pytest
import torch
from gauss_newton_cases import Tied, make_cases
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import ggn_operator
from hessdens.structure import output_gram
from hessdens.structure.gauss_newton.outputs import blocks_of, joined_blocks, root_of
from hessdens.structure.gauss_newton.rows import OtherUseError, Rows, Share, add_block, pulled, pulled_parts

CASES = make_cases()


def jacobian_rows(G, block, root):
    """Return F^T J of one block, shape (r, N)."""
    loss, values = G.problem.loss, dict(G.problem.loss.named(G.parameter_names))
    return pulled(loss, block, values, [root.columns])


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


def test_rows_of_examples_are_pulled_together():
    G = CASES["encoder"]
    loss, values = G.problem.loss, dict(G.problem.loss.named(G.parameter_names))
    (block, singles), *_ = joined_blocks(G)
    rows = [np.random.default_rng(i).standard_normal((3, 12)) for i in range(2)]
    alone = [pulled(loss, single, values, [row]) for (single, _), row in zip(singles, rows, strict=True)]
    [together] = pulled_parts(loss, block, [single for single, _ in singles], values, rows)
    torch.testing.assert_close(together, alone[0] + alone[1])


@pytest.mark.parametrize("counts", [(True, False, True), (False, False, False)])
def test_examples_that_do_not_count_are_not_worked_on(counts):
    G = CASES["perceptron"]
    loss, values, block, root = first(G)
    rows = [root.columns if each else None for each in counts]
    nothing = (torch.full((1, 4), torch.nan, dtype=torch.float64), block[1])
    singles = [block if each else nothing for each in counts]
    joined = tuple(torch.cat(parts) for parts in zip(*singles, strict=True))
    parts = list(pulled_parts(loss, joined, singles, values, rows))
    assert len(parts) == sum(counts)
    for part in parts:
        torch.testing.assert_close(part, pulled(loss, block, values, [root.columns]))


def test_outputs_that_are_not_made_of_examples_are_pulled_one_by_one():
    class Penalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x):
            return self.layer(x), self.layer.weight.flatten()[:3]

    torch.manual_seed(0)
    model, inputs = Penalised().double(), torch.randn(3, 4, dtype=torch.float64)
    loss_fn = lambda outputs, y: F.mse_loss(outputs[0], y) + outputs[1].square().sum()  # noqa: E731
    G = ggn_operator(model, loss_fn, [(inputs, torch.zeros(3, 2, dtype=torch.float64))])
    values, vectors = output_gram(G).eigenvectors(3)
    torch.testing.assert_close(G @ vectors, vectors * torch.from_numpy(values), rtol=0, atol=1e-10)
