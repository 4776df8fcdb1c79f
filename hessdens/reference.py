"""Dense derivatives of small networks by torch's own transforms: the reference of tests and of the self-test."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def outputs_by_parameters(model: nn.Module, inputs: Tensor) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Return the outputs as a function of all parameters in one vector, and that vector, shape (N,)."""
    named = dict(model.named_parameters())

    def outputs(vector: Tensor) -> Tensor:
        pieces = vector.split([parameter.numel() for parameter in named.values()])
        values = {name: piece.view_as(named[name]) for name, piece in zip(named, pieces, strict=True)}
        return torch.func.functional_call(model, values, (inputs,))

    return outputs, torch.cat([parameter.detach().reshape(-1) for parameter in named.values()])


def dense_hessian(model: nn.Module, loss_fn: Callable[[Tensor, Any], Tensor], inputs: Tensor, targets: Any) -> Tensor:
    """Return the Hessian of the loss of one batch, shape (N, N).

    Examples
    --------
    >>> model = nn.Linear(2, 1, bias=False)
    >>> dense_hessian(model, nn.MSELoss(), torch.eye(2), torch.zeros(2, 1))
    tensor([[1., 0.],
            [0., 1.]])
    """
    outputs, parameters = outputs_by_parameters(model, inputs)
    return torch.func.hessian(lambda vector: loss_fn(outputs(vector), targets))(parameters)
