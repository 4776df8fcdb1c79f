"""Cumulative distribution functions of measures of which a quadrature is known."""

import numpy as np
from scipy.linalg import eigh_tridiagonal

from hessdens._types import BoolArray, FloatArray

# Nodes of the quadrature that is interpolated, over the steps of the Lanczos process: fewer lose what several probes
# together see of outliers, more follow the irregular weights of single Ritz values.
NODES_PER_STEP = 1.5
# Rotations end where a coefficient is below this share of the largest point.
TINY = 1e-12


class MeasureCdf:
    """Mass at or below x of the measure whose first moments n points and weights have.

    Points of several probes together lie close to one another, with weights that vary by chance. Where the spectrum is
    smooth half of such a weight is a poor guess of what lies left of a point. So the cdf is read from the Gauss
    quadrature of the points, with ``NODES_PER_STEP`` nodes per step, which has as many exact moments. Where one of its
    nodes holds a peak (more than 1 / sqrt(steps) of the mass) the points themselves tell the shape of the peak.
    Atoms are steps.

    ``points`` ascend; ``weights`` have shape (n,), or (L, n) for many measures with the same points.
    """

    def __init__(self, points: FloatArray, weights: FloatArray, atoms: BoolArray, num_steps: int) -> None:
        self._points, self._sums = points[atoms], np.cumsum(weights[..., atoms], axis=-1)
        rows = np.atleast_2d(weights)[:, ~atoms]
        self._smooth = [_SmoothCdf(points[~atoms], row, num_steps) for row in rows]

    def __call__(self, x: FloatArray, side: str = "right") -> FloatArray:
        """Return the mass at or below x ("right"), or below x ("left"); shape (len(x),) or (L, len(x))."""
        before = np.searchsorted(self._points, x, side="right" if side == "right" else "left")
        zero = np.zeros((*self._sums.shape[:-1], 1))
        steps = np.concatenate([zero, self._sums], axis=-1)[..., before]
        return steps + np.stack([cdf(x) for cdf in self._smooth]).reshape(steps.shape)


class _SmoothCdf:
    """The cdf of one measure without atoms: that of its Gauss quadrature, in peaks that of its points."""

    def __init__(self, points: FloatArray, weights: FloatArray, num_steps: int) -> None:
        self._of_points = QuadratureCdf(points, weights)
        nodes, masses = gauss_quadrature(points, weights, int(np.ceil(NODES_PER_STEP * num_steps)))
        self._of_nodes = QuadratureCdf(nodes, masses)
        heavy = masses > masses.sum() / np.sqrt(num_steps)
        # The ends of peaks: the nodes before and after each run of heavy nodes.
        first = np.flatnonzero(heavy & ~np.concatenate([[False], heavy[:-1]]))
        last = np.flatnonzero(heavy & ~np.concatenate([heavy[1:], [False]]))
        ends = np.concatenate([[-np.inf], nodes, [np.inf]])
        pairs = zip(ends[first], ends[last + 2], strict=True)
        self._peaks = [(low, high, self._of_nodes(np.array([low, high]))) for low, high in pairs]

    def __call__(self, x: FloatArray) -> FloatArray:
        values = self._of_nodes(x)
        for low, high, mass in self._peaks:
            inside = (x > low) & (x < high)
            values[inside] = np.clip(self._of_points(x[inside]), *mass)
        return values


def gauss_quadrature(points: FloatArray, weights: FloatArray, num_nodes: int) -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights of the Gauss quadrature of points and weights: the same moments up to 2 num_nodes - 1.

    Where there are no more points than nodes, these are returned. Lanczos with full reorthogonalisation (Golub & Welsch
    1969; Gragg & Harrod 1984).
    """
    total = float(weights.sum())
    if len(points) <= num_nodes or total <= 0:
        return points, weights
    basis = np.sqrt(weights / total)[None]
    diagonal, off_diagonal = [], []
    smallest = TINY * float(np.abs(points).max())
    while True:
        product = points * basis[-1]
        diagonal.append(float(basis[-1] @ product))
        for _ in range(2):
            product = product - (basis @ product) @ basis
        length = float(np.linalg.norm(product))
        if len(diagonal) == num_nodes or length <= smallest:
            break
        off_diagonal.append(length)
        basis = np.concatenate([basis, product[None] / length])
    nodes, vectors = eigh_tridiagonal(np.array(diagonal), np.array(off_diagonal))
    return nodes, total * vectors[0] ** 2


class QuadratureCdf:
    """Mass at or below x of a measure that a quadrature of n points stands for, between its points interpolated.

    For the measure whose quadrature it is, half of a point's weight lies on either side of it, to within the other half
    (Chebyshev, Markov, Stieltjes). Tails are interpolated geometrically, since they fall by orders of magnitude from
    point to point, what is between them linearly.

    ``abscissae`` ascend; ``weights`` have shape (n,).
    """

    def __init__(self, abscissae: FloatArray, weights: FloatArray) -> None:
        self._abscissae, self._total = abscissae, float(weights.sum())
        self._values = np.cumsum(weights) - weights / 2

    def __call__(self, x: FloatArray) -> FloatArray:
        """Return the mass at or below x, shape (len(x),)."""
        n = len(self._abscissae)
        if n == 0:
            return np.zeros(len(x))
        after = np.searchsorted(self._abscissae, x, side="right")
        inner = np.clip(after, 1, max(n - 1, 1))
        left, right = inner - 1, np.minimum(inner, n - 1)
        share = _share(self._abscissae[left], x, self._abscissae[right])
        values = _between(self._values[left], self._values[right], share, self._total)
        return np.where(after == 0, 0.0, np.where(after == n, self._total, values))


def _between(first: FloatArray, second: FloatArray, share: FloatArray, total: float) -> FloatArray:
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
