"""What every density answers."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from hessdens._checks import LEVEL, PAPER_WINDOW, check_interval, half_window
from hessdens._types import FloatArray, Window
from hessdens.results.moments import Moments
from hessdens.results.saved import Numbers, rows
from hessdens.results.summaries.text import percent

# Moments among the numbers of a density.
NUM_MOMENTS = 4
FRACTIONS = ("degenerate", "negative")
# Sums are evaluated for this many (point, term) pairs at a time: 32 MB.
PAIRS_PER_CHUNK = 4_000_000
# At which means of functions are taken.
EXPECT_POINTS = 20_000


class Density(ABC):
    """A spectral density: the questions that `Spectrum`, `SkewNormalMixture` and every other density answers.

    A density of your own needs `moments`, `cdf`, `pdf` and `nodes`; `compare` and `plot_density` then take it.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdens.densities import Density
    >>> class Uniform(Density):
    ...     def moments(self, order):
    ...         return 1 / (np.arange(1, order + 1) + 1)
    ...     def cdf(self, x):
    ...         return np.clip(x, 0.0, 1.0)
    ...     def pdf(self, x):
    ...         return np.where((np.asarray(x) > 0) & (np.asarray(x) < 1), 1.0, 0.0)
    ...     def nodes(self):
    ...         return np.array([0.0, 1.0])
    >>> Uniform().fraction_degenerate(window=0.5)
    0.25
    """

    # Whether `window` is one that it was estimated for, which others need not share.
    has_window = False

    @property
    def matrix(self) -> str:
        """What the matrix is called, such as "Hessian"; empty if it has no name."""
        return ""

    @property
    def window(self) -> float:
        """Size of the window around 0 that fractions are of, unless another one is asked for."""
        return PAPER_WINDOW

    @abstractmethod
    def moments(self, order: int) -> FloatArray:
        """Return m_1..m_order."""

    @abstractmethod
    def cdf(self, x: ArrayLike) -> FloatArray:
        """Return the mass at or below x."""

    @abstractmethod
    def pdf(self, x: ArrayLike) -> FloatArray:
        """Return the density at x."""

    @abstractmethod
    def nodes(self) -> FloatArray:
        """Return ascending points between which the cdf is smooth."""

    def mass(self, low: float, high: float) -> float:
        """Return the mass in (low, high]; either end may be infinite."""
        check_interval(low, high)
        return float(self.cdf(high) - self.cdf(low))

    def fraction_degenerate(self, window: Window | None = None) -> float:
        """Return the mass inside a window of this size around 0: abs(λ) < window / 2."""
        half = self._half(window)
        return self.mass(-half, half)

    def fraction_negative(self, window: Window | None = None) -> float:
        """Return the mass to the left of the window: λ <= -window / 2. Those below 0 inside of it do not count."""
        return float(self.cdf(-self._half(window)))

    def expect(self, f: Callable[[FloatArray], ArrayLike]) -> float:
        """Return the mean of f(λ) over the eigenvalues; ``f`` takes an array of them and returns one of its shape.

        Of the cdf's steps and increments between its nodes, at some 20,000 points. ValueError if f is not finite there.
        """
        nodes = self.nodes()
        parts = max(1, EXPECT_POINTS // len(nodes))
        edges = np.unique(np.concatenate([np.linspace(*ends, parts + 1) for ends in pairwise(nodes)] or [nodes]))
        below, up_to = self.cdf(np.nextafter(edges, -np.inf)), self.cdf(edges)
        masses = np.concatenate([up_to - below, below[1:] - up_to[:-1]])
        points = np.concatenate([edges, (edges[1:] + edges[:-1]) / 2])
        return float(masses @ values_of(f, points) / masses.sum())

    def _largest(self) -> float | None:
        """Return the largest absolute eigenvalue, None if it is not known."""
        return None

    def _half(self, window: Window | None) -> float:
        """Return half the size of a window, of which shares are of the largest absolute eigenvalue."""
        return half_window(self.window if window is None else window, self._largest())

    def summary(self, window: Window | None = None, level: float = LEVEL) -> str:
        """Return what ``print`` shows, with fractions in this window, and intervals at this level if there are any.

        "1%" is of the largest absolute eigenvalue, where that is known.
        """
        return f"{type(self).__name__}: {self._fractions(window)}"

    def __str__(self) -> str:
        return self.summary()

    def _fractions(self, window: Window | None) -> str:
        """Return both fractions as text, with numbers of eigenvalues where these are known."""
        size = getattr(self, "size", 0)
        texts = []
        for name in FRACTIONS:
            value = getattr(self, f"fraction_{name}")(window)
            count = f" ({round(value * size):,})" if size else ""
            texts.append(f"{percent(value)}{count} {name}")
        return f"{', '.join(texts)} (window {2 * self._half(window):.4g})"

    def _numbers(self, window: Window, level: float) -> Numbers:
        """Return what every density adds to the numbers of a result."""
        nodes, window = self.nodes(), 2 * self._half(window)
        fractions = {name: {"value": getattr(self, f"fraction_{name}")(window)} for name in FRACTIONS}
        return {
            "lowest": nodes[0],
            "highest": nodes[-1],
            "moments": rows(value=self.moments(NUM_MOMENTS)),
            "fractions": {"window": window, "level": level, **fractions},
        }


def add_intervals(numbers: Numbers, result: object, window: Window, level: float) -> None:
    """Add to the numbers of a result the lower and upper ends of its fractions' intervals."""
    for name in FRACTIONS:
        low, high = getattr(result, f"{name}_interval")(window, level)
        numbers["fractions"][name] |= {"low": low, "high": high}


