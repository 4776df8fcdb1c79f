"""Whether torch can differentiate a loss once and twice, and which module is to blame where it cannot."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from hessdens.curvature.engines.loss_module import LossModule

Values = Mapping[str, Tensor]


def is_differentiable_once_only(loss: LossModule, batch: Any, values: Values) -> bool:
    """Return whether a custom operation forbids a second derivative, which torch would silently take as zero."""
    leaves = {name: value.detach().requires_grad_() for name, value in values.items()}
    with torch.enable_grad():
        return _forbids_more(torch.autograd.grad(loss.value(batch, leaves), list(leaves.values()), create_graph=True))


def place_without_derivative(loss: LossModule, batch: Any, values: Values, order: int) -> str:
    """Return the innermost module of whose output torch has no derivative of this order (1 or 2), or the loss.

    Cost: one or two gradients a module.
    """
    leaves = {name: value.detach().requires_grad_() for name, value in values.items()}
    handles = []

    def look(name: str, module: nn.Module, output: Any) -> None:
        if not _has_derivative(output, list(leaves.values()), order):
            raise _FoundError(f"{type(module).__name__} {name!r}")

    for name, module in loss.model.named_modules():
        handles.append(module.register_forward_hook(lambda m, _, output, name=name: look(name, m, output)))
    try:
        with torch.enable_grad():
            loss.outputs(batch, leaves)
    except _FoundError as found:
        return str(found)
    finally:
        for handle in handles:
            handle.remove()
    return "the loss function"


class _FoundError(Exception):
    """The message is the module."""


def _has_derivative(output: Any, leaves: list[Tensor], order: int) -> bool:
    """Return whether torch can differentiate a module's output so many times."""
    # Squares, so that what goes into a backward pass depends on the parameters, as the gradient of a loss does.
    parts = [part.square().sum() for part in tree_leaves(output) if isinstance(part, Tensor) and part.requires_grad]
    try:
        for _ in range(order):
            if not parts:
                return True
            total = torch.stack([part.to(parts[0].dtype) for part in parts]).sum()
            gradients = torch.autograd.grad(total, leaves, create_graph=True, allow_unused=True)
            found = [entry for entry in gradients if entry is not None and entry.requires_grad]
            if order > 1 and _forbids_more(found):
                return False
            parts = [entry.square().sum() for entry in found]
    except (RuntimeError, NotImplementedError):
        return False
    return True


def _forbids_more(gradients: Sequence[Tensor]) -> bool:
    nodes = [entry.grad_fn for entry in gradients]
    seen = set(nodes)
    while nodes:
        node = nodes.pop()
        if node is not None:
            if node.name() == "torch::autograd::Error":
                return True
            fresh = {function for function, _ in node.next_functions} - seen
            seen |= fresh
            nodes += fresh
    return False
