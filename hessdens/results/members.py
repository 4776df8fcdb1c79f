"""Arrays of ``.npz`` files, checked before they are unpacked: members, their sizes, and the headers of their arrays."""

import math
import os
import re
import struct
import sys
import zipfile
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np

from hessdens.results.files import reading

# A file has at most this many members, and a directory of as many names of usual length.
MOST_MEMBERS = 1000
MOST_DIRECTORY = 256 * MOST_MEMBERS
# Arrays may together take this many bytes, at 8 at least for an entry, however small the file is.
USUAL_SIZE = 2**26
# Or this many times the bytes of the file. Files are written so that they keep to this (`storage.save_npz`).
MOST_EXPANSION = 20
# The header of an array as NumPy writes it, of plain numbers, truth values or text.
HEADER = re.compile(
    rb"\{'descr': '([<>|=][bfiuU]\d{1,9})', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\), \} *\n"
)
PIECE = 2**20
Arrays = dict[str, np.ndarray[Any, Any]]


def most_bytes(length: int) -> int:
    """Return how many bytes a file of this length may unpack to."""
    return max(USUAL_SIZE, MOST_EXPANSION * length)


def read_members(path: str | os.PathLike[str], rule: str, cure: str = "") -> Arrays:
    """Return the arrays of an ``.npz`` file by name.

    ValueError, with rule and cure as `reading` has them, if it is damaged, holds more than plain arrays, or breaks a
    limit above. Its memory is that of its arrays and a copy of the largest.
    """
    with reading(path, rule, cure) as file:
        length = os.fstat(file.fileno()).st_size
        _check_directory(file, length)
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _check_members(members)
            headers = [_header(archive, member) for member in members]
            total = sum(header.entries * max(header.dtype.itemsize, 8) for header in headers)
            if total > most_bytes(length):
                raise ValueError(f"its {length:,} bytes unpack to {total:,}")
            return {header.name: _content(archive, header) for header in headers}


def _check_directory(file: BinaryIO, length: int) -> None:
    """Raise ValueError if the directory at the end is missing or too large: zipfile would read all of it."""
    file.seek(max(0, length - 98))
    end = file.read().rjust(98, b"\0")  # record of large archives (56 bytes), its place (20), and record of all (22)
    (size,) = struct.unpack("<L", end[-10:-6])
    if end[-42:-38] == b"PK\6\7":
        (size,) = struct.unpack("<Q", end[-58:-50])
    if end[-22:-18] != b"PK\5\6":
        raise ValueError("it does not end as an archive does")
    if size > MOST_DIRECTORY:
        raise ValueError(f"its directory has {size:,} bytes, more than {MOST_MEMBERS:,} members need")


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    if len(names) > MOST_MEMBERS:
        raise ValueError(f"it has {len(names):,} members, more than {MOST_MEMBERS:,}")
    if len(set(names)) < len(names):
        raise ValueError("it has two members of one name")
    for member in members:
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{member.filename!r} is encrypted, or compressed in an unusual way")


@dataclass(frozen=True)
class _Header:
    """What the header of an array says, and how long it is."""

    member: zipfile.ZipInfo
    length: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    is_fortran: bool

    @property
    def name(self) -> str:
        return self.member.filename.removesuffix(".npy")

    @property
    def entries(self) -> int:
        return math.prod(self.shape)


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> _Header:
    with archive.open(member) as file:
        start = file.read(10)
        text = file.read(int.from_bytes(start[8:], "little"))
    match = HEADER.fullmatch(text)
    if start[:8] != b"\x93NUMPY\1\0" or match is None or not member.filename.endswith(".npy"):
        raise ValueError(f"{member.filename!r} is no array of numbers, truth values or text")
    descr, is_fortran, lengths = (part.decode() for part in match.groups())
    shape = tuple(int(length) for length in lengths.split(",") if length.strip())
    header = _Header(member, 10 + len(text), np.dtype(descr), shape, is_fortran == "True")
    if header.entries * header.dtype.itemsize != member.file_size - header.length:
        raise ValueError(f"{member.filename!r} is not of the size that its header says")
    return header


def _content(archive: zipfile.ZipFile, header: _Header) -> np.ndarray[Any, Any]:
    """Return an array, read to the end of its member, where the checksum is compared."""
    content = memoryview(bytearray(header.member.file_size))
    with archive.open(header.member) as file:
        for start in range(0, len(content), PIECE):
            content[start : start + PIECE] = file.read(PIECE)
    dtype, native, numbers = header.dtype, header.dtype.newbyteorder("="), content[header.length :]
    order: Literal["F", "C"] = "F" if header.is_fortran else "C"
    if not len(numbers):
        return np.zeros(header.shape, native)
    if dtype.kind == "b" and np.frombuffer(numbers, np.uint8).max() > 1:
        raise ValueError(f"{header.name!r} holds what is neither true nor false")
    if dtype.kind == "U":
        letters = np.frombuffer(numbers, f"{dtype.byteorder}u4".replace("|", "="))
        if np.any((letters > sys.maxunicode) | (letters >> 11 == 0xD800 >> 11)):
            raise ValueError(f"{header.name!r} holds what is no text")
    return np.frombuffer(numbers, dtype).reshape(header.shape, order=order).astype(native, copy=False)
