"""Results to and from ``.npz`` files: atomic, without pickle, and tagged with what they hold."""

import io
import math
import os
import secrets
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

# Raised when names or meanings of arrays change.
FORMAT = 2
# Members of a file may together take this many bytes, however small the file is.
USUAL_SIZE = 2**30
# Or this many times the bytes of the file: rounding noise hardly compresses, so only what is almost all zeros, or made
# to fill the memory, takes more.
MOST_EXPANSION = 100
# Of a member: kinds of NumPy dtypes, what they are called, the type of a single one, and what holds for each number.
KINDS: dict[str, tuple[str, str, type, Callable[[Any], Any] | None]] = {
    "finite": ("fiu", "finite numbers", float, np.isfinite),
    "number": ("fiu", "numbers", float, None),
    "count": ("iu", "a whole number, not negative", int, lambda array: array >= 0),
    "size": ("iu", "a whole number above 0", int, lambda array: array > 0),
    "flag": ("b", "true or false", bool, None),
    "text": ("U", "text", str, None),
}


@contextmanager
def replacing(path: str | os.PathLike[str], *, text: bool = False) -> Iterator[IO[Any]]:
    """Give a file to write to, which takes the place of ``path`` when the block ends: whole or not at all.

    It is written in the same folder and renamed, so that a killed process leaves either the old file or the new.
    """
    destination = Path(path)
    temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("x", encoding="utf-8", newline="") if text else temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, destination)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def save_npz(path: str | os.PathLike[str], kind: str, arrays: Mapping[str, Any]) -> None:
    """Write ``arrays`` to ``path`` as one ``.npz`` file, whole or not at all."""
    destination = Path(path)
    if not destination.parent.is_dir():
        raise FileNotFoundError(f"The folder of {destination} does not exist. Make it first.")
    names = np.array(sorted(arrays), dtype=np.str_)
    tags: dict[str, Any] = {"hessdens_kind": kind, "hessdens_format": FORMAT, "hessdens_names": names}
    with replacing(destination) as file:
        np.savez_compressed(file, **arrays, **tags)


def load_npz(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """Return the arrays that `save_npz` wrote to ``path`` under the same ``kind``; other errors are `read_npz`'s."""
    actual, arrays = read_npz(path, kind)
    if actual != kind:
        raise ValueError(f"{path} must hold a saved {kind}; it holds {actual}.")
    return arrays


def read_npz(path: str | os.PathLike[str], kind: str = "result") -> tuple[str, dict[str, Any]]:
    """Return the kind and the arrays that `save_npz` wrote.

    ValueError, which speaks of ``kind``, if the file is not one of hessdens, was written by a newer or a much earlier
    version, is damaged, or pretends to hold more than it does.
    """
    damaged = f"A saved {kind} must be a whole .npz file without pickled objects; got {path}."
    content = io.BytesIO(Path(path).read_bytes())
    try:
        with zipfile.ZipFile(content) as archive:
            _check_members(archive, len(content.getbuffer()))
        content.seek(0)
        with np.load(content, allow_pickle=False) as arrays_of_file:
            arrays = {name: arrays_of_file[name] for name in arrays_of_file.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, OverflowError) as error:
        # OSError, RuntimeError: what zipfile raises for damaged headers with impossible offsets, methods or passwords.
        raise ValueError(damaged) from error
    if "hessdens_kind" not in arrays:
        raise ValueError(f"{path} must hold a saved {kind}; it holds no hessdens result.")
    if not {"hessdens_format", "hessdens_names"} <= arrays.keys():
        raise ValueError(damaged)
    version = take(arrays, {"hessdens_format": "count"}, path)["hessdens_format"]
    if version > FORMAT:
        raise ValueError(f"{path} has format {version}, written by a newer hessdens; this one reads up to {FORMAT}.")
    if version < FORMAT:
        raise ValueError(
            f"{path} has format {version}, written by an earlier, unreleased hessdens; this one reads {FORMAT}. "
            "Make it again."
        )
    tags = take(arrays, {"hessdens_kind": "text", "hessdens_names": "R text"}, path)
    arrays = {name: array for name, array in arrays.items() if not name.startswith("hessdens_")}
    if sorted(tags["hessdens_names"]) != sorted(arrays):
        raise ValueError(damaged)
    return tags["hessdens_kind"], arrays


def _check_members(archive: zipfile.ZipFile, length: int) -> None:
    """Raise ValueError, before anything is unpacked, if members are too large, or other than their headers say."""
    members = archive.infolist()
    total = sum(member.file_size for member in members)
    if total > max(USUAL_SIZE, MOST_EXPANSION * length):
        raise ValueError(f"{length} bytes unpack to {total}.")
    for member in members:
        with archive.open(member) as file:
            try:
                version = np.lib.format.read_magic(file)
                reader = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}[version[0]]
                shape, _, dtype = reader(file)
            except Exception as error:  # NumPy parses headers as Python, with errors of the tokenizer, parser and stack
                raise ValueError(f"{member.filename} has no header.") from error
            if dtype.hasobject or math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
                raise ValueError(f"{member.filename} is not of the size that its header says.")


def take(
    arrays: Mapping[str, Any], layout: Mapping[str, str], path: str | os.PathLike[str], prefix: str = ""
) -> dict[str, Any]:
    """Return the arrays that ``layout`` names; ValueError, naming the first, if one is missing or is not as it says.

    A layout has the shape by letters, the same letter for the same length, and a kind: "P K finite" (see ``KINDS``). A
    kind alone is a single value, and returned as Python's. Names in the file begin with ``prefix``.
    """
    lengths: dict[str, int] = {}
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


def unpack(packed: Mapping[str, Any], num_rows: int) -> list[dict[str, np.ndarray[Any, Any]]]:
    """Return what `pack` was given; ValueError if that is impossible."""
    rows: list[dict[str, np.ndarray[Any, Any]]] = [{} for _ in range(num_rows)]
    for name in {key.rpartition(".")[0] for key in packed}:
        if not {f"{name}.values", f"{name}.shapes", f"{name}.rows"} <= packed.keys():
            raise ValueError(f"Packed arrays must be whole; {name!r} is not.")
        values, shapes, owners = (packed[f"{name}.{part}"] for part in ("values", "shapes", "rows"))
        sizes = np.prod(shapes, axis=1, dtype=np.int64)
        fits = len(owners) == len(sizes) and np.all((owners >= 0) & (owners < num_rows))
        if not (fits and np.all(shapes >= 0) and sizes.sum() == len(values)):
            raise ValueError(f"Packed arrays must be whole; {name!r} is not.")
        pieces = np.split(values, np.cumsum(sizes)[:-1])
        for owner, shape, piece in zip(owners, shapes, pieces, strict=True):
            rows[owner][name] = piece.reshape(shape)
    return rows


def readonly(array: Any, dtype: Any = np.float64) -> np.ndarray[Any, Any]:
    """Return a copy of ``array`` that cannot be written to (results are immutable)."""
    copy = np.array(array, dtype=dtype)
    copy.setflags(write=False)
    return copy
