"""What processes tell one another before they add up or exchange products."""

from collections.abc import Callable

import torch
from torch import Tensor

from hessdens.distributed.agreement import check_table
from hessdens.distributed.group import Group
from hessdens.linalg.fingerprint import checksum
from hessdens.linalg.operator import Operator

# Numbers that each process sends before every product: whether it has failed, how many vectors, checksums of vectors
# and parameters, its weight.
HEADER = 5


def multiplied(
    group: Group, operator: Operator, V: Tensor, multiply: Callable[[], tuple[Tensor, float]]
) -> tuple[Tensor, Tensor]:
    """Return what ``multiply`` gives here, and the weights of all processes, shape (ranks,), once all have succeeded.

    An error of one process is an error of all; so are vectors or a model that differ from those of others.
    """
    product, weight, failure = V, 0.0, None
    try:
        product, weight = multiply()
    except Exception as error:  # of another group too, where processes make a grid
        failure = error
    numbers = [float(failure is not None), float(V.shape[1]), checksum(V.T), operator.state_checksum(), weight]
    table = torch.stack(group.gather(torch.tensor(numbers, dtype=torch.float64, device=operator.device)))
    if table[:, 0].any():
        failures = group.gather_objects(None if failure is None else (type(failure).__name__, str(failure)))
        group.raise_failures(failures, failure)
    rows = table.tolist()
    check_table(
        group,
        [{"number of vectors": int(row[1]), "vectors": row[2], "parameters": row[3]} for row in rows],
        "the same vectors and model in a product",
    )
    return product, table[:, 4]
