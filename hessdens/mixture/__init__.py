"""The paper's model of a spectral density: a skew-normal tail and a narrow Gaussian at zero."""

from hessdens.mixture.fit import MixtureFit, fit_mixture, fit_mixtures
from hessdens.mixture.grid import Grid
from hessdens.mixture.model import SkewNormalMixture
from hessdens.mixture.uncertainty import FitUncertainty, fit_uncertainty

__all__ = [
    "FitUncertainty",
    "Grid",
    "MixtureFit",
    "SkewNormalMixture",
    "fit_mixture",
    "fit_mixtures",
    "fit_uncertainty",
]
