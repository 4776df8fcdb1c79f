"""Single eigenvalues, and points and weights for the others: what a Krylov space tells of a spectrum."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from hessdens._checks import at_least
from hessdens._types import BoolArray, FloatArray
from hessdens.densities.interpolation import MeasureCdf
from hessdens.results.saved import Saved, Size
from hessdens.results.storage import ROUNDING


@dataclass(frozen=True, eq=False)
class Quadrature(Saved):
    """E single eigenvalues and, for the other N - E, points and weights."""

    # Ascending: eigenvalues that are known one by one, each of weight 1/N, and the lengths of their residuals, which
    # bound their errors.
    eigenvalues: Annotated[FloatArray, "E finite"]
    residuals: Annotated[FloatArray, "E amount"]
    # Ascending: Ritz values that stand for the others; and their weights for each probe, in sum (N - E) / N.
    abscissae: Annotated[FloatArray, "n finite"]
    weights: Annotated[FloatArray, "P n amount"]
    # Abscissae that are eigenvalues of unknown multiplicity.
    atoms: Annotated[BoolArray, "n flag"]
    size: Size  # N
    # Whether these are the Ritz values of one compression of A. Then at least as many eigenvalues as Ritz values lie on
    # either side of any point (Cauchy).
    interlaces: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        count = len(self.eigenvalues) + (len(self.abscissae) if self.interlaces else 0)
        if count > self.size:
            raise ValueError(f"Eigenvalues found and points must be at most size, {self.size}; got {count}.")
        if np.any(np.diff(self.eigenvalues) < 0) or np.any(np.diff(self.abscissae) < 0):
            raise ValueError("eigenvalues and abscissae must ascend; they do not.")
        rest = 1 - len(self.eigenvalues) / self.size
        sums = self.weights.sum(axis=1)
        if np.any(self.weights < 0) or np.any(np.abs(sums - rest) > ROUNDING):
            raise ValueError(f"weights of each probe must not be negative, and sum to {rest:.6g}; got sums {sums}.")

    def mean_weights(self) -> FloatArray:
        """Return the mean of the weights over probes, shape (n,)."""
        return self.weights.mean(axis=0)

    def ritz_values(self) -> FloatArray:
        """Return eigenvalues and abscissae, ascending."""
        return np.sort(np.concatenate([self.eigenvalues, self.abscissae]))

    def measure(self, weights: FloatArray, num_steps: int) -> MeasureCdf:
        """Return the cdf of the points with some weights, of shape (n,), or (L, n) for L measures.

        ``num_steps`` is that of the Lanczos process, which says how many moments of the weights are exact.
        """
        return MeasureCdf(self.abscissae, weights, self.atoms, num_steps)

    def cdf(self, x: FloatArray, measure: MeasureCdf) -> FloatArray:
        """Return the mass at or below x, that of the points as a measure has it; shape (len(x),) or (L, len(x))."""
        steps = np.searchsorted(self.eigenvalues, x, side="right") / self.size
        values = steps + measure(x)
        return np.clip(values, *self.counts(x) / self.size)

    def counts(self, x: FloatArray, rounding: float = 0.0) -> NDArray[np.intp]:
        """Return the fewest and the most eigenvalues that can be at or below x (Cauchy), shape (2, len(x)).

        Ritz values within ``rounding`` of x may be on either side.
        """
        ritz = self.ritz_values() if self.interlaces else np.empty(0)
        fewest = np.searchsorted(ritz, x - rounding, side="right")
        most = self.size - len(ritz) + np.searchsorted(ritz, x + rounding, side="right")
        return np.stack([np.where(x == np.inf, self.size, fewest), np.where(x == -np.inf, 0, most)])

    def found_between(self, low: FloatArray, high: FloatArray) -> NDArray[np.intp]:
        """Return how many single eigenvalues, to their errors, are above low and up to high: at least and at most.

        The shape is (2, n) for n pairs of ends.
        """
        least, most = (self.eigenvalues[:, None] + sign * self.residuals[:, None] for sign in (-1, 1))
        is_inside = (least > low) & (most <= high), (most > low) & (least <= high)
        return np.stack([which.sum(axis=0) for which in is_inside])

    def moment_errors(self, order: int) -> FloatArray:
        """Return how far m_1..m_order may be below and above the samples, whatever the probes, shape (2, order).

        Errors of single eigenvalues are at most residual² / distance to other Ritz values (Kato and Temple), or the
        residual itself. And each other point stands for an eigenvalue at least (Cauchy), also where all probes have
        little weight in it, which is why it was not found.
        """
        ritz, powers = self.ritz_values(), np.arange(1, order + 1)
        places = np.searchsorted(ritz, self.eigenvalues)
        padded = np.concatenate([[-np.inf], ritz, [np.inf]])
        gaps = np.minimum(padded[places + 1] - padded[places], padded[places + 2] - padded[places + 1])
        tiny = np.finfo(np.float64).tiny
        errors = np.minimum(self.residuals, self.residuals**2 / np.maximum(gaps, tiny))
        sizes = np.abs(self.eigenvalues)[:, None]
        of_single = np.sum((sizes + errors[:, None]) ** powers - sizes**powers, axis=0) / self.size
        missing = self.interlaces * np.maximum(1 / self.size - self.mean_weights(), 0.0)
        shortfalls = missing[:, None] * self.abscissae[:, None] ** powers
        return of_single + np.stack([np.maximum(-shortfalls, 0.0).sum(axis=0), np.maximum(shortfalls, 0.0).sum(axis=0)])

    def single_moments(self, order: int) -> FloatArray:
        """Return what the eigenvalues found add to m_1..m_order, shape (order,)."""
        return np.sum(self.eigenvalues[:, None] ** np.arange(1, order + 1), axis=0) / self.size

    def moment_samples(self, order: int) -> FloatArray:
        """Return m_1..m_order by each probe, shape (P, order)."""
        at_least("order", order, 1)
        return self.weights @ self.abscissae[:, None] ** np.arange(1, order + 1) + self.single_moments(order)

    def mean_distance(self) -> float:
        """Return the mean distance between neighbouring points where the mass lies; 0 of a single point."""
        if len(self.abscissae) < 2:
            return 0.0
        return float(np.average(np.gradient(self.abscissae), weights=np.maximum(self.mean_weights(), 1e-300)))

    def smoothed(self, x: FloatArray, width: float) -> FloatArray:
        """Return the density by each probe at n points, smoothed by a Gaussian of this width, shape (P, n)."""

        def kernel(points: FloatArray) -> FloatArray:
            return np.exp(-0.5 * ((x - points[:, None]) / width) ** 2) / (width * np.sqrt(2 * np.pi))

        return self.weights @ kernel(self.abscissae) + kernel(self.eigenvalues).sum(axis=0) / self.size

    def inside(self, half: float, measure: MeasureCdf) -> FloatArray:
        """Return the mass in (-half, half), that of the points as a measure has it; shape (1,) or (L, 1)."""
        single = np.count_nonzero(np.abs(self.eigenvalues) < half) / self.size
        others = measure(np.array([half]), "left") - measure(np.array([-half]))
        outside = np.count_nonzero(np.abs(self.ritz_values()) >= half) if self.interlaces else 0
        return np.clip(single + others, 0.0, 1 - outside / self.size)
