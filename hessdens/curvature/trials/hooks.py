"""Hooks of the user's that change gradients: some make them right, with others they are those of no loss."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hessdens.curvature.engines.differences import shifted, step_along
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


def changing_hooks(loss: LossModule, values: Values, batch: Any, on_tensors: list[str]) -> tuple[str, ...]:
    """Return names of hooks if those on tensors, whose names are given, or on modules change a gradient.

    Raises ValueError if they make it wrong. Others make it right, such as those that solve for the gradient of an
    equilibrium; second derivatives do not follow them. Cost: 2 gradients where there are hooks, 2 more where they
    change something.
    """
    on_modules = [called(name, module) for name, module in loss.model.named_modules() if any(_hooks_of(module))]
    names = tuple(dict.fromkeys([*on_tensors, *(f"of {name}" for name in on_modules)]))
    if not names:
        return ()
    leaves = {name: value.detach() for name, value in values.items()}
    gradient = _flat(loss, leaves, batch)
    with without_hooks(loss.model), TensorHooks(skips=True):
        expected = _flat(loss, leaves, batch)
    if float((gradient - expected).norm()) <= torch.finfo(gradient.dtype).eps ** 0.5 * float(expected.norm()):
        return ()
    if not _is_nearer(loss, leaves, batch, gradient, expected):
        raise ValueError(
            "The gradient must be the derivative of the loss; backward hooks change it: "
            f"{', '.join(names)}. Remove them for the time of the operator."
        )
    return names


def _is_nearer(loss: LossModule, values: Values, batch: Any, gradient: Tensor, other: Tensor) -> bool:
    """Return whether a gradient, rather than another, says how the loss rises along the vector between both."""
    apart = gradient - other
    vector = apart / apart.norm()
    step = step_along(values, vector, gradient.dtype)
    ahead, behind = (float(loss.gradient(batch, shifted(values, vector, size))[0]) for size in (step, -step))
    return abs((ahead - behind) / (2 * step) - float(gradient @ vector)) < float(apart.norm()) / 2


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
