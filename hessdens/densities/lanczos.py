"""The density that block Lanczos gives: eigenvalues found one by one, quadrature for the others, with intervals."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from hessdens._checks import LEVEL, PAPER_WINDOW, at_least, check_level, half_window
from hessdens._types import FloatArray
from hessdens.densities.base import NUM_MOMENTS, Density, add_intervals, percent
from hessdens.densities.quadrature import Quadrature
from hessdens.results.certificates import Certificates
from hessdens.results.intervals import skewed_interval
from hessdens.results.saved import Numbers, Saved, rows

# Errors exceed the spread over probes, since probes decide together which eigenvalues are found: by 5 to 15%, with a
# bias of up to a quarter of the spread in the highest moments.
SUBSPACE = 1.25
# An interval of a fraction that is wider says so, when printed.
WIDE = 0.1


def wide_hint(intervals: Iterable[Iterable[float]]) -> list[str]:
    """Return the line that says so if an interval of a fraction is wide, or none."""
    is_wide = any(high - low > WIDE for low, high in intervals)
    return ["  WIDE INTERVALS: take more products (max_products=)."] if is_wide else []


@dataclass(frozen=True, eq=False)
class LanczosDensity(Density, Saved):
    """A spectral density of N eigenvalues: E of them found one by one, a quadrature for the others.

    Parameters
    ----------
    quadrature
        Eigenvalues found, with bounds of their errors, and points and weights for all others.
    earlier
        The same some steps before, latest first: what changes shows how far the resolution goes.
    num_steps, num_products
        Lanczos steps, and products with single vectors.
    certificates
        Measured defects of what should be exact.
    """

    layout: ClassVar = {
        "quadrature": Quadrature,
        "earlier": (Quadrature,),
        "num_steps": "size",
        "num_products": "count",
        "certificates": Certificates,
    }
    quadrature: Quadrature
    earlier: tuple[Quadrature, ...]
    num_steps: int
    num_products: int
    certificates: Certificates

    def __post_init__(self) -> None:
        shapes = {(each.size, len(each.weights)) for each in (self.quadrature, *self.earlier)}
        if len(shapes) > 1:
            raise ValueError(f"Quadratures must be of the same eigenvalues and probes; got {sorted(shapes)} of them.")
        if self.num_probes < 2 or len(self.nodes()) == 0:
            raise ValueError(
                f"A density needs 2 probes and 1 point at least; got {self.num_probes} and {len(self.nodes())}."
            )

    @property
    def size(self) -> int:
        """N, the number of eigenvalues."""
        return self.quadrature.size

    @property
    def num_probes(self) -> int:
        """Number of probes P."""
        return len(self.quadrature.weights)

    @property
    def eigenvalues_found(self) -> FloatArray:
        """Eigenvalues found one by one, ascending, shape (E,)."""
        return self.quadrature.eigenvalues

    @property
    def eigenvalue_errors(self) -> FloatArray:
        """Bounds of their errors: lengths of their residuals, shape (E,)."""
        return self.quadrature.residuals

    def moments(self, order: int) -> FloatArray:
        """Return m_1..m_order. Unbiased but for the choice of eigenvalues found, up to 2 num_steps - 1."""
        return self.moment_samples(order).mean(axis=0)

    def moment_samples(self, order: int) -> FloatArray:
        """Return m_1..m_order as each probe sees them, shape (P, order)."""
        at_least("order", order, 1)
        powers = np.arange(1, order + 1)
        found = np.sum(self.quadrature.eigenvalues[:, None] ** powers, axis=0) / self.size
        return self.quadrature.weights @ self.quadrature.abscissae[:, None] ** powers + found

    def moments_interval(self, order: int, level: float = LEVEL) -> FloatArray:
        """Return confidence intervals of the moments, shape (2, order)."""
        samples = self.moment_samples(order)
        errors = SUBSPACE * samples.std(axis=0, ddof=1) / np.sqrt(self.num_probes)
        return skewed_interval(samples.mean(axis=0), errors, samples, level)

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Return the mass at or below x: a step at every eigenvalue found, between Ritz values interpolated.

        There are at least as many eigenvalues on either side of x as Ritz values (Cauchy): no value contradicts that.
        """
        points = np.asarray(x, dtype=np.float64)
        flat = points.reshape(-1)
        values = self.quadrature.cdf(flat, self._mean_weights())
        return np.where(np.isnan(flat), np.nan, values).reshape(points.shape)

    def cdf_interval(self, x: ArrayLike, level: float = LEVEL) -> FloatArray:
        """Return pointwise confidence intervals of the cdf: lower and upper ends, each of the shape of x.

        They hold the noise of the probes (jackknife) and the finite resolution (the change over the last three steps,
        and the mass between the Ritz values beside x), and end where Ritz values make more or less impossible (Cauchy).
        """
        points = np.asarray(x, dtype=np.float64)
        flat = points.reshape(-1)
        ends = self._interval(
            lambda quadrature, weights: quadrature.cdf(flat, weights), self.quadrature.unresolved(flat), level
        )
        ends = np.clip(ends, *(self.quadrature.counts(flat) / self.size))
        return np.where(np.isnan(flat), np.nan, ends).reshape(2, *points.shape)

    def pdf(self, x: ArrayLike, *, bandwidth: float | None = None) -> FloatArray:
        """Return the density smoothed by a Gaussian of standard deviation ``bandwidth``.

        Default bandwidth: the mean distance between neighbouring Ritz values where the mass lies, those of outliers not
        among them.
        """
        points = np.asarray(x, dtype=np.float64)
        return self._pdf_samples(points.reshape(-1), bandwidth).mean(axis=0).reshape(points.shape)

    def pdf_interval(self, x: ArrayLike, *, bandwidth: float | None = None, level: float = LEVEL) -> FloatArray:
        """Return pointwise confidence intervals of the smoothed density, lower and upper ends: noise of probes."""
        points = np.asarray(x, dtype=np.float64)
        samples = self._pdf_samples(points.reshape(-1), bandwidth)
        errors = samples.std(axis=0, ddof=1) / np.sqrt(self.num_probes)
        ends = skewed_interval(samples.mean(axis=0), errors, samples, level)
        return np.maximum(ends, 0.0).reshape(2, *points.shape)

    def bandwidth(self) -> float:
        """Return the bandwidth that `pdf` takes by default, in units of the eigenvalues."""
        points = self.quadrature.abscissae
        if len(points) > 1:
            mean = float(np.average(np.gradient(points), weights=np.maximum(self._mean_weights(), 1e-300)))
            if mean > 0:
                return mean
        values = self.nodes()
        spread = float(np.ptp(values))
        return spread / 100 if spread > 0 else 1e-3 * max(abs(float(values[0])), 1e-3)

    def mass_interval(self, edges: ArrayLike, level: float = LEVEL) -> FloatArray:
        """Return confidence intervals of the mass in each bin, for n ascending edges: lower and upper ends, (2, n - 1).

        They hold the noise of the probes and the finite resolution, as those of `cdf_interval`, and are never below the
        eigenvalues found in the bin. Many eigenvalues at one point inside a band, as exact zeros, are told from their
        neighbours only as the steps resolve them: a bin that is much finer than the distance of Ritz values may then
        hold more than its interval says. ValueError if the edges are not ascending.
        """
        points = np.asarray(edges, dtype=np.float64)
        if points.ndim != 1 or len(points) < 2 or not (np.diff(points) >= 0).all():
            raise ValueError(f"edges must be at least 2 ascending numbers; got {edges!r}.")
        unresolved = self.quadrature.unresolved(points)
        ends = self._interval(
            lambda quadrature, weights: np.diff(quadrature.cdf(points, weights)),
            unresolved[1:] + unresolved[:-1],
            level,
        )
        return np.clip(ends, *self.quadrature.mass_bounds(points))

    def fraction_degenerate(self, window: float = PAPER_WINDOW) -> float:
        """Return the fraction of eigenvalues inside a window of this size around 0: abs(λ) < window / 2."""
        return float(self.quadrature.inside(half_window(window), self._mean_weights())[0])

    def degenerate_interval(self, window: float = PAPER_WINDOW, level: float = LEVEL) -> FloatArray:
        """Return a confidence interval of the degenerate fraction, shape (2,): noise of probes and finite resolution.

        It ends where Ritz values make more or less impossible (Cauchy).
        """
        half = half_window(window)
        unresolved = self.quadrature.unresolved(np.array([-half, half])).sum(keepdims=True)
        ends = self._interval(lambda quadrature, weights: quadrature.inside(half, weights), unresolved, level)[:, 0]
        (fewest,), (most,) = self.quadrature.mass_bounds(np.array([-half, np.nextafter(half, 0.0)]))
        return np.clip(ends, fewest, most)

    def negative_interval(self, window: float = PAPER_WINDOW, level: float = LEVEL) -> FloatArray:
        """Return a confidence interval of the negative fraction, shape (2,), as `cdf_interval` does."""
        return self.cdf_interval(-half_window(window), level)

    def nodes(self) -> FloatArray:
        """Return ascending points between which the cdf is smooth."""
        return self.quadrature.ritz_values()

    def __str__(self) -> str:
        intervals = self.degenerate_interval(), self.negative_interval()
        degenerate, negative = (
            f"{percent(value)} ({percent(low)} to {percent(high)})"
            for value, (low, high) in zip(
                (self.fraction_degenerate(), self.fraction_negative()), intervals, strict=True
            )
        )
        low, high = self.nodes()[[0, -1]]
        return "\n".join(
            [
                f"Density of {self.size:,} eigenvalues from {low:.4g} to {high:.4g}: {degenerate} degenerate, "
                f"{negative} negative (window {PAPER_WINDOW:g}, {LEVEL:.0%} intervals)",
                *wide_hint(intervals),
                f"  {len(self.eigenvalues_found)} eigenvalues found, quadrature of {self.num_probes} probes and "
                f"{self.num_steps} steps for the others{'' if self.quadrature.interlaces else ', low memory'}",
                str(self.certificates),
            ]
        )

    def _numbers(self, window: float, level: float) -> Numbers:
        counts = {name: getattr(self, name) for name in ("size", "num_products", "num_steps", "num_probes")}
        numbers = {**counts, "eigenvalues_found": len(self.eigenvalues_found), **super()._numbers(window, level)}
        low, high = self.moments_interval(NUM_MOMENTS, level)
        numbers["moments"] = rows(value=self.moments(NUM_MOMENTS), low=low, high=high)
        intervals = (self.degenerate_interval(window, level), self.negative_interval(window, level))
        add_intervals(numbers, degenerate=intervals[0], negative=intervals[1])
        return numbers | self.certificates._numbers(window, level)

    def _mean_weights(self) -> FloatArray:
        return self.quadrature.weights.mean(axis=0)

    def _interval(
        self, functional: Callable[[Quadrature, FloatArray], FloatArray], unresolved: FloatArray, level: float
    ) -> FloatArray:
        """Return ends, shape (2, m), for what ``functional`` makes of a quadrature with the mean weights of probes.

        ``unresolved`` is mass that may lie on either side of an edge; its share on one side is taken to be uniform.
        """
        check_level(level)
        tail, count, weights = (1 + level) / 2, self.num_probes, self.quadrature.weights
        value = functional(self.quadrature, self._mean_weights())
        others = functional(self.quadrature, (weights.sum(axis=0) - weights) / (count - 1))
        noise = SUBSPACE * np.sqrt((count - 1) * np.mean((others - others.mean(axis=0)) ** 2, axis=0))
        before = [functional(quadrature, quadrature.weights.mean(axis=0)) for quadrature in self.earlier]
        resolution = np.sqrt(np.mean((np.array(before) - value) ** 2, axis=0)) if before else np.zeros_like(value)
        resolution = np.hypot(resolution, unresolved / np.sqrt(12))
        half_width = np.hypot(stdtrit(count - 1, tail) * noise, ndtri(tail) * resolution)
        return np.stack([value - half_width, value + half_width])

    def _pdf_samples(self, x: FloatArray, bandwidth: float | None) -> FloatArray:
        """Return the smoothed density as each probe sees it, shape (P, len(x))."""
        width = self.bandwidth() if bandwidth is None else bandwidth
        if not width > 0:
            raise ValueError(f"bandwidth must be positive; got {width}.")

        def kernel(points: FloatArray) -> FloatArray:
            return np.exp(-0.5 * ((x - points[:, None]) / width) ** 2) / (width * np.sqrt(2 * np.pi))

        found = kernel(self.quadrature.eigenvalues).sum(axis=0) / self.size
        return self.quadrature.weights @ kernel(self.quadrature.abscissae) + found