def values_of(f: Callable[[FloatArray], ArrayLike], points: FloatArray) -> FloatArray:
    """Return f at points; ValueError unless it is an array of their shape, and finite."""
    with np.errstate(all="ignore"):
        values = np.asarray(f(points), dtype=np.float64)
    if values.shape != points.shape:
        raise ValueError(f"f must return an array of the shape that it is given, {points.shape}; got {values.shape}.")
    if not (finite := np.isfinite(values)).all():
        place = np.argmin(finite)
        raise ValueError(f"f must be finite where there are eigenvalues; f({points[place]:.6g}) is {values[place]}.")
    return values


def in_chunks(function: Callable[[FloatArray], FloatArray], x: FloatArray, num_terms: int) -> FloatArray:
    """Return what ``function`` makes of points in a column, as sums of so many terms each, in the shape of ``x``."""
    points = x.reshape(-1, 1)
    size = max(1, PAIRS_PER_CHUNK // num_terms)
    chunks = [function(points[start : start + size]) for start in range(0, max(1, len(points)), size)]
    return np.concatenate(chunks).reshape(x.shape)


def check_density(density: object, name: str) -> None:
    """Raise TypeError, naming the argument and what to pass in its place, unless it is a density."""
    if isinstance(density, Density):
        return
    hint = ""
    if hasattr(density, "mixture"):
        hint = " Pass its mixture, as in fit.mixture."
    elif isinstance(density, Moments):
        hint = " Moments are no density: pass fit_mixture(moments).mixture."
    elif isinstance(density, np.ndarray | list):
        hint = " Eigenvalues are one as Spectrum(eigenvalues)."
    elif hasattr(density, "matmat"):
        hint = " Write lanczos_density(H)."
    kind = type(density).__name__
    raise TypeError(f"{name} must be a density (a Spectrum, a SkewNormalMixture, ...); got {kind}.{hint}")


def default_bandwidth(spread: float, position: float) -> float:
    """Return a hundredth of the spread of eigenvalues; where there is none, a thousandth of where they are."""
    return spread / 100 if spread > 0 else 1e-3 * max(abs(position), 1e-3)
