"""Samples of a diagonal, by that of two ways to spend products which promises the smaller errors."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.estimators.run import Run
from hessdens.linalg.inner_products import asymmetry, raise_if_not_finite
from hessdens.linalg.memory import usual_bytes
from hessdens.structure.exchange import Exchange, heavy_rows
from hessdens.structure.grams import part_grams
from hessdens.structure.parts import Parts
from hessdens.structure.range_finder import RangeFinder, lost_directions, orthonormal

# Entries of a block of rows that are worked on at once: 8 MB of numbers, in a few copies.
ENTRIES_PER_CHUNK = 2**20
# Vectors in memory per product. With more probes: each probe and its product. With a basis: four for each two products.
# And what is worked on.
VECTORS_PER_PRODUCT = 2.5
# Left out, one at a time, to see how samples depend on one another: more probes say little more.
MOST_LEFT_OUT = 24
# Fewer probes do not show how their samples depend on one another.
FEWEST_MIXED = 4
# How far from their spread to its bound errors are, on a logarithmic scale: of sums over parts, and of entries.
SHARE_OF_SUMS = 0.6
SHARE_OF_ENTRIES = 1 / 3
# Standard errors are not lowered, and not raised further than this, by what rounding may have made of it.
LARGEST_SCALE = 3.0


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
        """Return the sum over each part from each probe, shape (P, L), with the spread that gives standard errors.

        A sample consists of terms in which m probes interact, with variances w_m, say. The spread of samples shows the
        sum of w_m / P, and that of estimates without one probe each (the jackknife) that of m² w_m / P. The variance of
        the mean is that of m w_m / P at most, which is at most the geometric mean of both (Cauchy and Schwarz). Between
        the spread and this bound, ``SHARE_OF_SUMS`` of the way is within a tenth or so for the matrices of
        ``benchmarks/structure.py``. Source: B. Efron & C. Stein, The jackknife estimate of variance (1981).
        """
        sampler = self.sampler
        samples: FloatArray = parts.sums_by_rows(
            lambda rows: torch.from_numpy(sampler.samples(rows)), self.chunk_rows, self.count
        ).T.numpy()
        if not self._is_mixed:
            return samples
        grams, means = part_grams(parts, sampler.vectors()), samples.mean(axis=0)
        jackknife = self._jackknife(lambda i: sampler.sums(grams, i).mean(axis=0))
        scales = _scale(jackknife, sampler.sums(grams).std(axis=0, ddof=1)) ** SHARE_OF_SUMS
        result: FloatArray = means + scales * (samples - means)
        return result

    def entry_scale(self) -> float:
        """Return by how much the errors of entries are above what their spread says, in the mean of some rows.

        Entries depend less on one another than sums do (`sums`), and are as near to their spread as
        ``SHARE_OF_ENTRIES`` says.
        """
        if not self._is_mixed:
            return 1.0
        sampler, rows = self.sampler, heavy_rows(self.sampler.products)
        jackknife = self._jackknife(lambda i: sampler.samples(rows, i).mean(axis=1))
        spread = sampler.samples(rows).std(axis=1, ddof=1)
        return float(_scale(np.linalg.norm(jackknife), np.linalg.norm(spread)) ** SHARE_OF_ENTRIES)

    @property
    def _is_mixed(self) -> bool:
        """Whether samples depend on one another, and are enough to show how."""
        is_whole = isinstance(self.sampler, RangeFinder) and self.sampler.dependent
        is_plain = isinstance(self.sampler, Exchange) and all(shift is None for shift in self.sampler.shifts)
        return self.count >= FEWEST_MIXED and not is_whole and not is_plain

    def _jackknife(self, mean_without: Callable[[int], FloatArray]) -> FloatArray:
        """Return the spread that samples would have if they were independent, by means without one probe each."""
        left_out = np.unique(np.linspace(0, self.count - 1, MOST_LEFT_OUT).astype(int)).tolist()
        spread: FloatArray = np.std([mean_without(i) for i in left_out], axis=0, ddof=1)
        return (self.count - 1) * spread


def _scale(jackknife: Any, spread: Any) -> FloatArray:
    """Return the geometric mean of 1 and the ratio of both, within limits."""
    ratios = np.divide(jackknife, spread, out=np.ones_like(spread), where=np.asarray(spread) > 0)
    scales: FloatArray = np.clip(np.sqrt(ratios), 1.0, LARGEST_SCALE)
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
    share = float(torch.linalg.vector_norm(products[rows]) / torch.linalg.vector_norm(products)) ** 2
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
    raise_if_not_finite(torch.linalg.vector_norm(products, dim=0), "that of probe {}", first)
    return products


def fits_memory(run: Run, max_products: int) -> bool:
    """Return whether probes and products of a whole budget may be kept at once."""
    operator = run.operator
    needed = VECTORS_PER_PRODUCT * max_products * operator.num_rows * operator.dtype.itemsize
    return needed <= usual_bytes(operator.device)
