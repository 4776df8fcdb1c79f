"""Each process' part of the data."""

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset, Subset

from hessdens.distributed.group import Group, Ranks


def part(data: Any, *, group: Ranks = None) -> Any:
    """Return this process' part of ``data``: consecutive items, parts as equal as they can be.

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
    """
    ranks = Group(group, "part")
    if not (isinstance(data, Sequence) or (isinstance(data, Dataset) and hasattr(data, "__len__"))):
        raise TypeError(
            f"data must be a sequence of batches or a dataset with a length; got {type(data).__name__}. "
            "Pass list(data)."
        )
    length = len(data)
    if length < ranks.num_ranks:
        raise ValueError(
            f"data must have an item for each of the {ranks.num_ranks} ranks; got {length}. Make smaller batches, or "
            "use fewer ranks."
        )
    first, last = (length * edge // ranks.num_ranks for edge in (ranks.rank, ranks.rank + 1))
    return Subset(data, range(first, last)) if isinstance(data, Dataset) else data[first:last]
