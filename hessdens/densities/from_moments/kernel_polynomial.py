"""The kernel polynomial method: the density that a damped Chebyshev series is."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from hessdens._checks import LEVEL, at_least
from hessdens._types import FloatArray, Window
from hessdens.densities.base import Density, in_chunks
from hessdens.results.chebyshev import ChebyshevMoments
from hessdens.results.saved import Numbers, Saved
from hessdens.results.support import Interval

Kernel = Literal["jackson", "dirichlet"]
NODES_PER_MOMENT = 4


@dataclass(frozen=True, eq=False)
class KernelPolynomialDensity(Density, Saved):
    r"""The density [1 + 2 Σ_k c_k T_k(x)] / (π h sqrt(1 - x^2)), x = (λ - c) / h; nothing outside the support.

    Parameters
    ----------
    coefficients
        c_1..c_K, shape (K,): Chebyshev moments times the kernel's factors.
    support
        (c - h, c + h).
    kernel
        "jackson", a positive kernel, or "dirichlet", the plain truncated series.
    """

    coefficients: Annotated[FloatArray, "K finite"]
    support: Interval
    kernel: Annotated[Kernel, "text"] = "jackson"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.coefficients.ndim != 1 or self.coefficients.size == 0 or not np.isfinite(self.coefficients).all():
            raise ValueError(f"coefficients must be finite, of shape (K,), K at least 1; got {self.coefficients}.")
        if self.kernel not in get_args(Kernel):
            raise ValueError(f"kernel must be one of {', '.join(get_args(Kernel))}; got {self.kernel!r}.")

    @property
    def resolution(self) -> float:
        """π h / K, the standard deviation of the Jackson kernel in the middle of the support (less near its ends)."""
        return math.pi * self.support.half_width / len(self.coefficients)

    def moments(self, order: int) -> FloatArray:
        """Return m_1..m_order of this density, by a Gauss-Chebyshev quadrature that is exact for them."""
        at_least("order", order, 1)
        count = (len(self.coefficients) + order) // 2 + 1
        angles = (np.arange(count) + 0.5) * math.pi / count
        weights = (1 + 2 * self._sum(angles, np.cos, self.coefficients)) / count
        points = self.support.centre + self.support.half_width * np.cos(angles)
        return np.array([float(weights @ points**k) for k in range(1, order + 1)])

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Return the mass at or below ``x``, in the shape of ``x``: 1 - θ/π - (2/π) Σ_k c_k sin(kθ) / k, θ = arccos x.

        Clipped to [0, 1], which changes more than rounding only where the density becomes negative.
        """
        points = np.asarray(x, dtype=np.float64)
        angles = np.arccos(self.support.standardised(points))
        orders = np.arange(1, len(self.coefficients) + 1)
        series = self._sum(angles, np.sin, self.coefficients / orders)
        masses = np.clip(1 - angles / math.pi - 2 / math.pi * series, 0.0, 1.0)
        low, high = self.support
        return np.where(points <= low, 0.0, np.where(points >= high, 1.0, masses))

    def pdf(self, x: ArrayLike) -> FloatArray:
        """Return the density at ``x``, in the shape of ``x``, per unit of the eigenvalues."""
        points = np.asarray(x, dtype=np.float64)
        angles = np.arccos(self.support.standardised(points))
        series = 1 + 2 * self._sum(angles, np.cos, self.coefficients)
        with np.errstate(divide="ignore", invalid="ignore"):
            density = series / (math.pi * self.support.half_width * np.sin(angles))
        low, high = self.support
        return np.where((points < low) | (points > high), 0.0, density)

    def nodes(self) -> FloatArray:
        """Return ascending points between which the cdf is smooth: 4 for each moment, denser towards the ends."""
        angles = np.linspace(math.pi, 0.0, NODES_PER_MOMENT * (len(self.coefficients) + 1) + 1)
        return np.clip(self.support.centre + self.support.half_width * np.cos(angles), *self.support)

    def summary(self, window: Window | None = None, level: float = LEVEL) -> str:
        """Return what ``print`` shows, with fractions in this window."""
        text = (
            f"Kernel polynomial density of {len(self.coefficients)} Chebyshev moments ({self.kernel}) in "
            f"{self.support}, resolution {self.resolution:.2g}: {self._fractions(window)}"
        )
        if self.resolution > self._half(window):
            text += "\n  COARSE: the resolution is above half the window, so these fractions say little."
        return text

    def _numbers(self, window: Window, level: float) -> Numbers:
        return self._named("kernel", "resolution", "support") | super()._numbers(window, level)

    def _sum(self, angles: FloatArray, function: np.ufunc, coefficients: FloatArray) -> FloatArray:
        """Return Σ_k coefficients_k function(k angle), in the shape of ``angles``."""
        orders = np.arange(1, len(coefficients) + 1)
        return in_chunks(lambda points: function(points * orders) @ coefficients, angles, len(orders))


def kernel_polynomial(moments: ChebyshevMoments, *, kernel: Kernel = "jackson") -> KernelPolynomialDensity:
    """Return the density of the kernel polynomial method.

    Parameters
    ----------
    moments
        K Chebyshev moments, from `chebyshev_moments` or `ChebyshevMoments.from_quadrature`.
    kernel
        "jackson": the series convolved with a positive kernel, so that the density is not negative for moments that
        some density has. Its standard deviation, π h / K, is the resolution. "dirichlet": the plain series, which has
        these moments exactly but overshoots next to every peak.

    Raises
    ------
    TypeError
        If ``moments`` are not Chebyshev moments.
    ValueError
        If the kernel is unknown.

    Notes
    -----
    Every eigenvalue is spread over the resolution, so mass next to a window's edge is counted on both sides: fractions
    are biased where π h / K is not far below the window. Cost: none in products. Source: A. Weiße et al., The kernel
    polynomial method, Reviews of Modern Physics 78 (2006), eq. 71.

    Examples
    --------
    >>> from hessdens.results import ChebyshevMoments
    >>> moments = ChebyshevMoments.from_quadrature([0.0, 1.0], [0.5, 0.5], 100)
    >>> print(f"{kernel_polynomial(moments).mass(-0.5, 0.5):.3f}")
    0.500
    """
    if not isinstance(moments, ChebyshevMoments):
        raise TypeError(
            f"moments must be ChebyshevMoments; got {type(moments).__name__}. Make them by chebyshev_moments."
        )
    factors = jackson_factors(len(moments.values)) if kernel == "jackson" else 1.0
    return KernelPolynomialDensity(moments.values * factors, moments.support, kernel)


def jackson_factors(num_moments: int) -> FloatArray:
    """Return g_1..g_K of the Jackson kernel, shape (K,), in (0, 1)."""
    orders = np.arange(1, num_moments + 1)
    count = num_moments + 2
    angle = math.pi / count
    return ((count - orders) * np.cos(angle * orders) + np.sin(angle * orders) / math.tan(angle)) / count
