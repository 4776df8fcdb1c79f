"""Spectral density of the Hessian of a neural network, with error bars."""

from hessdens import (
    cli,
    curvature,
    densities,
    distributed,
    eigenvectors,
    estimators,
    linalg,
    mixture,
    monitor,
    multilevel,
    plotting,
    results,
    structure,
)
from hessdens._version import __version__ as __version__
from hessdens.curvature import Plan, fisher_operator, ggn_operator, hessian_operator
from hessdens.densities import Spectrum, compare
from hessdens.eigenvectors import eigenpairs
from hessdens.errors import NonFiniteError
from hessdens.estimators import exact_spectrum, lanczos_density, spectral_moments
from hessdens.linalg import as_operator
from hessdens.loading import load_result
from hessdens.mixture import fit_mixture
from hessdens.monitor import SpectrumMonitor
from hessdens.plotting import plot_density

__all__ = [
    "NonFiniteError", "Plan", "Spectrum", "SpectrumMonitor", "as_operator", "compare", "eigenpairs",
    "exact_spectrum", "fisher_operator", "fit_mixture", "ggn_operator", "hessian_operator", "lanczos_density",
    "load_result", "plot_density", "spectral_moments",
]  # fmt: skip
_WINGS = (
    cli, curvature, densities, distributed, eigenvectors, estimators, linalg, mixture, monitor, multilevel, plotting,
    results, structure,
)  # fmt: skip
WINGS = tuple(wing.__name__.removeprefix("hessdens.") for wing in _WINGS)


def __dir__() -> list[str]:
    return [*__all__, *WINGS, "__version__"]
