"""Some probes of a feedforward network, the sums of their products, and work in progress."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hessdens.curvature.engines.loss_module import Values


class Chunk:
    """Some probes, as the matrix products need them, and the sums of their products.

    Parameters in which all of them are zero, as in columns of the identity or in the probes of one layer, take no work.
    """

    def __init__(self, parameters: Values, probes: Tensor) -> None:
        self.num_probes = len(probes)
        self._shapes = {name: value.shape for name, value in parameters.items()}
        # A weight of shape (m, n): as (P m, n), perhaps with a bias of shape (m,) as one more column, and as (m, P n)
        # for products with its transpose.
        self._rows: dict[tuple[str, ...], Tensor] = {}
        self.columns: dict[str, Tensor] = {}
        self.row_sums: dict[str, Tensor] = {}
        self.column_sums: dict[str, Tensor] = {}
        for name, shape in self._shapes.items():
            self.row_sums[name] = probes.new_empty((self.num_probes * shape[0], *shape[1:]))
            if len(shape) == 2:
                self.columns[name] = probes.new_empty(shape[0], self.num_probes * shape[1])
                self.column_sums[name] = torch.empty_like(self.columns[name])
        self.load(probes)

    def load(self, probes: Tensor) -> None:
        """Take these probes, and set the sums to zero."""
        pieces = probes.split([shape.numel() for shape in self._shapes.values()], dim=1)
        self._pieces = {
            name: piece.unflatten(1, shape) for (name, shape), piece in zip(self._shapes.items(), pieces, strict=True)
        }
        # In one transfer, since each is a wait for the device.
        moving = torch.stack([piece.any() for piece in self._pieces.values()]).tolist()
        self.moving = frozenset(name for name, moves in zip(self._pieces, moving, strict=True) if moves)
        for name, columns in self.columns.items():
            columns.view(len(columns), self.num_probes, -1).copy_(self._pieces[name].transpose(0, 1))
        for names in self._rows:
            self._fill(names)
        for sums in (*self.row_sums.values(), *self.column_sums.values()):
            sums.zero_()

    def rows(self, *names: str) -> Tensor:
        """Return the rows of a weight, of a bias, or of a weight and a bias next to one another."""
        if names not in self._rows:
            piece = self._pieces[names[0]]
            widths = [] if piece.ndim == 2 else [piece.shape[2] + len(names) - 1]
            self._rows[names] = piece.new_empty((self.num_probes * piece.shape[1], *widths))
            self._fill(names)
        return self._rows[names]

    def _fill(self, names: tuple[str, ...]) -> None:
        piece, rows = self._pieces[names[0]], self._rows[names]
        stacked = rows.unflatten(0, (self.num_probes, -1))
        if len(names) == 1:
            stacked.copy_(piece)
        else:
            stacked[..., :-1].copy_(piece)
            stacked[..., -1].copy_(self._pieces[names[1]])

    def total(self) -> Tensor:
        """Return the sums of the products, shape (P, N)."""
        parts = []
        for name in self._shapes:
            part = self.row_sums[name].view(self.num_probes, -1)
            if name in self.columns:
                columns = self.column_sums[name]
                part = part + columns.view(len(columns), self.num_probes, -1).transpose(0, 1).flatten(start_dim=1)
            parts.append(part)
        return torch.cat(parts, dim=1)


class Workspace:
    """Tensors to write to again: fresh memory costs more than most operations on it (page faults)."""

    def __init__(self) -> None:
        self._free: dict[tuple[int, ...], list[Tensor]] = {}

    def take(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Return a tensor with any content."""
        free = self._free.get(tuple(shape))
        return free.pop() if free else like.new_empty(tuple(shape))

    def give(self, tensors: Sequence[Tensor | None]) -> None:
        """Take back tensors that nothing refers to any more; the same one may be given several times at once."""
        for tensor in {id(tensor): tensor for tensor in tensors if tensor is not None}.values():
            self._free.setdefault(tuple(tensor.shape), []).append(tensor)


@dataclass
class Derivatives:
    """Directional derivatives of each value and of the gradient at it, shape (B, P, n); None where they are 0.

    ``moves`` says which values depend on the selected parameters, ``num_uses`` how many steps each goes into.
    """

    chunk: Chunk
    workspace: Workspace
    moves: Sequence[bool]
    num_uses: Mapping[int, int]

    def __post_init__(self) -> None:
        self.tangents: list[Tensor | None] = [None] * len(self.moves)
        self.gradients: list[Tensor | None] = [None] * len(self.moves)
        # Derivatives before and after a map, connected by torch's graph.
        self.graphs: dict[object, tuple[Tensor, Tensor]] = {}

    def is_held(self, tensor: Tensor) -> bool:
        """Return whether the derivative of the gradient at some value is this very tensor."""
        return any(other is tensor for other in self.gradients)

    def add(self, i: int, gradient: Tensor, factor: float = 1.0) -> None:
        """Add ``factor`` times a derivative to that at value i, in place where no other value has the same tensor."""
        present, self.gradients[i] = self.gradients[i], None
        if present is None and factor == 1:
            self.gradients[i] = gradient
        elif present is None:
            self.gradients[i] = torch.mul(gradient, factor, out=self.workspace.take(gradient.shape, gradient))
        elif self.is_held(present) or present is gradient:
            self.gradients[i] = torch.add(present, gradient, alpha=factor)
        else:
            self.gradients[i] = present.add_(gradient, alpha=factor)
