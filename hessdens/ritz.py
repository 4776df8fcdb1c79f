"""What a Krylov space says of a spectrum: eigenvalues that it has found, and quadrature for all others."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from hessdens.interpolation import QuadratureCdf, mass_between, mass_beyond
from hessdens.storage import readonly

FloatArray = NDArray[np.float64]
# A Ritz value whose residual is below this share of its distance to the next is an eigenvalue: its error is at most a
# tenth of that distance (Kato and Temple: residual² / distance).
CONVERGED = 0.3
# Ritz values of one eigenvalue differ by some errors of products.
SAME = 10.0
# Probability that the weight of eigenvalues that are counted right is taken for too much.
UNLIKELY = 1e-10


@dataclass(frozen=True, eq=False)
class Quadrature:
    """Eigenvalues that are found and, for all others, points and weights.

    Parameters
    ----------
    eigenvalues, residuals
        Shape (E,), ascending: eigenvalues that are found, each of weight 1/N, and the lengths of their residuals, which
        bound their errors.
    abscissae
        Shape (n,), ascending: Ritz values that stand for the other N - E eigenvalues.
    weights
        Shape (P, n): their weights as each probe sees them. Rows sum to (N - E) / N.
    atoms
        Shape (n,), bool: abscissae that are eigenvalues of unknown multiplicity.
    radii
        Shape (n,): lengths of residuals of atoms, at most about which is the root mean square distance of what they
        stand for; of others 0.
    size
        N.
    interlaces
        Whether these are the Ritz values of one compression of A. Then there are at least as many eigenvalues on either
        side of any point as Ritz values (Cauchy).
    """

    eigenvalues: FloatArray
    residuals: FloatArray
    abscissae: FloatArray
    weights: FloatArray
    atoms: NDArray[np.bool_]
    radii: FloatArray
    size: int
    interlaces: bool

    def __post_init__(self) -> None:
        for name in ("eigenvalues", "residuals", "abscissae", "weights", "radii"):
            object.__setattr__(self, name, readonly(getattr(self, name)))
        object.__setattr__(self, "atoms", readonly(self.atoms, dtype=bool))

    def ritz_values(self) -> FloatArray:
        """Return eigenvalues and abscissae, ascending."""
        return np.sort(np.concatenate([self.eigenvalues, self.abscissae]))

    def cdf(self, x: FloatArray, weights: FloatArray) -> FloatArray:
        """Return the mass at or below x for other weights, of shape (n,) or (L, n); shape (len(x),) or (L, len(x))."""
        found = np.searchsorted(self.eigenvalues, x, side="right") / self.size
        values = found + QuadratureCdf(self.abscissae, weights, self.atoms)(x)
        result: FloatArray = np.clip(values, *self.counts(x) / self.size)
        return result

    def counts(self, x: FloatArray) -> NDArray[np.intp]:
        """Return the fewest and the most eigenvalues that can be at or below x (Cauchy), shape (2, len(x))."""
        ritz = self.ritz_values() if self.interlaces else np.empty(0)
        left = np.searchsorted(ritz, x, side="right")
        fewest = np.where(x == np.inf, self.size, left)
        most = np.where(x == -np.inf, 0, self.size - len(ritz) + left)
        return np.stack([fewest, most])

    def mass_bounds(self, edges: FloatArray) -> FloatArray:
        """Return the least and the most mass in each bin, by Cauchy and the eigenvalues found, shape (2, n - 1)."""
        fewest, most = self.counts(edges)
        low, high = self.eigenvalues - self.residuals, self.eigenvalues + self.residuals
        found = np.sum((low[:, None] > edges[:-1]) & (high[:, None] <= edges[1:]), axis=0)
        return np.stack([np.maximum(fewest[1:] - most[:-1], found), most[1:] - fewest[:-1]]) / self.size

    def inside(self, half: float, weights: FloatArray) -> FloatArray:
        """Return the mass in (-half, half) for other weights, of shape (n,) or (L, n); shape (1,) or (L, 1)."""
        found = np.count_nonzero(np.abs(self.eigenvalues) < half) / self.size
        cdf = QuadratureCdf(self.abscissae, weights, self.atoms)
        others = cdf(np.array([half]), "left") - cdf(np.array([-half]))
        outside = np.count_nonzero(np.abs(self.ritz_values()) >= half) if self.interlaces else 0
        result: FloatArray = np.clip(found + others, 0.0, 1 - outside / self.size)
        return result

    def unresolved(self, x: FloatArray) -> FloatArray:
        """Return the mass near each x that may lie on either side of it; shape of x."""
        weights = self.weights.mean(axis=0)
        between = mass_between(self.abscissae, np.where(self.atoms, 0.0, weights), x, len(self.weights))
        beyond = mass_beyond(self.abscissae, np.where(self.atoms, weights, 0.0), self.radii, x)
        return between + 2 * beyond  # twice, since the step of an atom is at one end of what is possible


def block_quadrature(matrix: FloatArray, num_known: int, start: FloatArray, size: int, rounding: float) -> Quadrature:
    """Return the quadrature of a block Krylov space.

    Parameters
    ----------
    matrix
        A in the basis of all blocks, of which the first ``num_known`` vectors have been multiplied.
    start
        The start vectors in the basis of the first block, shape (P, width of that block).
    size
        N.
    rounding
        Error of products, in units of eigenvalues.
    """
    ritz, vectors = np.linalg.eigh(matrix[:num_known, :num_known])
    residuals = np.linalg.norm(matrix[num_known:, :num_known] @ vectors, axis=0) + rounding
    weights = (start @ vectors[: start.shape[1]]) ** 2
    apart = [group for group in _groups(ritz, residuals) if _is_apart(ritz, residuals, group, rounding)]
    found = [group for group in apart if _is_counted(weights[:, group], len(group))]
    atoms = [group for group in apart if not _is_counted(weights[:, group], len(group))]
    num_found = sum(len(group) for group in found)
    if num_found < size and num_found == len(ritz):  # nothing is left to stand for the others
        found, atoms, num_found = [], found, 0
    taken = np.concatenate([*found, *atoms, np.empty(0, np.intp)]).astype(np.intp)
    others = [np.array([j]) for j in np.setdiff1d(np.arange(len(ritz)), taken)]
    nodes = sorted([*others, *atoms], key=lambda group: float(ritz[group[0]]))
    sums = [weights[:, group].sum(axis=1) for group in nodes]
    is_atom = np.array([any(group is atom for atom in atoms) for group in nodes], dtype=bool)
    radii = np.array([residuals[group].max() for group in nodes])
    alone = np.sort(np.concatenate([*found, np.empty(0, np.intp)]).astype(np.intp))
    return Quadrature(
        ritz[alone],
        residuals[alone],
        np.array([ritz[group].mean() for group in nodes]),
        _normalised(np.stack(sums, axis=1) if sums else np.zeros((len(start), 0)), 1 - num_found / size),
        is_atom,
        np.where(is_atom, radii, 0.0),
        size,
        True,
    )


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
    if not residual < CONVERGED * distance:
        return False
    return bool(ritz[last] - ritz[first] <= 2 * residual**2 / distance + SAME * rounding)


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
    result: FloatArray = total * np.where(sums > 0, weights / np.where(sums > 0, sums, 1.0), mean)
    return result
