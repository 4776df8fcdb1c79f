"""Eigenvalues with their eigenvectors: which are told apart, how far they are off, and which are a subspace only."""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from hessdens._types import BoolArray, FloatArray, Window
from hessdens.results.certificates import Certificates
from hessdens.results.saved import Numbers, Saved, Size

# Neighbours closer than this many of their residuals are one cluster: a vector alone might be off by 30 degrees.
SEPARATED = 3.0
# As many pairs are printed.
MOST_PRINTED = 20


@dataclass(frozen=True, eq=False)
class Eigenpairs(Saved):
    """K eigenvalues of a symmetric matrix of N, with bounds of their errors, and their eigenvectors.

    Parameters
    ----------
    size
        N.
    which
        Which eigenvalues: "largest", "smallest", "both", "magnitude", "near 0.5", or "found" by a density.
    values
        Shape (K,), those that were asked for most first, among all that products have shown. If one did not show,
        those after it rank lower in the matrix: the k-th largest value here is at most the k-th largest eigenvalue.
    errors
        Bounds of their errors, shape (K,): lengths of residuals. There are as many eigenvalues of the matrix as values
        here, each within its error (Kahan).
    gaps
        Distance from each cluster to the next value that showed, less that one's error, shape (K,): 0 where a cluster
        goes on beyond the values here, infinite where there is no other.
    outer_gaps
        Distance from each value to the next one that showed besides these, less that one's error, shape (K,).
    clusters
        Values with equal numbers are not told apart, shape (K,): their vectors span a subspace, and none of them is
        an eigenvector of its own.
    vectors
        Orthonormal, one per row, shape (K, N) in the precision of the operator. Of a sharded model, the entries that
        this process holds.
    is_converged
        Whether the error is at most ``rtol`` times the value, or what rounding allows; shape (K,).
    rtol
        The accuracy that was asked for; infinite where none was.
    num_passes
        Products with blocks of vectors: passes over the data.
    certificates
        Measured defects of what should be exact, and products.
    lowest, highest
        Between these lies the whole spectrum, with probability 0.95 over the random vectors that the search, or the
        density, starts from (Van Dorsselaer, Hochstenbach & Van der Vorst 2000); infinite where nothing is known.
    """

    size: Size
    which: str
    values: Annotated[FloatArray, "K finite"]
    errors: Annotated[FloatArray, "K amount"]
    gaps: Annotated[FloatArray, "K error"]
    outer_gaps: Annotated[FloatArray, "K error"]
    clusters: Annotated[tuple[int, ...], "K count"]
    vectors: Annotated[NDArray[Any], "K R vector"]
    is_converged: Annotated[BoolArray, "K flag"]
    rtol: Annotated[float, "error"]
    num_passes: int
    certificates: Certificates
    lowest: float = -math.inf
    highest: float = math.inf

    def __post_init__(self) -> None:
        super().__post_init__()
        if not len(self.values) <= self.size:
            raise ValueError(f"There must be as many eigenvalues as the matrix has; got {len(self.values)}.")
        if self.vectors.shape[1] > self.size:
            raise ValueError(f"Vectors must have at most {self.size} entries; got {self.vectors.shape[1]}.")

    @property
    def num_products(self) -> int:
        """Products spent."""
        return self.certificates.num_products

    @property
    def angles(self) -> FloatArray:
        """Bounds of the angles between cluster and invariant subspace, in radians, shape (K,) (Davis & Kahan, 1970).

        The space that a cluster spans is as near as this to that of all eigenvectors with eigenvalues within its gap:
        its own, unless others there have not shown. π/2 says nothing.
        """
        return np.arcsin(_sines(self.errors, self.gaps))

    @property
    def total_angle(self) -> float:
        """A bound of the angle between the space of all vectors here and the invariant one, in radians.

        Gaps between the values here do not matter for it.
        """
        return float(np.arcsin(min(float(np.linalg.norm(_sines(self.errors, self.outer_gaps))), 1.0)))

    @property
    def subspaces(self) -> tuple[tuple[int, ...], ...]:
        """Indices of the values of each cluster, in the order of the values."""
        members: dict[int, list[int]] = {}
        for index, cluster in enumerate(self.clusters):
            members.setdefault(cluster, []).append(index)
        return tuple(map(tuple, members.values()))

    def vector(self, index: int) -> NDArray[Any]:
        """Return an eigenvector, shape (N,), of either sign; ValueError if it is one of a cluster: see `subspace`."""
        members = self._members(index)
        if len(members) > 1:
            raise ValueError(
                f"An eigenvector must be that of an eigenvalue which is told apart from others; eigenvalues "
                f"{', '.join(map(str, members))} are one cluster. Take subspace({index}), or a smaller rtol."
            )
        return self.vectors[index]

    def subspace(self, index: int) -> NDArray[Any]:
        """Return an orthonormal basis of the subspace that an eigenvalue belongs to, as rows, shape (members, N)."""
        return self.vectors[list(self._members(index))]

    def _members(self, index: int) -> tuple[int, ...]:
        if not 0 <= index < len(self.values):
            raise ValueError(f"index must be from 0 to {len(self.values) - 1}; got {index}.")
        return next(members for members in self.subspaces if index in members)

    def __repr__(self) -> str:
        return f"Eigenpairs({len(self.values)} {self.which} of {self.size:,}, {self.num_products:,} products)"

    def __str__(self) -> str:
        missed = "" if np.isinf(self.rtol) else f", {self.is_converged.sum()} of them to rtol {self.rtol:g}"
        lines = [f"{len(self.values)} eigenvalues of {self.size:,}, {self.which}{missed}"]
        if len(self.values):
            lines.append("           value    error   angle (rad) of its vector or cluster")
        for index, members in enumerate(map(self._members, range(min(len(self.values), MOST_PRINTED)))):
            cluster = f"  one cluster: {', '.join(map(str, members))}" if len(members) > 1 else ""
            angle = "unknown" if self.gaps[index] <= self.errors[index] else f"{self.angles[index]:.1e}"
            mark = "" if self.is_converged[index] else "  NOT CONVERGED"
            value, error = f"{self.values[index]:.8g}", f"{self.errors[index]:.1e}"
            lines.append(f"  {index:3d} {value:>14} {error:>7}   {angle}{cluster}{mark}")
        if len(self.values) > MOST_PRINTED:
            lines.append(f"  ... and {len(self.values) - MOST_PRINTED} more")
        if math.isfinite(self.lowest) or math.isfinite(self.highest):
            lines.append(f"  all eigenvalues lie between {self.lowest:.4g} and {self.highest:.4g} (at 95%)")
        return "\n".join([*lines, f"  {self.num_passes:,} passes over the data", str(self.certificates)])

    def _numbers(self, window: Window, level: float) -> Numbers:
        rows = zip(self.values, self.errors, self.angles, self.gaps, self.clusters, self.is_converged, strict=True)
        names = ("value", "error", "angle", "gap", "cluster", "is_converged")
        pairs = [dict(zip(names, row, strict=True)) for row in rows]
        known = self._named("size", "which", "rtol", "lowest", "highest", "num_products", "num_passes")
        return known | {"pairs": pairs} | self.certificates._numbers(window, level)


