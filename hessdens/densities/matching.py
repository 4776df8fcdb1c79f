"""Weights of a quadrature, changed as little as gives them other moments, and what that changes."""

from collections.abc import Sequence

import numpy as np

from hessdens._types import FloatArray
from hessdens.densities.bounds import lanczos_recurrence
from hessdens.densities.krylov import ROUNDINGS, Krylov
from hessdens.densities.quadrature import Quadrature, QuadratureCdf

EPS = float(np.finfo(np.float64).eps)


def matched_rows(points: FloatArray, weights: FloatArray, num_moments: int) -> FloatArray:
    """Return weights for each of P probes that resolve what the first does, and average what all of them do.

    The first row of ``weights``, shape (P, n), knows more moments than the others, which share those of order 0 to
    ``num_moments - 1``. The result keeps for each probe its own of these; all else is that of the first. The mean of
    the rows is not negative.
    """
    means = weights.mean(axis=0)
    used = means > EPS * means.sum()
    if np.count_nonzero(used) <= num_moments:
        return weights
    root = np.sqrt(means[used] / means.sum())
    polynomials = _polynomials(points[used], root, num_moments)
    rows = np.zeros_like(weights)
    rows[:, used] = ((weights - means)[:, used] / root) @ polynomials.T @ polynomials * root
    rows[:, used] += _nearest(weights[0, used] / root, means[used] / root, polynomials) * root
    return rows


def _polynomials(points: FloatArray, root: FloatArray, num_moments: int) -> FloatArray:
    """Return orthonormal polynomials of the measure with weights ``root`` squared, times ``root``, as rows."""
    scale = float(np.abs(points).max())
    rounding = 10 * len(points) * EPS * scale
    return lanczos_recurrence(lambda vector: points * vector, root, num_moments, rounding, scale)[1]


def _nearest(first: FloatArray, means: FloatArray, polynomials: FloatArray) -> FloatArray:
    """Return what is near to ``first``, not negative, and has the moments of ``means``; all in units of their root.

    Weights that become negative are 0 in the next attempt.
    """
    free = np.ones(len(means), dtype=bool)
    while np.count_nonzero(free) > len(polynomials):
        rows = polynomials[:, free]
        change = np.linalg.lstsq(rows @ rows.T, polynomials @ means - rows @ first[free])[0]
        near = np.where(free, first + change @ polynomials, 0.0)
        if np.all(near >= 0):
            return near
        free &= near >= 0
    return means


def added_by_others(spaces: Sequence[Krylov], quadrature: Quadrature, x: FloatArray) -> FloatArray:
    """Return by how much all probes have more of their squares left of x than the first, least and most, (2, len(x)).

    That is 0 where the spaces are those of all probes. Else the first has taken more steps: it sees one vector of each
    eigenvalue, and the first steps of the others tell how much is left where eigenvalues have copies.
    """
    square = sum(space.square for space in spaces)
    if square == 0 or sum(len(space.probes) for space in spaces) == len(quadrature.weights):
        return np.zeros((2, len(x)))
    (space,), points = spaces, quadrature.abscissae
    nearest = np.abs(space.ritz_values[:, None] - points).argmin(axis=1)
    first = np.bincount(nearest, space.probes[0] ** 2 / square, len(points))
    means = quadrature.mean_weights() / (1 - len(quadrature.eigenvalues) / quadrature.size)
    cdf = QuadratureCdf(points, np.stack([means, first]), quadrature.atoms)
    moves = {"left": -ROUNDINGS * space.rounding, "right": ROUNDINGS * space.rounding}
    sides = [np.where(np.isfinite(x), np.subtract(*cdf(x + move, side)), 0.0) for side, move in moves.items()]
    return np.stack([np.minimum(*sides), np.maximum(*sides)])
