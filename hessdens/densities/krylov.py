"""What a Krylov space leaves open: how much of its probes lies left of a point at least and at most."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from hessdens._types import FloatArray
from hessdens.densities.base import values_of
from hessdens.results.saved import Saved

# Copies of one eigenvalue were up to 1.5 roundings apart.
ROUNDINGS = 3.0
# Ritz values nearer to a point than this fraction of their coupling are moved as far away. At the point itself the last
# diagonal block has no limit, and large ones cost digits: both errors are then about 1e-8 of the coupling.
NEAREST = float(np.finfo(np.float64).eps) ** 0.5
# Halvings of the way to a Ritz value, where a function is not finite beyond it.
MOVES = 20


@dataclass(frozen=True, eq=False)
class Krylov(Saved):
    """A in the Krylov space of P probes, without the eigenvectors that were found one by one.

    In the basis of k Ritz vectors and the b vectors of the last block, which have not been multiplied, A is diagonal
    except for the coupling of these two parts, and unknown among the last b.
    """

    ritz_values: Annotated[FloatArray, "k finite"]  # ascending
    coupling: Annotated[FloatArray, "b k finite"]  # of each Ritz vector with the last block; b = 0 once nothing follows
    probes: Annotated[FloatArray, "P k finite"]  # in the Ritz vectors
    rounding: Annotated[float, "amount"]  # of products, in units of eigenvalues

    def __post_init__(self) -> None:
        super().__post_init__()
        if np.any(np.diff(self.ritz_values) < 0):
            raise ValueError("ritz_values must ascend; they do not.")
        object.__setattr__(self, "_known", {})  # squares left of points that were asked for

    @property
    def square(self) -> float:
        """The squares of all probes together, of what is left of them."""
        return float(np.sum(self.probes**2))

    def squares_left_of(self, x: FloatArray) -> FloatArray:
        """Return the least and the most of the squares of all probes together left of each x, shape (2, len(x)).

        Block Gauss-Radau quadrature: the diagonal block of the last b vectors is chosen such that b nodes are at x.
        Their weight is the most that an operator with these coefficients can have there (a matrix Christoffel number).
        It may lie on either side. For one probe the rest bounds what is left of x (Chebyshev, Markov, Stieltjes). For
        the sum over more probes that is no theorem: of 3,000 random matrices of the tests 17 break it, by 2% of the
        squares at most. Nodes within rounding of x may lie on either side too.

        Cost: an eigenproblem of size k + b per point.
        """
        known: dict[float, FloatArray] = vars(self)["_known"]
        for point in x.tolist():
            if point not in known:
                known[point] = self._squares_left_of(point)
        return np.array([known[point] for point in x.tolist()]).reshape(len(x), 2).T

    def with_node(self, x: float) -> tuple[FloatArray, FloatArray]:
        """Return nodes, and the squares of all probes there, of the quadrature that has x as a node (Gauss-Radau)."""
        if not len(self.coupling):
            return self.ritz_values, np.sum(self.probes**2, axis=0)
        nodes, vectors = np.linalg.eigh(self._extended(x))
        return nodes, np.sum((self.probes @ vectors[: len(self.ritz_values)]) ** 2, axis=0)

    def earlier(self) -> tuple["Krylov", float]:
        """Return the space of the same probes after about half of the steps, and how many times as large this one is.

        Block Lanczos in this space: eigenvectors that were found are left out of both.
        """
        ritz_values = self.ritz_values[:, None]
        basis = _block_of(self.probes.T, np.empty((len(ritz_values), 0)))
        following = _block_of(ritz_values * basis, basis)
        while following.size and 2 * (basis.shape[1] + following.shape[1]) <= len(ritz_values):
            basis = np.hstack([basis, following])
            following = _block_of(ritz_values * following, basis)
        products = self.ritz_values[:, None] * basis
        values, vectors = np.linalg.eigh(basis.T @ products)
        space = Krylov(values, following.T @ products @ vectors, self.probes @ basis @ vectors, self.rounding)
        return space, len(ritz_values) / max(len(values), 1)

    def _squares_left_of(self, x: float) -> FloatArray:
        if not np.isfinite(x) or self.square == 0:
            return np.full(2, self.square if x == np.inf else 0.0)
        nodes, squares = self.with_node(x)
        is_there = np.abs(nodes - x) <= ROUNDINGS * self.rounding
        is_there[np.argsort(np.abs(nodes - x), kind="stable")[: len(self.coupling)]] = True
        left = squares[(nodes < x) & ~is_there].sum()
        return np.array([left, left + squares[is_there].sum()])

    def _extended(self, x: float) -> FloatArray:
        """Return A in all k + b vectors if it has the eigenvalue x as often as the last block has vectors.

        What couples by no more than rounding does not: else a Ritz value at x would make the last block any number.
        """
        count, width = len(self.ritz_values), len(self.coupling)
        lengths = np.linalg.norm(self.coupling, axis=0)
        coupling = np.where(lengths > self.rounding, self.coupling, 0.0)
        distances, nearest = self.ritz_values - x, NEAREST * lengths + np.finfo(np.float64).tiny
        distances = np.where(np.abs(distances) < nearest, np.copysign(nearest, distances), distances)
        last = x * np.eye(width) + (coupling / distances) @ coupling.T
        matrix = np.diag(np.concatenate([self.ritz_values, np.zeros(width)]))
        matrix[count:, :count], matrix[:count, count:] = coupling, coupling.T
        matrix[count:, count:] = (last + last.T) / 2
        return matrix


def _block_of(vectors: FloatArray, basis: FloatArray) -> FloatArray:
    """Return an orthonormal basis of what vectors, as columns, have outside of a basis, to rounding."""
    length = np.linalg.norm(vectors, 2) if vectors.size else 0.0
    for _ in range(2):
        vectors = vectors - basis @ (basis.T @ vectors)
    left, values, _ = np.linalg.svd(vectors, full_matrices=False)
    return np.asarray(left[:, values > NEAREST * length])


def shares_between(spaces: Sequence[Krylov], low: FloatArray, high: FloatArray) -> FloatArray:
    """Return which part of the squares of the probes is between n pairs of ends, at least and at most, (2, n)."""
    points, places = np.unique(np.concatenate([low, high]), return_inverse=True)
    squares = sum((space.squares_left_of(points) for space in spaces), np.zeros((2, len(points))))
    left = squares / max(sum(space.square for space in spaces), np.finfo(np.float64).tiny)
    first, second = np.split(left[:, places], 2, axis=1)
    return np.clip(second - first[::-1], 0.0, 1.0)


def left_open(
    spaces: Sequence[Krylov], f: Callable[[FloatArray], ArrayLike], support: tuple[float, float]
) -> FloatArray:
    """Return how far a mean of f may lie from that by Gauss quadrature, downwards and upwards, shape (2,).

    Gauss-Radau quadratures have a node beyond either end of the spectrum, but within its ``support``. They are on
    either side of the truth if derivatives of f keep their signs there, as those of powers, logarithms and reciprocals
    do (Golub & Meurant 2010). For other functions the difference shows its size. Where f is not finite at an end, the
    node is moved inwards until it is.
    """
    total, changes = sum(space.square for space in spaces), np.zeros(2)
    if total == 0:
        return changes
    for index, (side, end) in enumerate(((-1, 0), (1, -1))):
        for space in spaces:
            lengths = np.linalg.norm(space.coupling, axis=0)
            outer = float(np.clip(side * np.max(side * space.ritz_values + lengths), *support))
            changes[index] += _change(space, f, float(space.ritz_values[end]), outer)
    return np.array([min(0.0, *changes), max(0.0, *changes)]) / total


def _change(space: Krylov, f: Callable[[FloatArray], ArrayLike], inner: float, outer: float) -> float:
    """Return what a node at an outer point, or as near to it as f is finite, changes of the sum of f over squares."""
    squares = np.sum(space.probes**2, axis=0)
    for _ in range(MOVES):
        nodes, moved = space.with_node(outer)
        with np.errstate(all="ignore"):
            value = float(moved @ np.asarray(f(nodes), dtype=np.float64))
        if np.isfinite(value):
            return value - float(squares @ values_of(f, space.ritz_values))
        outer = (inner + outer) / 2
    return 0.0
