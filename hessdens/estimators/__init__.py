"""From an operator to a result, in the frame that `run` gives."""

from hessdens.estimators.chebyshev import chebyshev_moments
from hessdens.estimators.counts import certified_counts
from hessdens.estimators.data_noise import data_noise
from hessdens.estimators.exact import exact_spectrum
from hessdens.estimators.lanczos import lanczos_density
from hessdens.estimators.moments import spectral_moments

__all__ = [
    "certified_counts",
    "chebyshev_moments",
    "data_noise",
    "exact_spectrum",
    "lanczos_density",
    "spectral_moments",
]
