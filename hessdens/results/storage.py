"""Results to and from ``.npz`` files: without pickle, and tagged with what they hold."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hessdens.results.files import replacing
from hessdens.results.members import Arrays, most_bytes, read_members

# Raised when names or meanings of arrays change.
FORMAT = 3
# Whole numbers up to here are exact as floating-point numbers too.
MOST_COUNT = 2**53
# What is left of fractions that sum to 1.
ROUNDING = 1e-6
# Of a member: kinds of NumPy dtypes, what they are called, the type of a single one, and what holds for each number.
KINDS: dict[str, tuple[str, str, type, Callable[[Any], Any] | None]] = {
    "finite": ("fiu", "finite numbers", float, np.isfinite),
    "vector": ("f", "finite floating-point numbers", float, np.isfinite),  # of the precision that it was made in
    "number": ("fiu", "numbers", float, None),
    "amount": ("fiu", "finite numbers, none negative", float, lambda array: np.isfinite(array) & (array >= 0)),
    "error": ("fiu", "numbers, none negative", float, lambda array: ~(array < 0)),  # NaN where there is nothing to tell
    "fraction": ("fiu", "fractions", float, lambda array: ~(np.abs(array) > 1 + ROUNDING)),  # NaN, or less than nothing
    "count": ("iu", "a whole number, not negative", int, lambda array: (array >= 0) & (array <= MOST_COUNT)),
    "size": ("iu", "a whole number above 0", int, lambda array: (array > 0) & (array <= MOST_COUNT)),
    "flag": ("b", "true or false", bool, None),
    "text": ("U", "text", str, None),
}


class NewerFormatError(ValueError):
    """A file is whole, as far as can be told, and of a version that this one does not know."""


def save_npz(path: str | os.PathLike[str], kind: str, arrays: Mapping[str, Any]) -> None:
    """Write ``arrays`` to ``path`` as one ``.npz`` file, atomically."""
    names = np.array(sorted(arrays), dtype=np.str_)
    tags: dict[str, Any] = {"hessdens_kind": kind, "hessdens_format": FORMAT, "hessdens_names": names}
    content: dict[str, Any] = {name: np.asarray(array) for name, array in {**arrays, **tags}.items()}
    with replacing(path) as file:
        np.savez_compressed(file, **content)
        if sum(array.size * max(array.itemsize, 8) for array in content.values()) > most_bytes(file.tell()):
            file.truncate(0)  # almost all zeros: not compressed, so that its length stands for what it holds
            file.seek(0)
            np.savez(file, **content)


def load_npz(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """Return the arrays that `save_npz` wrote to ``path`` under the same ``kind``; other errors are `read_npz`'s."""
    actual, arrays = read_npz(path, kind)
    if actual != kind:
        raise ValueError(f"{path} must hold a saved {kind}; it holds {actual}.")
    return arrays


def read_npz(path: str | os.PathLike[str], kind: str = "result") -> tuple[str, Arrays]:
    """Return the kind and the arrays that `save_npz` wrote.

    ValueError, which speaks of ``kind``, if the file is not one of hessdens, was written by a newer version
    (`NewerFormatError`) or a much earlier one, is damaged, or holds more than `read_members` allows.
    """
    rule = f"A saved {kind} must be a whole .npz file without pickled objects"
    arrays = read_members(path, rule)
    if "hessdens_kind" not in arrays:
        raise ValueError(f"{path} must hold a saved {kind}; it holds no hessdens result.")
    version = take(arrays, {"hessdens_format": "count"}, path)["hessdens_format"]
    if version > FORMAT:
        raise NewerFormatError(
            f"{path} has format {version}, written by a newer hessdens; this one reads up to {FORMAT}."
        )
    if version < FORMAT:
        raise ValueError(
            f"{path} has format {version}, written by an earlier, unreleased hessdens; this one reads {FORMAT}. "
            "Make it again."
        )
    tags = take(arrays, {"hessdens_kind": "text", "hessdens_names": "R text"}, path)
    arrays = {name: array for name, array in arrays.items() if not name.startswith("hessdens_")}
    if len(tags["hessdens_names"]) != len(arrays) or set(tags["hessdens_names"].tolist()) != arrays.keys():
        raise ValueError(f"{rule}; {path} does not hold the arrays that it names.")
    return tags["hessdens_kind"], arrays


