"""Square roots of output Hessians, and the blocks that they belong to."""

import numpy as np
import pytest
import torch
from gauss_newton_cases import INPUTS, LABELS, PAIRS, cosine, make_cases, perceptron
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import NonFiniteError, ggn_operator
from hessdens.structure.gauss_newton.outputs import blocks_of, root_of, split_like


def root(loss_fn, outputs, weight=1.0):
    """Return the root of a loss at outputs that a model of one parameter gives."""
    model = torch.nn.Linear(1, outputs.numel(), bias=False).double()
    model.weight.data = outputs.reshape(-1, 1)
    G = ggn_operator(model, F.mse_loss, [(torch.ones(1, 1).double(), outputs.reshape(1, -1))])
    loss = G.problem.loss.with_loss(loss_fn)
    block = (torch.ones(1, 1).double(), torch.tensor([0]))
    return root_of(loss, block, dict(loss.named(["weight"])), weight)


def test_root_of_cross_entropy():
    z = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    p = z.softmax(0).numpy()
    found = root(F.cross_entropy, z, weight=3.0)
    assert found.rank == 2  # sums of outputs change nothing
    np.testing.assert_allclose(found.columns.T @ found.columns, 3 * (np.diag(p) - np.outer(p, p)), atol=1e-14)


def test_signs_of_a_loss_that_is_not_convex():
    z = torch.tensor([0.3, 2.5], dtype=torch.float64)
    found = root(cosine, z)
    exact = np.diag(-np.cos(z.numpy()) / 2)
    np.testing.assert_allclose((found.columns.T * found.signs) @ found.columns, exact, atol=1e-14)


def test_hessian_of_many_outputs_is_made_in_pieces(monkeypatch):
    z = torch.linspace(-1, 1, 7, dtype=torch.float64)
    whole = root(F.cross_entropy, z)
    monkeypatch.setattr("hessdens.structure.gauss_newton.outputs.COLUMNS", 3)
    pieces = root(F.cross_entropy, z)
    np.testing.assert_allclose(pieces.columns.T @ pieces.columns, whole.columns.T @ whole.columns, atol=1e-15)


def test_a_hessian_that_is_not_finite_is_refused():
    with pytest.raises(NonFiniteError, match="The loss must have a finite Hessian in the outputs; it is not"):
        root(lambda z, y: (z * torch.nan).square().mean(), torch.ones(2).double())


def test_blocks_are_examples_with_their_weights():
    cases = make_cases()
    assert [(len(block[0]), weight) for block, weight in blocks_of(cases["perceptron"])] == [(1, 1.0)] * 6
    assert [(len(block[0]), weight) for block, weight in blocks_of(cases["not split"])] == [(6, 1.0)]
    some = nn.CrossEntropyLoss(ignore_index=0)
    G = ggn_operator(perceptron(), some, PAIRS, num_examples=lambda batch: float((batch[1] > 0).sum()))
    assert sum(1 for _ in blocks_of(G)) == int((LABELS > 0).sum())
    assert len(INPUTS) == 6


def test_rows_in_the_shapes_of_outputs():
    parts = [torch.zeros(1, 2), torch.zeros(3)]
    first, second = split_like(torch.arange(10.0).reshape(2, 5), parts)
    assert (first.shape, second.tolist()) == ((2, 1, 2), [[2.0, 3.0, 4.0], [7.0, 8.0, 9.0]])
