"""The two kinds of teams of several processes: those that hold whole vectors, and those that hold shards."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from hessdens.distributed.agreement import check_table
from hessdens.distributed.group import Group
from hessdens.linalg.team import T, Team


class GroupTeam(Team):
    """Processes along one or two dimensions of a grid of them."""

    def __init__(self, groups: tuple[Group, ...], device: torch.device) -> None:
        self.groups = groups
        self._device = device

    def least(self, value: int) -> int:
        """Return the smallest value of all processes."""
        for group in self.groups:
            value = group.least(value, self._device)
        return value

    def check_same(self, facts: Mapping[str, str | int | float | None]) -> None:
        """Raise RankError if processes differ."""
        for group in self.groups:
            check_table(group, group.gather_objects(dict(facts)), "the same arguments")


class WholeTeam(GroupTeam):
    """Processes that all hold whole vectors."""

    def shared(self, function: Callable[[], T | None]) -> T | None:
        """Call the function on the first process of all, and hand on its answer or error, dimension by dimension."""
        outcome: tuple[T | None, Exception | None] = (None, None)
        if all(group.rank == 0 for group in self.groups):
            try:
                outcome = function(), None
            except (ValueError, OSError) as error:  # of files: damaged, of another run, a full disk
                outcome = None, error
        for group in self.groups:
            outcome = group.broadcast(outcome)
        value, failure = outcome
        if failure is not None:
            raise failure
        return value


class ShardedTeam(GroupTeam):
    """Processes that each hold entries of their own of every vector."""

    is_sharded = True

    def __init__(self, group: Group, rows: list[slice], device: torch.device) -> None:
        super().__init__((group,), device)
        self._group = group
        self._rows = rows

    def rows(self, size: int) -> list[slice]:
        """Return the places of the entries of this process."""
        return self._rows

    def sum(self, part: Tensor) -> Tensor:
        """Return the sum over processes."""
        return self._group.sum(part)

    def gather(self, part: Tensor) -> tuple[list[Tensor], int]:
        """Return a tensor of every process."""
        return self._group.gather(part), self._group.rank

    def shared(self, function: Callable[[], Any]) -> Any:
        """Call the function on each process; None, or an error, on one is the same on all."""
        value: Any = None

        def is_missing() -> bool:
            nonlocal value
            value = function()
            return value is None

        return None if any(self._group.together(is_missing)) else value

    def folder(self) -> str:
        """Return a folder for the files of this process."""
        return f"rank-{self._group.rank}-of-{self._group.num_ranks}"
