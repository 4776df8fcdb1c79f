"""Spectral density of the Hessian of a neural network, with error bars."""

from hessdens import cli as cli
from hessdens import curvature as curvature
from hessdens import densities as densities
from hessdens import distributed as distributed
from hessdens import estimators as estimators
from hessdens import linalg as linalg
from hessdens import mixture as mixture
from hessdens import monitor as monitor
from hessdens import plotting as plotting
from hessdens import results as results
from hessdens._version import __version__ as __version__
from hessdens.curvature.factories import fisher_operator, ggn_operator, hessian_operator
from hessdens.curvature.plan import Plan
from hessdens.densities.compare import compare
from hessdens.densities.spectrum import Spectrum
from hessdens.errors import NonFiniteError
from hessdens.estimators.exact import exact_spectrum
from hessdens.estimators.lanczos import lanczos_density
from hessdens.estimators.moments import spectral_moments
from hessdens.linalg.adapt import as_operator
from hessdens.loading import load_result
from hessdens.mixture.fit import fit_mixture
from hessdens.monitor.monitor import SpectrumMonitor
from hessdens.plotting.density import plot_density

__all__ = [
    "NonFiniteError",
    "Plan",
    "Spectrum",
    "SpectrumMonitor",
    "as_operator",
    "compare",
    "exact_spectrum",
    "fisher_operator",
    "fit_mixture",
    "ggn_operator",
    "hessian_operator",
    "lanczos_density",
    "load_result",
    "plot_density",
    "spectral_moments",
]

WINGS = (
    "cli",
    "curvature",
    "densities",
    "distributed",
    "estimators",
    "linalg",
    "mixture",
    "monitor",
    "plotting",
    "results",
)


def __dir__() -> list[str]:
    return [*__all__, *WINGS, "__version__"]
