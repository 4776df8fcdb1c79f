"""Slow obvious twins of the library's fast code."""

from collections.abc import Callable

import numpy as np
import torch
from scipy import stats
from scipy.optimize import linprog
from torch import Tensor, nn

from hessdens.densities import Density


def skilling_samples(matrix: np.ndarray, probes: np.ndarray, num_moments: int) -> np.ndarray:
    """m_k = r·A^k r / N for each probe (a row of ``probes``), by matrix powers."""
    size = len(matrix)
    powers = [np.linalg.matrix_power(matrix, k) for k in range(1, num_moments + 1)]
    return np.array([[r @ power @ r / size for power in powers] for r in probes])


def chebyshev_samples(matrix: np.ndarray, probes: np.ndarray, num_moments: int, interval: tuple) -> np.ndarray:
    """μ_k = r·T_k r / r·r for each probe (a row of ``probes``), T_k = T_k((A - c) / h) as a dense matrix."""
    low, high = interval
    x = (2 * matrix - (high + low) * np.eye(len(matrix))) / (high - low)
    dense = [np.eye(len(matrix)), x]
    for _ in range(num_moments - 1):
        dense.append(2 * x @ dense[-1] - dense[-2])
    return np.array([[r @ polynomial @ r / (r @ r) for polynomial in dense[1:]] for r in probes])


def hessian_by_differences(gradient: Callable[[np.ndarray], np.ndarray], point: np.ndarray, step: float) -> np.ndarray:
    """Return the Hessian by fourth-order central differences of the gradient, one column at a time."""
    columns = []
    for i in range(len(point)):
        unit = np.zeros(len(point))
        unit[i] = step
        near = gradient(point + unit) - gradient(point - unit)
        far = gradient(point + 2 * unit) - gradient(point - 2 * unit)
        columns.append((8 * near - far) / (12 * step))
    return np.array(columns).T


def flat_gradient(model: nn.Module, loss_fn: Callable[..., Tensor], inputs: Tensor, targets: Tensor) -> Callable:
    """Return the gradient of the loss as a function of the flat parameter vector."""
    named = dict(model.named_parameters())

    def gradient(point: np.ndarray) -> np.ndarray:
        vector = torch.tensor(point, requires_grad=True)
        pieces = torch.split(vector, [parameter.numel() for parameter in named.values()])
        values = {name: piece.reshape(named[name].shape) for name, piece in zip(named, pieces, strict=True)}
        loss = loss_fn(torch.func.functional_call(model, values, (inputs,)), targets)
        return torch.autograd.grad(loss, vector)[0].numpy()

    return gradient


def skew_normal_wasserstein(cdf: Callable, eigenvalues: np.ndarray, low: float, high: float, num: int) -> float:
    """Return the area between a cdf and a spectrum's by a fine midpoint rule."""
    edges = np.linspace(low, high, num + 1)
    x = (edges[:-1] + edges[1:]) / 2
    steps = (eigenvalues[None, :] <= x[:, None]).mean(axis=1)
    return float(np.abs(cdf(x) - steps).mean() * (high - low))


