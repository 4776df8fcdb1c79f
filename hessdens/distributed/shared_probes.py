"""Probes shared out: each process multiplies some of the vectors with the whole matrix."""

from typing import Any

import torch
from torch import Tensor

from hessdens._calls import takes_operator
from hessdens.distributed.agreement import check_table
from hessdens.distributed.exchange import Shared
from hessdens.distributed.group import Group, GroupLike
from hessdens.linalg.adapt import as_operator
from hessdens.linalg.identity import identity_of, with_product
from hessdens.linalg.operator import Operator


@takes_operator
def share_probes(A: Any, *, group: GroupLike = None) -> Operator:
    """Return an operator whose products with several vectors are divided among processes, and exchanged.

    Parameters
    ----------
    A
        The same operator on all processes, with all data; or what `share_examples` returns, for processes in a grid:
        ``share_probes(share_examples(H, group=mesh["examples"]), group=mesh["probes"])``.
    group
        The processes, a process group or one dimension of a device mesh. Default: all.

    Returns
    -------
    Operator
        A product with P vectors costs each process ceil(P / ranks) products. With fewer vectors than processes some
        have nothing to do, and with a single vector all but one: give estimators a ``block_size`` or ``num_probes``
        that is a multiple of the number of processes.

    Raises
    ------
    RankError
        On every process: if operators differ between processes, naming them (parameters, buffers and data by a
        checksum; an operator that does not know them by a product); in a product as in `share_examples`.

    Notes
    -----
    Sent in a product: `probes_traffic`. Cost when made: one read of parameters and data, or one product.
    """
    processes = Group(group, "share_probes")
    operator = processes.attempt(lambda: as_operator(A))
    is_sharded = processes.together(lambda: operator.team.is_sharded)
    if any(is_sharded):
        raise ValueError("share_probes needs whole vectors; those of this operator are sharded over processes.")
    identify = identity_of if operator.has_whole_origin else with_product
    check_table(processes, processes.together(lambda: identify(operator)), "the same operator")
    return SharedProbes(operator, processes)


class SharedProbes(Shared):
    """An operator of which each process of a group multiplies its share of the columns."""

    def _matmat(self, V: Tensor) -> Tensor:
        width = -(-V.shape[1] // self._group.num_ranks)
        mine = V[:, self._group.rank * width : (self._group.rank + 1) * width]
        product, _ = self._multiplied(V, mine)
        rows = V.new_zeros(width, len(V))
        rows[: product.shape[1]] = product.T
        return torch.cat(self._group.gather(rows))[: V.shape[1]].T
