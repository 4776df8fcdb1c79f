"""Checksums of tensors and batches that see the order of entries, and when two of them are the same."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

Fingerprint = list[tuple[str, float]]
# Entries of a tensor that are converted to float64 at a time: 8 MB.
CHECKSUM_CHUNK = 2**20
# Checksums of the same numbers are equal to rounding: the number of threads may change the order of a sum.
CHECKSUM_ROUNDING = 1e-11


def fingerprint(batch: Any) -> Fingerprint:
    """Return kind, shape and checksum of everything in a batch, in order. Cost: one read of the data."""
    if isinstance(batch, Mapping):
        return [part for key, value in batch.items() for part in [(f"key {key!r}", 0.0), *fingerprint(value)]]
    if isinstance(batch, tuple | list):
        return [part for item in batch for part in fingerprint(item)]
    if isinstance(batch, np.ndarray) and batch.dtype.kind in "biuf":
        batch = torch.as_tensor(np.array(batch))
    if isinstance(batch, Tensor):
        return [(f"{batch.dtype} {tuple(batch.shape)}", checksum(batch))]
    if isinstance(batch, int | float | np.number):
        return [(type(batch).__name__, float(batch))]
    return [(repr(batch) if isinstance(batch, str | bytes) else type(batch).__name__, 0.0)]


def checksum(tensor: Tensor) -> float:
    """Return the sum of the entries, each times a random number of its own: another order has another checksum."""
    if tensor.numel() == 0 or tensor.is_meta:
        return 0.0
    weights = _weights(str(tensor.device))
    flat = tensor.detach().reshape(-1)
    total = torch.zeros((), dtype=torch.float64, device=flat.device)
    for index, chunk in enumerate(flat.split(CHECKSUM_CHUNK)):
        total += (1 + 0.1 * index) * (chunk.double() * weights[: len(chunk)]).sum()
    return float(total)


@functools.lru_cache(maxsize=4)
def _weights(device: str) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(CHECKSUM_CHUNK, dtype=torch.float64, generator=generator).add_(0.5).to(device)


def summed(parts: Fingerprint) -> float:
    """Return one checksum of many, which sees their order."""
    return float(sum((1 + 0.1 * index) * part for index, (_, part) in enumerate(parts)))


def is_same(first: Fingerprint, second: Fingerprint) -> bool:
    """Return whether two fingerprints are those of equal batches."""
    return len(first) == len(second) and all(
        kind == other and equal_to_rounding(x, y) for (kind, x), (other, y) in zip(first, second, strict=True)
    )


def equal_to_rounding(first: Any, second: Any, rounding: float = CHECKSUM_ROUNDING) -> bool:
    """Return whether two values are equal: floats to a relative ``rounding``, NaN to NaN."""
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=rounding) or (math.isnan(first) and math.isnan(second))
    return bool(first == second)
