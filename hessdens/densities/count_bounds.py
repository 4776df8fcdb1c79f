"""Guaranteed bounds of numbers of eigenvalues beyond an edge, from a deflated space and fresh probes beside it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtr, chdtrc

from hessdens._types import FloatArray
from hessdens.densities.bounds import Jacobi, masses

Range = tuple[int, int]
# Below this share of the edge, what is dropped moves the edge; above it, it counts as one eigenvalue.
SMALL_MOVE = 0.1
# Bounds of either side and of both together, each from below and above: so many statements may fail.
NUM_STATEMENTS = 6
# Masses are widened by this, relative to all mass: rounding of float64 in small matrices.
MASS_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Compression:
    """What products say of A: in a deflated space Q, and in the Krylov space of fresh probes in its complement.

    Parameters
    ----------
    matrix
        A in the basis of all vectors, shape (k, k); those of Q first, those that have not been multiplied last.
    num_deflated
        Vectors of Q.
    num_known
        Vectors that have been multiplied.
    coupling
        Products of Q with what was left of its Krylov space, shape (c, num_deflated).
    probes
        Coordinates of the probes in the first vectors after those of Q, shape (P, width).
    size
        N.
    rounding
        Error of products, in units of eigenvalues.
    relative_rounding
        Error of the lengths of vectors.
    """

    matrix: FloatArray
    num_deflated: int
    num_known: int
    coupling: FloatArray
    probes: FloatArray
    size: int
    rounding: float
    relative_rounding: float


@dataclass(frozen=True)
class _Bound:
    """A bound of the number of eigenvalues with sign λ >= edge, from below or above.

    ``counted`` of them are in Q; the complement has as many as explain a ``mass`` of the probes; ``certain`` is a bound
    by interlacing.
    """

    counted: int
    mass: float
    certain: int

    def __add__(self, other: "_Bound") -> "_Bound":
        return _Bound(self.counted + other.counted, self.mass + other.mass, self.certain + other.certain)


def count_bounds(compression: Compression, half: float, level: float) -> tuple[Range, Range, Range]:
    """Return the fewest and most negative (λ <= -half), degenerate and positive (λ >= half) eigenvalues.

    All six numbers hold at once with probability ``level``, over the fresh probes.

    Notes
    -----
    With T = Q^T A Q, R the compression of A to the complement of Q and C its coupling, A - x has as many eigenvalues of
    either sign as T - x and R - x - C (T - x)^{-1} C^T together (Haynsworth 1968). Here C has few rows, so the last
    term has few eigenvalues: one that is small moves x (Weyl), another counts as one eigenvalue more or less. How many
    eigenvalues R has beyond x follows from Gaussian probes g that know nothing of Q: each has a mass beyond x that
    Gauss-Radau quadrature brackets (Chebyshev, Markov, Stieltjes), and the sum of P such masses is a chi-squared
    variable with P degrees of freedom for each eigenvalue. Beside that, no compression has more eigenvalues beyond x
    than A (Cauchy).
    """
    size, num_probes, failure = compression.size, len(compression.probes), (1 - level) / NUM_STATEMENTS
    lower = [_lower(compression, sign, half + compression.rounding) for sign in (-1, 1)]
    upper = [_upper(compression, sign, half - compression.rounding) for sign in (-1, 1)]
    fewest = [_fewest(bound, num_probes, failure) for bound in (*lower, lower[0] + lower[1])]
    most = [min(size, _most(bound, num_probes, failure)) for bound in (*upper, upper[0] + upper[1])]
    outside = max(fewest[2], fewest[0] + fewest[1]), min(most[2], most[0] + most[1])
    return (fewest[0], most[0]), (size - outside[1], size - outside[0]), (fewest[1], most[1])


def _lower(compression: Compression, sign: int, edge: float) -> _Bound:
    """Return what bounds the number from below."""
    ritz, moves, small = _coupled(compression, sign, edge)
    counted = np.count_nonzero(ritz >= edge) - np.count_nonzero((moves > 0) & ~small)
    mass = _mass_beyond(compression, sign, edge + float(moves[small].max(initial=0.0)), at_least=True)
    return _Bound(int(counted), mass, int(np.count_nonzero(_all_ritz(compression, sign) >= edge)))


def _upper(compression: Compression, sign: int, edge: float) -> _Bound:
    """Return what bounds the number from above."""
    ritz, moves, small = _coupled(compression, sign, edge)
    counted = np.count_nonzero(ritz >= edge) + np.count_nonzero((moves < 0) & ~small)
    mass = _mass_beyond(compression, sign, edge + float(moves[small].min(initial=0.0)), at_least=False)
    certain = compression.size - np.count_nonzero(_all_ritz(compression, sign) < edge)
    return _Bound(int(counted), mass, int(certain))


def _all_ritz(compression: Compression, sign: int) -> FloatArray:
    known = compression.num_known
    return np.linalg.eigvalsh(sign * compression.matrix[:known, :known])


def _coupled(compression: Compression, sign: int, edge: float) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Return the eigenvalues of T and of C (T - x)^{-1} C^T, and which of the latter are small."""
    deflated = compression.num_deflated
    ritz, vectors = np.linalg.eigh(sign * compression.matrix[:deflated, :deflated])
    distances = np.where(ritz == edge, np.finfo(np.float64).tiny, ritz - edge)
    coupled = compression.coupling @ vectors
    moves = np.linalg.eigvalsh((coupled / distances) @ coupled.T)
    return ritz, moves, np.abs(moves) <= SMALL_MOVE * abs(edge)


