"""Chebyshev polynomials of an operator applied to a block of probes, and the moments that inner products give."""

from typing import ClassVar

import torch
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.linalg.inner_products import column_dots
from hessdens.linalg.operator import Operator
from hessdens.linalg.walk import Walk
from hessdens.results.support import Interval


class OutsideError(ValueError):
    """An eigenvalue is outside the support; the message says how it shows."""


class ChebyshevWalk(Walk):
    """Vectors t_s = T_s((A - c) / h) r of P probes r, and estimates of μ_1..μ_2s; (c - h, c + h) is the support."""

    state: ClassVar = {
        "previous": "P N finite",
        "vectors": "P N finite",
        "lengths": "P amount",
        "first": "P finite",
    }

    def __init__(self, vectors: Tensor, first_probe: int, operator: Operator, support: Interval) -> None:
        super().__init__(vectors, first_probe, operator)
        self._support = support
        self._previous = vectors
        self._lengths = column_dots(vectors, vectors, operator.team)  # r·r
        self._first = torch.zeros_like(self._lengths)  # r·t_1 / r·r

    def _step(self) -> FloatArray:
        step, team = self.num_steps + 1, self._operator.team
        products = self._products()
        factor = 1 if step == 1 else 2
        following = products.sub(self._vectors, alpha=self._support.centre).mul_(factor / self._support.half_width)
        if step > 1:
            following -= self._previous
        self._previous, self._vectors = self._vectors, following
        cross, square = (column_dots(V, following, team) / self._lengths for V in (self._previous, following))
        self._check(square)
        if square.max() > 1 + tolerance(self._operator):
            raise OutsideError(f"T_{step} makes a probe {float(square.max().sqrt()):.4g} times as long")
        if step == 1:
            self._first = cross
        moments = [cross if step == 1 else 2 * cross - self._first, 2 * square - 1]
        return torch.stack(moments, dim=1).cpu().numpy()


def tolerance(operator: Operator) -> float:
    """Return the error of products that is allowed for, relative to the scale of the spectrum."""
    return float(torch.finfo(operator.dtype).eps ** 0.5)
