"""A block of probes that an operator is applied to again and again, and the moments that inner products give."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.errors import NonFiniteError
from hessdens.linalg.inner_products import asymmetry, column_dots
from hessdens.linalg.operator import Operator


class Walk:
    """Vectors v_s = A^s v_0 of P probes, and v_j·A v_j, A v_j·A v_j so far.

    Parameters
    ----------
    vectors
        v_0, shape (N, P), or the rows of this process.
    first_probe
        Number of the first, for error messages.
    operator
        A, or what it is to become: says N, and how vectors lie on processes.

    Attributes
    ----------
    samples
        Two moments a step so far, shape (P, 2 num_steps).
    asymmetry
        Relative difference between v·Aw and w·Av of the probes; NaN for a single one.
    """

    def __init__(self, vectors: Tensor, first_probe: int, operator: Operator) -> None:
        self._vectors, self._first_probe, self._size = vectors, first_probe, operator.size
        nothing = torch.zeros(vectors.shape[1], dtype=torch.float64, device=vectors.device)
        # vectors = 2^-exponents v_s, of lengths sqrt(squares) once a step is made.
        self._exponents, self._squares = nothing, torch.ones_like(nothing)
        self.samples: FloatArray = np.empty((vectors.shape[1], 0))
        self.asymmetry = float("nan")

    @property
    def num_steps(self) -> int:
        """Products made with each probe."""
        return int(self.samples.shape[1]) // 2

    def moments(self, operator: Operator, num_moments: int) -> FloatArray:
        """Return estimates of m_1..m_K from each probe, shape (P, K), after the steps that are still missing."""
        while self.samples.shape[1] < num_moments:
            self.step(operator)
        samples = self.samples[:, :num_moments]
        check_range(samples)
        return samples

    def step(self, operator: Operator) -> None:
        """Multiply, and add two moments to the samples."""
        if self.num_steps:
            squares = self._squares
            shift = torch.where(squares > 0, torch.floor(torch.log2(squares.clamp_min(1e-300)) / 2), 0.0)
            self._vectors = _times_power(self._vectors, -shift)
            self._exponents = self._exponents + shift
        products = operator.matmat(self._vectors)
        cross, squares = (column_dots(W, products, operator.team) for W in (self._vectors, products))
        if not torch.isfinite(squares).all():
            bad = self._first_probe + int(torch.nonzero(~torch.isfinite(squares))[0])
            raise NonFiniteError(
                f"Products must be finite; product {self.num_steps + 1} of probe {bad} is not (overflow or NaN)."
            )
        if not self.num_steps:
            self.asymmetry = asymmetry(self._vectors, products, operator.team)
        # Vectors and products are both scaled by 2^-exponents.
        new = [_scaled(values, 2 * self._exponents) / self._size for values in (cross, squares)]
        self.samples = np.concatenate([self.samples, np.stack(new, axis=1)], axis=1)
        self._vectors, self._squares = products, squares

    def to_arrays(self) -> dict[str, Any]:
        """Return all that `from_arrays` needs to go on, for a file: P N numbers."""
        return {
            "samples": self.samples,
            "asymmetry": self.asymmetry,
            "vectors": self._vectors.T.contiguous().cpu().numpy(),
            "exponents": self._exponents.cpu().numpy(),
            "squares": self._squares.cpu().numpy(),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], first_probe: int, operator: Operator) -> Self:
        """Return the walk that `to_arrays` was asked of."""
        device = operator.device
        walk = cls(torch.from_numpy(arrays["vectors"]).to(device).T, first_probe, operator)
        walk.samples, walk.asymmetry = arrays["samples"], float(arrays["asymmetry"])
        walk._exponents, walk._squares = (
            torch.from_numpy(arrays[name]).to(device) for name in ("exponents", "squares")
        )
        return walk


def _times_power(V: Tensor, exponents: Tensor) -> Tensor:
    """Return each column of V times 2^exponent, in two steps because 2^exponent alone may overflow."""
    half = torch.floor(exponents / 2)
    first, second = (torch.exp2(part).to(V.dtype) for part in (half, exponents - half))
    return (V * first).mul_(second)


def _scaled(values: Tensor, exponents: Tensor) -> FloatArray:
    """Return values * 2^exponents as a NumPy array; an overflow becomes infinity."""
    with np.errstate(over="ignore"):
        result: FloatArray = np.ldexp(values.cpu().numpy(), exponents.cpu().numpy().astype(np.int64))
    return result


def check_range(samples: FloatArray) -> None:
    """Raise NonFiniteError if a moment overflows."""
    if not np.isfinite(samples).all():
        order = int(np.nonzero(~np.isfinite(samples))[1][0]) + 1
        raise NonFiniteError(
            f"Moments must be within the range of float64; m_{order} overflows. "
            "Scale the operator or ask for fewer moments."
        )


def half(num_moments: int) -> int:
    """Return the products that a probe takes for so many moments."""
    return (num_moments + 1) // 2
