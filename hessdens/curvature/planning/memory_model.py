"""How much memory a computation needs at its peak, measured in the small and extrapolated."""

import contextlib
import itertools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessdens._torch import dispatched, profiled_memory
from hessdens.curvature.containers import map_tensors, tensors_of
from hessdens.linalg.fingerprint import plain_parts


def peak_memory(function: Callable[[], Any]) -> int:
    """Return the most bytes of tensors made by ``function`` that lived at one time, on any device."""
    meter = _Meter()
    watching = dispatched(meter.see)
    if watching is None:
        return profiled_memory(function)
    with watching:
        function()
    return meter.peak


class _Meter:
    """Adds up the storages that operations make, and takes off those that are freed."""

    def __init__(self) -> None:
        self.live = self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def see(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Return the result of an operation."""
        tensors = tensors_of((args, kwargs))
        if any(map(_is_not_stored, tensors)):
            # Forward derivatives have zeros that are not stored; below a dispatch mode, torch crashes on reading them.
            args, kwargs = map_tensors(_stored, (args, kwargs))
            tensors = tensors_of((args, kwargs))
        result = func(*args, **kwargs)
        made = [storage for storage in _storages(tensors_of(result)) if storage not in self._known]
        inputs = {id(storage) for storage in _storages(tensors)} if made else set()
        for storage in made:
            if id(storage) not in inputs and storage not in self._known:
                self._known.add(storage)
                self._add(storage.nbytes())
                weakref.finalize(storage, self._add, -storage.nbytes())
        return result

    def _add(self, size: int) -> None:
        self.live += size
        self.peak = max(self.peak, self.live)


def _storages(tensors: list[Tensor]) -> list[Any]:
    """Return the memory of tensors, except of those that torch.func wraps and keeps to itself."""
    storages = []
    for tensor in tensors:
        is_plain = tensor.layout == torch.strided and not tensor.is_nested
        for part in [tensor] if is_plain else plain_parts(tensor):
            with contextlib.suppress(NotImplementedError):
                storages.append(part.untyped_storage())
    return storages


def _is_not_stored(tensor: Tensor) -> bool:
    """Return whether torch knows a tensor to be zero, and has no memory for it."""
    try:
        tensor.untyped_storage().data_ptr()
    except NotImplementedError:  # of a tensor that has its memory in parts, or keeps it to itself
        return False
    except RuntimeError:
        return True
    return False


def _stored(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if _is_not_stored(tensor) else tensor


class MemoryModel:
    """Peak memory of a block of b examples and p probes, from a few small blocks.

    It is c0 + c1 p + c2 b + c3 b p; with a single number of probes measured, proportional to p, which is never less.
    """

    def __init__(self, measure: Callable[[int, int], int], examples: tuple[int, ...], probes: tuple[int, ...]) -> None:
        pairs = list(itertools.product(examples, probes))
        peaks = np.array([measure(b, p) for b, p in pairs], dtype=np.float64)
        probe_powers = range(len(probes)) if len(probes) > 1 else (1,)
        self._powers = list(itertools.product(range(len(examples)), probe_powers))
        self._coefficients = np.linalg.solve(np.array([self._terms(b, p) for b, p in pairs]), peaks)

    def __call__(self, examples: int, probes: int) -> int:
        """Return the predicted peak in bytes."""
        return max(0, int(np.array(self._terms(examples, probes)) @ self._coefficients))

    def _terms(self, examples: int, probes: int) -> list[float]:
        return [float(examples) ** i * float(probes) ** j for i, j in self._powers]
