"""The density of the Lanczos process: some eigenvalues one by one, a quadrature for the others, with intervals."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

import numpy as np
from numpy.typing import ArrayLike

from hessdens._checks import LEVEL, PAPER_WINDOW, half_window
from hessdens._types import FloatArray, Window
from hessdens.densities.base import FRACTIONS, NUM_MOMENTS, Density, add_intervals, default_bandwidth, values_of
from hessdens.densities.difference import SUBSPACE, DensityDifference, common_window, difference_of, numbers_of
from hessdens.densities.interpolation import MeasureCdf
from hessdens.densities.krylov import Krylov, shares_between
from hessdens.densities.quadrature import Quadrature
from hessdens.results.certificates import TOLERANCE, Certificates
from hessdens.results.eigenpairs import Eigenpairs
from hessdens.results.intervals import count_interval, skewed_interval
from hessdens.results.saved import Numbers, Saved, Size, rows
from hessdens.results.summaries import text
from hessdens.results.summaries.forecast import Narrowing


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
    pairs
        Eigenvalues found with their vectors, where these were asked for: see `eigenpairs`.
    window
        Size of the window around 0 that counts as degenerate, unless another one is asked for.
    """

    quadrature: Quadrature
    spaces: tuple[Krylov, ...]
    num_steps: Size
    num_products: int
    certificates: Certificates
    pairs: Eigenpairs | None = None
    window: Annotated[float, "amount"] = PAPER_WINDOW
    has_window = True

    def __post_init__(self) -> None:
        half_window(self.window)
        probes = sum(len(space.probes) for space in self.spaces)
        if probes != self.num_probes:
            raise ValueError(f"Spaces must be of the probes of the quadrature, {self.num_probes}; got {probes} probes.")
        if (points := len(self.nodes())) > self.num_steps * self.num_probes:
            raise ValueError(
                f"{self.num_steps} steps of {self.num_probes} probes must give as many points at most; got {points}."
            )
        if self.num_probes < 2 or points == 0:
            raise ValueError(f"A density needs 2 probes and 1 point at least; got {self.num_probes} and {points}.")

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

    @property
    def eigenpairs(self) -> Eigenpairs:
        """Eigenvalues found with their eigenvectors; ValueError unless these were asked for."""
        if self.pairs is None:
            raise ValueError("eigenpairs must be asked for: lanczos_density(H, eigenvectors=True) keeps them.")
        return self.pairs

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
        return self.quadrature.moment_samples(order)

    def moments_interval(self, order: int, level: float = LEVEL) -> FloatArray:
        """Return confidence intervals of the moments, shape (2, order)."""
        samples = self.moment_samples(order)
        errors = SUBSPACE * samples.std(axis=0, ddof=1) / np.sqrt(self.num_probes)
        by_probes = skewed_interval(
            samples.mean(axis=0), errors, samples - self.quadrature.single_moments(order), level
        )
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
        if (mean := self.quadrature.mean_distance()) > 0:
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

    def fraction_degenerate(self, window: Window | None = None) -> float:
        """Return the fraction of eigenvalues inside a window of this size around 0: abs(λ) < window / 2."""
        return float(self.quadrature.inside(self._half(window), self._measure)[0])

    def degenerate_interval(self, window: Window | None = None, level: float = LEVEL) -> FloatArray:
        """Return a confidence interval of the degenerate fraction, shape (2,), as `cdf_interval` does."""
        half = self._half(window)
        value = np.array([self.fraction_degenerate(window)])
        return self._mass_interval(np.array([-half]), np.array([half]), value, level)[:, 0]

    def negative_interval(self, window: Window | None = None, level: float = LEVEL) -> FloatArray:
        """Return a confidence interval of the negative fraction, shape (2,), as `cdf_interval` does."""
        return self.cdf_interval(-self._half(window), level)

    def wide_hint(self, window: Window | None = None, level: float = LEVEL) -> list[str]:
        """Return lines that say so if an interval of a fraction is wide, and what would help, or none."""
        half, width = self._half(window), text.widest(own := self._fractions_in(window, level))
        if width <= text.WIDE:
            return []
        if self.rounding() > half:
            return [text.rounded(self.rounding())]
        needed = self.narrowing(window, FRACTIONS).budget_for(text.WIDE / width, level)
        wider = ((share, self._fractions_in(share, level)) for share in text.SHARES if self._half(share) > half)
        share, others = next(((share, each) for share, each in wider if text.widest(each) <= text.WIDE), (None, own))
        lines = [text.wide(self.num_products, needed, share)]
        if share is None or (needed is not None and width <= text.EMPTY):
            return lines
        return [*lines, *text.fractions(self.size, *others, f' in window="{share}"')]

    def narrowing(self, window: Window | None, names: Iterable[str]) -> Narrowing:
        """Return how far this run has narrowed what it leaves open of some fractions, by name."""
        half = self._half(window)
        ends = {"degenerate": (-half, half), "negative": (-np.inf, -half)}
        low, high = np.array([ends[name] for name in names]).T
        earlier, growths = zip(*(space.earlier() for space in self.spaces), strict=True)
        before, now = (shares_between(spaces, low, high) for spaces in (earlier, self.spaces))
        others = self.size - len(self.quadrature.eigenvalues)
        return Narrowing(before, now, max(growths), self.num_products, self.num_probes, others, self.size)

    def _fractions_in(self, window: Window | None, level: float) -> tuple[text.Fraction, text.Fraction]:
        """Return the degenerate and the negative fraction, each with the ends of its interval."""
        (low, high), (least, most) = self.degenerate_interval(window, level), self.negative_interval(window, level)
        return (self.fraction_degenerate(window), low, high), (self.fraction_negative(window), least, most)

    def expect(self, f: Callable[[FloatArray], ArrayLike]) -> float:
        """Return the mean of f(λ) over the eigenvalues; ``f`` takes an array of them and returns one of its shape."""
        found = float(values_of(f, self.eigenvalues_found).sum()) / self.size
        return found + float(self.quadrature.mean_weights() @ values_of(f, self.quadrature.abscissae))

    def nodes(self) -> FloatArray:
        """Return the Ritz values, ascending."""
        return self.quadrature.ritz_values()

    def difference(
        self, other: Self, *, window: Window | None = None, title: str = "from the first to the second"
    ) -> DensityDifference:
        """Return the changes from this density to ``other``, which `lanczos_density` made from the same probes.

        Parameters
        ----------
        other
            A density of as many eigenvalues, from the same seed and number of probes.
        window
            Size of the window of both; a share is of the largest eigenvalue of this density. Default: that of this
            density, with a warning where the other was estimated for another.
        title
            From which density to which, for printing.

        Raises
        ------
        ValueError
            If the numbers of eigenvalues or probes differ, or ``window`` is negative or not finite.

        Notes
        -----
        Every number is a function of the mean over probes, so the leave-one-out values of both densities, subtracted
        probe by probe, give the jackknife error of the change. What moments leave open at an edge is taken to lie on
        the same side of it in both.
        """
        if (self.size, self.num_probes) != (other.size, other.num_probes):
            raise ValueError(
                "Densities must have the same eigenvalues and probes in number; got "
                f"{self.size:,} and {other.size:,} eigenvalues, {self.num_probes} and {other.num_probes} probes."
            )
        half = self._half(common_window((self, other)) if window is None else window)
        before, after = (numbers_of(each.quadrature, each.spaces, each.num_steps, half) for each in (self, other))
        return difference_of(before, after, title, 2 * half)

    def _largest(self) -> float:
        return float(np.abs(self.nodes()).max())

    def rounding(self) -> float:
        """Return how far the rounding of products moves eigenvalues, as a rule: eps times the largest."""
        return self.certificates.threshold / TOLERANCE * self._largest()

    def summary(self, window: Window | None = None, level: float = LEVEL) -> str:
        """Return what ``print`` shows, with fractions in this window and intervals at this level.

        "1%" is of the largest absolute eigenvalue. Default: the window that the density was estimated for, or 0.2.
        """
        errors, half = self.eigenvalue_errors, self._half(window)
        lines = [
            text.title("Density", self.size, self.matrix),
            *text.fractions(self.size, *self._fractions_in(window, level)),
            *text.below_zero(self.eigenvalues_found, errors + self.rounding(), half),
            *text.window(half, self._largest(), level),
            *self.wide_hint(window, level),
            *text.ends(self.eigenvalues_found, errors, self.nodes()),
            f"  method: {text.counted(len(errors), 'eigenvalue')} found, quadrature of {self.num_probes} probes and "
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

    def _mass_interval(self, low: FloatArray, high: FloatArray, values: FloatArray, level: float) -> FloatArray:
        """Return confidence intervals, which hold ``values``, of the mass between n pairs of ends, shape (2, n)."""
        quadrature = self.quadrature
        others = self.size - len(quadrature.eigenvalues)
        counts = count_interval(shares_between(self.spaces, low, high), self.num_probes, others, level)
        rounding = max(space.rounding for space in self.spaces)
        below, up_to = quadrature.counts(low, rounding), quadrature.counts(high, rounding)
        counts = np.clip(counts + quadrature.found_between(low, high), *(up_to - below[::-1]))
        lower, upper = counts / self.size
        return np.stack([np.minimum(lower, values), np.maximum(upper, values)])

    def _pdf_samples(self, x: FloatArray, bandwidth: float | None) -> FloatArray:
        """Return the smoothed density by each probe, shape (P, len(x))."""
        width = self.bandwidth() if bandwidth is None else bandwidth
        if not width > 0:
            raise ValueError(f"bandwidth must be positive; got {width}.")
        return self.quadrature.smoothed(x, width)
