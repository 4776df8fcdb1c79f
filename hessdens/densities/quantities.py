"""Numbers that are asked of a matrix, from its spectral density: traces of functions, norms, ranks, each with ends."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hessdens._checks import LEVEL, check_level
from hessdens._types import FloatArray
from hessdens.densities.base import Density, check_density, values_of
from hessdens.densities.difference import SUBSPACE
from hessdens.densities.krylov import left_open
from hessdens.densities.lanczos import LanczosDensity
from hessdens.densities.spectrum import Spectrum
from hessdens.results.intervals import skewed_interval

# Eigenvalues of a smaller part of the largest are not counted in a rank, unless asked otherwise.
RANK_RTOL = 1e-3
EVERYWHERE = (-math.inf, math.inf)


class Quantity(NamedTuple):
    """A number, and the ends of its confidence interval: of an exact spectrum, the number itself.

    Examples
    --------
    >>> from hessdens.densities import Quantity
    >>> print(Quantity(3.0, 2.5, 3.25))
    3 (2.5 to 3.25)
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})" if self.low < self.high else f"{self.value:.4g}"


def spectral_sum(
    density: Density,
    f: Callable[[FloatArray], ArrayLike],
    level: float = LEVEL,
    *,
    support: tuple[float, float] = EVERYWHERE,
) -> Quantity:
    r"""Return the sum of f(λ) over all N eigenvalues, the trace of f(A).

    Parameters
    ----------
    density
        A `LanczosDensity`, or a `Spectrum`, whose numbers are exact.
    f
        A function of an array of eigenvalues, which returns one of the same shape.
    level
        Confidence level of the interval.
    support
        Where all eigenvalues are known to lie, as in (0, inf) those of a Gauss-Newton matrix. It matters where f has a
        pole.

    Raises
    ------
    TypeError
        If ``density`` is none of the above.
    ValueError
        If f is not finite at an eigenvalue, or at a point that stands for some; or ``level`` is not in (0, 1).

    Notes
    -----
    The interval holds the noise of probes (gamma and Student quantiles), what the steps leave open (between Gauss and
    Gauss-Radau quadrature, which bound smooth functions), and the errors of eigenvalues found. Cost: no product.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdens import Spectrum
    >>> print(spectral_sum(Spectrum([0.0, 1.0, 3.0]), np.log1p))
    2.079
    """
    size = size_of(density)
    check_level(level)
    value = size * density.expect(f)
    if not isinstance(density, LanczosDensity):
        return Quantity(value, value, value)
    quadrature, found = density.quadrature, density.eigenvalues_found
    forms = quadrature.weights @ values_of(f, quadrature.abscissae)[:, None]
    errors = SUBSPACE * forms.std(axis=0, ddof=1) / density.num_probes**0.5
    by_probes = size * skewed_interval(forms.mean(axis=0), errors, forms, level)[:, 0] + values_of(f, found).sum()
    by_steps = (size - len(found)) * left_open(density.spaces, f, support)
    low, high = by_probes + by_steps + _changes(f, found, density.eigenvalue_errors)
    return Quantity(value, float(low), float(high))


def _changes(f: Callable[[FloatArray], ArrayLike], found: FloatArray, errors: FloatArray) -> FloatArray:
    """Return how far the errors of eigenvalues may move the sum of f, downwards and upwards, shape (2,)."""
    with np.errstate(all="ignore"):
        ends = np.stack([np.asarray(f(found - errors)), np.asarray(f(found + errors))]) - values_of(f, found)
    ends = np.where(np.isfinite(ends), ends, 0.0)
    return np.array([np.minimum(ends.min(axis=0), 0).sum(), np.maximum(ends.max(axis=0), 0).sum()])


def trace(density: Density, level: float = LEVEL) -> Quantity:
    """Return the sum of all eigenvalues, as `spectral_sum` does.

    Examples
    --------
    >>> from hessdens import Spectrum
    >>> print(trace(Spectrum([-1.0, 0.5, 3.0])))
    2.5
    """
    return spectral_sum(density, lambda x: x, level)


def frobenius_norm(density: Density, level: float = LEVEL) -> Quantity:
    """Return the root of the sum of all squared eigenvalues, as `spectral_sum` does.

    Examples
    --------
    >>> from hessdens import Spectrum
    >>> print(frobenius_norm(Spectrum([-3.0, 4.0])))
    5
    """
    return schatten_norm(density, 2, level)


def schatten_norm(density: Density, p: float, level: float = LEVEL) -> Quantity:
    r"""Return (sum of \|λ\|^p)^(1/p): 1 gives the nuclear norm, 2 that of Frobenius, infinity the spectral norm.

    Of an estimated density the spectral norm is that of the largest Ritz value, with no upper end but infinity.
    ValueError unless p is at least 1; further as `spectral_sum`.

    Examples
    --------
    >>> from hessdens import Spectrum
    >>> print(schatten_norm(Spectrum([-3.0, 4.0]), 1), schatten_norm(Spectrum([-3.0, 4.0]), 2))
    7 5
    """
    if not p >= 1:
        raise ValueError(f"p must be at least 1; got {p}.")
    largest = _largest(density)
    if p == math.inf:
        return Quantity(largest, largest, largest if isinstance(density, Spectrum) else math.inf)
    if largest == 0:
        return Quantity(0.0, 0.0, 0.0)
    found = spectral_sum(density, lambda x: np.abs(x / largest) ** p, level)
    return Quantity(*(largest * max(end, 0.0) ** (1 / p) for end in found))


