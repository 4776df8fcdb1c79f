"""The paper's model of a spectral density: a skew-normal tail and a narrow Gaussian at zero (eq. 5)."""

import itertools
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, owens_t

from hessdens._checks import LEVEL, at_least, check_interval
from hessdens._types import FloatArray, Window
from hessdens.densities.base import Density
from hessdens.results.saved import Finite, Numbers, Saved

# The normal density underflows to 0 beyond this many standard deviations.
FAR = 40.0


@dataclass(frozen=True)
class SkewNormalMixture(Density, Saved):
    """The density q = w SN(ξ, ω, α) + (1 - w) N(0, σ²) of the paper's eq. 5.

    Parameters
    ----------
    weight
        w, the mass of the skew-normal component, in [0, 1].
    location
        ξ, in units of the eigenvalues.
    scale
        ω > 0, in units of the eigenvalues.
    shape
        α, without unit: 0 is a Gaussian, positive leans to the right.
    narrow_scale
        σ > 0, the standard deviation of the Gaussian at zero that stands for the bulk; the paper's is 0.001.

    Raises
    ------
    ValueError
        If a parameter is not finite, ``weight`` is outside [0, 1] or a scale is not positive.

    Examples
    --------
    >>> from hessdens.mixture import SkewNormalMixture
    >>> mixture = SkewNormalMixture(weight=0.5, location=3.0, scale=1.0, shape=0.0)
    >>> round(mixture.fraction_degenerate(), 3), round(float(mixture.moments(1)[0]), 3)
    (0.5, 1.5)
    """

    weight: Finite
    location: Finite
    scale: Finite
    shape: Finite
    narrow_scale: Finite = 1e-3

    def __post_init__(self) -> None:
        for name in self.layout:
            value = float(getattr(self, name))
            if not math.isfinite(value):
                raise ValueError(f"{name} must be finite; got {value}.")
            object.__setattr__(self, name, value)
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight must be in [0, 1]; got {self.weight}.")
        for name in ("scale", "narrow_scale"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}.")

    def moments(self, order: int) -> FloatArray:
        """Return m_1..m_order in closed form, shape (order,): w E[X^k] + (1 - w) E[(σU)^k]."""
        tail = skew_normal_moments(self.location, self.scale, self.shape, order)
        return self.weight * tail + (1 - self.weight) * narrow_moments(self.narrow_scale, order)

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Return the mass at or below ``x``, in the shape of ``x``: w (Φ(z) - 2 T(z, α)) + (1 - w) Φ(x / σ)."""
        parameters = (self.weight, self.location, self.scale, self.shape)
        return mixture_cdf(*parameters, self.narrow_scale, np.asarray(x, dtype=np.float64))

    def pdf(self, x: ArrayLike) -> FloatArray:
        """Return the density at ``x``, in the shape of ``x``, per unit of the eigenvalues."""
        points = np.asarray(x, dtype=np.float64)
        z = np.clip(self._standardised(points), -FAR, FAR)
        tail = 2 * _normal_pdf(z) * ndtr(self.shape * z) / self.scale
        narrow = _normal_pdf(np.clip(points / self.narrow_scale, -FAR, FAR)) / self.narrow_scale
        return self.weight * tail + (1 - self.weight) * narrow

    def mass(self, low: float, high: float) -> float:
        """Return the mass in (low, high]; either end may be infinite.

        The error is some 1e-16 of each component's weight: left of zero the two distribution functions are subtracted,
        right of it their mirror images, so that a tail of mass 1e-9 does not drown in the rounding of 1 - 1.
        """
        check_interval(low, high)
        ends = np.array([low, high], dtype=np.float64)
        z = self._standardised(ends)
        narrow = ends / self.narrow_scale
        sign = -1 if z[0] > 0 else 1
        tail = abs(np.diff(_skew_normal_cdf(sign * z, sign * self.shape))[0])
        bulk = abs(np.diff(ndtr(-narrow if narrow[0] > 0 else narrow))[0])
        return float(self.weight * tail + (1 - self.weight) * bulk)

    def nodes(self) -> FloatArray:
        """Return ascending points between which the cdf is smooth: 12 standard deviations of all that has a scale.

        Those are both components and, for large abs(α), the skew normal's steep flank, whose width is ω / abs(α).
        """
        grid = np.linspace(-12, 12, 97)
        flank = self.scale / max(1.0, abs(self.shape))
        tail = [self.location + width * grid for width in (self.scale, flank)]
        return np.unique(np.concatenate([*tail, self.narrow_scale * grid, [0.0]]))

    def summary(self, window: Window | None = None, level: float = LEVEL) -> str:
        """Return what ``print`` shows, with fractions in this window."""
        return (
            f"{self.weight:.4g} SkewNormal(location {self.location:.4g}, scale {self.scale:.4g}, "
            f"shape {self.shape:.4g}) + {1 - self.weight:.10g} Normal(0, {self.narrow_scale:.4g}²): "
            f"{self._fractions(window)}"
        )

    def _numbers(self, window: Window, level: float) -> Numbers:
        return {"mixture": asdict(self), **super()._numbers(window, level)}

    def _standardised(self, x: FloatArray) -> FloatArray:
        """Return z = (x - ξ) / ω."""
        return (x - self.location) / self.scale


def mixture_cdf(
    weight: ArrayLike, location: ArrayLike, scale: ArrayLike, shape: ArrayLike, narrow_scale: float, x: FloatArray
) -> FloatArray:
    """Return the cdf of mixtures at ``x``, of the shape that the arguments broadcast to."""
    weight, location, scale, shape = (np.asarray(value, dtype=np.float64) for value in (weight, location, scale, shape))
    tail = _skew_normal_cdf((x - location) / scale, shape)
    return weight * tail + (1 - weight) * ndtr(x / narrow_scale)


def skew_normal_moments(location: ArrayLike, scale: ArrayLike, shape: ArrayLike, order: int) -> FloatArray:
    """Return E[X^k] for X = ξ + ωZ ~ SN(ξ, ω, α) and k = 1..order, shape (order, *broadcast shape of the arguments).

    Z = δ|U₀| + sqrt(1 - δ²) U₁ with δ = α / sqrt(1 + α²) and U₀, U₁ independent standard normals (Azzalini 1985), so
    E[Z^n] = Σ_j C(n, j) δ^j (1 - δ²)^((n-j)/2) E|U|^j E[U^(n-j)], a sum without cancellation.

    The arithmetic is +, *, / and hypot per element, so one row and a table of rows agree to the last bit.
    """
    at_least("order", order, 1)
    location, scale, shape = (np.asarray(value, dtype=np.float64) for value in (location, scale, shape))
    length = np.hypot(1.0, shape)
    absolute, plain = _normal_moments(order)
    delta, rest = _powers(shape / length, order), _powers(1 / length, order)
    standard = [
        sum((math.comb(n, j) * absolute[j] * plain[n - j]) * delta[j] * rest[n - j] for j in range(n % 2, n + 1, 2))
        for n in range(order + 1)
    ]
    locations, scales = _powers(location, order), _powers(scale, order)

    def moment(k: int) -> Any:
        return sum(math.comb(k, i) * locations[k - i] * (scales[i] * standard[i]) for i in range(k + 1))

    return np.array([moment(k) for k in range(1, order + 1)])


def narrow_moments(narrow_scale: float, order: int) -> FloatArray:
    """Return E[(σU)^k] for k = 1..order: 0, σ², 0, 3σ⁴, ..."""
    powers = _powers(np.float64(narrow_scale), order)
    return np.array([moment * power for moment, power in zip(_normal_moments(order)[1], powers, strict=True)][1:])


def _normal_moments(order: int) -> tuple[list[float], list[float]]:
    """Return E|U|^n and E[U^n] for n = 0..order and U standard normal."""
    absolute, plain = [1.0, math.sqrt(2 / math.pi)], [1.0, 0.0]
    for n in range(2, order + 1):
        absolute.append((n - 1) * absolute[n - 2])
        plain.append((n - 1) * plain[n - 2])
    return absolute[: order + 1], plain[: order + 1]


def _powers(base: ArrayLike, order: int) -> list[FloatArray]:
    """Return base^0..base^order by repeated products, whose rounding does not depend on the length of the array."""
    base = np.asarray(base, dtype=np.float64)
    return list(itertools.accumulate([base] * order, np.multiply, initial=np.ones_like(base)))


def _skew_normal_cdf(z: FloatArray, shape: ArrayLike) -> FloatArray:
    """Return Φ(z) - 2 T(z, α), Owen's T."""
    return np.clip(ndtr(z) - 2 * owens_t(z, shape), 0, 1)


def _normal_pdf(z: FloatArray) -> FloatArray:
    return np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
