"""A diagonal block of an operator, on the entries of one part alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hessdens.linalg.operator import Operator
from hessdens.structure.parts import Piece


class BlockOperator(Operator):
    """The diagonal block of an operator that belongs to some pieces: vectors have their entries only, piece by piece.

    Cost of a product: one with the whole operator.
    """

    def __init__(self, operator: Operator, pieces: Sequence[Piece]) -> None:
        self.size = sum(piece.size for piece in pieces)
        self.dtype = operator.dtype
        self.device = operator.device
        self.team = operator.team
        self._operator = operator
        self._pieces = tuple(pieces)

    def origin(self) -> dict[str, str | int | float]:
        """Return what the operator inside was made of, and the places of the block."""
        places = "; ".join(f"{piece.tensor} at {piece.start}: {piece.box} of {piece.shape}" for piece in self._pieces)
        return {**self._operator.origin(), "block": places}

    @property
    def has_whole_origin(self) -> bool:
        """Whether that holds for the operator inside."""
        return self._operator.has_whole_origin

    def state_checksum(self) -> float:
        """Return that of the operator inside."""
        return self._operator.state_checksum()

    def _matmat(self, V: Tensor) -> Tensor:
        whole = torch.zeros(V.shape[1], self._operator.num_rows, dtype=self.dtype, device=self.device).T
        start = 0
        for piece in self._pieces:
            place = piece.of(whole)
            place.copy_(V[start : start + piece.size].reshape(place.shape))
            start += piece.size
        products = self._operator.matmat(whole)
        return torch.cat([piece.of(products).flatten(end_dim=-2) for piece in self._pieces])
