"""Batches of examples: counting, slicing, and the check that every pass over the data sees the same ones."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any

import torch
from torch import Tensor

Fingerprint = tuple[tuple[tuple[int, ...], float], ...]


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
        return type(batch)({key: map_tensors(function, value) for key, value in batch.items()})  # type: ignore[call-arg]
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(map_tensors(function, item) for item in batch))
    if isinstance(batch, tuple | list):
        return type(batch)(map_tensors(function, item) for item in batch)
    return batch


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
    """Return shapes and order-sensitive checksums of the tensors in a batch (one read of the data)."""

    def checksum(tensor: Tensor) -> float:
        if tensor.numel() == 0 or tensor.is_meta:
            return 0.0
        rows = tensor.detach().reshape(len(tensor) if tensor.ndim else 1, -1)
        sums = rows.sum(dim=1, dtype=torch.float64)
        return float(sums @ torch.arange(1, len(sums) + 1, dtype=torch.float64, device=sums.device))

    return tuple((tuple(tensor.shape), checksum(tensor)) for tensor in tensors_of(batch))


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
        self.first_batch = self._first(seed=0)
        if check and not _equal(fingerprint(self.first_batch), fingerprint(self._first(seed=1))):
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
                raise ValueError(_difference(len(found)))
            if self._check:
                self._fingerprints = found

    def _first(self, seed: int) -> Any:
        """Return the first batch of a pass that starts from a chosen random state."""
        with _same_random_state():
            torch.manual_seed(seed)
            for batch in self._data:
                return batch
        raise ValueError("data must hold at least one batch; got none.")


def _equal(first: Fingerprint, second: Fingerprint) -> bool:
    """Compare fingerprints; NaN equals NaN, since it is the loss that will be refused then."""
    return repr(first) == repr(second)


def _difference(index: int) -> str:
    return (
        f"data must give the same batches in every pass; batch {index} differs from the first pass. "
        "Switch off shuffling and random augmentation, or pass list(data). check_deterministic=False skips this check."
    )


def _check_iterable(data: Any) -> None:
    if isinstance(data, Iterator):
        raise TypeError(
            f"data must be re-iterable, because each product is one pass; got {type(data).__name__}, which is used up "
            "after the first. Pass list(data) or a DataLoader."
        )
    if not isinstance(data, Iterable) or isinstance(data, Tensor | Mapping):
        raise TypeError(
            f"data must be an iterable of batches; got {type(data).__name__}. Pass [batch] for a single batch."
        )


def _same_random_state() -> contextlib.AbstractContextManager[None]:
    """Restore torch's global random state afterwards, on the CPU and, where it is in use, on CUDA."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    return torch.random.fork_rng(devices)
