"""Tensors in nested containers, as batches and outputs of models are."""

import contextlib
import copy
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hessdens._torch import containers

# Of labels that losses ignore, unless they say otherwise.
IGNORED = -100


def leaves_of(batch: Any) -> list[Any]:
    """Return what is in nested tuples, lists and mappings, in order."""
    leaves: list[Any] = []
    _collect(batch, leaves)
    return leaves


def _collect(batch: Any, leaves: list[Any]) -> None:
    if isinstance(batch, tuple | list):
        for item in batch:
            _collect(item, leaves)
    elif not isinstance(batch, Tensor) and isinstance(batch, Mapping):
        for item in batch.values():
            _collect(item, leaves)
    else:
        leaves.append(batch)


def tensors_of(batch: Any) -> list[Tensor]:
    """Return the tensors in nested tuples, lists and mappings, in order."""
    return [leaf for leaf in leaves_of(batch) if isinstance(leaf, Tensor)]


def map_tensors(function: Callable[[Tensor], Tensor], batch: Any) -> Any:
    """Return ``batch`` with each tensor replaced by ``function(tensor)``, in the same containers."""
    return _map_leaves(lambda leaf: function(leaf) if isinstance(leaf, Tensor) else leaf, batch)


def _map_leaves(function: Callable[[Any], Any], batch: Any) -> Any:
    """Return ``batch`` with each of its leaves replaced, in the order of `leaves_of`."""
    if isinstance(batch, Mapping):
        return _with_values(batch, {key: _map_leaves(function, value) for key, value in batch.items()})
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_map_leaves(function, item) for item in batch))
    if isinstance(batch, list):
        same = copy.copy(batch)  # of a subclass, with its attributes
        same[:] = [_map_leaves(function, item) for item in batch]
        return same
    if isinstance(batch, tuple):
        return type(batch)(_map_leaves(function, item) for item in batch)
    return function(batch)


def shielded(batch: Any) -> Any:
    """Return a batch of the same tensors in other containers: what sets keys, or asks for gradients, leaves the user's.

    What cannot be made anew from its items is returned as it is.
    """
    with contextlib.suppress(TypeError):
        return map_tensors(_alias, batch)
    return batch


def _alias(tensor: Tensor) -> Tensor:
    """Return the same memory as another leaf, except of what has a past or a class of its own."""
    if type(tensor) is not Tensor or not tensor.is_leaf:
        return tensor
    alias = tensor.detach()
    return alias.requires_grad_() if tensor.requires_grad else alias


def _with_values(mapping: Mapping[Any, Any], values: dict[Any, Any]) -> Mapping[Any, Any]:
    """Return a mapping of the same kind with other values."""
    if isinstance(mapping, MutableMapping):
        other = copy.copy(mapping)  # a defaultdict keeps its factory, a BatchEncoding its attributes
        for key, value in values.items():
            other[key] = value
        return other
    return type(mapping)(values)  # type: ignore[call-arg]


def flattened(outputs: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """Return what is in the containers that ``torch.func`` knows, and a function that puts others in its place."""
    functions = containers()
    if functions is None:
        return leaves_of(outputs), partial(_with_leaves, outputs)
    leaves, structure = functions[0](outputs)
    return leaves, partial(functions[1], treespec=structure)


def _with_leaves(outputs: Any, leaves: Sequence[Any]) -> Any:
    rest = iter(leaves)
    return _map_leaves(lambda leaf: next(rest), outputs)


def batch_length(batch: Any) -> int:
    """Return the first dimension of all tensors of a batch: by default, its number of examples.

    Raises ValueError if they differ, since it is not known then what is an example.
    """
    lengths = {tensor.size(0): None for tensor in tensors_of(batch) if tensor.ndim > 0}
    if len(lengths) > 1:
        raise ValueError(
            "Examples are counted by the first dimension of a batch's tensors, and batches cut along it, so it must be "
            f"the same for all of them; got {', '.join(map(str, lengths))}. Pad examples of unequal lengths into one "
            "tensor, or pass both num_examples=, the weight of a batch in the mean, and split_batches=False."
        )
    for length in lengths:
        return length
    kinds = ", ".join(dict.fromkeys(type(leaf).__name__ for leaf in leaves_of(batch) if leaf is not batch))
    raise ValueError(
        "A batch must hold a tensor whose first dimension counts the examples, and along which it is cut; got "
        f"{type(batch).__name__}{kinds and f' of {kinds}'}. Make tensors of arrays with torch.as_tensor, or pass both "
        "num_examples= and split_batches=False."
    )


def counting_labels(batch: Any, ignored: int = IGNORED) -> str:
    """Return how a batch is weighed by its labels that count, as an argument to write: text for messages."""
    place = '"labels"' if isinstance(batch, Mapping) and "labels" in batch else "1"
    return f"num_examples=lambda batch: (batch[{place}] != {ignored}).sum()"


def slice_batch(batch: Any, start: int, stop: int) -> Any:
    """Return examples ``start`` to ``stop - 1``: all tensors are sliced along their first dimension."""
    batch_length(batch)

    def cut(tensor: Tensor) -> Tensor:
        if tensor.ndim == 0:
            return tensor
        if tensor.layout != torch.strided:  # which has no slices
            return tensor.index_select(0, torch.arange(start, min(stop, len(tensor)), device=tensor.device))
        return tensor[start:stop]

    return map_tensors(cut, batch)


def chosen_examples(batch: Any, mask: Any) -> Any:
    """Return the examples of a batch where a mask of truth values is true; ValueError if it is of another length."""
    mask = torch.as_tensor(mask)
    length = batch_length(batch)
    if mask.dtype != torch.bool or tuple(mask.shape) != (length,):
        received = f"{mask.dtype} of shape {tuple(mask.shape)}"
        raise ValueError(f"Examples are chosen by one truth value each, shape ({length},); got {received}.")
    return map_tensors(lambda tensor: tensor if tensor.ndim == 0 else tensor[mask.to(tensor.device)], batch)


def joined(first: Any, second: Any) -> Any:
    """Return two batches as one; None if what they hold does not fit together."""
    mine, others = leaves_of(first), leaves_of(second)
    if len(mine) != len(others) or not all(_fit(*pair) for pair in zip(mine, others, strict=True)):
        return None
    rest = iter(tensors_of(second))
    return map_tensors(lambda tensor: _concatenated(tensor, next(rest)), first)


def _concatenated(tensor: Tensor, other: Tensor) -> Tensor:
    return tensor if tensor.ndim == 0 else torch.cat([tensor, other])


def _fit(leaf: Any, other: Any) -> bool:
    if not isinstance(leaf, Tensor) or not isinstance(other, Tensor):
        return repr(leaf) == repr(other)
    if leaf.is_nested or leaf.dtype != other.dtype or leaf.shape[1:] != other.shape[1:] or leaf.ndim != other.ndim:
        return False
    return leaf.ndim > 0 or torch.equal(leaf, other)


def on_device_of(model: nn.Module, data: Iterable[Any]) -> list[Any]:
    """Return the batches of one pass, on the device of the model's first parameter."""
    device = next(model.parameters()).device
    return [map_tensors(lambda tensor: tensor.to(device), batch) for batch in data]
