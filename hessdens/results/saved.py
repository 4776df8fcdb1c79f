"""Results that cannot be written to, that have files, and that give their numbers as JSON has them."""

import inspect
import math
import os
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Self, get_args

import numpy as np

from hessdens._checks import LEVEL, PAPER_WINDOW
from hessdens._types import FloatArray, Window
from hessdens.results.storage import load_npz, readonly, save_npz, take
from hessdens.results.summaries.html import as_html
from hessdens.results.support import Interval

Numbers = dict[str, Any]
Size = Annotated[int, "size"]
Finite = Annotated[float, "finite"]
SUPPORT = "2 finite"
# Fields that files of this format may lack: they then have their default.
LATER_FIELDS = {"matrix", "labels", "num_eigenvalues", "window", "lowest", "highest", "shared_by_chance"}
# A short text of a result has arrays of so many numbers.
SHOWN_NUMBERS = 4
KINDS_OF_TYPES = {float: "number", int: "count", bool: "flag", str: "text", Interval: SUPPORT}


class Saved:
    """What frozen dataclasses of results and of their parts have in common.

    Annotations of the fields say what a file holds: ``Annotated[FloatArray, "P K finite"]`` gives shape and kind, as
    `storage.take` reads them; those of plain types are in ``KINDS_OF_TYPES``. Other fields are parts, saved under the
    field's name: ``Part``, ``Part | None`` or ``tuple[Part, ...]``. Arrays become read-only.
    """

    layout: ClassVar[Mapping[str, Any]]

    def __init_subclass__(cls) -> None:
        cls.layout = {
            name: getattr(annotation, "__metadata__", [KINDS_OF_TYPES.get(annotation, annotation)])[0]
            for name, annotation in inspect.get_annotations(cls).items()
        }
        if "__repr__" not in vars(cls):
            cls.__repr__ = Saved.__repr__  # type: ignore[method-assign]  # dataclasses would print all arrays

    def __repr__(self) -> str:
        """Return the first line of what ``print`` shows, or else the fields with arrays by their shapes."""
        title = "" if type(self).__str__ is object.__str__ else str(self).partition("\n")[0]
        if title and not title.startswith(" "):
            return f"<{type(self).__name__}: {title}>"
        fields = ", ".join(f"{name}={shortly(getattr(self, name))}" for name in self.layout)
        return f"{type(self).__name__}({fields})"

    def summary(self) -> str:
        """Return what ``print`` shows, or the words of it where there is more."""
        return str(self)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return as_html(str(self))

    def __post_init__(self) -> None:
        for name, kind in self.layout.items():
            if isinstance(kind, str) and " " in kind:
                object.__setattr__(self, name, _kept(getattr(self, name), kind))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an ``.npz`` file, atomically and without pickle."""
        save_npz(path, type(self).__name__, self.to_arrays())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; ValueError if the file holds something else."""
        return cls.from_arrays(load_npz(path, cls.__name__), path)

    def to_arrays(self) -> dict[str, Any]:
        """Return what `from_arrays` reads, for a file."""
        arrays: dict[str, Any] = {}
        for name, kind in self.layout.items():
            value = getattr(self, name)
            if isinstance(kind, str):
                arrays[name] = _written(value, kind)
            elif isinstance(value, tuple):
                for index, part in enumerate(value):
                    arrays |= {f"{name}_{index}_{inner}": array for inner, array in part.to_arrays().items()}
            elif value is not None:
                arrays |= {f"{name}_{inner}": array for inner, array in value.to_arrays().items()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], path: str | os.PathLike[str], prefix: str = "") -> Self:
        """Return the result that `to_arrays` was asked of; ValueError, naming the file, if arrays are damaged."""
        own = {name: kind for name, kind in cls.layout.items() if isinstance(kind, str)}
        later = {name for name in LATER_FIELDS if hasattr(cls, name)}  # the fields that have a default
        known = {k: v for k, v in own.items() if k not in later or prefix + k in arrays}
        values = take(arrays, known, path, prefix)
        for name in [name for name in cls.layout if name not in own]:
            part, *other = get_args(cls.layout[name]) or [cls.layout[name]]  # other: [...], [NoneType] or []
            start = f"{prefix}{name}_"
            inner = [key.removeprefix(start) for key in arrays if key.startswith(start)]
            if other == [...]:
                count = len({key.partition("_")[0] for key in inner})
                values[name] = tuple(part.from_arrays(arrays, path, f"{start}{index}_") for index in range(count))
            else:
                values[name] = part.from_arrays(arrays, path, start) if inner or not other else None
        try:
            return cls(**values)
        except ValueError as error:  # of a class about its own values: it does not know the file
            raise ValueError(f"{path} holds a damaged {cls.__name__}: {error}") from error

    def numbers(self, window: Window | None = None, level: float = LEVEL) -> Numbers:
        """Return what the result says: lists, dictionaries, text and numbers; None in place of NaN and infinity.

        Parameters
        ----------
        window
            Size of the window around 0 that counts as degenerate; "1%" of the largest absolute eigenvalue where that is
            known. Default: the result's own, 0.2 unless it was estimated for another.
        level
            Confidence level of the intervals, "low" to "high", where there are any.

        Returns
        -------
        dict
            "kind" is the name of the class; the command line's documentation lists the other keys.
        """
        own: Window = getattr(self, "window", PAPER_WINDOW)
        return plain({"kind": type(self).__name__, **self._numbers(own if window is None else window, level)})

    def _named(self, *names: str) -> Numbers:
        return {name: getattr(self, name) for name in names}

    def _numbers(self, window: Window, level: float) -> Numbers:
        """Return what `numbers` adds to the kind, as NumPy has it."""
        raise NotImplementedError(f"{type(self).__name__} is a part of a result.")


def shortly(value: Any) -> str:
    """Return a field in a few characters: of large arrays the shape, of parts the class."""
    if isinstance(value, np.ndarray) and value.size > SHOWN_NUMBERS:
        return f"<array of shape {value.shape}>"
    if isinstance(value, tuple) and value and isinstance(value[0], Saved):
        return f"<{len(value)} {type(value[0]).__name__}>"
    if isinstance(value, Saved):
        return f"<{type(value).__name__}>"
    return np.array2string(value, precision=4) if isinstance(value, np.ndarray) else repr(value)


def rows(**columns: FloatArray) -> list[Numbers]:
    """Return one row of numbers for each order, from 1."""
    return [
        {"order": order, **dict(zip(columns, row, strict=True))}
        for order, row in enumerate(zip(*columns.values(), strict=True), start=1)
    ]


def plain(value: Any) -> Any:
    """Return what JSON has: no NumPy numbers, and None for NaN and infinity."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str | bool | int | None):
        return value
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    raise TypeError(f"Numbers of a result are numbers and text; got {type(value).__name__}.")


def _written(value: Any, kind: str) -> Any:
    """Return a value as a file has it."""
    if kind.endswith("text"):
        return np.array(value, dtype=np.str_)  # of no entries, too
    return tuple(value) if kind == SUPPORT else value


def _kept(value: Any, kind: str) -> Any:
    """Return an array of a result so that it cannot be changed."""
    if kind == SUPPORT:
        return Interval.of(value)
    if kind.endswith(("count", "text")):
        return tuple(np.asarray(value).tolist())
    if kind.endswith("vector"):
        return readonly(value, np.asarray(value).dtype)
    return readonly(value, bool if kind.endswith("flag") else np.float64)
