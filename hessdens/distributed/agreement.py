"""Whether processes mean the same matrix and multiply the same vectors; if not, which of them differ and in what."""

from collections.abc import Mapping, Sequence
from typing import Any

from hessdens.distributed.group import Group, named_ranks
from hessdens.errors import RankError
from hessdens.linalg.identity import is_same_fact

Facts = Mapping[str, Any]
ADVICE = {
    "parameters": "Load the same weights on all ranks, or seed them alike before the model is made.",
    "buffers": "Load the same buffers on all ranks.",
    "data": "Give all ranks the same data, or use share_examples.",
    "batches": "Give all ranks the same data, or use share_examples.",
    "number of items": "Give all ranks the whole data.",
    "vectors": "Give all ranks the same seed.",
    "seed": "Give all ranks the same seed.",
    "number of vectors": "Call the same function with the same arguments on all ranks.",
}


def check_table(group: Group, table: Sequence[Facts], what: str) -> None:
    """Raise RankError unless the facts of all processes are the same; ``what`` names them."""
    differences = []
    for name in dict.fromkeys(name for facts in table for name in facts):
        groups = _grouped(name, [facts.get(name) for facts in table], group.global_ranks)
        if len(groups) > 1:
            parts = " and ".join(f"{value!r} on {named_ranks(ranks)}" for value, ranks in groups)
            differences.append(f"{name} is {parts}. {ADVICE.get(name, '')}".rstrip())
    if differences:
        raise RankError(f"All ranks must have {what}; {' '.join(differences)}")


def check_different(group: Group, values: Sequence[Any]) -> None:
    """Raise RankError if two processes have the same data."""
    same = [ranks for _, ranks in _grouped("data", values, group.global_ranks) if len(ranks) > 1]
    if same:
        raise RankError(
            f"Ranks must have data of their own; {' and '.join(named_ranks(ranks) for ranks in same)} have the same. "
            "Give each its part, hessdens.distributed.part(data), or pass allow_equal_data=True."
        )


def _grouped(fact: str, values: Sequence[Any], names: Sequence[int]) -> list[tuple[Any, list[int]]]:
    """Return each different value of a fact with the processes that have it."""
    groups: list[tuple[Any, list[int]]] = []
    for value, name in zip(values, names, strict=True):
        same = next((ranks for other, ranks in groups if is_same_fact(fact, value, other)), None)
        if same is None:
            groups.append((value, [name]))
        else:
            same.append(name)
    return groups