def log_determinant(density: Density, shift: float = 0.0, level: float = LEVEL) -> Quantity:
    """Return the logarithm of the determinant of A + ``shift``, as `spectral_sum` does.

    ValueError if A + ``shift`` has an eigenvalue of 0 or below.

    Examples
    --------
    >>> from hessdens import Spectrum
    >>> print(log_determinant(Spectrum([0.0, 1.0, 3.0]), shift=1.0))
    2.079
    """
    return spectral_sum(density, lambda x: np.log(x + shift), level, support=_support(density, shift))


def effective_dimension(density: Density, shift: float, level: float = LEVEL) -> Quantity:
    """Return the sum of λ / (λ + ``shift``): directions that data decide, not this ridge (MacKay 1992).

    ``shift`` is in units of eigenvalues. ValueError if A + ``shift`` has an eigenvalue of 0 or below.

    Examples
    --------
    >>> from hessdens import Spectrum
    >>> print(effective_dimension(Spectrum([0.0, 1.0, 3.0]), shift=1.0))
    1.25
    """
    return spectral_sum(density, lambda x: x / (x + shift), level, support=_support(density, shift))


def numerical_rank(density: Density, rtol: float = RANK_RTOL, level: float = LEVEL) -> Quantity:
    r"""Return the number of eigenvalues with \|λ\| >= ``rtol`` times the largest \|λ\|.

    The largest is that of `schatten_norm` at infinity. ValueError unless ``rtol`` is in (0, 1].

    Examples
    --------
    >>> from hessdens import Spectrum
    >>> print(numerical_rank(Spectrum([1e-9, -0.5, 2.0])))
    2
    """
    if not 0 < rtol <= 1:
        raise ValueError(f"rtol must lie between 0 and 1; got {rtol}.")
    window = 2 * rtol * _largest(density)
    check_level(level)
    inside = (density.fraction_degenerate(window),) * 3
    if isinstance(density, LanczosDensity):
        low, high = density.degenerate_interval(window, level)
        inside = (inside[0], float(high), float(low))
    return Quantity(*(size_of(density) * (1 - fraction) for fraction in inside))


def condition_number(density: Density, shift: float = 0.0) -> Quantity:
    """Return the largest eigenvalue of A + ``shift`` over the smallest, which must be positive.

    Of an estimated density these are Ritz values: the true number is at least theirs, and the upper end is infinity.
    ValueError if A + ``shift`` has an eigenvalue of 0 or below.

    Examples
    --------
    >>> from hessdens import Spectrum
    >>> print(condition_number(Spectrum([0.0, 1.0, 3.0]), shift=0.5))
    7
    """
    _support(density, shift)
    low, high = density.nodes()[[0, -1]] + shift
    ratio = float(high / low)
    return Quantity(ratio, ratio, ratio if isinstance(density, Spectrum) else math.inf)


def stable_rank(density: Density, level: float = LEVEL) -> Quantity:
    """Return the squared Frobenius norm over the squared spectral norm: at most the rank, hardly moved by small values.

    The spectral norm is the largest Ritz value. ValueError if all eigenvalues are 0.

    Examples
    --------
    >>> from hessdens import Spectrum
    >>> print(stable_rank(Spectrum([0.1, -0.5, 1.0])))
    1.26
    """
    largest = _scale(density)
    return spectral_sum(density, lambda x: (x / largest) ** 2, level)


def participation_ratio(density: Density, level: float = LEVEL) -> Quantity:
    r"""Return (sum of \|λ\|)^2 / sum of λ^2: how many eigenvalues take part: N of one size, or 1 that is alone.

    The interval is that of the ratio of both sums: of an estimate, by the ends of each at half of the failures.
    ValueError if all eigenvalues are 0.

    Examples
    --------
    >>> from hessdens import Spectrum
    >>> print(participation_ratio(Spectrum([0.0, 1.0, 1.0, -1.0])))
    3
    """
    scale = _scale(density)
    check_level(level)
    each = 1 - (1 - level) / 2
    ones = spectral_sum(density, lambda x: np.abs(x / scale), each)
    squares = spectral_sum(density, lambda x: (x / scale) ** 2, each)
    low = max(ones.low, 0.0) ** 2 / squares.high
    high = ones.high**2 / squares.low if squares.low > 0 else math.inf
    return Quantity(ones.value**2 / squares.value, max(low, 1.0), min(high, float(size_of(density))))


def size_of(density: Density) -> int:
    """Return N; TypeError unless the density knows it."""
    check_density(density, "density")
    if not isinstance(density, LanczosDensity | Spectrum):
        kind = type(density).__name__
        raise TypeError(
            f"density must be a LanczosDensity or a Spectrum, which know the number of eigenvalues; got {kind}."
        )
    return density.size


def _largest(density: Density) -> float:
    """Return the largest absolute eigenvalue, or Ritz value."""
    size_of(density)
    return float(np.abs(density.nodes()).max())


def _scale(density: Density) -> float:
    """Return the largest absolute eigenvalue; ValueError if it is 0."""
    largest = _largest(density)
    if largest == 0:
        raise ValueError("A ratio of norms needs an eigenvalue that is not 0; all are.")
    return largest


def _support(density: Density, shift: float) -> tuple[float, float]:
    """Return where the eigenvalues of A may lie, if A + shift is positive definite; ValueError where it is not.

    At 0 or above where all Ritz values are, to rounding; else half as far from the pole as the lowest Ritz value.
    """
    size_of(density)
    lowest = float(density.nodes()[0])
    if not lowest + shift > 0:
        raise ValueError(f"A + shift must be positive definite; got shift={shift:g} and an eigenvalue of {lowest:.6g}.")
    rounding = density.rounding() if isinstance(density, LanczosDensity) else 0.0
    return (min(lowest, 0.0) if lowest >= -rounding else (lowest - shift) / 2), math.inf
