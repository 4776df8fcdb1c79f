"""What every density answers."""

import math
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from hessdens._checks import PAPER_WINDOW
from hessdens._types import FloatArray
from hessdens.results.moments import Moments


@runtime_checkable
class Density(Protocol):
    """The questions that `SkewNormalMixture`, `Spectrum` and every other density answers."""

    def moments(self, order: int) -> FloatArray:
        """Return m_1..m_order."""

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Return the mass at or below x."""

    def pdf(self, x: ArrayLike) -> FloatArray:
        """Return the density at x."""

    def nodes(self) -> FloatArray:
        """Return ascending points between which the cdf is smooth."""

    def mass(self, low: float, high: float) -> float:
        """Return the mass in (low, high]."""

    def fraction_degenerate(self, window: float = PAPER_WINDOW) -> float:
        """Return the mass in a window of this size around 0."""

    def fraction_negative(self, window: float = PAPER_WINDOW) -> float:
        """Return the mass to the left of the window."""


def density_of(given: Any, name: str) -> Density:
    """Return a density, which a `MixtureFit` has; TypeError, naming the argument, if there is none."""
    density = getattr(given, "mixture", given)
    if not isinstance(density, Density):
        hint = ""
        if isinstance(given, Moments):
            hint = " Moments are no density: pass fit_mixture(moments)."
        elif isinstance(given, np.ndarray | list):
            hint = " Eigenvalues are one as Spectrum(eigenvalues)."
        raise TypeError(
            f"{name} must be a density (a Spectrum, a SkewNormalMixture, ...) or a MixtureFit; got "
            f"{type(given).__name__}.{hint}"
        )
    return density


def percent(fraction: float) -> str:
    """Return a fraction as a percentage that shows how far it is from 0% and 100%."""
    distance = min(fraction, 1 - fraction)
    digits = 2 if distance <= 1e-14 else max(2, -math.floor(math.log10(distance)))
    return f"{100 * fraction:.{digits}f}%"
