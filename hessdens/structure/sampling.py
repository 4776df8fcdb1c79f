"""Samples of a diagonal, by that of two ways to spend products which promises the smaller errors."""

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
from hessdens.structure.exchange import Exchange, heavy_rows, thinned
from hessdens.structure.parts import Parts
from hessdens.structure.range_finder import RangeFinder, lost_directions, orthonormal

# Entries of a block of rows that are worked on at once: 8 MB of numbers, in a few copies.
ENTRIES_PER_CHUNK = 2**20
# Vectors in memory per product. With more probes: each probe and its product. With a basis: four for each two products.
# And what is worked on.
VECTORS_PER_PRODUCT = 2.5


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
        (`Exchange`). An estimate of c below 0 is noise.
        """
        known = np.divide(covariance, variance, out=np.zeros_like(variance), where=np.asarray(variance) > 0)
        scales: FloatArray = np.sqrt(1 + self.count * np.maximum(known, 0.0))
        return scales


def diagonal_samples(run: Run, max_products: int, bar: Any) -> DiagonalSamples:
    """Return samples of the diagonal that so many products give.

    Half of the products are those of probes. The others are those of more probes, or of an orthonormal basis of the
    first products (`RangeFinder`). The length of what each product has outside of the span of the others says what the
    basis would leave; the spread of samples from the first probes, and how fast it has fallen, says what more probes
    would give.
    """
    half = max_products // 2
    probes, products = _multiplied(run, 0, half, bar)
    basis, upper = orthonormal(products)
    rank = len(upper)
    if half > 1 and (rank < half or _range_promises_less(probes, products, upper, max_products)):
        further = torch.empty_like(basis.T)
        for start, stop in run.blocks(0, rank):
            further[start:stop] = _checked(run.recorded.matmat(basis[:, start:stop]), start).T
            bar.update(stop - start)
        sampler = RangeFinder.of(probes, products, basis, further.T, upper)
        return DiagonalSamples(sampler, run.operator.size, half, half + rank)
    more = _multiplied(run, half, max_products, bar)
    probes, products = (torch.cat([V.T, W.T]).T for V, W in zip((probes, products), more, strict=True))
    return DiagonalSamples(Exchange.of(probes, products), run.operator.size, max_products, max_products)


def _range_promises_less(probes: Tensor, products: Tensor, upper: FloatArray, max_products: int) -> bool:
    """Return whether a basis of the first products should give smaller errors than as many more probes."""
    half = products.shape[1]
    rows = heavy_rows(products)
    squares = row_lengths(products).square()
    share = float(squares[rows].sum() / squares.sum())
    directions = lost_directions(upper)
    left = np.mean(np.sum(directions * upper, axis=0) ** 2) / half
    now, before = (_spread(probes[:, :count], products[:, :count], rows) / share for count in (half, half // 2))
    further = min(1.0, now / before) if before > 0 else 1.0
    return bool(left < now * further / max_products)


def _spread(probes: Tensor, products: Tensor, rows: Tensor) -> float:
    """Return the sum over some rows of the variance of a sample."""
    if probes.shape[1] < 2:
        return 0.0
    return float(Exchange.of(probes, products).samples(rows).var(axis=1, ddof=1).sum())


def _multiplied(run: Run, first: int, last: int, bar: Any) -> tuple[Tensor, Tensor]:
    """Return probes of ±1 and their products, both of shape (N, P)."""
    operator = run.operator
    probes = torch.empty(last - first, operator.num_rows, dtype=operator.dtype, device=operator.device)
    products = torch.empty_like(probes)
    for start, V, W in blocks_of_products(run, first, last, bar):
        place = slice(start - first, start - first + V.shape[1])
        probes[place], products[place] = V.T, W.T
    return probes.T, products.T


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
