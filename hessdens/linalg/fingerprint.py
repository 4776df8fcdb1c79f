"""Fingerprints of tensors and batches: equal where all bits are, in their order, on any device."""

import array
import functools
import hashlib
import math
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessdens._torch import sparse_parts

Fingerprint = list[tuple[str, int]]
# Words of a tensor that are converted to 64 bits at a time: 8 MB.
CHECKSUM_CHUNK = 2**20
# Sums of one chunk after another are joined as digits in this odd base (Knuth's, of 64-bit generators).
BASE = 6364136223846793005
WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int32, 16: torch.int32}


def fingerprint(batch: Any, around: tuple[int, ...] = ()) -> Fingerprint:
    """Return kind, shape and checksum of everything in a batch, in order, also in the fields of objects.

    ``around`` are the identities of the objects that hold it. Cost: one read of the data.
    """
    if isinstance(batch, Mapping):
        return [part for key, value in batch.items() for part in [(f"key {key!r}", 0), *fingerprint(value, around)]]
    if isinstance(batch, tuple | list):
        return [part for item in batch for part in fingerprint(item, around)]
    if isinstance(batch, np.ndarray):
        batch = torch.as_tensor(np.array(batch)) if batch.dtype.kind in "biufc" else [str(batch.dtype), batch.tolist()]
        return fingerprint(batch, around)
    if isinstance(batch, bytearray | memoryview | array.array):
        return [(f"{type(batch).__name__} {hashlib.blake2b(bytes(batch)).hexdigest()}", 0)]
    if isinstance(batch, set | frozenset):
        return [part for parts in sorted(fingerprint(item, around) for item in batch) for part in parts]
    if isinstance(batch, deque | range):
        return fingerprint([type(batch).__name__, *batch], around)
    if isinstance(batch, Tensor):
        return _of_tensor(batch)
    if isinstance(batch, int | float | np.number) and not isinstance(batch, np.complexfloating):
        return [(f"{type(batch).__name__} {batch}", 0)]
    is_plain = isinstance(batch, str | bytes | complex | Fraction | Decimal | date | time | timedelta | PurePath)
    kind = (repr(batch) if is_plain else type(batch).__name__, 0)
    fields = {} if id(batch) in around else fields_of(batch)
    return [kind, *fingerprint(fields, (*around, id(batch)))]


def fields_of(value: Any) -> dict[str, Any]:
    """Return the fields of an object, by name; none of functions, classes and modules."""
    if isinstance(value, FunctionType | MethodType | ModuleType | type):
        return {}
    slots = [getattr(kind, "__slots__", ()) for kind in type(value).__mro__]
    in_slots = [name for names in slots for name in ([names] if isinstance(names, str) else names)]
    names = [*getattr(value, "__dict__", {}), *getattr(type(value), "__dataclass_fields__", {}), *in_slots]
    return {name: getattr(value, name, None) for name in dict.fromkeys(names)}


def plain_parts(tensor: Any) -> list[Tensor]:
    """Return the dense real tensors that a tensor consists of: itself, or those of a sparse, nested or complex one."""
    tensor = tensor.detach()
    parts: list[Tensor]
    if tensor.is_nested:
        parts = [tensor.values(), tensor.offsets()] if tensor.layout == torch.jagged else list(tensor.unbind())
    elif tensor.layout == torch.sparse_coo:
        parts = sparse_parts(tensor)
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
    return [(f"{tensor.layout}{shape}", 0), *((f"{p.dtype} {tuple(p.shape)}", checksum(p)) for p in parts)]


def checksum(tensor: Tensor) -> int:
    """Return the sum, modulo 2^64, of the bits of all entries, in words of 32 at most, each times a random odd number.

    A change of one word always changes it, and any other with a probability of at least 1 - 2^-32. Sums of integers do
    not depend on their order, so neither devices nor threads matter.
    """
    if tensor.numel() == 0 or tensor.is_meta:
        return 0
    flat = tensor.detach().reshape(-1).contiguous()
    words = flat.as_strided(flat.shape, (1,)).view(WORDS[tensor.itemsize])  # a single entry may keep another stride
    weights = _weights(str(tensor.device))
    total = torch.zeros((), dtype=torch.int64, device=tensor.device)
    for chunk in words.split(CHECKSUM_CHUNK):
        total = total * BASE + chunk.long().mul_(weights[: len(chunk)]).sum()
    return int(total)


def rounded_checksum(tensor: Tensor) -> float:
    """Return a weighted sum of the entries, for what is computed: equal to rounding where the entries are."""
    factors = _factors(str(tensor.device))
    total = torch.zeros((), dtype=torch.float64, device=tensor.device)
    for index, chunk in enumerate(tensor.detach().reshape(-1).split(CHECKSUM_CHUNK)):
        total += (1 + 0.1 * index) * (chunk.double() * factors[: len(chunk)]).sum()
    return float(total)


@functools.lru_cache(maxsize=4)
def _weights(device: str) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.randint(-(2**63), 2**63 - 1, (CHECKSUM_CHUNK,), generator=generator) | 1).to(device)


@functools.lru_cache(maxsize=4)
def _factors(device: str) -> Tensor:
    return (
        torch.rand(CHECKSUM_CHUNK, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).add(0.5).to(device)
    )


def digest_of(parts: Fingerprint) -> str:
    """Return one short text for a fingerprint of many parts."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def digest_of_all(digests: Iterable[str]) -> str:
    """Return one digest for many, whatever their order."""
    return f"{sum(int(digest, 16) for digest in digests) % 2**64:016x}"


def as_number(digest: str) -> float:
    """Return the first 52 bits of a digest as a number, which processes send with others."""
    return float(int(digest[:13], 16))


def is_same(first: Fingerprint, second: Fingerprint) -> bool:
    """Return whether two fingerprints are those of equal batches."""
    return first == second


def equal_to_rounding(first: Any, second: Any, rounding: float) -> bool:
    """Return whether two values are equal: floats to a relative ``rounding``, NaN to NaN."""
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=rounding) or (math.isnan(first) and math.isnan(second))
    return bool(first == second)
