"""Spectral density of the Hessian of a neural network, with error bars."""

from hessdens.compare import Comparison, Density, compare
from hessdens.curvature import fisher_operator, ggn_operator, hessian_operator
from hessdens.curvature_operator import CurvatureOperator
from hessdens.errors import NonFiniteError
from hessdens.estimate import spectral_moments
from hessdens.exact import exact_spectrum
from hessdens.fit import MixtureFit, fit_mixture
from hessdens.grid import Grid
from hessdens.layers import layer_moments
from hessdens.mixture import SkewNormalMixture
from hessdens.moments import Moments
from hessdens.operators import Operator, as_operator
from hessdens.plan import Plan
from hessdens.plotting import plot_density
from hessdens.spectrum import Spectrum

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "CurvatureOperator",
    "Density",
    "Grid",
    "MixtureFit",
    "Moments",
    "NonFiniteError",
    "Operator",
    "Plan",
    "SkewNormalMixture",
    "Spectrum",
    "as_operator",
    "compare",
    "exact_spectrum",
    "fisher_operator",
    "fit_mixture",
    "ggn_operator",
    "hessian_operator",
    "layer_moments",
    "plot_density",
    "spectral_moments",
]
