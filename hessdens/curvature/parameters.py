"""Selection of the parameters that an operator acts on."""

import contextlib
import difflib
import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hessdens._calls import warn_caller
from hessdens._torch import is_batch_norm
from hessdens.curvature.engines.loss_module import LossModule
from hessdens.curvature.engines.replacement import is_of_the_model
from hessdens.curvature.settings import surely
from hessdens.curvature.trials.culprits import gradient_exists
from hessdens.curvature.trials.graph import custom_functions, operations

Selection = str | Sequence[str] | Callable[[str, nn.Parameter], bool] | None


def select_parameters(
    model: nn.Module,
    selection: Selection,
    loss: LossModule,
    batches: Iterable[Any],
) -> dict[str, nn.Parameter]:
    """Return the selected parameters by name: trainable, used by the loss of any batch, tied ones once.

    Batches are read until all parameters are used; those that none uses are left out, with a warning.

    Raises ValueError if a name or glob matches nothing (naming near ones), none is left, they are not real and dense,
    their dtypes differ, or torch has no gradient of the loss (naming the module).
    """
    named = dict(model.named_parameters())
    names = {id(parameter): name for name, parameter in named.items()}
    all_names = dict(model.named_parameters(remove_duplicate=False))  # tied ones have several
    _check_frozen(all_names, selection)
    chosen = {names[id(all_names[name])] for name in matching(all_names, selection)}
    trainable = {name: parameter for name, parameter in named.items() if name in chosen and parameter.requires_grad}
    if not trainable:
        received = f"{len(chosen)} selected of {len(named)}, none with requires_grad=True"
        cure = "Call requires_grad_(True) on them." if chosen else "Leave parameters= out for all."
        raise ValueError(f"The operator needs at least one trainable parameter; got {received}. {cure}")
    for name, parameter in trainable.items():
        if parameter.is_complex() or parameter.layout != torch.strided:
            kind = "complex" if parameter.is_complex() else "sparse"
            raise ValueError(
                f"The selected parameters must be real and dense; {name!r} is {kind}. Write it as its real and "
                "imaginary part, or as its values at fixed places, or leave it out with parameters=."
            )
    unused, is_whole = dict(trainable), len(trainable) == sum(p.requires_grad for p in named.values())
    for batch in batches:
        with torch.enable_grad(), _selection_serves(is_whole=is_whole):
            left = loss.with_values(trainable, partial(_unused, loss, batch, trainable, list(unused)))
        unused = {name: trainable[name] for name in left}
        if not unused:
            break
    used = {name: parameter for name, parameter in trainable.items() if name not in unused}
    if not used:
        raise ValueError(
            "The loss must depend on the selected parameters; it depends on none of them. Leave .detach(), .data, "
            "argmax and torch.no_grad() out of model and loss_fn, and select parameters that they use."
        )
    if unused:
        warn_caller(f"Parameters that no batch uses are left out: {_some(list(unused))}.")
    dtypes = {str(parameter.dtype): name for name, parameter in used.items()}
    if len(dtypes) > 1:
        several = ", ".join(f"{dtype} ({name})" for dtype, name in dtypes.items())
        raise ValueError(
            f"The selected parameters must have one dtype; got {several}. Convert the model with model.to(dtype)."
        )
    return used


def ties(model: nn.Module) -> dict[str, str]:
    """Return the first name of each parameter, by each of its names."""
    first: dict[int, str] = {}
    named = model.named_parameters(remove_duplicate=False)
    return {name: first.setdefault(id(parameter), name) for name, parameter in named}


