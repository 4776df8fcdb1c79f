"""Parts of a vector: layers, whole tensors, or slices of them, such as the heads of a fused attention weight."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import index as whole_number
from typing import Any

import torch
from torch import Tensor

from hessdens.curvature.parameters import matching
from hessdens.linalg.adapt import kind_of
from hessdens.linalg.operator import Operator

# Rows and columns of one tensor, or of all that a glob matches; several of them in a list.
Index = slice | int | tuple[slice | int, ...] | list[Any] | None
# Names and globs of whole tensors, a function of name and size, slices of named tensors, or slices of a whole vector.
Selection = str | Sequence[str] | Callable[[str, Any], bool] | Mapping[str, Index] | slice | None
# The name of the only tensor of a matrix that knows no parameters.
WHOLE = ""


@dataclass(frozen=True)
class Piece:
    """A box of one tensor: the place of the tensor in a vector, its shape, and a range along each of its axes."""

    tensor: str
    start: int
    shape: tuple[int, ...]
    box: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(stop - start for start, stop in self.box)

    def of(self, V: Tensor) -> Tensor:
        """Return these entries of the columns of V, a view of shape (..., P)."""
        rows = V[self.start : self.start + math.prod(self.shape)].unflatten(0, self.shape or (1,))
        return rows[tuple(slice(*ends) for ends in self.box)]

    def meets(self, other: "Piece") -> bool:
        """Return whether some entry lies in both."""
        pairs = zip(self.box, other.box, strict=True)
        return self.tensor == other.tensor and all(max(a[0], b[0]) < min(a[1], b[1]) for a, b in pairs)


class Parts:
    """Disjoint parts of the vectors of an operator, by name.

    Attributes
    ----------
    names, sizes
        Of the parts, with their numbers of entries.
    pieces
        The boxes of each part.
    """

    def __init__(self, pieces: Mapping[str, Sequence[Piece]]) -> None:
        self.names = tuple(pieces)
        self.pieces = tuple(tuple(boxes) for boxes in pieces.values())
        self.sizes = tuple(sum(piece.size for piece in boxes) for boxes in self.pieces)

    @classmethod
    def of(cls, operator: Operator, parts: Mapping[str, Selection] | None, *, may_overlap: bool = False) -> "Parts":
        """Return the parts that are named; by default each module's parameters.

        ValueError if one does not exist, is empty, or overlaps another; TypeError if the operator knows no parameters
        and a part needs them.
        """
        shapes = operator.parameter_shapes or {WHOLE: (operator.size,)}
        if parts is None:
            check_parameters(operator, "parts=None")
            modules = dict.fromkeys(name.rpartition(".")[0] for name in shapes)
            parts = {module: [name for name in shapes if name.rpartition(".")[0] == module] for module in modules}
        if not isinstance(parts, Mapping):
            raise TypeError(
                f"parts must be a dictionary of names and what each part has; got {type(parts).__name__}. Pass "
                '{"a name": "layer.0.*"}.'
            )
        if not parts:
            raise ValueError("parts must have at least one part; got none.")
        named = {str(name): selection for name, selection in parts.items()}
        if len(named) < len(parts):
            raise ValueError(f"parts must have different names as text; got {list(parts)[:5]}.")
        starts = dict(zip(shapes, itertools.accumulate(map(math.prod, shapes.values()), initial=0), strict=False))
        tensors = {name: Piece(name, starts[name], shape, _whole(shape)) for name, shape in shapes.items()}
        pieces = {name: _pieces(operator, tensors, name, selection) for name, selection in named.items()}
        for some in [{name: boxes} for name, boxes in pieces.items()] if may_overlap else [pieces]:
            _check_disjoint(some)
        return cls(pieces)

    def restricted(self, V: Tensor, chosen: Sequence[int]) -> Tensor:
        """Return the columns of V, column i set to zero outside part ``chosen[i]``."""
        result = torch.zeros_like(V)
        for column, part in enumerate(chosen):
            for piece in self.pieces[part]:
                piece.of(result[:, column : column + 1]).copy_(piece.of(V[:, column : column + 1]))
        return result

    def sums(self, V: Tensor) -> Tensor:
        """Return for each part the sum of its entries of each column, in float64, shape (parts, P)."""
        return self.sums_by_rows(lambda rows: V[rows], len(V), V.shape[1])

    def sums_by_rows(self, values: Callable[[slice], Tensor], most_rows: int, num_columns: int) -> Tensor:
        """Return the same of rows that ``values`` gives, at most about so many at a time, each once."""
        totals = torch.zeros(len(self.names), num_columns, dtype=torch.float64)
        by_tensor: dict[str, list[tuple[int, Piece]]] = {}
        for part, boxes in enumerate(self.pieces):
            for piece in boxes:
                by_tensor.setdefault(piece.tensor, []).append((part, piece))
        for pieces in by_tensor.values():
            start, (length, *inner) = pieces[0][1].start, pieces[0][1].shape or (1,)
            width = math.prod(inner)
            step = max(1, most_rows // width)
            for low in range(0, length, step):
                high = min(low + step, length)
                if any(low < piece.box[0][1] and piece.box[0][0] < high for _, piece in pieces):
                    slab = values(slice(start + low * width, start + high * width)).unflatten(0, (high - low, *inner))
                    for part, piece in pieces:
                        totals[part] += _sum_in_box(slab, piece, low)
        return totals

    def squares(self, V: Tensor) -> Tensor:
        """Return for each part the squared length of its entries of each column, in float64, shape (parts, P)."""
        totals = torch.zeros(len(self.names), V.shape[1], dtype=torch.float64, device=V.device)
        for part, boxes in enumerate(self.pieces):
            for piece in boxes:
                lengths = torch.linalg.vector_norm(piece.of(V).flatten(end_dim=-2), dim=0, dtype=torch.float64)
                totals[part] += lengths.square()
        return totals


def _sum_in_box(slab: Tensor, piece: Piece, low: int) -> Tensor:
    """Return the sums, in float64, of the entries of a piece in a slab of its tensor that begins at index ``low``."""
    (start, stop), *others = piece.box
    first, last = max(start - low, 0), max(min(stop - low, len(slab)), 0)
    box = slab[(slice(first, max(first, last)), *(slice(*ends) for ends in others))]
    return box.flatten(end_dim=-2).sum(dim=0, dtype=torch.float64).cpu()


def check_parameters(operator: Operator, what: str) -> None:
    """Raise TypeError unless the operator knows the parameters of a model."""
    if not operator.parameter_shapes:
        raise TypeError(
            f"{what} needs an operator that knows its parameters, from hessian_operator or its like; got "
            f"{kind_of(operator)}. Of another matrix parts are slices: {{'first': slice(0, 10)}}."
        )


def _whole(shape: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    return tuple((0, length) for length in shape or (1,))


def _pieces(operator: Operator, tensors: Mapping[str, Piece], part: str, selection: Selection) -> list[Piece]:
    """Return the boxes of one part."""
    if isinstance(selection, slice):
        length = operator.size
        box = _range(selection, length, f"parts[{part!r}]")
        if operator.parameter_shapes:
            raise TypeError(
                f"parts[{part!r}] must name parameters, since the operator knows them; got {selection}. Pass "
                '{"name of a parameter": slice(...)}.'
            )
        return [Piece(WHOLE, 0, (length,), (box,))]
    check_parameters(operator, f"parts[{part!r}]")
    if isinstance(selection, Mapping):
        boxes = [
            _box(tensors[name], index, f"parts[{part!r}][{name!r}]")
            for pattern, indices in selection.items()
            for name in sorted(matching(tensors, pattern), key=list(tensors).index)
            for index in (indices if isinstance(indices, list) else [indices])
        ]
    else:
        sizes = {name: piece.size for name, piece in tensors.items()}
        chosen = matching(sizes, selection)
        boxes = [piece for name, piece in tensors.items() if name in chosen]
    if not boxes:
        raise ValueError(f"parts[{part!r}] must name parameters of the operator; it names none.")
    return boxes


def _box(tensor: Piece, index: Any, what: str) -> Piece:
    """Return the box of a tensor that an index describes."""
    if index is None:
        return tensor
    ranges = index if isinstance(index, tuple) else (index,)
    axes = tensor.shape or (1,)
    if len(ranges) > len(axes):
        raise ValueError(f"{what} must have at most {len(axes)} ranges, for shape {tensor.shape}; got {len(ranges)}.")
    given = [_range(part, length, what) for part, length in zip(ranges, axes, strict=False)]
    return Piece(tensor.tensor, tensor.start, tensor.shape, (*given, *_whole(axes)[len(given) :]))


def _range(part: Any, length: int, what: str) -> tuple[int, int]:
    """Return beginning and end of a range along an axis of this length."""
    try:
        if not isinstance(part, slice):
            start = whole_number(part)
            stop = start + 1
        elif part.step in (None, 1):
            start, stop = (
                default if end is None else whole_number(end) for end, default in ((part.start, 0), (part.stop, length))
            )
        else:
            raise TypeError
    except TypeError:
        raise TypeError(
            f"{what} must be made of slices of whole numbers without steps, as np.s_[:, 0:64] gives them; got {part!r}."
        ) from None
    if not 0 <= start < stop <= length:
        raise ValueError(f"{what} must lie within an axis of length {length:,}; got {start}:{stop}.")
    return start, stop


def _check_disjoint(pieces: Mapping[str, Iterable[Piece]]) -> None:
    """Raise ValueError, naming both, if two parts overlap."""
    by_tensor: dict[str, list[tuple[str, Piece]]] = {}
    for part, boxes in pieces.items():
        for piece in boxes:
            for other, known in by_tensor.setdefault(piece.tensor, []):
                if piece.meets(known):
                    tensor = f" in {piece.tensor!r}" if piece.tensor else ""
                    if other == part:
                        raise ValueError(f"parts[{part!r}] must have each entry once; it has some{tensor} twice.")
                    raise ValueError(
                        f"parts must not overlap; {other!r} and {part!r} do{tensor}. Take the common entries out of "
                        "one of them."
                    )
            by_tensor[piece.tensor].append((part, piece))
