"""Compressed files and archives of data sets: read to their end, within limits, and never unpacked to disk."""

import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from hessdens.results.files import reading

# Bytes that are unpacked at a time.
PIECE = 2**20
AGAIN = "If it is truncated or altered, fetch it again."


def unpacked(path: Path, most: int) -> bytes:
    """Return what a gzip file holds, at most so many bytes; ValueError, naming it, if it is damaged or holds more."""
    with reading(path, "A data set must be a whole gzip file", AGAIN) as file:
        return b"".join(_pieces(file, most))


def read_archive(path: Path, names: Collection[str], most: int) -> dict[str, bytes]:
    """Return files of a .tar.gz archive by name. It is read to gzip's own checksum, in one pass.

    Raises
    ------
    ValueError
        If the archive is damaged, unpacks to more than ``most`` bytes, or lacks a file: a link is none. The message
        names it.
    """
    found: dict[str, bytes] = {}
    with reading(path, f"A data set must be a whole archive with {', '.join(names)}", AGAIN) as file:
        stream = _Stream(_pieces(file, most))
        while (header := stream.read(tarfile.BLOCKSIZE)).strip(b"\0"):
            member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
            name, size = member.name.removeprefix("./"), member.size
            if size < 0:
                raise ValueError(f"{name} has {size} bytes")
            is_wanted = name in names and member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)
            if is_wanted and name in found:
                raise ValueError(f"it holds {name} twice")
            if is_wanted:
                found[name] = stream.read(size)
            stream.skip(-size % tarfile.BLOCKSIZE if is_wanted else size + -size % tarfile.BLOCKSIZE)
        stream.finish()
        missing = [name for name in names if name not in found]
        if missing:
            raise ValueError(f"it does not hold the file {missing[0]}")
    return {name: found[name] for name in names}


def _pieces(file: BinaryIO, most: int) -> Iterator[bytes]:
    """Yield what a gzip file holds, at most so many bytes; then its checksum has been compared."""
    inflate, total = zlib.decompressobj(wbits=31), 0  # 31: of gzip
    while not inflate.eof:
        packed = inflate.unconsumed_tail or file.read(PIECE)
        piece = inflate.decompress(packed, PIECE)
        if not packed and not piece:
            raise EOFError(f"it ends after {total:,} bytes of content, before its checksum")
        total += len(piece)
        if total > most:
            raise ValueError(f"it unpacks to more than {most:,} bytes")
        yield piece
    if (inflate.unused_data + file.read(PIECE)).strip(b"\0"):
        raise ValueError("something follows its checksum")


class _Stream:
    """Pieces as one stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Return the next bytes; EOFError if they are fewer."""
        parts = list(self._parts(size))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def skip(self, size: int) -> None:
        """Pass over the next bytes."""
        for _ in self._parts(size):
            pass

    def finish(self) -> None:
        """Pass over the rest, to its checksum."""
        for _ in self._pieces:
            pass

    def _parts(self, size: int) -> Iterator[bytes]:
        while size > 0:
            self._rest = self._rest or next(self._pieces, b"")
            if not self._rest:
                raise EOFError("the archive ends within a file")
            part, self._rest = self._rest[:size], self._rest[size:]
            size -= len(part)
            yield part
