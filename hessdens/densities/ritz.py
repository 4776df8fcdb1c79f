"""From the matrix of a Krylov space to its quadrature: single eigenvalues, and points and weights for the others."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag, eigh_tridiagonal
from scipy.special import chdtri

from hessdens._types import FloatArray
from hessdens.densities.krylov import Krylov
from hessdens.densities.quadrature import Quadrature

# A Ritz value whose residual is below this fraction of its distance to the next is an eigenvalue: its error is at most
# a tenth of that distance (Kato and Temple: residual² / distance).
CONVERGED = 0.3
# Ritz values of one eigenvalue differ by at most so many errors of products.
ROUNDINGS_APART = 10.0
# Probability that eigenvalues which are counted right have too much weight by chance.
UNLIKELY = 1e-10


def block_quadrature(
    matrix: FloatArray, num_known: int, start: FloatArray, size: int, rounding: float
) -> tuple[Quadrature, Krylov]:
    """Return the quadrature of a block Krylov space of an operator with ``size`` eigenvalues, and what it leaves open.

    ``matrix`` is A in the basis of all blocks, of which the first ``num_known`` vectors have been multiplied; ``start``
    has the start vectors in the basis of the first block, shape (P, width); ``rounding`` is the error of products.
    """
    ritz, vectors = np.linalg.eigh(matrix[:num_known, :num_known])
    coupling, probes = matrix[num_known:, :num_known] @ vectors, start @ vectors[: start.shape[1]]
    residuals, weights = np.linalg.norm(coupling, axis=0) + rounding, probes**2
    apart = [group for group in _groups(ritz, residuals) if _is_apart(ritz, residuals, group, rounding)]
    single = [group for group in apart if _is_counted(weights[:, group], len(group))]
    atoms = [group for group in apart if not _is_counted(weights[:, group], len(group))]
    num_single = sum(len(group) for group in single)
    if num_single < size and num_single == len(ritz):  # nothing is left to stand for the others
        single, atoms = [], single
        num_single = 0
    taken = np.concatenate([*single, *atoms, np.empty(0, np.intp)]).astype(np.intp)
    others = [np.array([j]) for j in np.setdiff1d(np.arange(len(ritz)), taken)]
    nodes = sorted([*others, *atoms], key=lambda group: float(ritz[group[0]]))
    sums = [weights[:, group].sum(axis=1) for group in nodes]
    is_atom = np.array([any(group is atom for atom in atoms) for group in nodes], dtype=bool)
    alone = np.sort(np.concatenate([*single, np.empty(0, np.intp)]).astype(np.intp))
    points = np.array([ritz[group].mean() for group in nodes])
    shares = _normalised(np.stack(sums, axis=1) if sums else np.zeros((len(start), 0)), 1 - num_single / size)
    quadrature = Quadrature(ritz[alone], residuals[alone], points, shares, is_atom, size, interlaces=True)
    rest = np.setdiff1d(np.arange(len(ritz)), alone)
    return quadrature, Krylov(ritz[rest], coupling[:, rest], probes[:, rest], rounding)


def _groups(ritz: FloatArray, residuals: FloatArray) -> list[NDArray[np.intp]]:
    """Return Ritz values that are eigenvalues of their own, one by one, and runs of those that are not told apart."""
    groups: list[list[int]] = []
    gaps = np.diff(ritz, prepend=-np.inf, append=np.inf)
    single = residuals < CONVERGED * np.minimum(gaps[:-1], gaps[1:])
    for j in range(len(ritz)):
        if j and not single[j] and not single[j - 1] and ritz[j] - ritz[j - 1] <= residuals[j] + residuals[j - 1]:
            groups[-1].append(j)
        else:
            groups.append([j])
    return [np.array(group) for group in groups]


def _is_apart(ritz: FloatArray, residuals: FloatArray, group: NDArray[np.intp], rounding: float) -> bool:
    """Return whether these Ritz values stand for one eigenvalue, or several as close as rounding, far from others.

    Then they are within residual² / distance of it (Kato and Temple). A band of eigenvalues is as far from others, but
    wider than that.
    """
    first, last = int(group[0]), int(group[-1])
    below = ritz[first] - ritz[first - 1] if first > 0 else np.inf
    above = ritz[last + 1] - ritz[last] if last + 1 < len(ritz) else np.inf
    distance, residual = min(below, above), float(residuals[group].max())
    is_far = residual < CONVERGED * distance
    return is_far and bool(ritz[last] - ritz[first] <= 2 * residual**2 / distance + ROUNDINGS_APART * rounding)


def _is_counted(weights: FloatArray, num_ritz: int) -> bool:
    """Return whether so many Ritz values apart from others are so many eigenvalues.

    An eigenvalue shows in as many Ritz values as it has multiplicity, or as there are start vectors, if these are
    fewer. Eigenvalues too close to be told apart may show in fewer still, but have too much weight for that.
    """
    num_probes = len(weights)
    return num_ritz < num_probes and bool(weights.sum() < chdtri(num_ritz * num_probes, UNLIKELY))


def _normalised(weights: FloatArray, total: float) -> FloatArray:
    """Return the rows scaled to sum to ``total``; where a row has nothing, as the mean of the others."""
    sums = weights.sum(axis=1, keepdims=True)
    mean = weights.sum(axis=0) / max(float(weights.sum()), np.finfo(np.float64).tiny)
    return total * np.where(sums > 0, weights / np.where(sums > 0, sums, 1.0), mean)


def tridiagonal_quadrature(
    diagonal: FloatArray, off_diagonal: FloatArray, size: int, rounding: float
) -> tuple[Quadrature, tuple[Krylov, ...]]:
    """Return the quadrature of the Jacobi matrices in the columns, one of each probe, and what they leave open."""
    abscissae, weights, spaces = [], [], []
    for probe in range(diagonal.shape[1]):
        ends = np.flatnonzero(off_diagonal[:, probe] == 0)
        last = int(ends[0]) + 1 if len(ends) else len(diagonal)
        ritz, vectors = eigh_tridiagonal(diagonal[:last, probe], off_diagonal[: last - 1, probe])
        abscissae.append(ritz)
        weights.append(vectors[0] ** 2)
        next_length = off_diagonal[last - 1 : last, probe]
        coupling = next_length[next_length > 0, None] * vectors[-1:]
        spaces.append(Krylov(ritz, coupling, vectors[:1], rounding))
    points, table = np.concatenate(abscissae), block_diag(*weights)
    order = np.argsort(points, kind="stable")
    none, no_atoms = np.empty(0), np.zeros(len(points), dtype=bool)
    quadrature = Quadrature(none, none, points[order], table[:, order], no_atoms, size, interlaces=False)
    return quadrature, tuple(spaces)
