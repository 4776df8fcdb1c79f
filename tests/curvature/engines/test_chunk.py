"""Probes as matrix products need them, memory that is used again, and sums of derivatives."""

import torch

from hessdens.curvature.engines.chunk import Chunk, Derivatives, Workspace

PARAMETERS = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}


def test_rows_and_columns_of_probes():
    probes = torch.arange(16.0).reshape(2, 8)
    chunk = Chunk(PARAMETERS, probes)
    weights, biases = probes[:, :6].reshape(2, 2, 3), probes[:, 6:]
    assert torch.equal(chunk.rows("weight"), weights.reshape(4, 3))
    assert torch.equal(chunk.rows("bias"), biases.reshape(4))
    joined = torch.cat([weights, biases[:, :, None]], dim=2).reshape(4, 4)
    assert torch.equal(chunk.rows("weight", "bias"), joined)
    assert torch.equal(chunk.columns["weight"], torch.cat([weights[0], weights[1]], dim=1))
    chunk.load(2 * probes)
    assert torch.equal(chunk.rows("weight", "bias"), 2 * joined)


def test_parameters_in_which_all_probes_are_zero():
    chunk = Chunk(PARAMETERS, torch.eye(8)[6:])
    assert chunk.moving == {"bias"}
    chunk.load(torch.eye(8)[:2])
    assert chunk.moving == {"weight"}


def test_sums_are_in_the_order_of_parameters():
    chunk = Chunk(PARAMETERS, torch.ones(2, 8))
    chunk.row_sums["weight"] += torch.arange(12.0).reshape(4, 3)
    chunk.column_sums["weight"][:, 3:] += 100
    chunk.row_sums["bias"] += torch.tensor([1.0, 2.0, 3.0, 4.0])
    expected = [[0.0, 1, 2, 3, 4, 5, 1, 2], [106, 107, 108, 109, 110, 111, 3, 4]]
    assert chunk.total().tolist() == expected


def test_workspace_hands_out_what_it_was_given():
    workspace = Workspace()
    first = workspace.take((2, 3), torch.zeros(1))
    workspace.give([first, None, first])
    assert workspace.take((2, 3), first) is first
    assert workspace.take((2, 3), first) is not first, "each tensor is there once"


def test_derivatives_add_in_place_unless_another_value_has_the_tensor():
    derivatives = Derivatives(Chunk(PARAMETERS, torch.ones(1, 8)), Workspace(), [True] * 3, {})
    shared = torch.ones(2, 1, 3)
    derivatives.add(0, shared)
    derivatives.add(1, shared)
    assert derivatives.is_held(shared)
    derivatives.add(0, torch.ones(2, 1, 3), factor=2.0)
    assert shared.unique().tolist() == [1.0], "value 1 still has it"
    assert derivatives.gradients[0].unique().tolist() == [3.0]
    derivatives.add(1, torch.ones(2, 1, 3))
    assert shared.unique().tolist() == [2.0], "nobody else has it now"
