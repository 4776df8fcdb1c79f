"""The density of the Lanczos process: some eigenvalues one by one, a quadrature for the others, with intervals."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from hessdens._checks import LEVEL, PAPER_WINDOW, at_least, half_window
from hessdens._types import FloatArray
from hessdens.densities.base import NUM_MOMENTS, Density, add_intervals, default_bandwidth, percent
from hessdens.densities.difference import DensityDifference
from hessdens.densities.jackknife import SUBSPACE, Functional, Jackknife, without_one
from hessdens.densities.quadrature import Quadrature
from hessdens.results.certificates import TOLERANCE, Certificates
from hessdens.results.intervals import skewed_interval
from hessdens.results.saved import Numbers, Saved, Size, rows

# A printed density says so if the interval of a fraction is wider than this.
WIDE = 0.1


def wide_hint(intervals: Iterable[Iterable[float]], rounding: float = 0.0, window: float = PAPER_WINDOW) -> list[str]:
    """Return the line that says so if an interval of a fraction is wide, or none.

    ``rounding`` is how far products move eigenvalues by theirs: where it hides the window, more products are no cure.
    """
    if not any(high - low > WIDE for low, high in intervals):
        return []
    if rounding > window / 2:
        cure = f"rounding moves eigenvalues by about {rounding:.0e}; take the matrix, or the model, in float64."
    else:
        cure = "take more products (max_products=)."
    return [f"  WIDE INTERVALS: {cure}"]


def _widened(ends: FloatArray, by: FloatArray) -> FloatArray:
    """Return intervals that are longer on both sides, within [0, 1]."""
    low, high = ends
    return np.clip(np.stack([low - by, high + by]), 0.0, 1.0)


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

    quadrature: Quadrature
    earlier: tuple[Quadrature, ...]
    num_steps: Size
    num_products: int
    certificates: Certificates

    def __post_init__(self) -> None:
        shapes = {(each.size, len(each.weights)) for each in (self.quadrature, *self.earlier)}
        if len(shapes) > 1:
            raise ValueError(f"Quadratures must be of the same eigenvalues and probes; got {sorted(shapes)} of them.")
        if len(self.nodes()) > self.num_steps * self.num_probes:
            raise ValueError(
                f"{self.num_steps} steps of {self.num_probes} probes must give as many points at most; got "
                f"{len(self.nodes())}."
            )
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
        """Return m_1..m_order. Unbiased up to order 2 num_steps - 1, except for the choice of eigenvalues found."""
        return self.moment_samples(order).mean(axis=0)

    def moment_samples(self, order: int) -> FloatArray:
        """Return m_1..m_order by each probe, shape (P, order)."""
        at_least("order", order, 1)
        powers = np.arange(1, order + 1)
        single = np.sum(self.quadrature.eigenvalues[:, None] ** powers, axis=0) / self.size
        return self.quadrature.weights @ self.quadrature.abscissae[:, None] ** powers + single

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
        values = self.quadrature.cdf(flat, self.quadrature.mean_weights())
        return np.where(np.isnan(flat), np.nan, values).reshape(points.shape)

    def cdf_interval(self, x: ArrayLike, level: float = LEVEL) -> FloatArray:
        """Return pointwise confidence intervals of the cdf: lower and upper ends, each of the shape of x.

        They hold the noise of the probes (jackknife) and the finite resolution (the change over the last three steps,
        and the mass between the Ritz values next to x). They end where Ritz values make more or less impossible
        (Cauchy).
        """
        points = np.asarray(x, dtype=np.float64)
        flat = points.reshape(-1)
        unresolved = self.quadrature.unresolved(flat)
        ends = self._jackknife(lambda quadrature, weights: quadrature.cdf(flat, weights), unresolved).interval(level)
        ends = np.clip(ends, *(self.quadrature.counts(flat) / self.size))
        ends = _widened(ends, self.quadrature.ties(flat))
        return np.where(np.isnan(flat), np.nan, ends).reshape(2, *points.shape)

    def pdf(self, x: ArrayLike, *, bandwidth: float | None = None) -> FloatArray:
        """Return the density smoothed by a Gaussian of standard deviation ``bandwidth``.

        Default bandwidth: the mean distance between neighbouring Ritz values where the mass lies, without those of
        outliers.
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
            mean = float(np.average(np.gradient(points), weights=np.maximum(self.quadrature.mean_weights(), 1e-300)))
            if mean > 0:
                return mean
        values = self.nodes()
        return default_bandwidth(float(np.ptp(values)), float(values[0]))

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
        bins = self._jackknife(
            lambda quadrature, weights: np.diff(quadrature.cdf(points, weights)), unresolved[1:] + unresolved[:-1]
        )
        ends = np.clip(bins.interval(level), *self.quadrature.mass_bounds(points))
        ties = self.quadrature.ties(points)
        return _widened(ends, ties[1:] + ties[:-1])

    def fraction_degenerate(self, window: float = PAPER_WINDOW) -> float:
        """Return the fraction of eigenvalues inside a window of this size around 0: abs(λ) < window / 2."""
        return float(self.quadrature.inside(half_window(window), self.quadrature.mean_weights())[0])

    def degenerate_interval(self, window: float = PAPER_WINDOW, level: float = LEVEL) -> FloatArray:
        """Return a confidence interval of the degenerate fraction, shape (2,): noise of probes and finite resolution.

        It ends where Ritz values make more or less impossible (Cauchy).
        """
        half = half_window(window)
        unresolved = self.quadrature.unresolved(np.array([-half, half])).sum(keepdims=True)
        fraction = self._jackknife(lambda quadrature, weights: quadrature.inside(half, weights), unresolved)
        (fewest,), (most,) = self.quadrature.mass_bounds(np.array([-half, np.nextafter(half, 0.0)]))
        ends = np.clip(fraction.interval(level)[:, 0], fewest, most)
        return _widened(ends, self.quadrature.ties(np.array([-half, half])).sum())

    def negative_interval(self, window: float = PAPER_WINDOW, level: float = LEVEL) -> FloatArray:
        """Return a confidence interval of the negative fraction, shape (2,), as `cdf_interval` does."""
        return self.cdf_interval(-half_window(window), level)

    def nodes(self) -> FloatArray:
        """Return ascending points between which the cdf is smooth."""
        return self.quadrature.ritz_values()

    def difference(
        self, other: Self, *, window: float = PAPER_WINDOW, title: str = "from the first to the second"
    ) -> DensityDifference:
        """Return the changes from this density to ``other``, which `lanczos_density` made from the same probes.

        Parameters
        ----------
        other
            A density of as many eigenvalues, from the same seed and number of probes.
        window
            Size of the window around 0 that counts as degenerate.
        title
            From which density to which, for printing.

        Raises
        ------
        ValueError
            If the numbers of eigenvalues or probes differ, or ``window`` is negative or not finite.

        Notes
        -----
        Every number is a function of the mean over probes, so the leave-one-out values of both densities, subtracted
        probe by probe, give the jackknife error of the change; for moments it is the standard error of paired samples.
        """
        if (self.size, self.num_probes) != (other.size, other.num_probes):
            raise ValueError(
                "Densities must have the same eigenvalues and probes in number; got "
                f"{self.size:,} and {other.size:,} eigenvalues, {self.num_probes} and {other.num_probes} probes."
            )
        before, after = self._all_numbers(window), other._all_numbers(window)
        change = after.minus(before)
        errors = (before.noise(), before.resolution(), after.noise(), after.resolution())
        unpaired = np.sqrt(sum(error**2 for error in errors))
        return DensityDifference(change.values, change.noise(), change.resolution(), unpaired, self.num_probes, title)

    def rounding(self) -> float:
        """Return how far the rounding of products moves eigenvalues, as a rule: eps times the largest."""
        return self.certificates.threshold / TOLERANCE * float(np.abs(self.nodes()).max())

    def __str__(self) -> str:
        fractions = (self.fraction_degenerate(), self.fraction_negative())
        intervals = (self.degenerate_interval(), self.negative_interval())
        degenerate, negative = (
            f"{percent(value)} ({percent(low)} to {percent(high)})"
            for value, (low, high) in zip(fractions, intervals, strict=True)
        )
        low, high = self.nodes()[[0, -1]]
        lines = [
            f"Density of {self.size:,} eigenvalues from {low:.4g} to {high:.4g}: {degenerate} degenerate, "
            f"{negative} negative (window {PAPER_WINDOW:g}, {LEVEL:.0%} intervals)",
            *wide_hint(intervals, self.rounding()),
            f"  {len(self.eigenvalues_found)} eigenvalues found, quadrature of {self.num_probes} probes and "
            f"{self.num_steps} steps for the others{'' if self.quadrature.interlaces else ', low memory'}",
        ]
        return "\n".join([*lines, str(self.certificates)])

    def _numbers(self, window: float, level: float) -> Numbers:
        counts = self._named("size", "num_products", "num_steps", "num_probes")
        numbers = {**counts, "eigenvalues_found": len(self.eigenvalues_found), **super()._numbers(window, level)}
        low, high = self.moments_interval(NUM_MOMENTS, level)
        numbers["moments"] = rows(value=self.moments(NUM_MOMENTS), low=low, high=high)
        add_intervals(numbers, self, window, level)
        return numbers | self.certificates._numbers(window, level)

    def _jackknife(self, functional: Functional, unresolved: FloatArray) -> Jackknife:
        return Jackknife.of(functional, (self.quadrature, *self.earlier), unresolved)

    def _all_numbers(self, window: float) -> Jackknife:
        """Return the moments and both fractions, whose changes `difference` tells."""
        half = half_window(window)
        edges = self.quadrature.unresolved(np.array([-half, half]))

        def functional(quadrature: Quadrature, weights: FloatArray) -> FloatArray:
            negative = quadrature.cdf(np.array([-half]), weights)
            return np.concatenate([quadrature.inside(half, weights), negative], axis=-1)

        fractions = self._jackknife(functional, np.array([edges.sum(), edges[0]]))
        samples = self.moment_samples(NUM_MOMENTS)
        moments = samples.mean(axis=0)
        return Jackknife(
            np.concatenate([moments, fractions.values]),
            np.concatenate([without_one(samples), fractions.left_out], axis=1),
            # Moments do not depend on the resolution: a quadrature knows four from three steps on.
            [np.concatenate([moments, earlier]) for earlier in fractions.earlier],
            np.concatenate([np.zeros(NUM_MOMENTS), fractions.unresolved]),
        )

    def _pdf_samples(self, x: FloatArray, bandwidth: float | None) -> FloatArray:
        """Return the smoothed density by each probe, shape (P, len(x))."""
        width = self.bandwidth() if bandwidth is None else bandwidth
        if not width > 0:
            raise ValueError(f"bandwidth must be positive; got {width}.")

        def kernel(points: FloatArray) -> FloatArray:
            return np.exp(-0.5 * ((x - points[:, None]) / width) ** 2) / (width * np.sqrt(2 * np.pi))

        single = kernel(self.quadrature.eigenvalues).sum(axis=0) / self.size
        return self.quadrature.weights @ kernel(self.quadrature.abscissae) + single
