"""Each process' part of the data."""

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset, Subset

from hessdens.distributed.agreement import check_table
from hessdens.distributed.group import Group, GroupLike


def part(data: Any, *, group: GroupLike = None) -> Any:
    """Return this process' part of ``data``: consecutive items, in parts that differ by one item at most.

    Parameters
    ----------
    data
        A list of batches, or a dataset with a length, of which a ``torch.utils.data.Subset`` is returned.
    group
        Processes among which the data are divided, a process group or one dimension of a device mesh. Default: all.

    Raises
    ------
    ValueError
        If there are fewer items than processes.
    TypeError
        If ``data`` has no length or no items by number.
    RankError
        On every process, if processes give other numbers of items.

    Examples
    --------
    >>> import torch.distributed as dist
    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # under torchrun: `start`
    >>> part(["first batch", "second batch"])  # the only process has both
    ['first batch', 'second batch']
    >>> dist.destroy_process_group()
    """
    processes = Group(group, "part")
    length = processes.attempt(lambda: _length(data))
    check_table(processes, processes.gather_objects({"number of items": length}), "the same data, to divide them")
    if length < processes.num_ranks:
        raise ValueError(
            f"data must have an item for each of the {processes.num_ranks} ranks; got {length}. Make smaller batches, "
            "or use fewer ranks."
        )
    first, last = (length * edge // processes.num_ranks for edge in (processes.rank, processes.rank + 1))
    return Subset(data, range(first, last)) if isinstance(data, Dataset) else data[first:last]


def _length(data: Any) -> int:
    if not (isinstance(data, Sequence) or (isinstance(data, Dataset) and hasattr(data, "__len__"))):
        raise TypeError(
            f"data must be a sequence of batches or a dataset with a length; got {type(data).__name__}. "
            "Pass list(data)."
        )
    return len(data)
