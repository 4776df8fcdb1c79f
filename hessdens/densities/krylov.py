"""What the Krylov space of all probes says of the mass left of a point: a positive quadrature, and bounds."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hessdens._types import FloatArray
from hessdens.densities.ritz import converged_groups

# Blocks that continue the recurrence, for each block that is known.
CONTINUED = 2
# The part of the last blocks whose mean continues the recurrence.
LAST = 0.25
# A vector of length one that loses half of it when it is made orthogonal once more was rounding.
TWICE_IS_ENOUGH = 0.5
# What is left of vectors outside a space is rounding where it is shorter than this, relative to the operator.
DEPENDENT = 1e-9
# What a probe has outside the space of the others is nothing where it has less than this of its square.
NOTHING = 1e-9


@dataclass(frozen=True)
class Krylov:
    """A in the block Krylov space of P probes, after s steps.

    Parameters
    ----------
    matrix
        A in the basis of all blocks, zero where it is not known, in the last block.
    offsets
        Shape (s + 2,): where the blocks begin, and where the last one ends.
    start
        The probes in the basis of the first block, shape (P, width of that block).
    size
        N, the number of eigenvalues.
    rounding
        Error of products, in units of eigenvalues.
    """

    matrix: FloatArray
    offsets: NDArray[np.intp]
    start: FloatArray
    size: int
    rounding: float

    @property
    def num_known(self) -> int:
        """Number of basis vectors that have been multiplied."""
        return int(self.offsets[-2])

    @cached_property
    def ritz(self) -> tuple[FloatArray, FloatArray]:
        """Ritz values, and their vectors as columns."""
        values, vectors = np.linalg.eigh(self.matrix[: self.num_known, : self.num_known])
        return values, vectors

    @cached_property
    def coupling(self) -> FloatArray:
        """Products of Ritz vectors in the last block, shape (b, k)."""
        return self.matrix[self.num_known :, : self.num_known] @ self.ritz[1]

    @cached_property
    def probes(self) -> FloatArray:
        """The probes in the Ritz vectors, shape (P, k)."""
        return self.start @ self.ritz[1][: self.start.shape[1]]

    def bounds(self, x: float) -> tuple[FloatArray, FloatArray]:
        """Return for each probe the mass left of x, and with x included, if all is at x that can be: shape (P,) each.

        Block Gauss-Radau: as many nodes at x as the last block has rows. The mass at x is the largest that an operator
        with these coefficients can have there. Summed over probes, the results bound the mass left of x where the last
        block is as wide as the first (Chebyshev, Markov, Stieltjes): no random matrix of 300 broke that by more than
        1e-14. Where it is narrower they fail by up to 1%, and for single probes of a block by up to 5%, since weights
        of blocks do not commute. All masses of a probe sum to its square.
        """
        values, coupling, probes = self.ritz[0], self.coupling, self.probes
        count, width = len(values), len(coupling)
        distance = values - x
        if width == 0:
            squares = probes**2
            is_left, is_there = distance < -self.rounding, np.abs(distance) <= self.rounding
            left = squares[:, is_left].sum(axis=1)
            return left, left + squares[:, is_there].sum(axis=1)
        tiny = max(self.rounding, np.finfo(np.float64).tiny) * 1e-3
        distance = np.where(np.abs(distance) < tiny, np.where(distance < 0, -tiny, tiny), distance)
        scaled = coupling / distance
        extended = np.zeros((count + width, count + width))
        extended[np.arange(count), np.arange(count)] = values
        extended[count:, :count], extended[:count, count:] = coupling, coupling.T
        extended[count:, count:] = x * np.eye(width) + (scaled @ coupling.T + coupling @ scaled.T) / 2
        nodes, vectors = np.linalg.eigh(extended)
        nodes_at = np.argsort(np.abs(nodes - x))[:width]
        is_left = nodes < x
        is_left[nodes_at] = False
        left = ((probes @ vectors[:count, is_left]) ** 2).sum(axis=1)
        # The mass at x by its null vectors, which has more digits than a difference of nodes.
        factor = np.linalg.cholesky(np.eye(width) + scaled @ scaled.T)
        return left, left + (np.linalg.solve(factor, scaled @ probes.T) ** 2).sum(axis=0)

    @cached_property
    def continued(self) -> tuple[FloatArray, FloatArray]:
        """Nodes of the recurrence continued with the mean of its last coefficients, and Ritz vectors' parts in them.

        Shapes (n,) and (k, n). A continuation has all moments that are known, and is smooth where a Gauss quadrature
        has gaps between points (Haydock, Heine & Kelly 1972: terminators of continued fractions).
        """
        count, width, blocks = self.num_known, len(self.coupling), np.split(self.matrix, self.offsets[1:-1])
        if width == 0:
            return self.ritz[0], np.eye(count)
        last = range(max(0, len(blocks) - 1 - int(np.ceil(LAST * (len(blocks) - 1)))), len(blocks) - 1)
        edges = [self.offsets[index : index + 3] for index in last]
        centre = np.mean(np.concatenate([np.diag(self.matrix[a:b, a:b]) for a, b, _ in edges]))
        squares = sum(float(np.sum(self.matrix[b:c, a:b] ** 2)) for a, b, c in edges)
        half = np.sqrt(squares / sum(int(c - b) for _, b, c in edges))
        rows = count + width * CONTINUED * (len(blocks) - 1)
        extended = np.zeros((rows, rows))
        extended[np.arange(rows), np.arange(rows)] = np.concatenate([self.ritz[0], np.full(rows - count, centre)])
        extended[count : count + width, :count] = self.coupling
        extended[:count, count : count + width] = self.coupling.T
        index = np.arange(count, rows - width)
        extended[index, index + width] = extended[index + width, index] = half
        nodes, vectors = np.linalg.eigh(extended)
        return nodes, vectors[:count]

    def weights(self) -> tuple[FloatArray, FloatArray]:
        """Return numbers of eigenvalues at the continued nodes by each probe, and what of them it has estimated.

        Shapes (P, n); rows of the first sum to N. Each probe in turn is exchanged (Epperly, Tropp & Webber 2023): the
        Krylov space Q of the *others* is counted exactly, by its trace, and the probe stands for what is outside of it,
        scaled to its dimension. Since it is independent of Q, nothing is biased; and what the others have found has no
        noise.
        """
        nodes, parts = self.continued
        totals = np.zeros((len(self.probes), len(nodes)))
        rests = np.zeros_like(totals)
        for index, probe in enumerate(self.probes):
            others = self._space_of_others(index)
            outside = probe - others.T @ (others @ probe)
            outside -= others.T @ (others @ outside)
            left, square = self.size - len(others), float(outside @ outside)
            if left and square > NOTHING * float(probe @ probe):
                rests[index] = left / square * (outside @ parts) ** 2
            elif left:
                shares = np.sum(parts**2, axis=0)
                rests[index] = left * shares / shares.sum()
            totals[index] = np.sum((others @ parts) ** 2, axis=0) + rests[index]
        return totals, rests

    def _space_of_others(self, left_out: int) -> FloatArray:
        """Return an orthonormal basis, as rows, of the Krylov space of all probes but one, in Ritz vectors."""
        values, others = self.ritz[0], np.delete(self.probes, left_out, axis=0)
        hidden = self._seen_by_one(others)
        block = _orthonormal(_without(others, hidden), 1e-12 * float(np.abs(others).max()))
        basis = np.empty((0, len(values)))
        for _ in range(len(self.offsets) - 2):
            basis = np.concatenate([basis, block[: len(values) - len(basis)]])
            block = _without(_without(block * values, hidden), basis)
            block = _orthonormal(block, max(self.rounding, DEPENDENT * float(np.abs(values).max())))
            block = _orthonormal(_without(_without(block, basis), hidden), TWICE_IS_ENOUGH)
            if not len(block):
                break
        return basis

    def _seen_by_one(self, others: FloatArray) -> FloatArray:
        """Return directions, as rows, in eigenspaces that have been found whole which no other probe sees.

        In exact arithmetic the others' space never comes there; rounding would bring it there, and so to the probe.
        """
        rows = []
        for group in converged_groups(self.ritz[0], np.linalg.norm(self.coupling, axis=0), self.rounding):
            if len(group) > len(others):
                complete, _ = np.linalg.qr(others[:, group].T, mode="complete")
                unseen = np.zeros((len(group) - len(others), len(self.ritz[0])))
                unseen[:, group] = complete[:, len(others) :].T
                rows.append(unseen)
        return np.concatenate(rows) if rows else np.empty((0, len(self.ritz[0])))


def _without(rows: FloatArray, basis: FloatArray) -> FloatArray:
    return rows - (rows @ basis.T) @ basis


def _orthonormal(rows: FloatArray, tolerance: float) -> FloatArray:
    """Return an orthonormal basis of the rows, without directions as short as ``tolerance``."""
    _, lengths, right = np.linalg.svd(rows, full_matrices=False)
    return right[lengths > tolerance]
