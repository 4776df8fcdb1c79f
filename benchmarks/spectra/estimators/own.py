"""The estimators of hessdens."""

from typing import Any

from hessdens import fit_mixture, lanczos_density, spectral_moments
from hessdens.densities import kernel_polynomial, maximum_entropy
from hessdens.estimators import chebyshev_moments
from hessdens.mixture import Grid
from spectra.matrix import Matrix
from spectra.registry import estimator

MOMENTS_OF_POLYNOMIAL, MOMENTS_OF_ENTROPY = 64, 16
# What two probes spend on the support; small budgets have no more moments than what it leaves.
SUPPORT = 30


def _chebyshev(matrix: Matrix, num_moments: int, products: int, seed: int) -> Any:
    num_moments = min(num_moments, products - SUPPORT)
    return chebyshev_moments(matrix.operator(), num_moments, max_products=products, seed=seed)


@estimator("lanczos_density", "ours", gaussian=True)
def lanczos(matrix: Matrix, products: int, seed: int) -> Any:
    return lanczos_density(matrix.operator(), max_products=products, seed=seed)


@estimator("kernel_polynomial", "ours", gaussian=True)
def polynomial(matrix: Matrix, products: int, seed: int) -> Any:
    return kernel_polynomial(_chebyshev(matrix, MOMENTS_OF_POLYNOMIAL, products, seed))


@estimator("maximum_entropy", "ours", gaussian=True)
def entropy(matrix: Matrix, products: int, seed: int) -> Any:
    return maximum_entropy(_chebyshev(matrix, MOMENTS_OF_ENTROPY, products, seed))


@estimator("fit_mixture", "ours", gaussian=True)
def mixture(matrix: Matrix, products: int, seed: int) -> Any:
    moments = spectral_moments(matrix.operator(), max_products=products, seed=seed)
    return fit_mixture(moments, grid=Grid.for_moments(moments)).mixture


@estimator("spectral_moments", "ours", gives="moments", gaussian=True)
def moments(matrix: Matrix, products: int, seed: int) -> Any:
    return spectral_moments(matrix.operator(), max_products=products, seed=seed)


@estimator("spectral_moments, trace alone", "ours", gives="moments", gaussian=True)
def trace(matrix: Matrix, products: int, seed: int) -> Any:
    return spectral_moments(matrix.operator(), 1, max_products=products, seed=seed)


@estimator("spectral_moments, skilling", "ours", gives="moments", gaussian=True)
def skilling(matrix: Matrix, products: int, seed: int) -> Any:
    return spectral_moments(matrix.operator(), method="skilling", max_products=products, seed=seed)