def take(
    arrays: Mapping[str, Any],
    layout: Mapping[str, str],
    path: str | os.PathLike[str],
    prefix: str = "",
    lengths: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Return the arrays that ``layout`` names; ValueError, naming the first, if one is missing or is not as it says.

    A layout has the shape by letters, the same letter for the same length, and a kind: "P K finite" (see ``KINDS``). A
    kind alone is a single value, and returned as Python's. Names in the file begin with ``prefix``; ``lengths`` are
    those of letters that the caller knows.
    """
    lengths = dict(lengths or {})
    taken = {}
    for key, description in layout.items():
        name, (*letters, kind) = prefix + key, description.split()
        if name not in arrays:
            raise ValueError(f"{path} must hold an array {name!r}; it is missing: the file is damaged.")
        array = arrays[name]
        shape = tuple(lengths.get(letter, letter) for letter in letters)
        fits = array.ndim == len(letters) and all(
            lengths.setdefault(letter, int(letter) if letter.isdigit() else length) == length
            for letter, length in zip(letters, array.shape, strict=True)
        )
        dtypes, meaning, of_one, rule = KINDS[kind]
        if not (fits and array.dtype.kind in dtypes and (rule is None or np.all(rule(array)))):
            expected = f"({', '.join(map(str, shape))}) of {meaning}"
            raise ValueError(
                f"{name!r} in {path} must have shape {expected}; got shape {array.shape} of {array.dtype}: the file is "
                "damaged."
            )
        taken[key] = array if letters else of_one(array.item())
    return taken


def pack(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of many results as few: for each name, values end to end, their shapes, and whose they are.

    A member of an ``.npz`` file takes 0.1 ms, however small it is. Arrays of one name must have one number of axes.
    """
    packed: dict[str, np.ndarray[Any, Any]] = {}
    for name in sorted({name for row in rows for name in row}):
        arrays = {index: np.asarray(row[name]) for index, row in enumerate(rows) if name in row}
        packed[f"{name}.values"] = np.concatenate([array.reshape(-1) for array in arrays.values()])
        packed[f"{name}.shapes"] = np.array([array.shape for array in arrays.values()], dtype=np.int64)
        packed[f"{name}.rows"] = np.array(list(arrays), dtype=np.int64)
    return packed


def unpack(packed: Mapping[str, Any], num_rows: int, path: str | os.PathLike[str]) -> list[Arrays]:
    """Return what `pack` was given; ValueError, naming the file, if that is impossible."""
    rows: list[Arrays] = [{} for _ in range(num_rows)]
    for name in {key.rpartition(".")[0] for key in packed}:
        owners, shapes = take(packed, {"rows": "R count", "shapes": "R D count"}, path, f"{name}.").values()
        values = packed.get(f"{name}.values", np.zeros(()))
        sizes = np.prod(shapes, axis=1, dtype=np.float64)  # which does not overflow
        is_whole = len(owners) > 0 and values.ndim == 1 and sizes.sum() == len(values)
        if not (is_whole and np.all(owners < num_rows) and len(np.unique(owners)) == len(owners)):
            raise ValueError(f"Packed arrays must be whole; {name!r} in {path} is not: the file is damaged.")
        pieces = np.split(values, np.cumsum(sizes)[:-1].astype(np.int64))
        for owner, shape, piece in zip(owners.tolist(), shapes.tolist(), pieces, strict=True):
            rows[owner][name] = piece.reshape(shape)
    return rows


def readonly(array: Any, dtype: Any = np.float64) -> np.ndarray[Any, Any]:
    """Return a copy of ``array`` that cannot be written to (results are immutable)."""
    copy = np.array(array, dtype=dtype)
    copy.setflags(write=False)
    return copy