def _mass_beyond(compression: Compression, sign: int, edge: float, *, at_least: bool) -> float:
    """Return the least or the most mass of all probes together at or beyond the edge."""
    deflated = compression.num_deflated
    matrix, num_known = sign * compression.matrix[deflated:, deflated:], compression.num_known - deflated
    total = 0.0
    for probe in compression.probes:
        left, with_edge = masses(jacobi_of(matrix, num_known, probe, compression.rounding), np.array([edge]))
        length = float(probe @ probe)
        if at_least:
            total += length * (1 - compression.relative_rounding) * max(0.0, 1 - float(with_edge[0]) - MASS_ROUNDING)
        else:
            total += length * (1 + compression.relative_rounding) * min(1.0, 1 - float(left[0]) + MASS_ROUNDING)
    return total


def jacobi_of(matrix: FloatArray, num_known: int, start: FloatArray, rounding: float) -> Jacobi:
    """Return the recurrence of a probe from the matrix of a block Krylov space, as Lanczos would find it."""
    vector = np.zeros(len(matrix))
    vector[: len(start)] = start / np.linalg.norm(start)
    basis = vector[None, :]
    diagonal, off_diagonal = [], []
    while np.abs(basis[-1, num_known:]).max(initial=0.0) == 0.0:
        product = matrix[:, :num_known] @ basis[-1, :num_known]
        diagonal.append(float(product @ basis[-1]))
        for _ in range(2):
            product = product - basis.T @ (basis @ product)
        length = float(np.linalg.norm(product))
        off_diagonal.append(max(length, rounding))
        if length <= rounding:
            break
        basis = np.vstack([basis, product / length])
    scale = float(np.abs(matrix).max(initial=np.finfo(np.float64).tiny))
    return Jacobi(np.array(diagonal), np.array(off_diagonal), scale)


def _fewest(bound: _Bound, num_probes: int, failure: float) -> int:
    """Return the fewest eigenvalues; wrong with probability ``failure`` at most."""
    return max(0, bound.certain, bound.counted + fewest_of_mass(bound.mass, num_probes, failure))


def _most(bound: _Bound, num_probes: int, failure: float) -> int:
    """Return the most eigenvalues; wrong with probability ``failure`` at most."""
    return min(bound.certain, bound.counted + most_of_mass(bound.mass, num_probes, failure))


def most_of_mass(mass: float, num_probes: int, failure: float) -> int:
    """Return the largest n for which a chi-squared variable of n P degrees is ``mass`` or less this often."""
    beyond = 1
    while chdtr(num_probes * beyond, mass) >= failure:
        beyond *= 2
    return _last(lambda n: n == 0 or chdtr(num_probes * n, mass) >= failure, beyond)


def fewest_of_mass(mass: float, num_probes: int, failure: float) -> int:
    """Return the smallest n for which a chi-squared variable of n P degrees is ``mass`` or more this often."""
    if mass <= 0:
        return 0
    beyond = 1
    while chdtrc(num_probes * beyond, mass) < failure:
        beyond *= 2
    return 1 + _last(lambda n: n == 0 or chdtrc(num_probes * n, mass) < failure, beyond)


def _last(holds: Callable[[int], bool], beyond: int) -> int:
    """Return the last n below ``beyond`` for which a condition holds that holds from 0 up to there."""
    low, high = 0, beyond
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
