"""Passes over the data: repeated, and checked to see the same batches."""

import contextlib
import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any

import torch
from torch import Tensor

from hessdens.linalg.fingerprint import Fingerprint, fingerprint, is_same


class RepeatedPasses:
    """Iterate over ``data`` any number of times, and refuse a pass that differs from the first.

    The first batch is read twice at once, from two random states; all are compared from the second pass on. That costs
    one read of the data per pass. The global random state of torch (which a ``DataLoader`` advances) is the same
    after a pass as before.
    """

    def __init__(self, data: Iterable[Any], *, check: bool) -> None:
        _check_iterable(data)
        self._data = data
        self._check = check
        self._transform: Callable[[int, Any], Any] = lambda index, batch: batch
        self._fingerprints: list[Fingerprint] | None = None
        first = self._first(seed=0)
        if not first:
            raise ValueError("data must hold at least one batch; got none.")
        self.first_batch = first[0]
        if check:
            again = self._first(seed=1)
            if not again:
                raise TypeError(_used_up(type(data).__name__))
            if not is_same(fingerprint(self.first_batch), fingerprint(again[0])):
                raise ValueError(_difference(0))

    @property
    def num_batches(self) -> int:
        """Number of batches in a pass; 1 as long as it is not known."""
        if self._fingerprints is not None:
            return len(self._fingerprints)
        return len(self._data) if isinstance(self._data, Sized) else 1

    def transformed(self, transform: Callable[[int, Any], Any]) -> "RepeatedPasses":
        """Return passes over ``transform(index, batch)`` of each batch."""
        other = copy.copy(self)
        other._transform = transform
        other.first_batch = transform(0, self.first_batch)
        return other

    def __iter__(self) -> Iterator[Any]:
        with same_random_state():
            seen: list[Fingerprint] = []
            expected = self._fingerprints
            for index, batch in enumerate(self._data):
                if self._check:
                    seen.append(fingerprint(batch))
                    if expected is not None and (index >= len(expected) or not is_same(seen[-1], expected[index])):
                        raise ValueError(_difference(index))
                yield self._transform(index, batch)
            if expected is not None and len(seen) < len(expected):
                raise ValueError(
                    f"data must give the same batches in every pass; the first had {len(expected)}, this one "
                    f"{len(seen)}. Pass list(data)."
                )
            if self._check:
                self._fingerprints = seen

    def _first(self, seed: int) -> list[Any]:
        """Return the first batch, if any, of a pass that starts from a chosen random state."""
        with same_random_state():
            torch.default_generator.manual_seed(seed)
            return list(itertools.islice(self._data, 1))


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


def same_random_state() -> contextlib.AbstractContextManager[None]:
    """Restore torch's global random state afterwards, on the CPU and, where it is in use, on CUDA."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    return torch.random.fork_rng(devices)
