"""Which processes work on an operator together, and which entries of a vector each of them holds."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from torch import Tensor

T = TypeVar("T")


class Team:
    """A single process, which holds whole vectors. `hessdens.distributed` has those of several processes.

    Every estimator reaches other processes through the methods of its operator's team only, and all processes of a team
    call them in the same order. Where it ``is_sharded``, each process holds entries of its own of every vector, and
    inner products are sums over processes.
    """

    is_sharded = False

    def rows(self, size: int) -> list[slice]:
        """Return the places of the entries of a vector of R^size that this process holds, ascending."""
        return [slice(0, size)]

    def sum(self, part: Tensor) -> Tensor:
        """Return the sum of a tensor over the processes that hold shards."""
        return part

    def gather(self, part: Tensor) -> tuple[list[Tensor], int]:
        """Return a tensor of every process that holds a shard, and the position of this process among them."""
        return [part], 0

    def least(self, value: int) -> int:
        """Return the smallest value of all processes: for what each measures alone, such as free memory."""
        return value

    def check_same(self, facts: Mapping[str, str | int | float | None]) -> None:
        """Raise if a fact is another one on another process; the message names it and the processes."""

    def shared(self, function: Callable[[], T | None]) -> T | None:
        """Return what ``function`` returns, the same answer or error for all: for files.

        Where all processes hold whole vectors the first one calls it for all. Where each holds a shard all call it, and
        if it is None for one it is for all.
        """
        return function()

    def folder(self) -> str:
        """Return the name of the folder, within another, of the files of this process; empty where all share them."""
        return ""


ALONE = Team()
