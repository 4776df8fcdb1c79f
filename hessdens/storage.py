"""Results to and from ``.npz`` files: atomic, without pickle, and tagged with what they hold."""

import io
import os
import secrets
import zipfile
import zlib
from collections.abc import Mapping
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


def _damaged(kind: str, path: str | os.PathLike[str]) -> str:
    return f"A saved {kind} must be a whole .npz file without pickled objects; got {path}."


def readonly(array: Any, dtype: Any = np.float64) -> np.ndarray[Any, Any]:
    """Return a copy of ``array`` that cannot be written to (results are immutable)."""
    copy = np.array(array, dtype=dtype)
    copy.setflags(write=False)
    return copy
