"""Hooks of the user's that change gradients, which then are those of no loss."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hessdens.curvature.engines.loss_module import LossModule, Values
from hessdens.curvature.engines.replacement import called


class TensorHooks(TorchFunctionMode):
    """Notes the hooks that are set on tensors within it, by name; with ``skips`` they are not set."""

    def __init__(self, *, skips: bool = False) -> None:
        super().__init__()
        self.names: list[str] = []
        self._skips = skips

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call ``func``, unless it sets a hook that is to be skipped."""
        if func is Tensor.register_hook:
            hook = args[1]
            self.names.append(f"{getattr(hook, '__qualname__', type(hook).__name__)} on a tensor")
            if self._skips:
                args = (args[0], lambda gradient: None)
        return func(*args, **(kwargs or {}))


def check_hooks(loss: LossModule, values: Values, batch: Any, on_tensors: list[str]) -> None:
    """Raise ValueError if hooks on tensors, whose names are given, or those of modules change the gradient of a batch.

    Cost: 2 gradients, none where there are no hooks.
    """
    on_modules = [called(name, module) for name, module in loss.model.named_modules() if any(_hooks_of(module))]
    if not on_tensors and not on_modules:
        return
    leaves = {name: value.detach() for name, value in values.items()}
    gradient = _flat(loss, leaves, batch)
    with without_hooks(loss.model), TensorHooks(skips=True):
        expected = _flat(loss, leaves, batch)
    if float((gradient - expected).norm()) > torch.finfo(gradient.dtype).eps ** 0.5 * float(expected.norm()):
        names = ", ".join(dict.fromkeys([*on_tensors, *(f"of {name}" for name in on_modules)]))
        raise ValueError(
            f"The gradient must be the derivative of the loss; backward hooks change it: {names}. Remove them for the "
            "time of the operator."
        )


@contextlib.contextmanager
def without_hooks(model: nn.Module) -> Iterator[None]:
    """Take the backward hooks of modules away, and put them back."""
    kept = [(hooks, dict(hooks)) for module in model.modules() for hooks in _hooks_of(module)]
    try:
        for hooks, _ in kept:
            hooks.clear()
        yield
    finally:
        for hooks, past in kept:
            hooks.update(past)


def _hooks_of(module: nn.Module) -> tuple[dict[int, Any], dict[int, Any]]:
    return module._backward_hooks, module._backward_pre_hooks


def _flat(loss: LossModule, values: Values, batch: Any) -> Tensor:
    return torch.cat([part.flatten() for part in loss.gradient(batch, values)[1]])
