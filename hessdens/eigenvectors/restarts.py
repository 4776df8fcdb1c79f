"""Block Lanczos that restarts: Ritz vectors that are wanted stay, so that memory is bounded and few pairs converge."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from hessdens._checks import LEVEL
from hessdens._types import BoolArray, FloatArray
from hessdens.eigenvectors.selection import End, RitzPairs, ritz_pairs
from hessdens.estimators.enclosure import ENDED, enclosure_of, excludes
from hessdens.linalg.block_lanczos import BlockLanczos
from hessdens.linalg.operator import Operator
from hessdens.results.eigenpairs import Separation

# Coordinates of the vectors that are kept are in float64, and their rounding adds up: each restart moves values by so
# many errors of products in float64. It was 0.17 at most, in up to 3,000 restarts.
PER_RESTART = 0.25
# Of a block, those directions are multiplied along which residuals of what is open are at least this part of the
# longest: 2% to 10% fewer products in as many passes (benchmarks/eigenpairs.py). With 0.3 it takes more passes.
SHARE = 0.1
# A pair is open until it is known to this accuracy at least: with a looser ``rtol``, copies would be missed that whole
# blocks find.
CAREFUL = 1e-2


class RestartedLanczos:
    """A block Krylov space of about ``num_vectors`` vectors, which keeps ``num_kept`` Ritz vectors at each restart.

    ``new_block(index)`` returns random vectors as columns, shape (N, b): those it starts from, and others where the
    space ends. Memory: ``num_vectors`` + 2 b vectors. Source: K. Wu & H. Simon, Thick-restart Lanczos method for large
    symmetric eigenvalue problems (2000).
    """

    def __init__(
        self,
        operator: Operator,
        new_block: Callable[[int], Tensor],
        which: End | float,
        num_wanted: int,
        num_vectors: int,
        num_kept: int,
    ) -> None:
        self._new_block = new_block
        self._which = which
        self._num_wanted = num_wanted
        self._num_kept = num_kept
        start = new_block(0).T
        self._width = len(start)
        self.space = BlockLanczos(operator, start, -(-num_vectors // self._width))
        self.num_products = 0
        self.num_passes = 0
        self._num_blocks = 1
        self._num_restarts = 0
        self._per_restart = PER_RESTART * float(np.finfo(np.float64).eps) / torch.finfo(operator.dtype).eps
        self._size = operator.size
        self._asymmetry = 0.0
        # What residuals of the first vectors have outside of the space: of each, and of any vector of length one.
        self._outside = np.zeros(0)
        self._most_outside = 0.0
        # The values that were wanted most when random vectors were last added.
        self._before: FloatArray | None = None
        self.symmetry_defect = 0.0
        self._enclosure = (-np.inf, np.inf)
        self._is_krylov = True
        self._has_excluded = False
        self._look()

    @property
    def width(self) -> int:
        """Products that the next step takes, at most."""
        return len(self.space.basis(self.space.num_steps + 1)) - self.space.num_products or self._width

    @property
    def floor(self) -> float:
        """What rounding may hide: the largest error of a product that shows, or is to be expected, and of restarts."""
        return self._of_a_product + self._num_restarts * self._per_restart * self.space.rounding

    @property
    def _of_a_product(self) -> float:
        return max(self.space.rounding, self._asymmetry)

    @property
    def pairs(self) -> RitzPairs:
        """All Ritz pairs of the space."""
        return self._pairs

    @property
    def has_ended(self) -> bool:
        """Whether the matrix maps the space to itself, so that further steps add nothing."""
        return (
            self.space.is_invariant
            or float(_lengths_of(self._pairs.residuals.reshape(-1, 1))[0]) <= ENDED * self._of_a_product
        )

    @property
    def is_exhausted(self) -> bool:
        """Whether the space has ended and other random vectors have changed nothing: what is left is rounding."""
        return self.has_ended and self.has_seen_all

    @property
    def is_whole(self) -> bool:
        """Whether the space is all of R^N, so that its Ritz pairs are all eigenpairs."""
        return self.space.num_products == self._size

    def slack(self) -> FloatArray:
        """Return bounds of what residuals of all pairs have besides what the space tells, shape (n,)."""
        return self._outside_of(self._pairs.coordinates) + self.floor

    def _outside_of(self, coordinates: FloatArray) -> FloatArray:
        """Return bounds of what residuals of combinations have outside; the sum alone would grow at each restart."""
        inside = np.abs(coordinates[: len(self._outside)])
        return np.minimum(self._outside @ inside, self._most_outside)

    def has_found(self, rtol: float) -> bool:
        """Return whether each pair that is wanted is known to ``rtol`` or to rounding, and none is left out."""
        lengths, allowed = self._lengths(), self._allowed(rtol)
        return bool(np.all(lengths[: self._num_wanted] <= allowed)) and self.has_seen_all

    def _lengths(self) -> FloatArray:
        return _lengths_of(self._pairs.residuals) + self.slack()

    def _allowed(self, rtol: float) -> FloatArray:
        rounding = np.inf if self.is_exhausted else 2 * self.floor
        return np.maximum(rtol * np.abs(self._pairs.values[: self._num_wanted]), rounding)

    def separation(self, rtol: float) -> tuple[Separation, BoolArray]:
        """Return how well the pairs that are wanted are known, and whether each is to ``rtol`` or to rounding."""
        pairs, count, slack = self._pairs, self._num_wanted, self.slack()
        lengths, allowed = self._lengths(), self._allowed(rtol)
        others = pairs.values[count:], lengths[count:]
        separation = Separation.of(
            pairs.values[:count], pairs.residuals[:, :count], slack[:count], lengths[:count] <= allowed, others
        )
        sizes = np.sqrt([len([c for c in separation.clusters if c == cluster]) for cluster in separation.clusters])
        return separation, separation.errors <= allowed * sizes

    def step(self, rtol: float | None = None) -> None:
        """Multiply the next block; restart before if there is no room, or new vectors are needed.

        With ``rtol``, only that part of the block is multiplied which pairs that are not known to it need.
        """
        directions: FloatArray | None = None
        if self.space.is_invariant or (self.has_ended and self.num_passes):
            self._renew()
        else:
            directions = None if rtol is None else self._directions(rtol)
            if not self.space.has_room:
                self._compress()
        before = self.space.num_products
        self.space.step(directions)
        self.num_products += self.space.num_products - before
        self.num_passes += 1
        self._look()

    def _directions(self, rtol: float) -> FloatArray | None:
        """Return the combinations of the last block that residuals of open pairs lie along, shape (b, j); None for all.

        Orthonormal; others stay in the block (A. Robbé & M. Sadkane, Exact and inexact breakdowns, 2006).
        Whole blocks are multiplied until no eigenvalue beyond is likely: single directions would hardly exclude one.
        """
        if isinstance(self._which, float) or not self.num_passes or len(self._pairs.values) < self._num_wanted:
            return None
        rtol = min(rtol, CAREFUL)
        if not (self._has_excluded or self.excludes_others(rtol)):
            return None
        self._has_excluded = True
        is_open = self._lengths()[: self._num_wanted] > self._allowed(rtol)
        residuals = self._pairs.residuals[self.space.num_products :, : self._num_wanted][:, is_open]
        left, lengths, _ = np.linalg.svd(residuals)
        count = int(np.count_nonzero(lengths > SHARE * lengths.max(initial=0.0)))
        return left[:, :count] if 0 < count < len(residuals) else None

    @property
    def has_seen_all(self) -> bool:
        """Whether no eigenvalue is left out that is wanted more than the last one that is, as far as can be told.

        A space that has not ended shows no more than it has. One that has ended has an eigenvector of each eigenvalue
        which the random vectors see, if not of each copy: others, in the complement, must have changed nothing.
        """
        if self.is_whole:
            return True
        values = self._pairs.values[: self._num_wanted]
        if len(values) < self._num_wanted:
            return False
        if not self.has_ended:
            return self._before is None
        if np.ptp(values) <= self.floor:
            return True
        return self._before is not None and bool(np.all(np.abs(values - self._before) <= 2 * self.floor))

    def enclosure(self) -> tuple[float, float]:
        """Return bounds between which the whole spectrum lies with probability `LEVEL` over the random start.

        They are those of the space before it was restarted; infinite where it says nothing.
        """
        if self._is_krylov or self.is_whole:
            self._enclosure = enclosure_of(self.space, self._width, self._size, self.floor)
        return self._enclosure

    def excludes_others(self, rtol: float) -> bool:
        """Return whether no eigenvalue that is wanted more is likely, farther than ``rtol``, or no space can tell."""
        if not self._is_krylov or self.has_ended:
            return True
        values, margins = self._pairs.values, rtol * np.abs(self._pairs.values)
        above, below, far = values + margins, values - margins, np.abs(values[0]) + margins[0]
        ends = {"smallest": [below[0]], "magnitude": [far, -far], "both": [above[0], *below[1 : self._num_wanted][:1]]}
        wanted = ends.get(str(self._which), [above[0]])
        return all(excludes(*self._krylov(), float(end), (1 - LEVEL) / 2) for end in wanted)

    def _krylov(self) -> tuple[FloatArray, int, int, int]:
        return self.space.matrix(), self.space.num_products, self._width, self._size

    def _look(self) -> None:
        known = self.space.num_products
        self._pairs = ritz_pairs(self.space.matrix(), known, self._which, self._num_kept)
        self._asymmetry = max(self._asymmetry, self.space.asymmetry())
        self.symmetry_defect = max(self.symmetry_defect, self.space.symmetry_defect())

    def _compress(self) -> None:
        """Keep the Ritz vectors that are wanted most, and go on from there."""
        self._enclosure, self._is_krylov = self.enclosure(), False
        self._num_restarts += 1
        pairs = self._pairs
        kept = pairs.coordinates[:, : self._num_kept]
        outside = self._outside_of(kept)
        # What A maps the vectors out of the new basis: nothing but rounding.
        both = np.concatenate([kept, pairs.following], axis=1)
        residuals = pairs.residuals[:, : kept.shape[1]]
        lost = np.linalg.norm(residuals - both @ (both.T @ residuals), axis=0)
        self._outside = outside + lost
        self._most_outside += float(np.linalg.norm(lost))
        self.space.compress(kept, pairs.following)

    def _renew(self) -> None:
        """Keep the Ritz vectors that are wanted most as they are, and go on with random vectors in their complement."""
        residuals = _lengths_of(self._pairs.residuals)[: self._num_kept]
        values = self._pairs.values[: self._num_wanted]
        self._before = np.pad(values, (0, self._num_wanted - len(values)), constant_values=np.inf)
        self._compress()
        self._outside = self._outside + residuals
        self._most_outside += float(np.linalg.norm(residuals))
        self.space.restart(1, self._new_block(self._num_blocks).T)
        self._num_blocks += 1


def _lengths_of(columns: FloatArray) -> FloatArray:
    """Return the length of each column; squares of the smallest numbers would be 0."""
    scale = float(np.abs(columns).max(initial=0.0)) or 1.0
    lengths: FloatArray = scale * np.linalg.norm(columns / scale, axis=0)
    return lengths