def lanczos_quadrature(eigenvalues: np.ndarray, probe: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the Gauss quadrature of a probe's spectral measure, from the Krylov space of a diagonal matrix by QR."""
    scale = np.abs(eigenvalues).max() or 1.0
    basis = [probe / np.linalg.norm(probe)]
    for _ in range(steps - 1):
        new = eigenvalues / scale * basis[-1]
        for _ in range(3):
            new = new - sum((vector @ new) * vector for vector in basis)
        if np.linalg.norm(new) < 1e-9:
            break
        basis.append(new / np.linalg.norm(new))
    columns = np.array(basis).T
    nodes, vectors = np.linalg.eigh(columns.T @ (eigenvalues[:, None] * columns))
    return nodes, vectors[0] ** 2


def least_and_largest_mass(moments: np.ndarray, x: float, grid: np.ndarray) -> tuple[float, float]:
    """Return the least mass left of x and the largest at or left of it, of measures on a grid with given moments."""
    orders = np.arange(len(moments) + 1)
    scale = 4.0**orders
    equal = {"A_eq": grid ** orders[:, None] / scale[:, None], "b_eq": np.concatenate([[1.0], moments]) / scale}
    least = linprog((grid < x).astype(float), **equal, method="highs")
    largest = linprog(-(grid <= x).astype(float), **equal, method="highs")
    return least.fun, -largest.fun


class Normal(Density):
    """A density with a closed form: N(mean, 1)."""

    def __init__(self, mean):
        self.mean = mean

    def moments(self, order):
        return np.array([stats.norm.moment(k, loc=self.mean) for k in range(1, order + 1)])

    def cdf(self, x):
        return stats.norm.cdf(x, self.mean)

    def pdf(self, x):
        return stats.norm.pdf(x, self.mean)

    def nodes(self):
        return self.mean + np.linspace(-10, 10, 201)


def exchanged_traces(matrix: np.ndarray, probes: np.ndarray, shift: complex | None) -> np.ndarray:
    """Return what each orthonormal probe, a column, estimates as the trace with an approximation by all others.

    Without a shift the approximation is the compression to their span.
    """
    size, count = probes.shape
    traces = []
    for i in range(count):
        others = np.delete(probes, i, axis=1)
        if shift is None:
            known = others @ (others.T @ matrix @ others) @ others.T
        else:
            shifted = matrix + shift * np.eye(size)
            middle = np.linalg.inv(others.T @ shifted @ others)
            known = (shifted @ others @ middle @ others.T @ shifted).real
        rest = (size - count + 1) * probes[:, i] @ (matrix - known) @ probes[:, i]
        traces.append(np.trace(known) + rest)
    return np.array(traces)


def hutch_plus_plus(eigenvalues: np.ndarray, num_products: int, rng: np.random.Generator) -> float:
    """Return the trace of a diagonal matrix as R. Meyer, C. Musco, C. Musco & D. Woodruff (2021) estimate it."""
    size, width = len(eigenvalues), num_products // 3
    basis = np.linalg.qr(eigenvalues[:, None] * rng.standard_normal((size, width))).Q
    rest = rng.standard_normal((size, num_products - 2 * width))
    rest -= basis @ (basis.T @ rest)
    return float(np.sum(eigenvalues @ basis**2) + np.mean(eigenvalues @ rest**2))


def xtrace(eigenvalues: np.ndarray, num_products: int, rng: np.random.Generator) -> float:
    """Return the trace of a diagonal matrix as Epperly, Tropp & Webber (2024) estimate it, probe by probe."""
    size, count = len(eigenvalues), num_products // 2
    probes = rng.standard_normal((size, count))
    basis, upper = np.linalg.qr(eigenvalues[:, None] * probes)
    lost = np.linalg.inv(upper).T
    lost /= np.linalg.norm(lost, axis=0)  # the direction of the basis that each probe alone brings in
    middle = basis.T @ (eigenvalues[:, None] * basis)
    inside = basis.T @ probes
    inside -= lost * np.sum(lost * inside, axis=0)
    rest = probes - basis @ inside
    rest *= np.sqrt(size - count + 1) / np.linalg.norm(rest, axis=0)
    return float(np.trace(middle) + np.mean(eigenvalues @ rest**2 - np.sum(lost * (middle @ lost), axis=0)))


def xnystrace(eigenvalues: np.ndarray, num_products: int, rng: np.random.Generator) -> float:
    """Return the trace of a positive diagonal matrix as Epperly, Tropp & Webber (2024) estimate it."""
    size = len(eigenvalues)
    probes = rng.standard_normal((size, num_products))
    products = eigenvalues[:, None] * probes
    inverse = np.linalg.inv(probes.T @ products)
    squares = inverse @ (products.T @ products)
    lengths = np.diag(np.linalg.inv(probes.T @ probes)) * (size - num_products + 1)
    return float(np.trace(squares) + np.mean((lengths - np.diag(squares @ inverse)) / np.diag(inverse)))


def xdiag(matrix: np.ndarray, num_products: int, rng: np.random.Generator) -> np.ndarray:
    """Return the diagonal as XDiag of Epperly, Tropp & Webber (2024) estimates it, probe by probe."""
    size, count = len(matrix), num_products // 2
    probes = rng.choice([-1.0, 1.0], (size, count))
    products = matrix @ probes
    estimates = []
    for i in range(count):
        basis = np.linalg.qr(np.delete(products, i, axis=1)).Q
        low_rank = basis @ (basis.T @ matrix)
        estimates.append(np.diag(low_rank) + probes[:, i] * ((matrix - low_rank) @ probes[:, i]))
    return np.mean(estimates, axis=0)


def exchanged_diagonals(matrix: np.ndarray, probes: np.ndarray, shift: complex) -> np.ndarray:
    """Return what each probe, a column, estimates as the diagonal with an approximation by all others, (N, P)."""
    size, count = probes.shape
    shifted = matrix + shift * np.eye(size)
    estimates = []
    for i in range(count):
        others = np.delete(probes, i, axis=1)
        middle = np.linalg.inv(others.T @ shifted @ others)
        known = (shifted @ others @ middle @ others.T @ shifted).real
        estimates.append(np.diag(known) + probes[:, i] * ((matrix - known) @ probes[:, i]))
    return np.array(estimates).T


def range_diagonals(matrix: np.ndarray, probes: np.ndarray) -> np.ndarray:
    """Return what each probe, a column, estimates as the diagonal beside the range of all others' products, (N, P)."""
    size, count = probes.shape
    estimates = []
    for i in range(count):
        basis = np.linalg.qr(matrix @ np.delete(probes, i, axis=1)).Q
        outside = np.eye(size) - basis @ basis.T
        left = outside @ matrix @ outside
        estimates.append(np.diag(matrix - left) + probes[:, i] * (left @ probes[:, i]))
    return np.array(estimates).T
