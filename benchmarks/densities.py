"""Densities against exact eigenvalues, for the same number of products: hessdens' and those of other libraries.

    python benchmarks/densities.py [--seeds 20] [--coverage-seeds 500]

Spectra are those of `benchmarks/accuracy.py`, as matrices in a random basis, since probes of ±1 know a diagonal matrix
exactly. Columns: median over seeds of the relative errors of the mass outside the window (1 - degenerate fraction) and
of the negative fraction, and of the Wasserstein distance. Other libraries may share their products between runs as is
best on each spectrum by the median distance; of curvlinops and hessian-eigenthings both the curve that they return and
the quadrature behind it are listed. curvlinops is told the exact ends of the spectrum; PyHessian, which calls a
function that torch no longer has, is given a replacement. Then the share of 95% intervals of `lanczos_density` that
hold the exact values. Other libraries come with ``pip install hessdens[peers,examples]``.
"""

import importlib
import importlib.metadata
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from accuracy import SPECTRA
from measuring import origin, parser_of, save
from scipy.fft import dct, idct
from spectra.catalogue import catalogue
from spectra.matrix import diagonal
from torch import Tensor

from hessdens import Spectrum, as_operator, compare, fit_mixture, lanczos_density, spectral_moments
from hessdens.densities import kernel_polynomial, maximum_entropy
from hessdens.estimators import chebyshev_moments
from hessdens.linalg import Operator
from hessdens.mixture import Grid

BUDGETS = (100, 200)
# Runs between which another library's products are shared.
RUNS = (1, 2, 5, 10)
MOMENTS_OF_ENTROPY = 16


