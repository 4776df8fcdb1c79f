"""Which module is to blame where torch has no derivative, or a wrong one."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hessdens.curvature.containers import tensors_of
from hessdens.curvature.engines.loss_module import LossModule, Values
from hessdens.curvature.engines.replacement import called, hooked, is_of_the_model
from hessdens.curvature.trials.graph import forbids_more


def place_of_contradiction(
    loss: LossModule, values: Values, batch: Any, contradicts: Callable[[LossModule], bool]
) -> str:
    """Return the first module that finishes whose outputs, but not inputs, have a contradicted second derivative.

    Cost: one product and some gradients per module, until it is found.
    """
    names: list[str] = []
    with hooked(loss.model, lambda name, *_: names.append(name)):
        loss.outputs(batch, values)

    def is_contradicted(name: str, what: str) -> bool:
        return contradicts(loss.with_loss(_sum_of_squares, partial(_seen_at, loss, name, what=what)))

    for name in dict.fromkeys(names):
        if is_contradicted(name, "outputs") and not is_contradicted(name, "inputs"):
            return called(name, loss.model.get_submodule(name))
    return "the loss function"


def _seen_at(loss: LossModule, name: str, model: nn.Module, batch: Any, *, what: str) -> tuple[Any, None]:
    """Return the "inputs" or "outputs" of a module while a batch is evaluated."""
    seen: list[Any] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        seen.append(inputs if what == "inputs" else output)

    hook = model.get_submodule(name).register_forward_hook(note)
    try:
        loss.forward(batch)
    finally:
        hook.remove()
    return seen, None


def _sum_of_squares(outputs: Any, _: None) -> Tensor:
    parts = [part.square().sum() for part in tensors_of(outputs) if part.is_floating_point()]
    return torch.stack([part.to(parts[0].dtype) for part in parts]).sum()


@contextlib.contextmanager
def gradient_exists(loss: LossModule, values: Values, batch: Any) -> Iterator[None]:
    """Raise ValueError, naming the module, where torch finds that the loss of a batch has no gradient."""
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:
        if not is_of_the_model(error):
            raise
        place = place_without_derivative(loss, batch, values, 1)
        raise ValueError(f"The loss must have a gradient; {place} has none: {error}") from error


def place_without_derivative(loss: LossModule, batch: Any, values: Values, order: int) -> str:
    """Return the innermost module whose output has no derivative of this order (1 or 2) in torch, or the loss.

    Cost: one or two gradients per module.
    """
    leaves = {name: value.detach().requires_grad_() for name, value in values.items()}

    def look(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        # What is wrong with the inputs already happened in a module around this one.
        before, after = (_has_derivative(values, list(leaves.values()), order) for values in (inputs, output))
        if before and not after:
            raise _CulpritError(called(name, module))

    try:
        with hooked(loss.model, look), torch.enable_grad():
            loss.outputs(batch, leaves)
    except _CulpritError as culprit:
        return str(culprit)
    return "the loss function"


class _CulpritError(Exception):
    """The message is the module."""


def _has_derivative(output: Any, leaves: list[Tensor], order: int) -> bool:
    """Return whether torch can differentiate a module's output so many times."""
    # Squares, so that what goes into a backward pass depends on the parameters, as the gradient of a loss does.
    parts = [part.square().sum() for part in tensors_of(output) if part.requires_grad]
    try:
        for _ in range(order):
            if not parts:
                return True
            total = torch.stack([part.to(parts[0].dtype) for part in parts]).sum()
            gradients = torch.autograd.grad(total, leaves, create_graph=True, allow_unused=True)
            differentiable = [entry for entry in gradients if entry is not None and entry.requires_grad]
            if order > 1 and forbids_more(differentiable):
                return False
            parts = [entry.square().sum() for entry in differentiable]
    except (RuntimeError, NotImplementedError):
        return False
    return True
