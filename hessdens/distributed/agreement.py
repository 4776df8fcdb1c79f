"""Whether processes mean the same matrix and multiply the same vectors; if not, which of them differ and in what."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hessdens._version import __version__
from hessdens.distributed.group import Group, named_ranks
from hessdens.errors import RankError
from hessdens.linalg.fingerprint import fingerprint
from hessdens.linalg.operator import Operator

Facts = Mapping[str, Any]
# Checksums of the same numbers are equal to rounding; of numbers that each process computes, but for more of it.
ROUNDING, COMPUTED = 1e-11, {"vectors": 1e-5, "a product": 1e-5}
ADVICE = {
    "parameters": "Load the same weights on all ranks, or seed them alike before the model is made.",
    "buffers": "Load the same buffers on all ranks.",
    "data": "Give all ranks the same data, or use share_examples.",
    "batches": "Give all ranks the same data, or use share_examples.",
    "vectors": "Give all ranks the same seed.",
    "seed": "Give all ranks the same seed.",
    "number of vectors": "Call the same function with the same arguments on all ranks.",
}


def check_same(group: Group, facts: Facts, what: str) -> None:
    """Raise RankError on every process unless all have the same facts, ``what`` says of what."""
    check_table(group, group.gather_objects(dict(facts)), what)


def check_table(group: Group, table: Sequence[Facts], what: str) -> None:
    """Raise RankError unless the facts of all processes are the same."""
    names = dict.fromkeys(name for facts in table for name in facts)
    differences = []
    for name in names:
        tolerance = COMPUTED.get(name, ROUNDING)
        found = _grouped([facts.get(name) for facts in table], group.names, tolerance)
        if len(found) > 1:
            parts = " and ".join(f"{_shown(value)} on {named_ranks(ranks)}" for value, ranks in found)
            differences.append(f"{name} is {parts}. {ADVICE.get(name, '')}".rstrip())
    if differences:
        raise RankError(f"All ranks must have {what}; {' '.join(differences)}")


def check_different(group: Group, values: Sequence[Any]) -> None:
    """Raise RankError if two processes have the same data."""
    same = [ranks for _, ranks in _grouped(values, group.names, ROUNDING) if len(ranks) > 1]
    if same:
        raise RankError(
            f"Ranks must have data of their own; {' and '.join(named_ranks(ranks) for ranks in same)} have the same. "
            "Give each its part, hessdens.distributed.part(data), or pass allow_equal_data=True."
        )


def facts_of(operator: Operator) -> dict[str, Any]:
    """Return what an operator is, and what it was made of. Cost: one read of parameters and data."""
    return {
        "size": operator.size,
        "dtype": str(operator.dtype),
        "hessdens version": __version__,
        "torch version": str(torch.__version__),
        **operator.origin(),
    }


def checksum(V: Tensor) -> float:
    """Return a checksum that sees the order of entries."""
    return fingerprint(V)[0][1]


def _grouped(values: Sequence[Any], names: Sequence[int], tolerance: float) -> list[tuple[Any, list[int]]]:
    """Return each different value with the processes that have it."""
    groups: list[tuple[Any, list[int]]] = []
    for value, name in zip(values, names, strict=True):
        for other, ranks in groups:
            if _equal(value, other, tolerance):
                ranks.append(name)
                break
        else:
            groups.append((value, [name]))
    return groups


def _equal(first: Any, second: Any, tolerance: float) -> bool:
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=tolerance) or (math.isnan(first) and math.isnan(second))
    return bool(first == second)


def _shown(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else repr(value)
