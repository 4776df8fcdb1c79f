"""References: stochastic Lanczos quadrature in four readings, kernel polynomials, Chebyshev moment matching."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import nnls

from spectra.answers import Blend, Line, Steps, interpolated
from spectra.matrix import Matrix
from spectra.registry import estimator

# A Ritz value has converged if the residual is below this share of the largest one.
CONVERGED = 1e-8
# Points of the grid that moments are matched on, and of the curve of a kernel polynomial.
GRID = 400
CURVE = 4001


def probes_of(matrix: Matrix, num_probes: int, seed: int) -> np.ndarray:
    """Return vectors that are uniform on the unit sphere, shape (N, num_probes)."""
    probes = np.random.default_rng(seed).standard_normal((matrix.size, num_probes))
    return probes / np.linalg.norm(probes, axis=0)


def lanczos(matrix: Matrix, start: np.ndarray, num_steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Ritz values, weights and residuals of Lanczos with full reorthogonalisation."""
    basis, diagonal, off = [start], [], []
    for _ in range(min(num_steps, matrix.size)):
        product = matrix @ basis[-1]
        diagonal.append(basis[-1] @ product)
        known = np.array(basis)
        for _ in range(2):
            product = product - known.T @ (known @ product)
        off.append(np.linalg.norm(product))
        if off[-1] <= 1e-12 * np.hypot(np.max(np.abs(diagonal)), np.max(off)):
            break
        basis.append(product / off[-1])
    inner = off[: len(diagonal) - 1]
    values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(inner, 1) + np.diag(inner, -1))
    return values, vectors[0] ** 2, off[-1] * np.abs(vectors[-1])


def blend(parts: list[Any]) -> Blend:
    return Blend(parts, np.full(len(parts), 1 / len(parts)))


def reduced(values: np.ndarray, weights: np.ndarray, residuals: np.ndarray, size: int, rest: Callable[..., Any]) -> Any:
    """Give converged Ritz values the weight 1/N, and what is left to ``rest`` of the others."""
    found = residuals <= CONVERGED * np.abs(values).max()
    share = found.sum() / size
    if found.all() or not 0 < share < 1:
        return rest(values, weights)
    known = Steps(values[found], np.ones(found.sum()))
    return Blend([known, rest(values[~found], weights[~found])], np.array([share, 1 - share]))


@estimator("SLQ", "reference", splits=(1, 2, 4, 8), gaussian=True)
def slq(matrix: Matrix, products: int, seed: int, probes: int) -> dict[str, Blend]:
    """Ubaru, Chen & Saad (2017); with variance reduction, Bhattacharjee, Jayaram, Musco, Musco & Ray (2024)."""
    starts = probes_of(matrix, probes, seed).T
    runs = [lanczos(matrix, start, products // probes) for start in starts]
    return {
        "steps": blend([Steps(*run[:2]) for run in runs]),
        "interpolated": blend([interpolated(*run[:2]) for run in runs]),
        "variance-reduced": blend([reduced(*run, matrix.size, Steps) for run in runs]),
        "variance-reduced, interpolated": blend([reduced(*run, matrix.size, interpolated) for run in runs]),
    }


def chebyshev(matrix: Matrix, products: int, seed: int, probes: int) -> np.ndarray:
    """Return the means of T_k over probes, k = 0..2n from n products each, on the exact support scaled to [-1, 1]."""
    low, high = matrix.support
    centre, radius = (low + high) / 2, max((high - low) / 2, 1e-12 * max(abs(low), abs(high)))
    before = probes_of(matrix, probes, seed)
    start, now = before, (matrix @ before - centre * before) / radius
    first = (start * now).sum(axis=0)
    moments = [np.ones(probes), first, 2 * (now * now).sum(axis=0) - 1]
    for _ in range(products // probes - 1):
        before, now = now, 2 * (matrix @ now - centre * now) / radius - before
        moments += [2 * (before * now).sum(axis=0) - first, 2 * (now * now).sum(axis=0) - 1]
    return np.mean(moments, axis=1)


def on_support(matrix: Matrix, x: np.ndarray) -> np.ndarray:
    low, high = matrix.support
    return (low + high) / 2 + (high - low) / 2 * x


@estimator("kernel polynomial", "reference", splits=(1, 2, 4, 8), gaussian=True)
def kernel(matrix: Matrix, products: int, seed: int, probes: int) -> Line:
    """Weiße, Wellein, Alvermann & Fehske (2006), Jackson's kernel, told the ends of the spectrum."""
    moments = chebyshev(matrix, products, seed, probes)
    k, n = np.arange(1, len(moments)), len(moments) + 1
    damping = ((n - k) * np.cos(np.pi * k / n) + np.sin(np.pi * k / n) / np.tan(np.pi / n)) / n
    angle = np.linspace(np.pi, 0, CURVE)
    cumulative = 1 - angle / np.pi - 2 / np.pi * np.sin(np.outer(angle, k)) @ (damping * moments[1:] / k)
    return Line(on_support(matrix, np.cos(angle)), np.maximum.accumulate(np.clip(cumulative, 0, 1)))


@estimator("Chebyshev moment matching", "reference", splits=(1, 4), gaussian=True)
def matching(matrix: Matrix, products: int, seed: int, probes: int) -> Steps:
    """Braverman, Krishnan & Musco (2022), told the ends: least squares of moments over k, on a cosine grid."""
    moments = chebyshev(matrix, products, seed, probes)[: GRID // 2]
    angle = np.linspace(np.pi, 0, GRID + 1)
    k = np.arange(1, len(moments))
    system = np.cos(np.outer(k, angle)) / k[:, None]
    heavy = 1e3
    masses, _ = nnls(np.vstack([system, heavy * np.ones(GRID + 1)]), np.r_[moments[1:] / k, heavy], maxiter=50 * GRID)
    return Steps(on_support(matrix, np.cos(angle)), masses)
