"""Selection of the parameters that an operator acts on."""

import difflib
import fnmatch
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from hessdens.curvature.engines.loss_module import LossModule
from hessdens.curvature.trials import place_without_derivative

Selection = str | Sequence[str] | Callable[[str, nn.Parameter], bool] | None


def select_parameters(model: nn.Module, selection: Selection, loss: LossModule, batch: Any) -> dict[str, nn.Parameter]:
    """Return the selected parameters by name: trainable, used by the loss of ``batch``, tied ones once.

    Raises ValueError if a name or glob matches nothing (naming near ones), none is left, their dtypes differ, or torch
    has no gradient of the loss (naming the module).
    """
    named = dict(model.named_parameters())
    chosen = matching(named, selection)
    trainable = {name: parameter for name, parameter in named.items() if name in chosen and parameter.requires_grad}
    if not trainable:
        raise ValueError(
            f"The operator needs at least one trainable parameter; got {len(chosen)} selected of {len(named)}, "
            "none with requires_grad=True."
        )
    with torch.enable_grad():
        value = loss.value(batch, trainable)
    if not value.requires_grad:
        raise ValueError("The loss must depend on the selected parameters; it depends on none of them.")
    try:
        gradients = torch.autograd.grad(value, list(trainable.values()), allow_unused=True)
    except (RuntimeError, NotImplementedError) as error:
        place = place_without_derivative(loss, batch, trainable, 1)
        raise ValueError(f"The loss must have a gradient; {place} has none: {error}") from error
    used = {
        name: parameter
        for (name, parameter), gradient in zip(trainable.items(), gradients, strict=True)
        if gradient is not None
    }
    if not used:
        raise ValueError("The loss must depend on the selected parameters; it depends on none of them.")
    dtypes = {str(parameter.dtype): name for name, parameter in used.items()}
    if len(dtypes) > 1:
        several = ", ".join(f"{dtype} ({name})" for dtype, name in dtypes.items())
        raise ValueError(
            f"The selected parameters must have one dtype; got {several}. Convert the model with model.to(dtype)."
        )
    return used


def matching(named: Mapping[str, Any], selection: Selection) -> set[str]:
    """Return the names that ``selection`` picks."""
    if selection is None:
        return set(named)
    if callable(selection):
        return {name for name, parameter in named.items() if selection(name, parameter)}
    chosen: set[str] = set()
    for pattern in [selection] if isinstance(selection, str) else selection:
        names = fnmatch.filter(named, pattern)
        if not names:
            near = difflib.get_close_matches(pattern, named, n=3, cutoff=0.3) or list(named)[:3]
            raise ValueError(f"parameters must name parameters of the model; {pattern!r} matches none. Near: {near}.")
        chosen.update(names)
    return chosen