@dataclass(frozen=True)
class Separation:
    """Which values are told apart: numbers of clusters, bounds of errors, and both kinds of gaps, shape (K,)."""

    clusters: tuple[int, ...]
    errors: FloatArray
    gaps: FloatArray
    outer_gaps: FloatArray

    @classmethod
    def of(
        cls,
        values: FloatArray,
        residuals: FloatArray,
        slack: FloatArray,
        is_converged: BoolArray,
        others: tuple[FloatArray, FloatArray],
    ) -> "Separation":
        """Return the clusters of values whose orthonormal vectors have these residuals, shape (d, K).

        ``slack`` bounds what is left out of each residual; ``others`` are further values and their errors. Values that
        have converged make no cluster with others: then their gap is short.
        """
        groups = _groups(values, residuals, slack, is_converged) + _groups(values, residuals, slack, ~is_converged)
        radii = [_radius(residuals, slack, group) for group in groups]
        ends = [(values[group].min(), values[group].max()) for group in groups]
        order = np.argsort([int(group.min()) for group in groups])
        clusters, errors, gaps = np.zeros(len(values), dtype=np.int64), np.zeros(len(values)), np.zeros(len(values))
        for number, which in enumerate(order):
            low, high = ends[which]
            distances = [_distance(low, high, *ends[j]) - radii[j] for j in range(len(groups)) if j != which]
            distances += (np.maximum(low - others[0], others[0] - high) - others[1]).tolist()
            group = groups[which]
            clusters[group], errors[group] = number, radii[which]
            gaps[group] = max(min(distances, default=np.inf), 0.0)
        outer = np.abs(values[:, None] - others[0]) - others[1]
        return cls(tuple(clusters.tolist()), errors, gaps, np.maximum(outer.min(axis=1, initial=np.inf), 0.0))


def _sines(errors: FloatArray, gaps: FloatArray) -> FloatArray:
    """Return errors over gaps, 1 where the gap is no longer."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gaps > errors, errors / gaps, 1.0)


def _groups(values: FloatArray, residuals: FloatArray, slack: FloatArray, chosen: BoolArray) -> list[NDArray[np.int64]]:
    """Return runs of the chosen values that are not told apart, by index."""
    order = np.flatnonzero(chosen)
    groups = [np.array([index]) for index in order[np.argsort(values[order])]]
    place = 0
    while place + 1 < len(groups):
        first, second = groups[place], groups[place + 1]
        radius = max(_radius(residuals, slack, first), _radius(residuals, slack, second))
        if values[second].min() - values[first].max() <= SEPARATED * radius:
            groups[place : place + 2] = [np.concatenate([first, second])]
            place = max(place - 1, 0)  # a larger cluster has a larger radius
        else:
            place += 1
    return groups


def _radius(residuals: FloatArray, slack: FloatArray, group: NDArray[np.int64]) -> float:
    """Return the norm of the residuals of a group."""
    return float(np.linalg.norm(residuals[:, group], 2) + np.linalg.norm(slack[group]))


def _distance(low: float, high: float, other_low: float, other_high: float) -> float:
    return max(low - other_high, other_low - high)
