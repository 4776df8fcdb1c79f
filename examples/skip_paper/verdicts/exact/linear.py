"""Notes 5 and 6, and sections 2.2 and 2.7: linear networks, skip matrices, segments of the overlap manifold, the grid."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hessdens.mixture import Grid
from skip_paper.figures import figS4, figS5
from skip_paper.figures.parts.fig2_models import TwoUnits

SEEDS = range(5)
SIZE = 32
TAUS = (0.0, 0.005, 0.01, 0.015, 0.02, 0.025)
Array = NDArray[np.float64]


def skips_shift() -> tuple[float, float]:
    """Return how far Hessians of a residual linear network and of the plain one shifted by I are apart.

    And the size of the difference of the columns of two overlapping units of the residual network.
    """
    apart, columns = [], []
    for seed in SEEDS:
        generator = torch.Generator().manual_seed(seed)
        weights = torch.randn(2, 3, 3, generator=generator, dtype=torch.float64)
        target = torch.randn(3, 3, generator=generator, dtype=torch.float64)
        weights[0, 1] = weights[0, 0]
        hessian = torch.func.hessian(lambda w, shift, target=target: _product_loss(w, shift, target))
        plain, moved = hessian(weights, 0.0), hessian(weights - torch.eye(3, dtype=torch.float64), 1.0)
        apart.append(float((plain - moved).abs().max()))
        block = hessian(weights, 1.0)[1, :, :, 1]
        columns.append(float((block[:, 0] - block[:, 1]).abs().max()))
    return max(apart), min(columns)


def _product_loss(weights: Tensor, shift: float, target: Tensor) -> Tensor:
    first, second = weights + shift * torch.eye(3, dtype=torch.float64)
    return ((second @ first - target) ** 2).sum() / 2


def same_start() -> float:
    """Return how far trajectories of a residual network and of the plain one that starts at W + I are apart."""
    rng = np.random.default_rng(0)
    apart = 0.0
    for _ in SEEDS:
        a, b = 0.1 * rng.standard_normal((2, 2, 2))
        residual = figS4.strengths("residual", *figS4.learn("residual", a, b, 0.02, 300))
        plain = figS4.strengths("plain", *figS4.learn("plain", a + figS4.MODES, b + figS4.MODES, 0.02, 300))
        apart = max(apart, float(np.abs(residual - plain).max()))
    return apart


def equal_strengths() -> tuple[float, float]:
    """Return the least difference of the columns of a_i and a_j where a_i = a_j, away from u = s, and at u = s."""
    away, perfect = [], []
    for seed in SEEDS:
        a = torch.rand(4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.3
        a[1] = a[0]
        u = float(torch.prod(a + 1))
        for target, found in ((u + 1.0, away), (u, perfect)):
            energy = lambda a, s=target: (s - torch.prod(a + 1)) ** 2 / 2  # noqa: E731
            hessian = torch.func.hessian(energy)(a)
            found.append(float((hessian[:, 0] - hessian[:, 1]).norm()))
    return min(away), max(perfect)


def saddles() -> list[bool]:
    """Return whether (0, 0), (-1, -1), (-1, -2) are saddles of the three kinds: no gradient, eigenvalues of both signs."""
    found = []
    for kind in figS5.KINDS:
        saddle = -figS5.shifts(kind, 2)
        shift = torch.tensor(figS5.shifts(kind, 2))
        energy = lambda a, shift=shift: (figS5.STRENGTH - torch.prod(a + shift)) ** 2 / 2  # noqa: E731
        values = torch.linalg.eigvalsh(torch.func.hessian(energy)(torch.tensor(saddle)))
        still = bool(np.abs(figS5.descent(kind, saddle)).max() == 0)
        expected = {"plain": (0, 0), "residual": (-1, -1), "hyper-residual": (-1, -2)}[kind]
        found.append(still and bool(values[0] < 0 < values[1]) and tuple(saddle) == expected)
    return found


def segments() -> tuple[float, float]:
    """Return dh/dt / h of a simulated network next to overlap, between the elimination manifolds and beyond them."""
    model, rates = TwoUnits(), []
    for z in (0.5, 1.3):
        student = model.train(model.start(0.01, z), np.array([0.0, 600.0]))[:, -1]
        slopes = model.descent(student)
        rates.append(float((slopes[3] - slopes[2]) / (student[3] - student[2])))
    return rates[0], rates[1]


def skip_matrix(tau: float, seed: int = 0) -> tuple[Array, Array, Array]:
    """Return Sigma, the correlation matrix R, and the covariance S's eigenvalues, by note 6, in float64."""
    rng = np.random.default_rng(seed)
    q, o = (np.linalg.qr(rng.standard_normal((SIZE, SIZE)))[0] for _ in range(2))
    spectrum = np.exp(-tau * 128 / SIZE * np.arange(SIZE))
    s = q * spectrum @ q.T
    scale = np.sqrt(np.diag(s))
    r = s / np.outer(scale, scale)
    t = np.linalg.cholesky(r)
    return t @ o @ np.linalg.inv(t), r, spectrum


def unit_circle() -> float:
    """Return the greatest distance of the eigenvalues of Sigma from the unit circle, over tau."""
    return max(float(np.abs(np.abs(np.linalg.eigvals(skip_matrix(tau)[0])) - 1).max()) for tau in TAUS)


def eigenvector_correlation() -> float:
    """Return how far T U (T U)* is from R, U being the unit eigenvectors of O, over tau."""
    apart = 0.0
    for tau in TAUS:
        sigma, r, _ = skip_matrix(tau)
        t = np.linalg.cholesky(r)
        _, u = np.linalg.eig(np.linalg.inv(t) @ sigma @ t)
        vectors = t @ np.linalg.qr(u)[0]
        apart = max(apart, float(np.abs(vectors @ vectors.conj().T - r).max()))
    return apart


def column_products() -> tuple[list[float], float]:
    """Return the mean absolute cosine of different columns of Sigma, by tau.

    And the largest eigenvalue of the Gram matrix of its columns over that of S, at the largest tau.
    """
    cosines = []
    for tau in TAUS:
        sigma = skip_matrix(tau)[0]
        unit = sigma / np.linalg.norm(sigma, axis=0)
        gram = np.abs(unit.T @ unit)
        cosines.append(float((gram.sum() - SIZE) / SIZE / (SIZE - 1)))
    sigma, _, spectrum = skip_matrix(TAUS[-1])
    return cosines, float(np.linalg.eigvalsh(sigma.T @ sigma)[-1] / spectrum[0])


def least_degenerate_of_grid() -> float:
    """Return the smallest fraction of degenerate eigenvalues that the paper's grid can say, in percent."""
    return 100 * (1 - float(np.max(Grid.paper().weights)))
