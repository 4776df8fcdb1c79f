"""Spectral density of the Hessian of a neural network, with error bars."""

from hessdens.bounds import cdf_bounds, degenerate_bounds, negative_bounds
from hessdens.chebyshev import ChebyshevMoments, chebyshev_from_quadrature
from hessdens.chebyshev_estimate import chebyshev_moments
from hessdens.compare import Comparison, Density, compare
from hessdens.curvature import fisher_operator, ggn_operator, hessian_operator
from hessdens.curvature_operator import CurvatureOperator
from hessdens.data_noise import DataNoise, data_noise
from hessdens.density_difference import DensityDifference, density_difference
from hessdens.errors import NonFiniteError
from hessdens.estimate import spectral_moments
from hessdens.exact import exact_spectrum
from hessdens.fit import MixtureFit, fit_mixture
from hessdens.fit_uncertainty import FitUncertainty, fit_uncertainty
from hessdens.grid import Grid
from hessdens.history import SpectrumHistory, SpectrumRecord
from hessdens.history_plot import plot_history
from hessdens.kernel_polynomial import KernelPolynomialDensity, kernel_polynomial
from hessdens.lanczos import lanczos_density
from hessdens.lanczos_density import LanczosDensity
from hessdens.layers import layer_moments
from hessdens.loggers import csv_logger, tensorboard_logger, wandb_logger
from hessdens.maximum_entropy import MaximumEntropyDensity, maximum_entropy
from hessdens.mixture import SkewNormalMixture
from hessdens.moments import Moments
from hessdens.monitor import SpectrumMonitor
from hessdens.operators import Operator, as_operator
from hessdens.plan import Plan
from hessdens.plotting import plot_density
from hessdens.results import load_result
from hessdens.spectrum import Spectrum

__version__ = "0.1.0"

__all__ = [
    "ChebyshevMoments",
    "Comparison",
    "CurvatureOperator",
    "DataNoise",
    "Density",
    "DensityDifference",
    "FitUncertainty",
    "Grid",
    "KernelPolynomialDensity",
    "LanczosDensity",
    "MaximumEntropyDensity",
    "MixtureFit",
    "Moments",
    "NonFiniteError",
    "Operator",
    "Plan",
    "SkewNormalMixture",
    "Spectrum",
    "SpectrumHistory",
    "SpectrumMonitor",
    "SpectrumRecord",
    "as_operator",
    "cdf_bounds",
    "chebyshev_from_quadrature",
    "chebyshev_moments",
    "compare",
    "csv_logger",
    "data_noise",
    "degenerate_bounds",
    "density_difference",
    "exact_spectrum",
    "fisher_operator",
    "fit_mixture",
    "fit_uncertainty",
    "ggn_operator",
    "hessian_operator",
    "kernel_polynomial",
    "lanczos_density",
    "layer_moments",
    "load_result",
    "maximum_entropy",
    "negative_bounds",
    "plot_density",
    "plot_history",
    "spectral_moments",
    "tensorboard_logger",
    "wandb_logger",
]
