"""Files that a stranger may have made: opened and read within limits, and replaced atomically.

The reader's rule: what reads a file returns what was saved, or raises ValueError or OSError that names the file.
"""

import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

# JSON that is read has at most this many bytes; as objects of Python it takes up to 20 times as much.
MOST_JSON = 2**23
# What a name may stand for besides a file.
OTHERS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


@contextmanager
def reading(path: str | os.PathLike[str], rule: str, cure: str = "") -> Iterator[BinaryIO]:
    """Give a file to read from; whatever its content makes the block raise is one ValueError: rule, path, why, cure.

    Parsers of strangers' bytes (zipfile, zlib, json, NumPy, Pillow) raise nearly anything for damaged ones.
    """
    if not is_regular(path):
        raise ValueError(f"{rule}; got {path}, which is {_kind(path)}. {cure}".rstrip())
    with open(path, "rb") as file:
        try:
            yield file
        except Exception as error:
            reason = str(error).rstrip(".") or type(error).__name__
            raise ValueError(f"{rule}; got {path}, which cannot be read: {reason}. {cure}".rstrip()) from error


def is_regular(path: str | os.PathLike[str]) -> bool:
    """Return whether a path leads to a file; OSError or ValueError, naming it, where it cannot lead anywhere."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except ValueError as error:  # of a zero byte or half a character, without the path
        raise ValueError(f"{os.fspath(path)!r} must be the name of a file: {error}.") from error


def read_json(path: str | os.PathLike[str], rule: str) -> dict[str, Any]:
    """Return the object in a JSON file; ValueError, which begins with ``rule``, if it holds none."""
    with reading(path, rule) as file:
        return json_object(file.read(MOST_JSON + 1))


def json_object(text: str | bytes) -> dict[str, Any]:
    """Return the object that a text is in JSON; ValueError if it is none."""
    if len(text) > MOST_JSON:
        raise ValueError(f"it has more than {MOST_JSON:,} bytes")
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError(f"it must be an object of JSON; it is {type(content).__name__}")
    return content


def json_facts(text: str | bytes) -> dict[str, str | int | float]:
    """Return an object in JSON of text and numbers alone, such as an identity; ValueError if it is none."""
    facts = json_object(text)
    for name, value in facts.items():
        if not isinstance(value, str | int | float):
            raise ValueError(f"{name!r} must be text or a number; it is {type(value).__name__}")
    return facts


def replaceable(path: str | os.PathLike[str]) -> Path:
    """Return where `replacing` writes: a new name, or a file that may be written to. A link leads to its target.

    OSError, naming the path, for all else: folders, devices, pipes, read-only files, names that cannot be. ValueError
    for a name that is none.
    """
    try:
        if not is_regular(path):
            raise FileExistsError(f"Only a file may be replaced; {path} is {_kind(path)}. Give another name.")
        if not (os.stat(path).st_mode & 0o222 and os.access(path, os.W_OK)):
            raise PermissionError(f"A file must be writable to be replaced; {path} is read-only. Give another name.")
    except FileNotFoundError:
        pass
    destination = Path(os.path.realpath(path))
    if not destination.parent.is_dir():
        raise FileNotFoundError(f"The folder of {path} does not exist. Make it first.")
    return destination


@contextmanager
def replacing(path: str | os.PathLike[str], *, text: bool = False) -> Iterator[IO[Any]]:
    """Give a file to write to, which takes the place of ``path`` when the block ends, atomically.

    It is written in the same folder and renamed, so that a killed process leaves either the old file or the new. Only
    what is `replaceable` is replaced, and the new file has the permissions of the old.
    """
    destination = replaceable(path)
    temporary = destination.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("x", encoding="utf-8", newline="") if text else temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if destination.exists():
            shutil.copymode(destination, temporary)
        os.replace(temporary, destination)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _kind(path: str | os.PathLike[str]) -> str:
    return OTHERS.get(stat.S_IFMT(os.stat(path).st_mode), "no file")
