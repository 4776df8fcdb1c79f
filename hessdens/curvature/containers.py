"""Tensors in nested containers, as batches and outputs of models are."""

import copy
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten


def leaves_of(batch: Any) -> list[Any]:
    """Return what is in nested tuples, lists and mappings, in order."""
    if isinstance(batch, Tensor):
        return [batch]
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, tuple | list):
        return [leaf for item in batch for leaf in leaves_of(item)]
    return [batch]


def tensors_of(batch: Any) -> list[Tensor]:
    """Return the tensors in nested tuples, lists and mappings, in order."""
    return [leaf for leaf in leaves_of(batch) if isinstance(leaf, Tensor)]


def map_tensors(function: Callable[[Tensor], Tensor], batch: Any) -> Any:
    """Return ``batch`` with each tensor replaced by ``function(tensor)``, in the same containers."""
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, Mapping):
        return _with_values(batch, {key: map_tensors(function, value) for key, value in batch.items()})
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(map_tensors(function, item) for item in batch))
    if isinstance(batch, tuple | list):
        return type(batch)(map_tensors(function, item) for item in batch)
    return batch


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
    leaves, structure = tree_flatten(outputs)
    return leaves, partial(tree_unflatten, treespec=structure)


def batch_length(batch: Any) -> int:
    """Return the first dimension of the first tensor of a batch: by default, its number of examples."""
    tensors = tensors_of(batch)
    if not tensors or tensors[0].ndim == 0:
        raise ValueError(
            "A batch must hold a tensor whose first dimension counts the examples; got "
            f"{type(batch).__name__}. Pass num_examples= and split_batches=False for other batches."
        )
    return len(tensors[0])


def slice_batch(batch: Any, start: int, stop: int) -> Any:
    """Return examples ``start`` to ``stop - 1``: tensors as long as the batch are sliced, others kept."""
    length = batch_length(batch)
    return map_tensors(lambda t: t[start:stop] if t.ndim > 0 and len(t) == length else t, batch)


def on_device_of(model: nn.Module, data: Iterable[Any]) -> list[Any]:
    """Return the batches of one pass, on the device of the model's first parameter."""
    device = next(model.parameters()).device
    return [map_tensors(lambda tensor: tensor.to(device), batch) for batch in data]
