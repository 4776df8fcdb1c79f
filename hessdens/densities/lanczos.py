"""The density of the Lanczos process: some eigenvalues one by one, a quadrature for the others, with intervals."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from hessdens._checks import LEVEL, PAPER_WINDOW, at_least
from hessdens._types import FloatArray, Window
from hessdens.densities.base import NUM_MOMENTS, Density, add_intervals, default_bandwidth, fractions_in, values_of
from hessdens.densities.difference import SUBSPACE, DensityDifference, NumbersOfProbes, difference_of, without_one
from hessdens.densities.interpolation import MeasureCdf
from hessdens.densities.krylov import Krylov
from hessdens.densities.quadrature import Quadrature
from hessdens.results.certificates import TOLERANCE, Certificates
from hessdens.results.eigenpairs import Eigenpairs
from hessdens.results.intervals import count_interval, skewed_interval
from hessdens.results.saved import Numbers, Saved, Size, rows
from hessdens.results.summaries import text


@dataclass(frozen=True, eq=False)
class LanczosDensity(Density, Saved):
    """A spectral density of N eigenvalues: E of them found one by one, a quadrature for the others.

    Parameters
    ----------
    quadrature
        Eigenvalues found, with bounds of their errors, and points and weights for all others.
    spaces
        The Krylov space of all probes, or with ``low_memory`` one for each: what they leave open.
    num_steps, num_products
        Lanczos steps, and products with single vectors.
    certificates
        Measured defects of what should be exact.
    eigenpairs
        Eigenvalues found with their vectors, where these were asked for.
    """

    quadrature: Quadrature
    spaces: tuple[Krylov, ...]
    num_steps: Size
    num_products: int
    certificates: Certificates
    eigenpairs: Eigenpairs | None = None

    def __post_init__(self) -> None:
        probes = sum(len(space.probes) for space in self.spaces)
        if probes != self.num_probes:
            raise ValueError(f"Spaces must be of the probes of the quadrature, {self.num_probes}; got {probes} probes.")
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
        """Bounds of their errors, the lengths of their residuals, shape (E,)."""
        return self.quadrature.residuals

    @cached_property
    def _measure(self) -> MeasureCdf:
        """The points with the mean of all probes' weights."""
        return self.quadrature.measure(self.quadrature.mean_weights(), self.num_steps)

    @property
    def matrix(self) -> str:
        """What the matrix is called, such as "Hessian"; empty if it has no name."""
        return self.certificates.matrix

    def moments(self, order: int) -> FloatArray:
        """Return m_1..m_order. Unbiased up to order 2 num_steps - 1, except for the choice of eigenvalues found."""
        return self.moment_samples(order).mean(axis=0)

    def moment_samples(self, order: int) -> FloatArray:
        """Return m_1..m_order by each probe, shape (P, order)."""
        at_least("order", order, 1)
        powers = self.quadrature.abscissae[:, None] ** np.arange(1, order + 1)
        return self.quadrature.weights @ powers + self._single_moments(order)

    def moments_interval(self, order: int, level: float = LEVEL) -> FloatArray:
        """Return confidence intervals of the moments, shape (2, order)."""
        samples = self.moment_samples(order)
        errors = SUBSPACE * samples.std(axis=0, ddof=1) / np.sqrt(self.num_probes)
        by_probes = skewed_interval(samples.mean(axis=0), errors, samples - self._single_moments(order), level)
        below, above = self.quadrature.moment_errors(order)
        return by_probes + np.stack([-below, above])

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Return the mass at or below x: a step at every eigenvalue found, the others interpolated (`MeasureCdf`).

        There are at least as many eigenvalues on either side of x as Ritz values (Cauchy): no value contradicts that.
        """
        points = np.asarray(x, dtype=np.float64)
        flat = points.reshape(-1)
        values = self.quadrature.cdf(flat, self._measure)
        return np.where(np.isnan(flat), np.nan, values).reshape(points.shape)

    def cdf_interval(self, x: ArrayLike, level: float = LEVEL) -> FloatArray:
        """Return pointwise confidence intervals of the cdf: lower and upper ends, each of the shape of x.

        They hold what the moments of the probes leave open (`Krylov`), and how far probes may be from the spectrum
        (`count_interval`). They end where Ritz values make more or less impossible (Cauchy).
        """
        points = np.asarray(x, dtype=np.float64)
        flat = points.reshape(-1)
        ends = self._mass_interval(np.full_like(flat, -np.inf), flat, self.cdf(flat), level)
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

        They are made as those of `cdf_interval`, and are never below the eigenvalues found in the bin. ValueError if
        the edges are not ascending.
        """
        points = np.asarray(edges, dtype=np.float64)
        if points.ndim != 1 or len(points) < 2 or not (np.diff(points) >= 0).all():
            raise ValueError(f"edges must be at least 2 ascending numbers; got {edges!r}.")
        return self._mass_interval(points[:-1], points[1:], np.diff(self.cdf(points)), level)

    def fraction_degenerate(self, window: Window = PAPER_WINDOW) -> float:
        """Return the fraction of eigenvalues inside a window of this size around 0: abs(λ) < window / 2."""
        return float(self.quadrature.inside(self._half(window), self._measure)[0])

    def degenerate_interval(self, window: Window = PAPER_WINDOW, level: float = LEVEL) -> FloatArray:
        """Return a confidence interval of the degenerate fraction, shape (2,), as `cdf_interval` does."""
        half = self._half(window)
        value = np.array([self.fraction_degenerate(window)])
        return self._mass_interval(np.array([-half]), np.array([half]), value, level)[:, 0]

    def negative_interval(self, window: Window = PAPER_WINDOW, level: float = LEVEL) -> FloatArray:
        """Return a confidence interval of the negative fraction, shape (2,), as `cdf_interval` does."""
        return self.cdf_interval(-self._half(window), level)

    def wide_hint(self, window: Window = PAPER_WINDOW, level: float = LEVEL) -> list[str]:
        """Return the line that says so if an interval of a fraction is wide, and what would help, or none."""
        fractions, half, wider = fractions_in(self, window, level), self._half(window), self._half(text.SHARE)
        lines = text.wide(text.width(fractions), half, self.rounding(), self.num_products, self.size)
        if text.width(fractions) < text.UNRESOLVED or not self.rounding() < half < wider:
            return lines
        return [*lines, *text.resolved(2 * wider, fractions_in(self, text.SHARE, level))]

    def expect(self, f: Callable[[FloatArray], ArrayLike]) -> float:
        """Return the mean of f(λ) over the eigenvalues; ``f`` takes an array of them and returns one of its shape."""
        found = float(values_of(f, self.eigenvalues_found).sum()) / self.size
        return found + float(self.quadrature.mean_weights() @ values_of(f, self.quadrature.abscissae))

    def nodes(self) -> FloatArray:
        """Return the Ritz values, ascending."""
        return self.quadrature.ritz_values()

    def difference(
        self, other: Self, *, window: Window = PAPER_WINDOW, title: str = "from the first to the second"
    ) -> DensityDifference:
        """Return the changes from this density to ``other``, which `lanczos_density` made from the same probes.

        Parameters
        ----------
        other
            A density of as many eigenvalues, from the same seed and number of probes.
        window
            Size of the window around 0 that counts as degenerate; a share is of the largest eigenvalue of this density.
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
        What moments leave open at an edge is taken to lie on the same side of it in both.
        """
        if (self.size, self.num_probes) != (other.size, other.num_probes):
            raise ValueError(
                "Densities must have the same eigenvalues and probes in number; got "
                f"{self.size:,} and {other.size:,} eigenvalues, {self.num_probes} and {other.num_probes} probes."
            )
        size = 2 * self._half(window)
        return difference_of(self._all_numbers(size), other._all_numbers(size), title)

    def _largest(self) -> float:
        return float(np.abs(self.nodes()).max())

    def rounding(self) -> float:
        """Return how far the rounding of products moves eigenvalues, as a rule: eps times the largest."""
        return self.certificates.threshold / TOLERANCE * self._largest()

    def summary(self, window: Window = PAPER_WINDOW, level: float = LEVEL) -> str:
        """Return what is printed, with fractions in this window and intervals at this level."""
        degenerate, negative = fractions_in(self, window, level)
        lines = [
            text.title("Density", self.size, self.matrix),
            text.fraction("degenerate", self.size, *degenerate),
            text.fraction("negative", self.size, *negative),
            *text.window(self.nodes(), level, 2 * self._half(window)),
            *self.wide_hint(window, level),
            *text.ends(self.eigenvalues_found, self.eigenvalue_errors, self.nodes()),
            f"  method: {len(self.eigenvalues_found)} eigenvalues found, quadrature of {self.num_probes} probes and "
            f"{self.num_steps} steps for the others{'' if self.quadrature.interlaces else ', low memory'}",
        ]
        return "\n".join([*lines, str(self.certificates)])

    __str__ = summary

    def _numbers(self, window: Window, level: float) -> Numbers:
        counts = self._named("size", "num_products", "num_steps", "num_probes", "matrix")
        numbers = {**counts, "eigenvalues_found": len(self.eigenvalues_found), **super()._numbers(window, level)}
        pairs = zip(self.eigenvalues_found, self.eigenvalue_errors, strict=True)
        numbers["eigenvalues"] = [{"value": value, "error": error} for value, error in pairs]
        low, high = self.moments_interval(NUM_MOMENTS, level)
        numbers["moments"] = rows(value=self.moments(NUM_MOMENTS), low=low, high=high)
        add_intervals(numbers, self, window, level)
        return numbers | self.certificates._numbers(window, level)

    def _single_moments(self, order: int) -> FloatArray:
        """Return what the eigenvalues found add to m_1..m_order, shape (order,)."""
        return np.sum(self.quadrature.eigenvalues[:, None] ** np.arange(1, order + 1), axis=0) / self.size

    def _shares(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """Return which part of the squares of the probes is between n pairs of ends, at least and at most, (2, n)."""
        points, places = np.unique(np.concatenate([low, high]), return_inverse=True)
        squares = sum((space.squares_left_of(points) for space in self.spaces), np.zeros((2, len(points))))
        left = squares / max(sum(space.square for space in self.spaces), np.finfo(np.float64).tiny)
        first, second = np.split(left[:, places], 2, axis=1)
        return np.clip(second - first[::-1], 0.0, 1.0)

    def _mass_interval(self, low: FloatArray, high: FloatArray, values: FloatArray, level: float) -> FloatArray:
        """Return confidence intervals, which hold ``values``, of the mass between n pairs of ends, shape (2, n)."""
        quadrature = self.quadrature
        others = self.size - len(quadrature.eigenvalues)
        counts = count_interval(self._shares(low, high), self.num_probes, others, level)
        rounding = max(space.rounding for space in self.spaces)
        below, up_to = quadrature.counts(low, rounding), quadrature.counts(high, rounding)
        counts = np.clip(counts + quadrature.found_between(low, high), *(up_to - below[::-1]))
        lower, upper = counts / self.size
        return np.stack([np.minimum(lower, values), np.maximum(upper, values)])

    def _all_numbers(self, window: Window) -> NumbersOfProbes:
        """Return the moments and both fractions, whose changes `difference` tells."""
        half, quadrature = self._half(window), self.quadrature

        def fractions(weights: FloatArray) -> FloatArray:
            measure = quadrature.measure(weights, self.num_steps)
            negative = quadrature.cdf(np.array([-half]), measure)
            return np.concatenate([quadrature.inside(half, measure), negative], axis=-1)

        low, high = np.array([-half, -np.inf]), np.array([half, -half])
        shares = self._shares(low, high) * (1 - len(quadrature.eigenvalues) / self.size)
        samples, (below, above) = self.moment_samples(NUM_MOMENTS), quadrature.moment_errors(NUM_MOMENTS)
        values = np.concatenate([samples.mean(axis=0), fractions(quadrature.mean_weights())])
        left_out = np.concatenate([without_one(samples), fractions(without_one(quadrature.weights))], axis=1)
        ends = shares + quadrature.found_between(low, high) / self.size
        of_moments = values[:NUM_MOMENTS] + np.stack([-below, above])
        return NumbersOfProbes(values, left_out, np.concatenate([of_moments, ends], axis=1), self.size)

    def _pdf_samples(self, x: FloatArray, bandwidth: float | None) -> FloatArray:
        """Return the smoothed density by each probe, shape (P, len(x))."""
        width = self.bandwidth() if bandwidth is None else bandwidth
        if not width > 0:
            raise ValueError(f"bandwidth must be positive; got {width}.")

        def kernel(points: FloatArray) -> FloatArray:
            return np.exp(-0.5 * ((x - points[:, None]) / width) ** 2) / (width * np.sqrt(2 * np.pi))

        single = kernel(self.quadrature.eigenvalues).sum(axis=0) / self.size
        return self.quadrature.weights @ kernel(self.quadrature.abscissae) + single
