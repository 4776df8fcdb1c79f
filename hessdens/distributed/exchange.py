"""What processes tell one another before they add up or exchange products, and the team that they make."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from hessdens.distributed.agreement import check_same, check_table, checksum
from hessdens.distributed.group import Group
from hessdens.operators import Operator
from hessdens.team import Team

T = TypeVar("T")
# Numbers that each process sends before every product: has it failed, how many vectors, two checksums, its weight.
HEADER = 5


class Replicas(Team):
    """Processes that all hold whole vectors, along one or two dimensions of a grid of them."""

    def __init__(self, groups: tuple[Group, ...], device: torch.device) -> None:
        self.groups, self._device = groups, device

    def least(self, value: int) -> int:
        """Return the smallest value of all processes."""
        for group in self.groups:
            value = group.least(value, self._device)
        return value

    def check_same(self, facts: Mapping[str, str | int | float]) -> None:
        """Raise RankError if processes differ."""
        for group in self.groups:
            check_same(group, facts, "the same arguments")

    def shared(self, function: Callable[[], T | None]) -> T | None:
        """Call the function on the first process of all, and hand its answer or error on, dimension by dimension."""
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


def multiplied(
    group: Group, operator: Operator, V: Tensor, multiply: Callable[[], tuple[Tensor, float]]
) -> tuple[Tensor, Tensor]:
    """Return what ``multiply`` gives here, and the weights of all processes, shape (ranks,), once all have succeeded.

    An error of one process is an error of all, and so are other vectors or another model than the others'.
    """
    product, weight, failure = V, 0.0, None
    try:
        product, weight = multiply()
    except Exception as error:  # of another group too, where processes make a grid
        failure = error
    numbers = [float(failure is not None), float(V.shape[1]), checksum(V.T), operator.state_checksum(), weight]
    table = torch.stack(group.gather(torch.tensor(numbers, dtype=torch.float64, device=operator.device)))
    if table[:, 0].any():
        said = group.gather_objects(None if failure is None else (type(failure).__name__, str(failure)))
        group.raise_failures(said, failure)
    rows = table.tolist()
    check_table(
        group,
        [{"number of vectors": int(row[1]), "vectors": row[2], "parameters": row[3]} for row in rows],
        "the same vectors and model in a product",
    )
    return product, table[:, 4]
