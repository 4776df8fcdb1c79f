"""References for traces: Hutchinson's estimator, Hutch++, XTrace and XNysTrace."""

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from spectra.answers import Trace
from spectra.matrix import Matrix
from spectra.registry import estimator

EPS = float(np.finfo(float).eps)


def gaussian(matrix: Matrix, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((matrix.size, count))


def spherical(matrix: Matrix, count: int, seed: int) -> np.ndarray:
    """Return probes of length sqrt(N)."""
    probes = gaussian(matrix, count, seed)
    return probes * (matrix.size**0.5 / np.linalg.norm(probes, axis=0))


def mean_of(samples: np.ndarray, size: int, offset: float = 0.0) -> Trace:
    """Return the mean of estimates of a trace over N, with its standard error."""
    error = samples.std(ddof=1) / len(samples) ** 0.5
    return Trace(float(samples.mean() + offset) / size, float(error) / size)


@estimator("Hutchinson", "reference", gives="moments", gaussian=True)
def hutchinson(matrix: Matrix, products: int, seed: int) -> Trace:
    """Hutchinson (1989), with probes of length sqrt(N)."""
    probes = spherical(matrix, products, seed)
    return mean_of((probes * (matrix @ probes)).sum(axis=0), matrix.size)


@estimator("Hutch++", "reference", gives="moments", gaussian=True)
def hutch_plus_plus(matrix: Matrix, products: int, seed: int) -> Trace:
    """Meyer, Musco, Musco & Woodruff (2021)."""
    third = products // 3
    probes = gaussian(matrix, products - third, seed)
    basis, _ = np.linalg.qr(matrix @ probes[:, :third])
    rest = probes[:, third : products - third]
    rest = rest - basis @ (basis.T @ rest)
    known = float(np.sum(basis * (matrix @ basis)))
    return mean_of((rest * (matrix @ rest)).sum(axis=0), matrix.size, known)


def _lengths_left(probes: np.ndarray) -> np.ndarray:
    """Return the squared lengths of probes beyond the span of all others."""
    _, triangle = np.linalg.qr(probes)
    inverse = solve_triangular(triangle, np.eye(len(triangle)))
    return 1 / (inverse**2).sum(axis=1)


@estimator("XTrace", "reference", gives="moments", gaussian=True)
def xtrace(matrix: Matrix, products: int, seed: int) -> Trace:
    """Epperly, Tropp & Webber (2024), with normalised probes: each is a probe of the space of all others."""
    count, size = products // 2, matrix.size
    if count >= size:
        raise ValueError("XTrace needs fewer than 2 N products.")
    probes = spherical(matrix, count, seed)
    basis, triangle = np.linalg.qr(matrix @ probes)
    outer = matrix @ basis
    H, W, T = basis.T @ outer, basis.T @ probes, outer.T @ probes
    pivots = np.abs(np.diag(triangle))
    if pivots.min() <= count * EPS * pivots.max():  # the basis holds the whole range
        return Trace(float(np.trace(H)) / size, 0.0)
    left_out = solve_triangular(triangle, np.eye(count)).T
    S = left_out / np.linalg.norm(left_out, axis=0)  # the direction that leaves the basis with each probe
    sw, shs = (S * W).sum(axis=0), (S * (H @ S)).sum(axis=0)
    # Of each probe what lies in the space of the others, and its form beyond it.
    inside = W - S * sw
    forms = (
        (probes * (basis @ triangle)).sum(axis=0) - 2 * (inside * T).sum(axis=0) + (inside * (H @ inside)).sum(axis=0)
    )
    lengths = (probes**2).sum(axis=0) - (inside**2).sum(axis=0)
    return mean_of(np.trace(H) - shs + (size - count + 1) * forms / lengths, size)


@estimator("XNysTrace", "reference", gives="moments", gaussian=True)
def xnystrace(matrix: Matrix, products: int, seed: int) -> Trace:
    """Epperly, Tropp & Webber (2024), with normalised probes; for positive semidefinite matrices."""
    size = matrix.size
    if matrix.support[0] < 0 or products >= size:
        raise ValueError("XNysTrace needs a positive semidefinite matrix, and fewer than N products.")
    probes = spherical(matrix, products, seed)
    images = matrix @ probes
    shift = EPS * np.linalg.norm(images) / size**0.5
    images = images + shift * probes
    core = probes.T @ images
    factor = cholesky((core + core.T) / 2)
    B = solve_triangular(factor, images.T, trans=1).T
    inverse = solve_triangular(factor, np.eye(products))
    pivots = (inverse**2).sum(axis=1)  # the diagonal of the inverse of the core
    S = B @ inverse.T / np.sqrt(pivots)
    forms = (S * probes).sum(axis=0) ** 2
    samples = np.sum(B**2) - (S**2).sum(axis=0) + (size - products + 1) * forms / _lengths_left(probes)
    return mean_of(samples, size, -shift * size)