def check_same_ties(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Raise ValueError, naming a parameter, if a model has other parameters than before, or ties others."""
    for name in [*before, *after]:
        if before.get(name) != after.get(name):
            was, now = (_tied(name, first.get(name)) for first in (before, after))
            raise ValueError(
                f"The model must keep the parameters that it had when the operator was made; {name!r} was {was} and is "
                f"{now}. Make a new operator."
            )


def _tied(name: str, first: str | None) -> str:
    if first is None:
        return "not there"
    return "a parameter of its own" if first == name else f"tied to {first!r}"


def warn_of_constants(model: nn.Module, loss_fn: Any) -> None:
    """Warn of trainable parameters of the loss function, which are none of the model: they are constants."""
    if not isinstance(loss_fn, nn.Module):
        return
    own = {id(parameter) for parameter in model.parameters()}
    names = [name for name, p in loss_fn.named_parameters() if p.requires_grad and id(p) not in own]
    if names:
        warn_caller(
            f"Parameters of loss_fn are constants, since the matrix is that of the model's: {', '.join(names)}. To "
            "include them, pass a model that holds both, and forward=. If this is meant, freeze them.",
        )


def warn_of_statistics(model: nn.Module) -> None:
    """Warn of batch normalisation whose running statistics were never updated: of a network that was just made."""
    names = [name or type(model).__name__ for name, module in model.named_modules() if _is_without_statistics(module)]
    if names:
        several = _some([*map(repr, names)], 3)
        warn_caller(
            f"Running statistics of batch normalisation were never updated, of {several}: in evaluation mode this is "
            "another network than the one in training. Write torch.optim.swa_utils.update_bn(batches, model), then "
            "model.eval()."
        )


def _is_without_statistics(module: Any) -> bool:
    """Return whether a module normalises batches, and has the running statistics that it was made with."""
    if not is_batch_norm(module) or module.running_mean is None or module.num_batches_tracked is None:
        return False
    is_fresh = int(module.num_batches_tracked) == 0
    return is_fresh and not bool(module.running_mean.any()) and bool((module.running_var == 1).all())


def _check_frozen(named: Mapping[str, nn.Parameter], selection: Selection) -> None:
    """Raise ValueError if a name or glob matches frozen parameters only."""
    for pattern in [] if selection is None or callable(selection) else _patterns(selection):
        names = fnmatch.filter(named, pattern)
        if names and not any(named[name].requires_grad for name in names):
            raise ValueError(
                f"parameters must select trainable parameters; {pattern!r} matches {_some(names)}, with "
                "requires_grad=False. Call requires_grad_(True) on them, or leave them out."
            )


def _unused(loss: LossModule, batch: Any, parameters: dict[str, nn.Parameter], names: list[str]) -> list[str]:
    """Return those of these names whose parameters the loss of a batch does not depend on."""
    value = loss.value(batch, parameters)
    if not value.requires_grad:
        return names
    nodes = list(operations([value]))
    if "CheckpointFunctionBackward" in {node.name() for node in nodes}:
        raise ValueError(
            "Checkpointed parts must keep their graph; a reentrant checkpoint hides its parameters. Pass "
            "use_reentrant=False to torch.utils.checkpoint."
        )
    if not custom_functions(nodes):
        reached = {id(node.variable) for node in nodes if hasattr(node, "variable")}
        return [name for name in names if id(parameters[name]) not in reached]
    with gradient_exists(loss, parameters, batch):  # custom functions may have none of what they are given
        gradients = torch.autograd.grad(value, [parameters[name] for name in names], allow_unused=True)
    return [name for name, gradient in zip(names, gradients, strict=True) if gradient is None]


@contextlib.contextmanager
def _selection_serves(*, is_whole: bool) -> Iterator[None]:
    """Raise ValueError where the forward pass fails with a part of the parameters selected, though not with all."""
    try:
        yield
    except RuntimeError as error:
        if is_whole or not is_of_the_model(error):
            raise
        raise ValueError(
            "The forward pass must take no derivatives in parameters that are not selected, since they are constants; "
            f"got: {error}. Leave parameters= out."
        ) from error


def matching(named: Mapping[str, Any], selection: Selection) -> set[str]:
    """Return the names that ``selection`` picks."""
    if selection is None:
        return set(named)
    if isinstance(selection, nn.Module):
        raise TypeError(
            f"parameters must be names, globs or a function; got a module, {type(selection).__name__}. Write its name, "
            "such as parameters='layers.0.*'."
        )
    if callable(selection):
        return {name for name, parameter in named.items() if selection(name, parameter)}
    chosen: set[str] = set()
    for pattern in _patterns(selection):
        names = fnmatch.filter(named, pattern)
        if not names:
            near = difflib.get_close_matches(pattern, named, n=3, cutoff=0.3) or list(named)[:3]
            raise ValueError(f"parameters must name parameters of the model; {pattern!r} matches none. Near: {near}.")
        chosen.update(names)
    return chosen


def flattened(parts: Mapping[str, Any], parameters: Mapping[str, Tensor], like: Tensor) -> Tensor:
    """Return tensors by name as one vector of the dtype and device of ``like``; ValueError if some do not fit."""
    if not isinstance(parts, Mapping):
        raise TypeError(f"A direction must be a mapping from names to tensors; got {type(parts).__name__}.")
    for name in [*parameters, *parts]:
        if name not in parts or name not in parameters:
            others = parts if name in parameters else parameters
            near = difflib.get_close_matches(name, [*others], n=3, cutoff=0.3)
            what, hint = "misses" if name in parameters else "has no parameter", f" Near: {near}." if near else ""
            raise ValueError(f"A direction must have the operator's parameters; it {what} {name!r}.{hint}")
        shape, received = (tuple(tensors[name].shape) for tensors in (parameters, parts))
        if shape != received:
            raise ValueError(f"A direction must have the shapes of parameters; {name!r} is {shape}; got {received}.")
    return torch.cat([_tensor(parts[name]).reshape(-1).to(like) for name in parameters])


def unflattened(vector: Any, parameters: Mapping[str, Tensor], like: Tensor) -> dict[str, Tensor]:
    """Return the entries of a vector, a tensor or an array, by parameter; ValueError if it is of another size."""
    sizes = [parameter.numel() for parameter in parameters.values()]
    if not hasattr(vector, "shape"):
        hint = " Write pairs.vector(0)." if hasattr(vector, "vectors") else ""
        raise TypeError(f"A direction must be a tensor or an array; got {type(vector).__name__}.{hint}")
    if tuple(vector.shape) != (sum(sizes),):
        raise ValueError(
            f"A direction must have shape ({sum(sizes)},), as the operator has; got {tuple(vector.shape)}."
        )
    pieces = _tensor(vector).to(like).split(sizes)
    return {name: piece.view_as(parameters[name]).clone() for name, piece in zip(parameters, pieces, strict=True)}


def _tensor(value: Any) -> Tensor:
    """Return a tensor or an array, which may be read-only, as a tensor without a graph; TypeError if it is complex."""
    tensor = value.detach() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
    if tensor.is_complex():
        raise TypeError(f"A direction must have real numbers; got {tensor.dtype}.")
    return tensor


@contextlib.contextmanager
def displaced(parameters: Mapping[str, nn.Parameter], parts: Mapping[str, Tensor], scale: float) -> Iterator[None]:
    """Add tensors times ``scale`` to parameters; afterwards these have their values again, to the last bit."""
    kept = [(parameter, parameter.detach().clone()) for parameter in parameters.values()]

    @torch.no_grad()
    def restore() -> None:
        for parameter, value in kept:
            parameter.copy_(value)

    try:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.add_(parts[name].to(parameter), alpha=scale)
        yield
    finally:
        surely(restore)


def _patterns(selection: str | Sequence[str]) -> list[str]:
    """Return names and globs as a list; TypeError unless they are texts."""
    is_many = isinstance(selection, Iterable) and not isinstance(selection, str)
    patterns: list[str] = list(selection) if is_many else [selection]  # type: ignore[list-item]
    if not all(isinstance(pattern, str) for pattern in patterns):
        is_of_tensors = any(isinstance(pattern, Tensor) for pattern in patterns)
        hint = ' Write names, such as parameters=["fc.weight", "layers.0.*"].' if is_of_tensors else ""
        kind = type(selection).__name__
        raise TypeError(f"parameters must be names, globs or a function of name and parameter; got {kind}.{hint}")
    return patterns


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
