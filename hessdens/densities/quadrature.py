"""Gauss quadratures, and cumulative distribution functions between their points."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from hessdens._types import BoolArray, FloatArray
from hessdens.results.saved import Saved, Size
from hessdens.results.storage import ROUNDING


class QuadratureCdf:
    """Mass at or below x of a measure that a quadrature stands for.

    For the measure whose quadrature it is, half of a point's weight lies on either side of it, to within the other half
    (Chebyshev, Markov, Stieltjes). Between points the function is interpolated: tails geometrically, since they fall by
    orders of magnitude from point to point, what is between them linearly. Atoms are steps.

    ``abscissae`` ascend; ``weights`` have shape (n,), or (L, n) for many measures with the same points.
    """

    def __init__(self, abscissae: FloatArray, weights: FloatArray, atoms: BoolArray) -> None:
        sums = np.cumsum(weights, axis=-1)
        self._abscissae = abscissae
        self._total = sums[..., -1:] if len(abscissae) else np.zeros((*sums.shape[:-1], 1))
        middle = sums - weights / 2
        self._below = np.where(atoms, sums - weights, middle)
        self._above = np.where(atoms, sums, middle)

    def __call__(self, x: FloatArray, side: str = "right") -> FloatArray:
        """Return the mass at or below x ("right"), or below x ("left"); shape (len(x),) or (L, len(x))."""
        n = len(self._abscissae)
        if n == 0:
            return np.zeros((*self._total.shape[:-1], len(x)))
        after = np.searchsorted(self._abscissae, x, side="right" if side == "right" else "left")
        inner = np.clip(after, 1, max(n - 1, 1))
        left, right = inner - 1, np.minimum(inner, n - 1)
        share = _share(self._abscissae[left], x, self._abscissae[right])
        values = _between(self._above[..., left], self._below[..., right], share, self._total)
        # At a point itself: the step of an atom.
        is_point = (after > 0) & (x == self._abscissae[np.maximum(after - 1, 0)])
        values = np.where(is_point, self._above[..., after - 1], values)
        return np.where(after == 0, 0.0, np.where(after == n, self._total, values))


def mass_beyond(abscissae: FloatArray, weights: FloatArray, radii: FloatArray, x: FloatArray) -> FloatArray:
    """Return the mass that may lie on the other side of x than its point, by Chebyshev's inequality.

    ``radii`` are root mean square distances from the points of what these stand for.
    """
    distances = np.abs(x[:, None] - abscissae)
    shares = np.where(distances > radii, radii / np.where(distances > 0, distances, 1.0), radii > 0)
    return shares**2 @ weights


def mass_between(abscissae: FloatArray, weights: FloatArray, x: FloatArray, width: int = 1) -> FloatArray:
    """Return the mass of the interval between neighbouring points in which each x lies: what interpolation shares out.

    It is half of the weight of either point. Beyond the last node there is no such bound: we allow the mass of the
    outermost ``width`` nodes, out to the distance that these nodes span.
    """
    count = len(abscissae)
    if count == 0:
        return np.zeros(len(x))
    near = min(width, count - 1)
    low, high = 2 * abscissae[0] - abscissae[near], 2 * abscissae[-1] - abscissae[-1 - near]
    after = np.searchsorted(abscissae, x, side="right")
    halves = np.concatenate([[0.0], weights / 2, [0.0]])
    result = np.where((after > 0) & (after < count), halves[after] + halves[after + 1], 0.0)
    result = np.where((after == 0) & (x >= low), weights[:width].sum(), result)
    return np.where((after == count) & (x <= high), weights[-width:].sum(), result)


def _between(first: FloatArray, second: FloatArray, share: FloatArray, total: FloatArray) -> FloatArray:
    """Interpolate between two values of a distribution function with so much mass in all."""
    linear = first + (second - first) * share
    lower = _geometric(first, second, share)
    upper = total - _geometric(total - first, total - second, share)
    return np.where(second <= total / 2, lower, np.where(first >= total / 2, upper, linear))


def _share(first: FloatArray, x: FloatArray, second: FloatArray) -> FloatArray:
    """Return where x lies between two points, from 0 to 1: on a logarithmic scale where these have the same sign."""
    same = first * second > 0
    points = (first, np.clip(x, first, second), second)
    low, middle, high = (np.where(same, np.log(np.abs(np.where(same, v, 1.0))), v) for v in points)
    return np.clip((middle - low) / np.where(high != low, high - low, 1.0), 0.0, 1.0)


def _geometric(first: FloatArray, second: FloatArray, share: FloatArray) -> FloatArray:
    """Return first^(1 - share) second^share; linear where one of them is 0."""
    positive = (first > 0) & (second > 0)
    logs = [np.log(np.where(positive, values, 1.0)) for values in (first, second)]
    return np.where(positive, np.exp(logs[0] * (1 - share) + logs[1] * share), first + (second - first) * share)


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
    # Of an atom, the length of its residual: the eigenvalues it stands for lie within about this distance of it (root
    # mean square). Of other points, 0.
    radii: Annotated[FloatArray, "n amount"]
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

    def cdf(self, x: FloatArray, weights: FloatArray) -> FloatArray:
        """Return the mass at or below x for other weights, of shape (n,) or (L, n); shape (len(x),) or (L, len(x))."""
        steps = np.searchsorted(self.eigenvalues, x, side="right") / self.size
        values = steps + QuadratureCdf(self.abscissae, weights, self.atoms)(x)
        return np.clip(values, *self.counts(x) / self.size)

    def counts(self, x: FloatArray) -> NDArray[np.intp]:
        """Return the fewest and the most eigenvalues that can be at or below x (Cauchy), shape (2, len(x))."""
        ritz = self.ritz_values() if self.interlaces else np.empty(0)
        left = np.searchsorted(ritz, x, side="right")
        fewest = np.where(x == np.inf, self.size, left)
        most = np.where(x == -np.inf, 0, self.size - len(ritz) + left)
        return np.stack([fewest, most])

    def mass_bounds(self, edges: FloatArray) -> FloatArray:
        """Return the least and the most mass in each bin, by Cauchy and the single eigenvalues, shape (2, n - 1)."""
        fewest, most = self.counts(edges)
        low, high = self.eigenvalues - self.residuals, self.eigenvalues + self.residuals
        inside = np.sum((low[:, None] > edges[:-1]) & (high[:, None] <= edges[1:]), axis=0)
        return np.stack([np.maximum(fewest[1:] - most[:-1], inside), most[1:] - fewest[:-1]]) / self.size

    def inside(self, half: float, weights: FloatArray) -> FloatArray:
        """Return the mass in (-half, half) for other weights, of shape (n,) or (L, n); shape (1,) or (L, 1)."""
        single = np.count_nonzero(np.abs(self.eigenvalues) < half) / self.size
        cdf = QuadratureCdf(self.abscissae, weights, self.atoms)
        others = cdf(np.array([half]), "left") - cdf(np.array([-half]))
        outside = np.count_nonzero(np.abs(self.ritz_values()) >= half) if self.interlaces else 0
        return np.clip(single + others, 0.0, 1 - outside / self.size)

    def ties(self, x: FloatArray) -> FloatArray:
        """Return the mass of the single eigenvalues whose error reaches to the other side of each x; shape of x."""
        return np.sum(np.abs(self.eigenvalues[:, None] - x) <= self.residuals[:, None], axis=0) / self.size

    def unresolved(self, x: FloatArray) -> FloatArray:
        """Return the mass near each x that may lie on either side of it; shape of x."""
        weights = self.mean_weights()
        between = mass_between(self.abscissae, np.where(self.atoms, 0.0, weights), x, len(self.weights))
        beyond = mass_beyond(self.abscissae, np.where(self.atoms, weights, 0.0), self.radii, x)
        return between + 2 * beyond  # twice, since the step of an atom is at one end of what is possible
