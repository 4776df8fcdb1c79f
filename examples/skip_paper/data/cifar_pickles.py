"""Pickled batches of CIFAR's python version: dictionaries, lists and arrays; nothing of them is run."""

import io
import pickle
import pickletools
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What batches are made of, as Python 2 and 3 have written them. No opcode runs or copies anything.
OPCODES = frozenset(
    """
    PROTO FRAME STOP MARK PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET
    EMPTY_DICT DICT SETITEM SETITEMS EMPTY_LIST LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1
    STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8
    GLOBAL STACK_GLOBAL REDUCE BUILD
    """.split()  # noqa: SIM905
)
# 50,000 images have a name and two labels each: at most 7 opcodes. That takes 2 s.
MOST_OPCODES = 1_000_000
# Of arrays and their dtypes. Tuples of tuples grow as a power of 2, and are hashed and compared as a whole.
MOST_TUPLES = 20


class ForbiddenPickleError(pickle.UnpicklingError):
    """A pickle holds something that no CIFAR batch holds."""


def load_batch(content: bytes) -> Any:
    """Return what a pickle holds, arrays of bytes as `StoredArray`. It raises nearly anything for a damaged one.

    ForbiddenPickleError where it holds something that no batch does, or exceeds a limit above. Nothing of it is run.
    """
    tuples = 0
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        tuples += opcode.name.startswith("TUPLE")
        if opcode.name not in OPCODES:
            raise ForbiddenPickleError(f"it has the opcode {opcode.name}, which no CIFAR batch needs.")
        is_place = opcode.name.endswith("PUT") and int(argument) > MOST_OPCODES
        if count > MOST_OPCODES or tuples > MOST_TUPLES or is_place:
            raise ForbiddenPickleError(
                f"it has more than {MOST_OPCODES:,} opcodes or {MOST_TUPLES} tuples, as no CIFAR batch has."
            )
    return _Unpickler(io.BytesIO(content), encoding="bytes").load()


class StoredArray:
    """An array of NumPy in a pickle, of which NumPy's own constructors make nothing."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def read(self) -> NDArray[np.uint8]:
        """Return it; ValueError if it is not of bytes, or of another size than it says."""
        _, shape, dtype, is_fortran, content = self.state
        if not isinstance(dtype, StoredDtype) or dtype.name not in (b"u1", "u1"):
            raise ValueError(f"it must be of bytes; got {getattr(dtype, 'name', None)!r}")
        return np.frombuffer(content, np.uint8).reshape(shape, order="F" if is_fortran else "C")


class StoredDtype:
    """A dtype of NumPy in a pickle."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.name = name

    def __setstate__(self, state: Any) -> None:
        """Byte order and fields: bytes have none."""


class _Latin1:
    """Bytes as Python 3 writes them into old pickles; every other codec is refused."""

    def __new__(cls, text: str, encoding: Any) -> bytes:  # type: ignore[misc]
        if encoding not in ("latin1", "latin-1"):
            raise ForbiddenPickleError("it asks for a codec that no CIFAR batch needs.")
        return text.encode("latin1")

    def __setstate__(self, state: Any) -> None:
        """Without this, a pickle could set attributes of the class."""


NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): StoredArray,
    ("numpy._core.multiarray", "_reconstruct"): StoredArray,
    ("numpy", "ndarray"): StoredArray,
    ("numpy", "dtype"): StoredDtype,
    ("_codecs", "encode"): _Latin1,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in NAMES:
            raise ForbiddenPickleError(f"it names {module}.{name}, which no CIFAR batch holds. Nothing of it was run.")
        return NAMES[module, name]
