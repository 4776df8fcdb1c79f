"""Spectral density of the Hessian of a neural network, with error bars."""

from hessdens.compare import Comparison, compare
from hessdens.curvature import HessianOperator, hessian_operator
from hessdens.estimate import spectral_moments
from hessdens.exact import exact_spectrum
from hessdens.moments import Moments
from hessdens.operators import Operator, as_operator
from hessdens.spectrum import Spectrum

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "HessianOperator",
    "Moments",
    "Operator",
    "Spectrum",
    "as_operator",
    "compare",
    "exact_spectrum",
    "hessian_operator",
    "spectral_moments",
]
