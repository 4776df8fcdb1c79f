"""What the tape sees of linear maps: inputs, and gradients at outputs."""

import torch
from torch.nn import functional as F  # noqa: N812

from hessdens.structure.gauss_newton.linear_tape import LinearTape

W, B = torch.randn(3, 2).requires_grad_(), torch.randn(3).requires_grad_()
LEAVES = {"w": W, "b": B}
X = torch.randn(4, 2)


def test_a_use_has_inputs_and_a_probe():
    with LinearTape(LEAVES, {"w", "b"}, {"w", "b"}) as tape:
        result = F.linear(X, W, bias=B)
    (use,) = tape.uses
    assert (use.weight, use.bias) == ("w", "b")
    assert torch.equal(use.inputs, X)
    torch.testing.assert_close(result, F.linear(X, W, B))
    (D,) = torch.autograd.grad(result.square().sum(), use.probe)
    expected, at_bias = torch.autograd.grad(F.linear(X, W, B).square().sum(), [W, B])
    torch.testing.assert_close(D.T @ X, expected)
    torch.testing.assert_close(D.sum(dim=0), at_bias)


def test_factored_parameters_are_constants_and_others_are_not():
    with LinearTape(LEAVES, {"w"}, {"w"}) as tape:
        result = F.linear(X, W, B)
    assert (tape.uses[0].weight, tape.uses[0].bias) == ("w", None)
    found = torch.autograd.grad(result.sum(), [W, B], allow_unused=True)
    assert found[0] is None
    assert found[1] is not None


def test_uses_of_parameters_that_are_not_wanted_leave_no_trace():
    with LinearTape(LEAVES, {"w", "b"}, set()) as tape:
        F.linear(X, W, B)
        F.linear(X, torch.ones(3, 2))
        W.sum()
    assert tape.uses == []
