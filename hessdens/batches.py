"""Batches of examples: counting, slicing, and the check that every pass over the data sees the same ones."""

import contextlib
import copy
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sized
from typing import Any

import numpy as np
import torch
from torch import Tensor

Fingerprint = list[tuple[str, float]]
# Entries of a tensor that are converted to float64 at a time: 8 MB.
CHUNK = 2**20
# Passes over the same data have checksums that are equal to rounding; the number of threads may change it.
ROUNDING = 1e-11


def tensors_of(batch: Any) -> list[Tensor]:
    """Return the tensors in a nested tuple, list or mapping, in order; anything else is passed over."""
    if isinstance(batch, Tensor):
        return [batch]
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, tuple | list):
        return [tensor for item in batch for tensor in tensors_of(item)]
    return []


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


def fingerprint(batch: Any) -> Fingerprint:
    """Return kind, shape and checksum of everything in a batch, in order. Cost: one read of the data.

    A checksum weights each entry by a random number of its own, so that it sees any other order of entries.
    """
    if isinstance(batch, Mapping):
        return [part for key, value in batch.items() for part in [(f"key {key!r}", 0.0), *fingerprint(value)]]
    if isinstance(batch, tuple | list):
        return [part for item in batch for part in fingerprint(item)]
    if isinstance(batch, np.ndarray) and batch.dtype.kind in "biuf":
        batch = torch.as_tensor(np.array(batch))
    if isinstance(batch, Tensor):
        return [(f"{batch.dtype} {tuple(batch.shape)}", _checksum(batch))]
    if isinstance(batch, int | float | np.number):
        return [(type(batch).__name__, float(batch))]
    return [(repr(batch) if isinstance(batch, str | bytes) else type(batch).__name__, 0.0)]


def _checksum(tensor: Tensor) -> float:
    if tensor.numel() == 0 or tensor.is_meta:
        return 0.0
    weights = _weights(str(tensor.device))
    flat = tensor.detach().reshape(-1)
    total = torch.zeros((), dtype=torch.float64, device=flat.device)
    for index, chunk in enumerate(flat.split(CHUNK)):
        total += (1 + 0.1 * index) * (chunk.double() * weights[: len(chunk)]).sum()
    return float(total)


@functools.lru_cache(maxsize=4)
def _weights(device: str) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(CHUNK, dtype=torch.float64, generator=generator).add_(0.5).to(device)


class RepeatedPasses:
    """Iterate over ``data`` any number of times, and refuse a pass that differs from the first.

    The first batch is looked at twice at once, from two random states; all are compared from the second pass on. That
    costs one read of the data a pass. The global random state of torch (which a ``DataLoader`` advances) is the same
    after a pass as before.
    """

    def __init__(self, data: Iterable[Any], *, check: bool) -> None:
        _check_iterable(data)
        self._data, self._check = data, check
        self._fingerprints: list[Fingerprint] | None = None
        found = self._first(seed=0)
        if not found:
            raise ValueError("data must hold at least one batch; got none.")
        self.first_batch = found[0]
        if check:
            again = self._first(seed=1)
            if not again:
                raise TypeError(_used_up(type(data).__name__))
            if not _equal(fingerprint(self.first_batch), fingerprint(again[0])):
                raise ValueError(_difference(0))

    @property
    def num_batches(self) -> int:
        """Number of batches in a pass; 1 as long as it is not known."""
        if self._fingerprints is not None:
            return len(self._fingerprints)
        return len(self._data) if isinstance(self._data, Sized) else 1

    def __iter__(self) -> Iterator[Any]:
        with _same_random_state():
            found: list[Fingerprint] = []
            expected = self._fingerprints
            for index, batch in enumerate(self._data):
                if self._check:
                    found.append(fingerprint(batch))
                    if expected is not None and (index >= len(expected) or not _equal(found[-1], expected[index])):
                        raise ValueError(_difference(index))
                yield batch
            if expected is not None and len(found) < len(expected):
                raise ValueError(
                    f"data must give the same batches in every pass; the first had {len(expected)}, this one "
                    f"{len(found)}. Pass list(data)."
                )
            if self._check:
                self._fingerprints = found

    def _first(self, seed: int) -> list[Any]:
        """Return the first batch, if any, of a pass that starts from a chosen random state."""
        with _same_random_state():
            torch.default_generator.manual_seed(seed)
            return list(itertools.islice(self._data, 1))


def _equal(first: Fingerprint, second: Fingerprint) -> bool:
    """Compare fingerprints; NaN equals NaN, since it is the loss that will be refused then."""
    return len(first) == len(second) and all(
        kind == other and (math.isclose(x, y, rel_tol=ROUNDING) or (math.isnan(x) and math.isnan(y)))
        for (kind, x), (other, y) in zip(first, second, strict=True)
    )


def _difference(index: int) -> str:
    return (
        f"data must give the same batches in every pass; batch {index} differs from the first pass. "
        "Switch off shuffling and random augmentation, or pass list(data). check_deterministic=False skips this check."
    )


def _check_iterable(data: Any) -> None:
    if isinstance(data, Iterator):
        raise TypeError(_used_up(type(data).__name__))
    if not isinstance(data, Iterable) or isinstance(data, Tensor | Mapping):
        raise TypeError(
            f"data must be an iterable of batches; got {type(data).__name__}. Pass [batch] for a single batch, or a "
            "DataLoader of a data set."
        )


def _used_up(kind: str) -> str:
    return (
        f"data must be re-iterable, because each product is one pass; got {kind}, which is used up after the first. "
        "Pass list(data) or a DataLoader."
    )


def _same_random_state() -> contextlib.AbstractContextManager[None]:
    """Restore torch's global random state afterwards, on the CPU and, where it is in use, on CUDA."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    return torch.random.fork_rng(devices)
