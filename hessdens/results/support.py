"""Intervals of the real line that hold a spectrum."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from hessdens._types import FloatArray

# Beyond the outermost points, as a fraction of their distance.
SUPPORT_MARGIN = 0.01


@dataclass(frozen=True)
class Interval:
    """The support of a spectrum: all eigenvalues lie between ``low`` and ``high``, both finite, low < high.

    Functions of hessdens take a plain pair in its place; ``low, high = interval`` gives the ends.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"support must be (low, high), finite, with low < high; got ({self.low}, {self.high}).")

    @classmethod
    def of(cls, ends: Iterable[float]) -> Self:
        """Return the interval with these two ends."""
        low, high = ends
        return cls(low, high)

    @classmethod
    def around(cls, low: float, high: float, rounding: float = 1e-12) -> Self:
        """Return [low, high] with a margin on either side; where both are one point to rounding, one of its size."""
        length = high - low
        magnitude = max(abs(low), abs(high))
        margin = SUPPORT_MARGIN * length if length > rounding * magnitude else (magnitude or 1.0)
        return cls(low - margin, high + margin)

    @property
    def centre(self) -> float:
        """C of (c - h, c + h)."""
        return (self.low + self.high) / 2

    @property
    def half_width(self) -> float:
        """H of (c - h, c + h)."""
        return (self.high - self.low) / 2

    def standardised(self, x: FloatArray) -> FloatArray:
        """Return (x - c) / h, clipped to [-1, 1]."""
        return np.clip((x - self.centre) / self.half_width, -1.0, 1.0)

    def __iter__(self) -> Iterator[float]:
        return iter((self.low, self.high))

    def __str__(self) -> str:
        return f"[{self.low:.4g}, {self.high:.4g}]"
