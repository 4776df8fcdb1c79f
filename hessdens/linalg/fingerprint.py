"""Checksums of tensors and batches that see the order of entries, and when two of them are the same."""

import functools
import math
from collections.abc import Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

Fingerprint = list[tuple[str, float]]
# Entries of a tensor that are converted to float64 at a time: 8 MB.
CHUNK = 2**20
# Checksums of the same numbers are equal to rounding: the number of threads may change the order of a sum.
CHECKSUM_ROUNDING = 1e-11


def fingerprint(batch: Any, around: tuple[int, ...] = ()) -> Fingerprint:
    """Return kind, shape and checksum of everything in a batch, in order, also in the fields of objects.

    ``around`` are the identities of the objects that hold it. Cost: one read of the data.
    """
    if isinstance(batch, Mapping):
        return [part for key, value in batch.items() for part in [(f"key {key!r}", 0.0), *fingerprint(value, around)]]
    if isinstance(batch, tuple | list):
        return [part for item in batch for part in fingerprint(item, around)]
    if isinstance(batch, np.ndarray) and batch.dtype.kind in "biufc":
        batch = torch.as_tensor(np.array(batch))
    if isinstance(batch, Tensor):
        return _of_tensor(batch)
    if isinstance(batch, int | float | np.number) and not isinstance(batch, np.complexfloating):
        return [(type(batch).__name__, float(batch))]
    kind = (repr(batch) if isinstance(batch, str | bytes | complex) else type(batch).__name__, 0.0)
    fields = {} if id(batch) in around else fields_of(batch)
    return [kind, *fingerprint(fields, (*around, id(batch)))]


def fields_of(value: Any) -> dict[str, Any]:
    """Return the fields of an object, by name; none of functions, classes and modules."""
    if isinstance(value, FunctionType | MethodType | ModuleType | type):
        return {}
    names = [*getattr(value, "__dict__", {}), *getattr(type(value), "__dataclass_fields__", {})]
    return {name: getattr(value, name, None) for name in dict.fromkeys(names)}


def plain_parts(tensor: Any) -> list[Tensor]:
    """Return the dense real tensors that a tensor consists of: itself, or those of a sparse, nested or complex one."""
    tensor = tensor.detach()
    parts: list[Tensor]
    if tensor.is_nested:
        parts = [tensor.values(), tensor.offsets()] if tensor.layout == torch.jagged else list(tensor.unbind())
    elif tensor.layout == torch.sparse_coo:
        parts = [tensor._indices(), tensor._values()]
    elif tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        parts = [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    elif tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        parts = [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    else:
        parts = [tensor]
    return [torch.view_as_real(part.resolve_conj()) if part.is_complex() else part for part in parts]


def _of_tensor(tensor: Tensor) -> Fingerprint:
    parts = plain_parts(tensor)
    if tensor.layout == torch.strided and not tensor.is_nested:
        return [(f"{tensor.dtype} {tuple(tensor.shape)}", checksum(parts[0]))]
    shape = "" if tensor.is_nested else f" {tuple(tensor.shape)}"
    return [(f"{tensor.layout}{shape}", 0.0), *((f"{p.dtype} {tuple(p.shape)}", checksum(p)) for p in parts)]


def checksum(tensor: Tensor) -> float:
    """Return the sum of the entries, each times a random number of its own: another order has another checksum."""
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
