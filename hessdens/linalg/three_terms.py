"""Lanczos by the three-term recurrence, from each start vector alone: coefficients only, no basis is kept."""

import math

import numpy as np
import torch
from torch import Tensor

from hessdens.linalg.block_lanczos import LENGTHS_OF_ROUNDING
from hessdens.linalg.inner_products import column_dots, raise_if_not_finite
from hessdens.linalg.operator import Operator


class ThreeTermLanczos:
    """Jacobi matrices of an operator and some start vectors, grown by one multi-vector product per step.

    It takes what `BlockLanczos` takes. There is no reorthogonalisation: memory is four vectors per start vector,
    whatever the number of steps. ``diagonal`` and ``off_diagonal``, shape (max_steps, b), have the coefficients of each
    start vector, zero where its recurrence has ended; ``num_products`` counts vectors whose recurrence had not.
    """

    def __init__(self, operator: Operator, start: Tensor, max_steps: int) -> None:
        self._operator = operator
        lengths = column_dots(start.T, start.T, operator.team).sqrt()
        self._vectors = start.T / lengths.to(operator.dtype)
        self._previous = torch.zeros_like(self._vectors)
        self._going = torch.ones(len(start), dtype=torch.bool, device=operator.device)
        self._scale = 0.0
        self._asymmetry = 0.0
        self.diagonal = np.zeros((max_steps, len(start)))
        self.off_diagonal = np.zeros((max_steps, len(start)))
        self.num_steps = 0
        self.num_products = 0

    @property
    def is_invariant(self) -> bool:
        """Whether the recurrences of all start vectors have ended."""
        return not self._going.any()

    @property
    def rounding(self) -> float:
        """Length below which what is left of a product is rounding."""
        return LENGTHS_OF_ROUNDING * torch.finfo(self._operator.dtype).eps * self._scale

    def symmetry_defect(self) -> float:
        """Return the largest difference v·Aw - w·Av between successive vectors, over the longest product."""
        return self._asymmetry / max(self._scale, np.finfo(np.float64).tiny)

    def orthogonality_defect(self) -> float:
        """Return NaN: there is no basis to look at."""
        return math.nan

    def step(self) -> None:
        """Multiply the last vector of each recurrence, and add its coefficients."""
        step = self.num_steps
        team = self._operator.team
        dtype = self._operator.dtype
        products = self._operator.matmat(self._vectors).clone()
        squares = column_dots(products, products, team)
        raise_if_not_finite(squares, f"that of probe {{}} in Lanczos step {step + 1}")
        self._scale = max(self._scale, float(squares.max().sqrt()))
        going = self._going.cpu().numpy()
        self.num_steps += 1
        self.num_products += int(going.sum())
        if step:
            back = column_dots(self._previous, products, team).cpu().numpy()
            differences = np.abs(back - self.off_diagonal[step - 1])[going]
            self._asymmetry = max(self._asymmetry, float(differences.max(initial=0.0)))
        for _ in range(2):
            along = column_dots(self._vectors, products, team)
            self.diagonal[step] += along.cpu().numpy()
            products -= along.to(dtype) * self._vectors
            products -= column_dots(self._previous, products, team).to(dtype) * self._previous
        lengths = column_dots(products, products, team).sqrt()
        self._going &= lengths > self.rounding
        self.off_diagonal[step] = torch.where(self._going, lengths, 0.0).cpu().numpy()
        self._previous = self._vectors
        self._vectors = products / torch.where(self._going, lengths, float("inf")).to(dtype)
