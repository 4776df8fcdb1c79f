"""Results to and from ``.npz`` files: atomic, without pickle, and tagged with what they hold."""

import io
import os
import secrets
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1


def save_npz(path: str | os.PathLike[str], kind: str, arrays: Mapping[str, Any]) -> None:
    """Write ``arrays`` to ``path`` as one ``.npz`` file, whole or not at all.

    The file is written beside its destination and renamed, so that a killed process leaves either the old file or the
    new.
    """
    destination = Path(path)
    if not destination.parent.is_dir():
        raise FileNotFoundError(f"The folder of {destination} does not exist. Make it first.")
    temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            tags: dict[str, Any] = {"hessdens_names": sorted(arrays), "hessdens_kind": kind, "hessdens_format": FORMAT}
            np.savez_compressed(file, **arrays, **tags)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, destination)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load_npz(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """Return the arrays that `save_npz` wrote to ``path`` under the same ``kind``.

    Raises
    ------
    ValueError
        If the file is not a result of hessdens, holds another kind, or was written by a newer version.
    """
    content = io.BytesIO(Path(path).read_bytes())
    if not zipfile.is_zipfile(content):
        raise ValueError(_damaged(kind, path))
    content.seek(0)
    try:
        with np.load(content, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        # OSError, RuntimeError: what zipfile raises for damaged headers with impossible offsets, methods or passwords.
        raise ValueError(_damaged(kind, path)) from error
    found = str(arrays.pop("hessdens_kind", "no hessdens result"))
    if found != kind:
        raise ValueError(f"{path} must hold a saved {kind}; it holds {found}.")
    if not {"hessdens_format", "hessdens_names"} <= arrays.keys():
        raise ValueError(_damaged(kind, path))
    version = int(arrays.pop("hessdens_format"))
    if version > FORMAT:
        raise ValueError(f"{path} has format {version}, written by a newer hessdens; this one reads up to {FORMAT}.")
    if sorted(arrays.pop("hessdens_names")) != sorted(arrays):
        raise ValueError(_damaged(kind, path))
    return arrays


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
        values, shapes = packed[f"{name}.values"], packed[f"{name}.shapes"]
        sizes = np.prod(shapes, axis=1, dtype=np.int64)
        owners = packed[f"{name}.rows"]
        fits = len(owners) == len(sizes) and np.all((owners >= 0) & (owners < num_rows))
        if not (fits and np.all(shapes >= 0) and sizes.sum() == len(values)):
            raise ValueError(f"Packed arrays must be whole; {name!r} is not.")
        pieces = np.split(values, np.cumsum(sizes)[:-1])
        for owner, shape, piece in zip(owners, shapes, pieces, strict=True):
            rows[owner][name] = piece.reshape(shape)
    return rows


def _damaged(kind: str, path: str | os.PathLike[str]) -> str:
    return f"A saved {kind} must be a whole .npz file without pickled objects; got {path}."


def readonly(array: Any, dtype: Any = np.float64) -> np.ndarray[Any, Any]:
    """Return a copy of ``array`` that cannot be written to (results are immutable)."""
    copy = np.array(array, dtype=dtype)
    copy.setflags(write=False)
    return copy
