"""Examples shared out: each process multiplies with the matrix of its own part of the data."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessdens._calls import takes_operator
from hessdens.curvature.data.subsets import Subsets
from hessdens.curvature.operator import CurvatureOperator
from hessdens.distributed.agreement import check_different, check_table
from hessdens.distributed.exchange import Shared
from hessdens.distributed.group import Group, GroupLike
from hessdens.errors import NonFiniteError
from hessdens.linalg.adapt import kind_of
from hessdens.linalg.fingerprint import digest_of_all
from hessdens.linalg.identity import identity_of
from hessdens.linalg.operator import Operator

# What depends on the part of the data.
OF_THE_PART = ("data", "batches")


@takes_operator
def share_examples(operator: CurvatureOperator, *, group: GroupLike = None, allow_equal_data: bool = False) -> Operator:
    """Return the matrix of the mean loss over the data of all processes, from that of each.

    Every process makes an operator of the same model and its own part of the data; every estimator then takes what
    this function returns, on all processes alike, and gives the same result on each.

    Parameters
    ----------
    operator
        From `hessian_operator`, `ggn_operator` or `fisher_operator`, on the part of the data that this process has.
        Parts may be uneven: each counts with its number of examples, or what ``num_examples=`` says.
    group
        The processes, a process group or one dimension of a device mesh. Default: all.
    allow_equal_data
        Whether two processes may have the same data. It is mostly a mistake, whose result would look right.

    Returns
    -------
    Operator
        The sum over processes of each one's product times its share of the examples.

    Raises
    ------
    RankError
        On every process: if models, loss or libraries differ between processes (parameters and buffers by a checksum),
        or data do not, naming the processes. In a product, if vectors or parameters differ, or a process fails or does
        not answer within the timeout.
    TypeError
        If the operator does not know its number of examples.

    Notes
    -----
    Sent in a product: `examples_traffic`. Products are summed in the operator's dtype. Cost when made: one read of
    parameters and data.
    """
    processes = Group(group, "share_examples")

    def facts_of_this_process() -> dict[str, Any]:
        if not isinstance(operator, CurvatureOperator):
            raise TypeError(
                "share_examples needs an operator that knows its number of examples, as hessian_operator makes; got "
                f"{kind_of(operator)}. Share first, and then add or scale: share_examples(H) + c * I."
            )
        return {**identity_of(operator), "allow_equal_data": allow_equal_data}

    table: list[dict[str, Any]] = processes.together(facts_of_this_process)
    fixed = [{name: value for name, value in facts.items() if name not in OF_THE_PART} for facts in table]
    check_table(processes, fixed, "the same model and loss")
    if not allow_equal_data:
        check_different(processes, [facts["data"] for facts in table])
    batches, data = ([facts[name] for facts in table] for name in ("batches", "data"))
    return SharedExamples(operator, processes, {"batches": sum(batches), "data": digest_of_all(data)})


class SharedExamples(Shared):
    """The weighted mean of the operators of a group of processes; ``data`` says what those of all are."""

    _operator: CurvatureOperator

    def __init__(self, operator: CurvatureOperator, group: Group, data: Mapping[str, str | int]) -> None:
        super().__init__(operator, group)
        self._data = data
        self._counted: tuple[Subsets, list[int]] | None = None

    def examples_of_ranks(self) -> list[int]:
        """Return the number of examples of each process. Cost: one read of the data, once."""
        return self._subsets()[1]

    def _subsets(self) -> tuple[Subsets, list[int]]:
        if self._counted is None:
            own = Subsets(self._operator)
            self._counted = own, self._group.gather_objects(own.total)
        return self._counted

    def fewer_examples(self, num_examples: int, seed: int) -> "SharedExamples":
        """Return the matrix of some of the examples, of each process in proportion to what it has, and at least one."""
        own, counts = self._subsets()
        ends = np.cumsum([0, *counts])
        shares = np.maximum(np.diff(num_examples * ends // ends[-1]), 1)
        part = own.operator(int(shares[self._group.rank]), seed=seed)
        return SharedExamples(part, self._group, {**self._data, "examples": num_examples, "drawn by seed": seed})

    def origin(self) -> dict[str, str | int | float]:
        """Return what is the same for all processes, however the data are divided among them."""
        return {**super().origin(), **self._data}

    def loss(self) -> float:
        """Return the mean loss over the data of all processes, and the penalty of ``weight_decay=``.

        Cost: one forward pass over the data of this process.
        """

        def own() -> Tensor:
            try:
                total, weight = self._operator.loss_sum()
            except NonFiniteError:  # the same on all processes, below
                return torch.full((2,), math.nan, dtype=torch.float64, device=self.device)
            return torch.stack([total.double(), torch.tensor(weight, dtype=torch.float64, device=self.device)])

        total, weight = self._group.sum(self._group.attempt(own))
        if not torch.isfinite(total):
            raise NonFiniteError(f"The loss must be finite; that of the data of all ranks is {float(total)}.")
        return self._operator.mean_loss(total, float(weight))

    def gradient(self, examples: Callable[[Any], Tensor] | None = None) -> Tensor:
        """Return the gradient of `loss`, over chosen examples of all processes. Cost: that of this process' data."""
        total, weight = self._group.attempt(lambda: self._operator.gradient_sum(examples))
        weights = self._group.sum(torch.tensor(weight, dtype=torch.float64, device=self.device))
        return self._operator.mean_gradient(self._group.sum(total), float(weights))

    def _matmat(self, V: Tensor) -> Tensor:
        product, weights = self._multiplied(V, V, lambda: self._operator.total_weight)
        share = float(weights[self._group.rank] / weights.sum())
        return self._group.sum(product.T * share).T
