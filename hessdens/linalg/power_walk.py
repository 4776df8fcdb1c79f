"""Powers of an operator applied to a block of probes, and the moments that inner products give."""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.errors import NonFiniteError
from hessdens.linalg.inner_products import column_dots
from hessdens.linalg.operator import Operator
from hessdens.linalg.walk import Walk


class PowerWalk(Walk):
    """Vectors v_s = A^s v_0 of P probes, with v_j·A v_j / N and A v_j·A v_j / N: estimates of m_1..m_2s."""

    state: ClassVar = {"vectors": "P N finite", "exponents": "P finite", "squares": "P amount"}

    def __init__(self, vectors: Tensor, first_probe: int, operator: Operator, norm: float = 0.0) -> None:
        super().__init__(vectors, first_probe, operator, norm)
        # The vectors kept are 2^-exponents v_s, and once a step is made, squares are those of their lengths.
        self._exponents = torch.zeros(vectors.shape[1], dtype=torch.float64, device=vectors.device)
        self._squares = torch.ones_like(self._exponents)

    def moments(self, num_moments: int) -> FloatArray:
        """Return estimates of m_1..m_K; NonFiniteError if one of them overflows."""
        samples = super().moments(num_moments)
        check_range(samples)
        return samples

    def _step(self) -> FloatArray:
        if self.num_steps:
            squares = self._squares
            shift = torch.where(squares > 0, torch.floor(torch.log2(squares.clamp_min(1e-300)) / 2), 0.0)
            self._vectors = _times_power(self._vectors, -shift)
            self._exponents = self._exponents + shift
        products = self._products()
        cross, squares = (column_dots(W, products, self._operator.team) for W in (self._vectors, products))
        self._check(squares)
        self._vectors, self._squares = products, squares
        # Vectors and products are both scaled by 2^-exponents; a moment that overflows becomes infinity.
        exponents = (2 * self._exponents).cpu().numpy().astype(np.int64)
        with np.errstate(over="ignore"):
            moments = [np.ldexp(values.cpu().numpy(), exponents) / self._operator.size for values in (cross, squares)]
        return np.stack(moments, axis=1)


def _times_power(V: Tensor, exponents: Tensor) -> Tensor:
    """Return each column of V times 2^exponent, in two steps because 2^exponent alone may overflow."""
    half = torch.floor(exponents / 2)
    first, second = (torch.exp2(part).to(V.dtype) for part in (half, exponents - half))
    return (V * first).mul_(second)


def check_range(samples: FloatArray) -> None:
    """Raise NonFiniteError if a moment overflows."""
    if not np.isfinite(samples).all():
        order = int(np.nonzero(~np.isfinite(samples))[1][0]) + 1
        raise NonFiniteError(
            f"Moments must be within the range of float64; m_{order} overflows. "
            "Scale the operator or ask for fewer moments."
        )
