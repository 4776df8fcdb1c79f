"""Operators that several processes share: what they tell one another before they add up or exchange products."""

from collections.abc import Callable

import torch
from torch import Tensor

from hessdens.distributed.agreement import check_table
from hessdens.distributed.group import Group
from hessdens.distributed.teams import WholeTeam
from hessdens.linalg.fingerprint import rounded_checksum
from hessdens.linalg.operator import Operator, Wrapped

# Numbers that each process sends before every product: whether it has failed, how many vectors, checksums of vectors
# and parameters, its weight.
HEADER = 5


class Shared(Wrapped):
    """An operator to whose products each process of a group contributes."""

    def __init__(self, operator: Operator, group: Group) -> None:
        super().__init__(operator)
        inner = operator.team.groups if isinstance(operator.team, WholeTeam) else ()
        self.team = WholeTeam((group, *inner), operator.device)
        self._group = group

    def _multiplied(self, V: Tensor, mine: Tensor, weight: Callable[[], float] = lambda: 1.0) -> tuple[Tensor, Tensor]:
        """Return the product with ``mine``, and the weights of all processes, shape (ranks,), once all have succeeded.

        An error of one process is an error of all; so are vectors V or a model that differ from those of others.
        ``weight`` is that of this process, asked for after its product.
        """
        product, number = mine, 0.0
        failure = None
        try:
            if mine.shape[1]:
                product = self._operator.matmat(mine)
            number = weight()
        except Exception as error:  # of another group too, where processes make a grid
            failure = error
        header = [float(failure is not None), float(V.shape[1]), rounded_checksum(V.T), self.state_checksum(), number]
        table = torch.stack(self._group.gather(torch.tensor(header, dtype=torch.float64, device=self.device)))
        if table[:, 0].any():
            self._group.stop_together(failure)
        facts = [
            {"number of vectors": int(count), "vectors": vectors, "parameters": parameters}
            for _, count, vectors, parameters, _ in table.tolist()
        ]
        check_table(self._group, facts, "the same vectors and model in a product")
        return product, table[:, 4]