def rotated(eigenvalues: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return products with Q^T diag(eigenvalues) Q, where Q is two cosine transforms with random signs between."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(2, len(eigenvalues), 1))

    def multiply(V: np.ndarray) -> np.ndarray:
        turned = dct(signs[1] * dct(signs[0] * V, axis=0, norm="ortho"), axis=0, norm="ortho")
        scaled = eigenvalues[:, None] * turned
        return signs[0] * idct(signs[1] * idct(scaled, axis=0, norm="ortho"), axis=0, norm="ortho")

    return multiply


@dataclass
class Steps:
    """Point masses, in any order."""

    points: np.ndarray
    weights: np.ndarray

    def distance(self, eigenvalues: np.ndarray) -> float:
        """Return the Wasserstein distance: the area between two step functions."""
        x = np.concatenate([eigenvalues, self.points])
        order = np.argsort(x, kind="stable")
        jumps = np.concatenate([np.full(len(eigenvalues), 1 / len(eigenvalues)), -self.weights / self.weights.sum()])
        return float(np.abs(np.cumsum(jumps[order])[:-1]) @ np.diff(x[order]))

    def mass(self, low: float, high: float) -> float:
        """Return the share between two points."""
        return float(self.weights[(low < self.points) & (self.points < high)].sum() / self.weights.sum())


def curve(grid: Tensor, density: Tensor) -> Steps:
    """Return a curve on an even grid as point masses."""
    return Steps(grid.numpy(), density.numpy())


def _hessdens(make: Callable[[Operator, int, int], Any]) -> Callable[..., Any]:
    return lambda operator, _, products, seed: make(operator, products, seed)


def _kernel_polynomial(operator: Operator, products: int, seed: int) -> Any:
    return kernel_polynomial(chebyshev_moments(operator, max_products=products, seed=seed))


def _maximum_entropy(operator: Operator, products: int, seed: int) -> Any:
    return maximum_entropy(chebyshev_moments(operator, MOMENTS_OF_ENTROPY, max_products=products, seed=seed))


def _mixture(operator: Operator, products: int, seed: int) -> Any:
    moments = spectral_moments(operator, max_products=products, seed=seed)
    return fit_mixture(moments, grid=Grid.for_moments(moments)).mixture


OWN = {
    "hessdens lanczos_density": _hessdens(lambda A, m, seed: lanczos_density(A, max_products=m, seed=seed)),
    "hessdens kernel_polynomial": _hessdens(_kernel_polynomial),
    "hessdens maximum_entropy": _hessdens(_maximum_entropy),
    "hessdens fit_mixture": _hessdens(_mixture),
}


def curvlinops(eigenvalues: np.ndarray, products: int, runs: int, seed: int) -> dict[str, Steps]:
    from curvlinops.papyan2020traces import spectrum

    multiply, calls = rotated(eigenvalues), []

    class Matrix:
        device, dtype, shape = torch.device("cpu"), torch.float64, (len(eigenvalues),) * 2

        def to_scipy(self) -> None:
            """Exist: it is called even where both ends are given."""

        def __matmul__(self, v: Tensor) -> Tensor:
            return torch.from_numpy(multiply(v.numpy()[:, None])[:, 0])

    original = spectrum.fast_lanczos

    def recorded(*arguments: Any, **options: Any) -> Any:
        calls.append(original(*arguments, **options))
        return calls[-1]

    torch.manual_seed(seed)
    spectrum.fast_lanczos = recorded
    try:
        ends = (float(eigenvalues.min()), float(eigenvalues.max()))
        grid, density = spectrum.lanczos_approximate_spectrum(
            Matrix(), products // runs, num_repeats=runs, boundaries=ends, num_points=4096
        )
    finally:
        spectrum.fast_lanczos = original
    points = np.concatenate([values.numpy() for values, _ in calls])
    weights = np.concatenate([vectors[0].numpy() ** 2 for _, vectors in calls])
    return {"curvlinops (quadrature)": Steps(points, weights), "curvlinops (curve)": curve(grid, density)}


def eigenthings(eigenvalues: np.ndarray, products: int, runs: int, seed: int) -> dict[str, Steps]:
    from hessian_eigenthings.algorithms.spectral_density import spectral_density
    from hessian_eigenthings.operators.base import LambdaOperator

    multiply = rotated(eigenvalues)
    operator = LambdaOperator(
        lambda v: torch.from_numpy(multiply(v.numpy()[:, None])[:, 0]),
        len(eigenvalues),
        device=torch.device("cpu"),
        dtype=torch.float64,
    )
    found = spectral_density(operator, num_runs=runs, lanczos_steps=products // runs, seed=1000 * seed)
    known = torch.isfinite(found.raw_eigenvalues)
    nodes = Steps(found.raw_eigenvalues[known].numpy(), found.raw_weights[known].numpy())
    return {
        "hessian-eigenthings (quadrature)": nodes,
        "hessian-eigenthings (curve)": curve(found.grid, found.density),
    }


def pyhessian(eigenvalues: np.ndarray, products: int, runs: int, seed: int) -> dict[str, Steps]:
    module = importlib.import_module("pyhessian.hessian")

    multiply = rotated(eigenvalues)
    found = object.__new__(module.hessian)
    found.model, found.device, found.full_dataset = SimpleNamespace(zero_grad=lambda: None), "cpu", False
    found.params, found.gradsH = [torch.zeros(len(eigenvalues), dtype=torch.float64)], None
    original = module.hessian_vector_product
    module.hessian_vector_product = lambda _, __, v: [torch.from_numpy(multiply(v[0].numpy()[:, None])[:, 0])]
    torch.eig = _symmetric_eig
    torch.manual_seed(seed)
    try:
        points, weights = found.density(iter=products // runs, n_v=runs)
    finally:
        module.hessian_vector_product = original
        del torch.eig
    return {"PyHessian (quadrature)": Steps(np.concatenate(points), np.concatenate(weights))}


def _symmetric_eig(matrix: Tensor, *, eigenvectors: bool) -> tuple[Tensor, Tensor]:
    """Return what torch.eig returned for a symmetric matrix before torch 1.13."""
    assert eigenvectors
    values, vectors = torch.linalg.eigh(matrix)
    return torch.stack([values, torch.zeros_like(values)], dim=1), vectors


PEERS = {"curvlinops-for-pytorch": curvlinops, "hessian-eigenthings": eigenthings, "pyhessian": pyhessian}


def errors_of(density: Any, exact: Spectrum) -> list[float]:
    """Return the relative errors of both fractions, and the Wasserstein distance."""
    if isinstance(density, Steps):
        degenerate, negative = density.mass(-0.1, 0.1), density.mass(-np.inf, -0.1)
        distance = density.distance(exact.eigenvalues)
    else:
        found = compare(density, exact)
        degenerate, negative, distance = found.degenerate, found.negative, found.wasserstein
    outside, left = 1 - exact.fraction_degenerate(), exact.fraction_negative()
    return [
        abs(1 - degenerate - outside) / outside if outside else abs(1 - degenerate),
        abs(negative - left) / left if left else abs(negative),
        distance,
    ]


def compare_all(exact: Spectrum, products: int, seeds: int) -> dict[str, list[float]]:
    """Return the median errors of each method."""
    table = {}
    multiply = rotated(exact.eigenvalues)
    operator = as_operator(
        lambda V: torch.from_numpy(multiply(V.numpy())), size=len(exact.eigenvalues), dtype=torch.float64
    )
    for name, method in OWN.items():
        errors = []
        for seed in range(seeds):
            try:
                errors.append(errors_of(method(operator, exact, products, seed), exact))
            except ValueError as error:
                print(f"  {name} refuses seed {seed}: {error}")
        table[name] = np.median(errors, axis=0).tolist() if errors else [float("nan")] * 3
    for method in PEERS.values():
        choices: dict[str, list[list[float]]] = {}
        for runs in RUNS:
            errors_by_name: dict[str, list[list[float]]] = {}
            for seed in range(seeds):
                for name, density in method(exact.eigenvalues, products, runs, seed).items():
                    errors_by_name.setdefault(name, []).append(errors_of(density, exact))
            for name, errors in errors_by_name.items():
                choices.setdefault(name, []).append(np.median(errors, axis=0).tolist())
        for name, medians in choices.items():
            table[name] = min(medians, key=lambda row: row[2])
    return table


def coverage(eigenvalues: np.ndarray, products: int, seeds: int) -> dict[str, float]:
    """Return the share of seeds whose 95% intervals hold the exact values."""
    exact, operator = Spectrum(eigenvalues), diagonal(eigenvalues)
    # Not at an eigenvalue itself, where many are equal.
    points = np.quantile(eigenvalues, [0.02, 0.2, 0.5, 0.8, 0.98]) + 1e-9 * np.abs(eigenvalues).max()
    truths = np.concatenate(
        [[exact.fraction_degenerate(), exact.fraction_negative()], exact.moments(4), exact.cdf(points)]
    )
    held = []
    for seed in range(seeds):
        density = lanczos_density(operator, max_products=products, seed=seed)
        ends = np.concatenate(
            [
                density.degenerate_interval()[:, None],
                density.negative_interval()[:, None],
                density.moments_interval(4),
                density.cdf_interval(points),
            ],
            axis=1,
        )
        slack = 1e-12 * np.maximum(1, np.abs(truths))
        held.append((ends[0] - slack <= truths) & (truths <= ends[1] + slack))
    names = ["degenerate", "negative", "m_1", "m_2", "m_3", "m_4", *(f"cdf at {q}%" for q in (2, 20, 50, 80, 98))]
    return dict(zip(names, np.mean(held, axis=0).tolist(), strict=True))


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--coverage-seeds", type=int, default=500)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of other libraries
    cases = catalogue(SPECTRA)
    content: dict[str, Any] = {
        **origin(packages=tuple(PEERS)),
        "seeds": options.seeds,
        "coverage_seeds": options.coverage_seeds,
        "networks": [case.name for case in cases if case.kind == "network"],
        "errors": {},
        "coverage": {},
    }
    for case in cases:
        name, exact = case.name, case.exact
        eigenvalues = exact.eigenvalues
        for products in BUDGETS:
            print(f"\n{name}, {products} products", flush=True)
            rows = compare_all(exact, products, options.seeds)
            content["errors"].setdefault(name, {})[products] = rows
            for method, row in rows.items():
                print(f"  {method:34s} outside {row[0]:8.2%}  negative {row[1]:9.2%}  distance {row[2]:.3e}")
            held = coverage(eigenvalues, products, options.coverage_seeds)
            content["coverage"].setdefault(name, {})[products] = held
            print("  coverage " + ", ".join(f"{key} {value:.1%}" for key, value in held.items()), flush=True)
            save(options.output, content)


if __name__ == "__main__":
    main()
