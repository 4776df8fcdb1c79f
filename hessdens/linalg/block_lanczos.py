"""Block Lanczos with full reorthogonalisation: an orthonormal Krylov basis and the operator's coefficients in it."""

import numpy as np
import torch
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.linalg.inner_products import raise_if_not_finite, row_lengths, thin_qr
from hessdens.linalg.operator import Operator
from hessdens.linalg.team import Team

# Products have errors of about eps times their length. A remainder shorter than ten of these errors is no new vector.
LENGTHS_OF_ROUNDING = 10.0
# Columns of a basis that are combined at a time, in float64: 16,384 of 100 vectors are 13 MB.
COLUMNS_PER_CHUNK = 16_384
# A vector of length one that loses half of it when it is made orthogonal to the basis once more was rounding (Parlett:
# twice is enough; Giraud, Langou & Rozložník 2005).
TWICE_IS_ENOUGH = 0.5


class BlockLanczos:
    """Krylov space of some start vectors, grown by one multi-vector product per step.

    After s steps there are blocks V_0..V_s of orthonormal rows, and A V_0..A V_{s-1} lie in their span. Blocks have the
    width of the start, less where vectors become dependent; the last one is empty once the space is invariant.
    A step may multiply a part of the last block: the rest of it belongs to the next one.

    ``start`` has the start vectors, or the entries of them that this process holds, as rows, shape (b, N);
    ``start_coordinates`` has them in the rows of V_0. Memory is kept for ``max_steps``, (max_steps + 1) b N numbers,
    and for ``more_vectors``, which a `restart` may need.
    """

    def __init__(self, operator: Operator, start: Tensor, max_steps: int, more_vectors: int = 0) -> None:
        self._operator = operator
        rows = min((max_steps + 1) * len(start) + more_vectors, operator.size)
        self._basis = start.new_empty(rows, operator.num_rows)
        self._team = operator.team
        self._coefficients = np.zeros((rows, rows))
        self._scale = 0.0
        self._offsets = [0]
        self._num_fixed = 0
        self._steps_before = 0
        # Where the vectors begin whose products made the last block; None for all of them in the block before.
        self._origin: int | None = None
        block, self.start_coordinates = self._orthonormal(start.clone(), 0.0)
        self._append(block)

    @property
    def num_steps(self) -> int:
        """Multi-vector products made so far."""
        return len(self._offsets) - 2

    @property
    def num_products(self) -> int:
        """Products with single vectors made so far."""
        return self._offsets[-2]

    @property
    def is_invariant(self) -> bool:
        """Whether the space is mapped to itself, so that further steps add nothing."""
        return self._offsets[-1] == self._offsets[-2]

    @property
    def has_room(self) -> bool:
        """Whether the products with the last block can be kept."""
        first, end = self._offsets[-2:]
        return end + (end - first) <= len(self._basis) or len(self._basis) == self._operator.size

    def basis(self, num_blocks: int) -> Tensor:
        """Return the first blocks, shape (rows, N)."""
        return self._basis[: self._offsets[num_blocks]]

    @property
    def norm(self) -> float:
        """Length of the longest product with a vector of length one: a lower bound of the operator's norm."""
        return self._scale

    @property
    def rounding(self) -> float:
        """Length below which what is left of a product is rounding."""
        return LENGTHS_OF_ROUNDING * torch.finfo(self._basis.dtype).eps * self._scale

    def symmetry_defect(self) -> float:
        """Return the largest difference v·Aw - w·Av between basis vectors, over the longest product."""
        last = self._offsets[-2]
        known = self._coefficients[:last, :last]
        return float(np.abs(known - known.T).max(initial=0.0)) / max(self._scale, np.finfo(np.float64).tiny)

    def asymmetry(self) -> float:
        """Return the norm of the antisymmetric part of A in the basis vectors that have been multiplied."""
        known = self._coefficients[: self._offsets[-2], : self._offsets[-2]]
        return float(np.linalg.norm((known - known.T) / 2, 2)) if len(known) else 0.0

    def orthogonality_defect(self) -> float:
        """Return the largest inner product of a vector of the last block that is not empty with another."""
        num_blocks = len(self._offsets) - 1 - self.is_invariant
        first, end = self._offsets[num_blocks - 1 : num_blocks + 1]
        products = self._team.sum(self._basis[first:end] @ self._basis[:end].T).double().cpu().numpy()
        return float(np.abs(products - np.eye(end)[first:end]).max(initial=0.0))

    def matrix(self) -> FloatArray:
        """Return A in the basis of all blocks, symmetric; zero where it is not known, in the last block."""
        last, end = self._offsets[-2:]
        matrix = self._coefficients[:end, :end].copy()
        matrix[last:, :last] = matrix[:last, last:].T
        return (matrix + matrix.T) / 2

    def step(self, directions: FloatArray | None = None) -> None:
        """Multiply the last block, and add what is new in the products as another one.

        ``directions``, orthonormal, shape (b, j), are the combinations of its vectors that are multiplied. By default,
        and in the first step, these are all.
        """
        first, end = self._offsets[-2:]
        last = end if directions is None else self._turn(directions)
        products = self._operator.matmat(self._basis[first:last].T).T.clone()
        lengths = row_lengths(products, self._team)
        raise_if_not_finite(lengths, f"that of vector {{}} in Lanczos step {self._steps_before + self.num_steps + 1}")
        self._scale = max(self._scale, float(lengths.max()))
        # W = C_1 Q + W_1, W_1 = M V, V = C_2 Q + R V'. Except for rounding and asymmetry, W lies along the vectors that
        # were kept and the last two blocks: C_1 is what it has along these, C_2 along all, where V has length one.
        before = self._origin if self._origin is not None else self._offsets[-3] if self.num_steps else 0
        along = np.zeros((last - first, end))
        for rows in (slice(0, min(self._num_fixed, before)), slice(before, end)):
            along[:, rows] += _remove(products, self._basis[rows], self._team)
        block, factors = self._orthonormal(products, self.rounding)
        if len(block) < last - first:  # where directions end, what is left of them must be known
            along += _remove(products, self._basis[:end], self._team)
            block, factors = self._orthonormal(products, self.rounding)
        if len(block):
            removed = _remove(block, self._basis[:end], self._team)
            along += factors @ removed
            if np.linalg.norm(removed) ** 2 > torch.finfo(block.dtype).eps:  # else it is orthonormal still
                block, rest = self._orthonormal(block, TWICE_IS_ENOUGH)
                factors = factors @ rest
        self._coefficients[first:last, :end] = along
        # What vectors before a restart have along these was not computed with their own products.
        self._coefficients[: self._num_fixed, first:last] = along[:, : self._num_fixed].T
        self._coefficients[first:last, end : end + len(block)] = factors
        self._append(block)
        if last < end:
            self._offsets[-2] = last
        self._origin = before if last < end else None

    def restart(self, num_blocks: int, start: Tensor) -> None:
        """Keep the first blocks, which have been multiplied, and go on with other start vectors in their complement.

        ``start`` has these as rows, shape (P, N); ``start_coordinates`` has their parts in the complement, in the rows
        of the next block.
        """
        end = self._offsets[num_blocks]
        del self._offsets[num_blocks + 1 :]
        self._coefficients[end:] = self._coefficients[:, end:] = 0.0
        self._num_fixed = end
        self._origin = None
        rows, kept = start.clone(), self._basis[:end]
        for _ in range(2):
            _remove(rows, kept, self._team)
        block, coordinates = self._orthonormal(rows, 0.0)
        _remove(block, kept, self._team)
        block, factors = self._orthonormal(block, TWICE_IS_ENOUGH)
        self.start_coordinates = coordinates @ factors
        self._append(block)

    def combinations(self, coordinates: FloatArray) -> Tensor:
        """Return vectors as rows, shape (n, N), from coordinates in the basis, shape (rows, n); sums are in float64."""
        vectors = self._basis.new_empty(coordinates.shape[1], self._basis.shape[1])
        self._combine(coordinates, vectors)
        return vectors

    def compress(self, kept: FloatArray, following: FloatArray) -> None:
        """Go on with combinations of the basis as a first block that has been multiplied, and another as the next one.

        ``kept``, shape (rows, n), are coordinates in all blocks, zero in the last one; ``following``, shape (rows, b),
        are those of the next block. Both are orthonormal together, and A maps ``kept`` into their span.
        """
        last = self._offsets[-2]
        both = np.concatenate([kept, following], axis=1)
        inner = both.T @ (self.matrix()[:, :last] @ kept[:last])
        self._combine(both, self._basis)
        count, rows = kept.shape[1], both.shape[1]
        self._steps_before += self.num_steps - 1
        self._coefficients[:] = 0.0
        self._coefficients[:count, :count] = (inner[:count] + inner[:count].T) / 2
        self._coefficients[:count, count:rows] = inner[count:].T
        self._offsets = [0, count, rows]
        self._num_fixed = 0
        self._origin = None

    def _combine(self, coordinates: FloatArray, out: Tensor, first: int = 0) -> None:
        """Write combinations of the basis, from a row on, to the first rows of ``out``, which may be these rows."""
        rows, count = coordinates.shape
        weights = torch.from_numpy(np.ascontiguousarray(coordinates.T)).to(out.device)
        for start in range(0, out.shape[1], COLUMNS_PER_CHUNK):
            columns = slice(start, start + COLUMNS_PER_CHUNK)
            out[:count, columns] = (weights @ self._basis[first : first + rows, columns].double()).to(out.dtype)

    def _turn(self, directions: FloatArray) -> int:
        """Replace the last block by combinations of its vectors, these first, and return where they end."""
        first, end = self._offsets[-2:]
        turn = np.linalg.svd(directions)[0]
        self._combine(turn, self._basis[first:end], first)
        self._coefficients[:first, first:end] = self._coefficients[:first, first:end] @ turn
        return first + directions.shape[1]

    def _append(self, block: Tensor) -> None:
        end = self._offsets[-1]
        self._basis[end : end + len(block)] = block
        self._offsets.append(end + len(block))

    def _orthonormal(self, rows: Tensor, tolerance: float) -> tuple[Tensor, FloatArray]:
        """Return orthonormal rows V and factors M with rows = M V, without directions as short as ``tolerance``."""
        q, r = thin_qr(rows.T, self._team)
        left, lengths, right = np.linalg.svd(r.double().cpu().numpy().T, full_matrices=False)
        room = len(self._basis) - self._offsets[-1]
        rank = min(int(np.count_nonzero(lengths > tolerance)), room)
        directions = torch.from_numpy(right[:rank]).to(q)
        return directions @ q.T, left[:, :rank] * lengths[:rank]


def _remove(rows: Tensor, basis: Tensor, team: Team) -> FloatArray:
    """Subtract from each of ``rows`` its part in the span of ``basis``, and return the coefficients of that part."""
    along = team.sum(rows @ basis.T)
    rows.addmm_(along, basis, alpha=-1)
    return along.double().cpu().numpy()
