"""Parts of a vector by name, in results."""

import difflib
from collections.abc import Sequence


def place_of(name: str, names: Sequence[str], what: str = "part") -> int:
    """Return the position of a name; ValueError, with near ones, if there is none."""
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.3) or list(names)[:3]
        raise ValueError(f"The {what} must be one of {len(names)} names; got {name!r}. Near: {near}.")
    return list(names).index(name)


def check_lengths(names: Sequence[str], **lengths: int) -> None:
    """Raise ValueError unless names are different and all else has as many entries."""
    if not names or len(set(names)) < len(names):
        raise ValueError(f"names must be different, and at least one; got {list(names)[:5]}.")
    for what, length in lengths.items():
        if length != len(names):
            raise ValueError(f"{what} must have an entry for each of {len(names)} names; got {length}.")


def shown(name: str) -> str:
    """Return a name as a table has it: that of a model itself is empty."""
    return name or "(the model itself)"
