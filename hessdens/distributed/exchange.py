"""Operators that several processes share: what they tell one another before they add up or exchange products."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from hessdens.curvature.operator import CurvatureOperator
from hessdens.distributed.agreement import check_table
from hessdens.distributed.group import Group
from hessdens.distributed.teams import WholeTeam
from hessdens.linalg.adapt import kind_of
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

    def loss(self) -> float:
        """Return the mean loss over the data of all processes, as `CurvatureOperator.loss` does."""
        return self._group.attempt(lambda: self._model().loss())

    def gradient(self, examples: Callable[[Any], Tensor] | None = None) -> Tensor:
        """Return the gradient of `loss`, of chosen examples too, as `CurvatureOperator.gradient` does."""
        return self._group.attempt(lambda: self._model().gradient(examples))

    def flatten(self, direction: Mapping[str, Any]) -> Tensor:
        """Return tensors by parameter as one vector, as `CurvatureOperator.flatten` does."""
        return self._model().flatten(direction)

    def unflatten(self, direction: Any) -> dict[str, Tensor]:
        """Return a vector as a tensor for each parameter, as `CurvatureOperator.unflatten` does."""
        return self._model().unflatten(direction)

    @contextmanager
    def displaced(self, direction: Any, scale: float = 1.0) -> Iterator[None]:
        """Add a direction to the parameters for a while, the same one on all processes."""
        with self._model().displaced(direction, scale):
            yield

    def _model(self) -> "CurvatureOperator | Shared":
        """Return the operator inside; TypeError if it is none of a model."""
        if not isinstance(self._operator, CurvatureOperator | Shared):
            raise TypeError(
                f"A loss needs an operator of a model, as hessian_operator makes; got {kind_of(self._operator)}."
            )
        return self._operator
