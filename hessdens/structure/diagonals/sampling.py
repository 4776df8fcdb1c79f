"""Samples of a diagonal, by that of two ways to spend products which promises the smaller errors."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.estimators.run import Run
from hessdens.linalg.inner_products import asymmetry, raise_if_not_finite, row_lengths
from hessdens.linalg.memory import usual_bytes
from hessdens.structure.diagonals.exchange import FEWEST_EXCHANGED, Exchange, heavy_rows, thinned
from hessdens.structure.diagonals.range_finder import RangeFinder, orthonormal, square_left
from hessdens.structure.parts import Parts

# Entries of a block of rows that are worked on at once: 8 MB of numbers, in a few copies.
ENTRIES_PER_CHUNK = 2**20
# Vectors in memory per product. With more probes: each probe and its product. With a basis: four for each two products.
# And what is worked on.
VECTORS_PER_PRODUCT = 2.5
# An estimate of a covariance is noise if it needs terms of samples in which a probe meets more than so many others, or
# more than this part of all where that is more.
MOST_MET, PART_MET = 4, 0.25


@dataclass(frozen=True)
class DiagonalSamples:
    """Estimates of a diagonal from P probes, each unbiased, with the error of their mean."""

    sampler: Exchange | RangeFinder
    size: int
    count: int
    num_products: int

    @property
    def chunk_rows(self) -> int:
        """Rows whose samples are made at a time."""
        return max(1, ENTRIES_PER_CHUNK // self.count)

    def chunks(self) -> Iterator[tuple[slice, FloatArray]]:
        """Yield all rows in order, piece by piece, with their samples."""
        for start in range(0, self.size, self.chunk_rows):
            rows = slice(start, min(start + self.chunk_rows, self.size))
            yield rows, self.sampler.samples(rows)

    def sums(self, parts: Parts) -> FloatArray:
        """Return the sum over each part from each probe, shape (P, L), with the spread that gives standard errors."""
        samples: FloatArray = parts.sums_by_rows(
            lambda rows: torch.from_numpy(self.sampler.samples(rows)), self.chunk_rows, self.count
        ).T.numpy()
        covariances = self.sampler.covariances_of_sums(parts)
        means, scales = samples.mean(axis=0), self._scale(covariances, samples.var(axis=0, ddof=1))
        result: FloatArray = means + scales * (samples - means)
        return result

    def entry_scale(self) -> float:
        """Return by how much the errors of entries are above what their spread says, from all of some rows together."""
        rows = thinned(heavy_rows(self.sampler.products), self.count)
        variance = self.sampler.samples(rows).var(axis=1, ddof=1).sum()
        return float(self._scale(self.sampler.covariances(rows).sum(), variance))

    def _scale(self, covariance: Any, variance: Any) -> FloatArray:
        """Return the error of the mean of P samples over what their sample variance says.

        The mean has the variance v / P + c, if v is the mean of the sample variance and c the covariance of two samples
        (`Exchange`). An estimate of c below 0 is noise. Of probes that change places, one above `largest_covariance` is
        so too: it comes from inverses that are almost singular. A basis has none. There a large one is true: it shows
        that the basis misses a direction by chance.
        """
        limit = largest_covariance(self.count) if isinstance(self.sampler, Exchange) else math.inf
        known = np.divide(covariance, variance, out=np.zeros_like(variance), where=np.asarray(variance) > 0)
        scales: FloatArray = np.sqrt(1 + self.count * np.clip(known, 0.0, limit))
        return scales


def largest_covariance(count: int) -> float:
    """Return the largest covariance c of two of P samples, over the mean v of their sample variance.

    A sample x_i has no mean over w_i. So in Hoeffding's decomposition all its terms hold w_i, and those that hold w_j
    too make its covariance with x_j. Summed over j, a term in which k probes meet counts k - 1 times: P - 1 covariances
    are at most k - 1 times the variance v + c of a sample.
    """
    others = min(max(MOST_MET, int(PART_MET * count)), count // 2)
    return others / (count - 1 - others) if count > 2 else math.inf


class Products:
    """Probes of ±1 and their products; where that is worth it, an orthonormal basis of these too, with its products.

    More may be added at any time. ``first`` is the number of the first probe.
    """

    def __init__(self, run: Run, bar: Any, first: int = 0) -> None:
        operator = run.operator
        self._run, self._bar, self._first = run, bar, first
        # All have a row for each vector.
        self._probes = torch.empty(0, operator.num_rows, dtype=operator.dtype, device=operator.device)
        self._products = self._basis = self._further = self._probes
        self._upper = np.empty((0, 0))
        self.has_basis = False

    @property
    def num_probes(self) -> int:
        """How many probes there are."""
        return len(self._probes)

    @property
    def num_products(self) -> int:
        """How many products are made."""
        return len(self._products) + len(self._further)

    def add_probes(self, count: int) -> None:
        """Multiply so many more probes."""
        run, first = self._run, self._first + self.num_probes
        probes = torch.empty(count, *self._probes.shape[1:], dtype=self._probes.dtype, device=self._probes.device)
        products = torch.empty_like(probes)
        for start, V, W in blocks_of_products(run, first, first + count, self._bar):
            place = slice(start - first, start - first + V.shape[1])
            probes[place], products[place] = V.T, W.T
        self._probes = torch.cat([self._probes, probes])
        del probes
        self._products = torch.cat([self._products, products])

    def basis_promises_less(self, num_products: int) -> bool:
        """Return whether a basis of the products should give smaller errors than so many probes.

        What products have outside of the span of others says what the basis would leave (`square_left`). The spread of
        samples from the probes, and how fast it has fallen, says what more probes would give; that of too few is of
        plain samples, so a basis of these is not taken. Where products are dependent, a basis of them leaves nothing.
        """
        probes, products = self._probes.T, self._products.T
        upper = orthonormal(products)[1]
        is_whole, is_known = len(upper) < self.num_probes, self.num_probes >= FEWEST_EXCHANGED
        is_less = is_whole or (is_known and _range_promises_less(probes, products, upper, num_products))
        return bool(self._run.operator.team.least(int(is_less)))

    def add_basis(self) -> None:
        """Multiply what a basis of all products of probes lacks."""
        run, known = self._run, self._upper.shape[1]
        columns, self._upper = orthonormal(self._products[known:].T, self._basis.T, self._upper)
        further = torch.empty_like(columns.T)
        for start, stop in run.blocks(0, len(further)):
            further[start:stop] = _checked(run.recorded.matmat(columns[:, start:stop]), len(self._basis) + start).T
            self._bar.update(stop - start)
        self._basis = torch.cat([self._basis, columns.T])
        self._further = torch.cat([self._further, further])
        self.has_basis = True

    def samples(self) -> DiagonalSamples:
        """Return the estimates that all products give."""
        probes, products = self._probes.T, self._products.T
        if self.has_basis:
            basis, further = self._basis.T, self._further.T
            sampler: Exchange | RangeFinder = RangeFinder.of(probes, products, basis, further, self._upper)
        else:
            sampler = Exchange.of(probes, products)
        return DiagonalSamples(sampler, self._run.operator.size, self.num_probes, self.num_products)


def diagonal_samples(run: Run, max_products: int, bar: Any, first: int = 0) -> DiagonalSamples:
    """Return samples of the diagonal that so many products give.

    Half of the products are those of probes. The others are those of more probes, or of an orthonormal basis of the
    first products (`RangeFinder`), whichever promises less. ``first`` is the number of the first probe.
    """
    half, made = max_products // 2, Products(run, bar, first)
    made.add_probes(half)
    if half > 1 and made.basis_promises_less(max_products):
        made.add_basis()
    else:
        made.add_probes(max_products - half)
    return made.samples()


def _range_promises_less(probes: Tensor, products: Tensor, upper: FloatArray, max_products: int) -> bool:
    """Return whether a basis of the first products should give smaller errors than as many more probes."""
    half = products.shape[1]
    rows = heavy_rows(products)
    squares = row_lengths(products).square()
    share = float(squares[rows].sum() / squares.sum())
    left = square_left(upper) / half
    now, before = (_spread(probes[:, :count], products[:, :count], rows) / share for count in (half, half // 2))
    further = min(1.0, now / before) if before > 0 else 1.0
    return bool(left < now * further / max_products)


def _spread(probes: Tensor, products: Tensor, rows: Tensor) -> float:
    """Return the sum over some rows of the variance of a sample."""
    if probes.shape[1] < 2:
        return 0.0
    return float(Exchange.of(probes, products).samples(rows).var(axis=1, ddof=1).sum())


def blocks_of_products(run: Run, first: int, last: int, bar: Any) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield the number of the first probe of each block, its probes and their products; NonFiniteError if one is not.

    The asymmetry that they show is kept in the run.
    """
    for start, stop in run.blocks(first, last):
        V = run.probes(start, stop)
        W = _checked(run.recorded.matmat(V), start)
        run.asymmetry = float(np.fmax(run.asymmetry, asymmetry(V, W)))
        yield start, V, W
        bar.update(stop - start)


def _checked(products: Tensor, first: int) -> Tensor:
    raise_if_not_finite(row_lengths(products.T), "that of probe {}", first)
    return products


def fits_memory(run: Run, max_products: int) -> bool:
    """Return whether probes and products of a whole budget may be kept at once."""
    operator = run.operator
    needed = VECTORS_PER_PRODUCT * max_products * operator.num_rows * operator.dtype.itemsize
    return needed <= usual_bytes(operator.device)
