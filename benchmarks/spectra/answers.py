"""What estimators answer with, where it is no density or moments of hessdens: steps, lines, and a trace with its error.

A density has ``cdf(x)``, ``nodes()`` between which the cdf is smooth, and ``moments(order)``; where it states
intervals, methods with the names of those of `LanczosDensity`. Moments have ``values`` and ``interval()``.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri


@dataclass
class Steps:
    """Point masses, in any order; weights are scaled to sum 1."""

    points: np.ndarray
    weights: np.ndarray

    def __post_init__(self) -> None:
        order = np.argsort(self.points, kind="stable")
        self.points = np.asarray(self.points, dtype=np.float64)[order]
        self.weights = np.asarray(self.weights, dtype=np.float64)[order] / np.sum(self.weights)
        self._sums = np.r_[0.0, np.cumsum(self.weights)]

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Return the mass at or below x."""
        return self._sums[np.searchsorted(self.points, x, side="right")]

    def nodes(self) -> np.ndarray:
        """Return the points."""
        return self.points

    def moments(self, order: int) -> np.ndarray:
        """Return m_1..m_order."""
        return np.array([self.weights @ self.points**k for k in range(1, order + 1)])


@dataclass
class Line:
    """A cdf that is linear between its nodes (ascending), and jumps at the first and after the last."""

    points: np.ndarray
    cumulative: np.ndarray

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Return the mass at or below x."""
        return np.interp(x, self.points, self.cumulative, left=0.0, right=1.0)

    def nodes(self) -> np.ndarray:
        """Return the points."""
        return self.points

    def moments(self, order: int) -> np.ndarray:
        """Return m_1..m_order, of the line's parts exactly."""
        masses, low, high = np.diff(self.cumulative), self.points[:-1], self.points[1:]
        ends = self.cumulative[0], 1 - self.cumulative[-1]
        means = [sum(low**i * high ** (k - i) for i in range(k + 1)) / (k + 1) for k in range(1, order + 1)]
        atoms = [ends[0] * self.points[0] ** k + ends[1] * self.points[-1] ** k for k in range(1, order + 1)]
        return np.array([masses @ mean + atom for mean, atom in zip(means, atoms, strict=True)])


@dataclass
class Blend:
    """A mean of densities, with weights that sum to 1."""

    parts: list[Any]
    weights: np.ndarray

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Return the mass at or below x."""
        return sum(weight * part.cdf(x) for part, weight in zip(self.parts, self.weights, strict=True))

    def nodes(self) -> np.ndarray:
        """Return the points of all parts."""
        return np.unique(np.concatenate([part.nodes() for part in self.parts]))

    def moments(self, order: int) -> np.ndarray:
        """Return m_1..m_order."""
        return sum(weight * part.moments(order) for part, weight in zip(self.parts, self.weights, strict=True))


def interpolated(points: np.ndarray, weights: np.ndarray) -> Line:
    """Return the cdf that passes each of ascending points with half of its weight, and is linear between them."""
    shares = weights / weights.sum()
    return Line(points, np.cumsum(shares) - shares / 2)


@dataclass
class Trace:
    """The mean eigenvalue, trace / N, with its standard error where one is given."""

    mean: float
    standard_error: float = math.nan

    @property
    def values(self) -> np.ndarray:
        """m_1, shape (1,)."""
        return np.array([self.mean])

    def interval(self, level: float = 0.95) -> np.ndarray:
        """Return the lower and the upper end of a normal interval, shape (2, 1)."""
        half = float(ndtri((1 + level) / 2)) * self.standard_error
        return np.array([[self.mean - half], [self.mean + half]])
