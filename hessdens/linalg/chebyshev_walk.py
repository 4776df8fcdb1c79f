"""A block of probes to which Chebyshev polynomials of an operator are applied, and the moments that result."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.errors import NonFiniteError
from hessdens.linalg.inner_products import asymmetry, column_dots
from hessdens.linalg.operator import Operator
from hessdens.linalg.team import Team
from hessdens.results.support import Interval

STATE = ("previous", "current", "lengths", "first")


class OutsideError(ValueError):
    """An eigenvalue is outside the support; the message says how it shows."""


class ChebyshevWalk:
    """Vectors t_s = T_s((A - c) / h) r of P probes r, and estimates of μ_1..μ_2s.

    Parameters
    ----------
    probes
        r, shape (N, P).
    support
        (c - h, c + h).
    first_probe
        Number of the first, for error messages.
    team
        How vectors lie on processes.

    Attributes
    ----------
    samples
        Two moments a step so far, shape (P, 2 num_steps).
    asymmetry
        Relative difference between v·Aw and w·Av of the probes; NaN for a single one.
    """

    def __init__(self, probes: Tensor, support: Interval, first_probe: int, team: Team) -> None:
        self._previous, self._current, self._first_probe = probes, probes, first_probe
        self._support = support
        self._team = team
        self._lengths = column_dots(probes, probes, team)
        self._first = torch.zeros_like(self._lengths)  # r·t_1 / r·r
        self.samples: FloatArray = np.empty((probes.shape[1], 0))
        self.asymmetry = float("nan")

    @property
    def num_steps(self) -> int:
        """Products made with each probe."""
        return int(self.samples.shape[1]) // 2

    def moments(self, operator: Operator, num_moments: int) -> FloatArray:
        """Return estimates of μ_1..μ_K from each probe, shape (P, K), after the steps that are still missing."""
        while self.samples.shape[1] < num_moments:
            self.step(operator)
        return self.samples[:, :num_moments]

    def step(self, operator: Operator) -> None:
        """Multiply, and add two moments to the samples; OutsideError if vectors grow."""
        step = self.num_steps + 1
        products = operator.matmat(self._current)
        if step == 1:
            self.asymmetry = asymmetry(self._current, products, self._team)
        factor = 1 if step == 1 else 2
        following = products.sub(self._current, alpha=self._support.centre).mul_(factor / self._support.half_width)
        if step > 1:
            following -= self._previous
        self._previous, self._current = self._current, following
        cross = column_dots(self._previous, following, self._team) / self._lengths
        square = column_dots(following, following, self._team) / self._lengths
        if not torch.isfinite(square).all():
            bad = self._first_probe + int(torch.nonzero(~torch.isfinite(square))[0])
            raise NonFiniteError(f"Products must be finite; product {step} of probe {bad} is not (overflow or NaN).")
        if square.max() > 1 + tolerance(operator):
            raise OutsideError(f"T_{step} makes a probe {float(square.max().sqrt()):.4g} times as long")
        if step == 1:
            self._first = cross
        new = [cross if step == 1 else 2 * cross - self._first, 2 * square - 1]
        self.samples = np.concatenate([self.samples, torch.stack(new, dim=1).cpu().numpy()], axis=1)

    def to_arrays(self) -> dict[str, Any]:
        """Return all that `from_arrays` needs to go on, for a file: 2 P N numbers."""
        state = {name: getattr(self, f"_{name}").movedim(0, -1).contiguous().cpu().numpy() for name in STATE}
        return {"samples": self.samples, "asymmetry": self.asymmetry, **state}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], support: Interval, first_probe: int, operator: Operator) -> Self:
        """Return the walk that `to_arrays` was asked of."""
        device = operator.device
        walk = cls(torch.from_numpy(arrays["current"]).to(device).T, support, first_probe, operator.team)
        walk.samples, walk.asymmetry = arrays["samples"], float(arrays["asymmetry"])
        for name in STATE:
            setattr(walk, f"_{name}", torch.from_numpy(arrays[name]).to(device).movedim(0, -1))
        return walk


def tolerance(operator: Operator) -> float:
    """Return what products may be wrong by, beside the spectrum's scale."""
    return float(torch.finfo(operator.dtype).eps ** 0.5)
