"""Guaranteed numbers of eigenvalues on either side of a window, from a deflated space and fresh probes beyond it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaincc

from hessdens._types import BoolArray, FloatArray
from hessdens.densities.bounds import EPS, Jacobi, lanczos_recurrence, masses

# Fewest and most.
Range = tuple[int, int]
# Bounds of either side and of both together, each from below and from above: so many statements may fail.
NUM_STATEMENTS = 6
# Rounding of masses, which sum to 1, from small matrices in float64.
MASS_ROUNDING = 1e-12
# A correction that moves the edge across so many eigenvalues, by what is expected there, counts as one of them instead.
WORTH_ONE = 1.0


@dataclass(frozen=True, eq=False)
class Deflated:
    """What a Krylov space Q, of which all vectors were multiplied, says of A, of ``size`` eigenvalues.

    ``matrix`` is Q^T A Q, shape (k, k). A Q leaves the space in one direction v: ``coupling`` is Q^T A v, shape (k,).
    Of the whole spectrum some ``counts`` of eigenvalues are expected at ascending ``points``, shapes (n,), and those
    that are ``found`` were deflated: these decide what is asked, not whether the answer holds.
    """

    matrix: FloatArray
    coupling: FloatArray
    size: int
    points: FloatArray
    counts: FloatArray
    found: BoolArray


@dataclass(frozen=True, eq=False)
class Evidence:
    """What products of A say: of Q, of probes in its complement, and of all vectors that were multiplied together.

    ``probes`` has, for each, its recurrence with the compression of A to the complement, and its squared length there.
    ``ritz`` are eigenvalues of compressions of A to larger spaces, one array for each. All of this is said of a matrix
    that differs from A by ``error`` at most.
    """

    deflated: Deflated
    probes: tuple[tuple[Jacobi, float], ...]
    ritz: tuple[FloatArray, ...]
    error: float


@dataclass(frozen=True)
class _Bound:
    """A bound from below or above of a number of eigenvalues, of one side or both.

    ``counted`` of them are seen in Q; the complement has as many as explain a ``share`` of the probes' squared lengths.
    ``certain`` is a bound without chance.
    """

    counted: int
    share: float
    certain: int

    def __add__(self, other: "_Bound") -> "_Bound":
        return _Bound(self.counted + other.counted, self.share + other.share, self.certain + other.certain)


def count_bounds(evidence: Evidence, half: float, failure: float) -> tuple[Range, Range, Range]:
    """Return the fewest and most negative (λ <= -half), degenerate and positive (λ >= half) eigenvalues.

    All of them hold at once, except with probability ``failure`` over Gaussian probes that are independent of Q.

    Notes
    -----
    Let T = Q^T A Q, R the compression of A to the complement of Q, and κ = c^T (T - x)^{-1} c with the coupling c. Then
    A - x has as many positive eigenvalues as T - x and R - x - κ v v^T together (Haynsworth 1968). The last term counts
    as one eigenvalue of R more or less, or moves x by abs(κ) (Weyl), whichever is expected to cost less. How many R has
    beyond x follows from Gaussian probes: each has a mass there that its Gauss-Radau quadrature brackets (Chebyshev,
    Markov, Stieltjes). The share of the mass of all P probes in their squared lengths is a beta variable, of P degrees
    of freedom for each eigenvalue. Apart from that, no compression has more eigenvalues beyond x than A (Cauchy). Where
    the bounds of one side and of both contradict each other, which has at most the probability ``failure``, those
    without chance are returned.
    """
    lower = [_bound(evidence, sign, half, is_lower=True) for sign in (-1, 1)]
    upper = [_bound(evidence, sign, half, is_lower=False) for sign in (-1, 1)]
    for has_chance in (True, False):
        each = failure / NUM_STATEMENTS if has_chance else 0.0
        fewest = [_fewest(bound, evidence, each) for bound in (*lower, lower[0] + lower[1])]
        most = [_most(bound, evidence, each) for bound in (*upper, upper[0] + upper[1])]
        outside = max(fewest[2], fewest[0] + fewest[1]), min(most[2], most[0] + most[1], evidence.deflated.size)
        negative = max(fewest[0], outside[0] - most[1]), min(most[0], outside[1] - fewest[1])
        positive = max(fewest[1], outside[0] - most[0]), min(most[1], outside[1] - fewest[0])
        degenerate = evidence.deflated.size - outside[1], evidence.deflated.size - outside[0]
        if all(low <= high for low, high in (negative, degenerate, positive)):
            break
    return negative, degenerate, positive


def _bound(evidence: Evidence, sign: int, half: float, *, is_lower: bool) -> _Bound:
    """Return what bounds the number of eigenvalues with sign λ >= half."""
    outwards = 1 if is_lower else -1
    edge = half + outwards * evidence.error
    counted, moved = _edge(evidence.deflated, sign, edge, outwards)
    share, lengths = 0.0, sum(length for _, length in evidence.probes)
    for jacobi, length in evidence.probes:
        left, with_edge = masses(_mirrored(jacobi, sign), np.array([moved]))
        mass = 1 - float(with_edge[0]) - MASS_ROUNDING if is_lower else 1 - float(left[0]) + MASS_ROUNDING
        share += min(max(mass, 0.0), 1.0) * length / lengths
    return _Bound(counted, share, _certain(evidence, sign, edge, is_lower=is_lower))


def _certain(evidence: Evidence, sign: int, edge: float, *, is_lower: bool) -> int:
    """Return a bound without chance, from all vectors that were multiplied."""
    beyond = [int(np.count_nonzero(sign * ritz >= edge)) for ritz in evidence.ritz]
    if is_lower:
        return max(beyond)
    return min(evidence.deflated.size - len(ritz) + count for ritz, count in zip(evidence.ritz, beyond, strict=True))


def _edge(deflated: Deflated, sign: int, edge: float, outwards: int) -> tuple[int, float]:
    """Return how many eigenvalues to count besides those of R beyond an edge, and that edge.

    Together they are a bound from below (``outwards`` 1) or above (-1) of the number with sign λ >= ``edge``.
    """
    ritz, vectors = np.linalg.eigh(sign * deflated.matrix)
    distances = np.where(ritz == edge, -outwards * np.finfo(np.float64).tiny, ritz - edge)
    counted = int(np.count_nonzero(distances > 0))
    with np.errstate(over="ignore"):
        terms = (deflated.coupling @ vectors) ** 2 / distances
    # Subtracted from R: bounds from below become smaller where it is positive, those from above larger where negative.
    correction = outwards * float(terms.sum()) + len(terms) * EPS * float(np.abs(terms).sum())
    if correction <= 0:
        return counted, edge
    moved = edge + outwards * correction
    if np.isfinite(moved) and _expected(deflated, sign, *sorted((edge, moved))) < WORTH_ONE:
        return counted, moved
    return counted - outwards, edge


def _expected(deflated: Deflated, sign: int, low: float, high: float) -> float:
    """Return how many eigenvalues of R are expected between two edges."""
    points = sign * deflated.points
    return float(deflated.counts[~deflated.found & (low <= points) & (points <= high)].sum())


def _mirrored(jacobi: Jacobi, sign: int) -> Jacobi:
    return Jacobi(sign * jacobi.diagonal, jacobi.off_diagonal, jacobi.scale)


def jacobi_of(matrix: FloatArray, start: FloatArray, num_steps: int, rounding: float) -> Jacobi:
    """Return the recurrence of a vector from the matrix of a block Krylov space, as Lanczos would find it.

    ``start`` are its coordinates in the first block; all blocks but the last, ``num_steps`` of them, were multiplied.
    """
    vector = np.zeros(len(matrix))
    vector[: len(start)] = start / np.linalg.norm(start)
    scale = float(np.abs(matrix).max(initial=np.finfo(np.float64).tiny))
    return lanczos_recurrence(lambda v: np.asarray(matrix @ v), vector, num_steps, rounding, scale)[0]


def _fewest(bound: _Bound, evidence: Evidence, failure: float) -> int:
    """Return the fewest eigenvalues; wrong with probability ``failure`` at most."""
    if not evidence.probes or failure == 0:
        return bound.certain
    return max(bound.certain, bound.counted + fewest_of_share(bound.share, *_dimensions(evidence), failure))


def _most(bound: _Bound, evidence: Evidence, failure: float) -> int:
    """Return the most eigenvalues; wrong with probability ``failure`` at most."""
    if not evidence.probes or failure == 0:
        return bound.certain
    return min(bound.certain, bound.counted + most_of_share(bound.share, *_dimensions(evidence), failure))


def _dimensions(evidence: Evidence) -> tuple[int, int]:
    return evidence.deflated.size - len(evidence.deflated.matrix), len(evidence.probes)


def most_of_share(share: float, dimension: int, num_probes: int, failure: float) -> int:
    """Return the largest n that has a share this small with probability ``failure`` or more.

    The share of n dimensions, of ``dimension`` in all, in the squared lengths of Gaussian probes.
    """
    halves = num_probes / 2

    def is_likely(n: int) -> bool:
        if n == 0 or n == dimension:
            return n == 0 or share >= 1 - MASS_ROUNDING
        return float(betainc(halves * n, halves * (dimension - n), min(share, 1.0))) >= failure

    return _last(is_likely, dimension)


def fewest_of_share(share: float, dimension: int, num_probes: int, failure: float) -> int:
    """Return the smallest n that has a share this large with probability ``failure`` or more, as `most_of_share`."""
    halves = num_probes / 2

    def is_unlikely(n: int) -> bool:
        if n == 0 or n == dimension:
            return n == 0 and share > 0
        return float(betaincc(halves * n, halves * (dimension - n), max(share, 0.0))) < failure

    return 1 + _last(is_unlikely, dimension) if share > 0 else 0


def _last(holds: Callable[[int], bool], most: int) -> int:
    """Return the last number up to ``most`` for which a condition holds that holds from 0 up to there."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
