"""Ways of each library from a model, a loss and data to an answer, as its documentation has it and with any budget."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import eigsh
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

from hessdens import eigenpairs, hessian_operator, lanczos_density, spectral_moments
from hessdens.multilevel import multilevel_moments
from hessdens.structure import layer_traces

sys.path.insert(0, str(Path(__file__).resolve().parent))
from spectra.estimators.pyhessian_peer import symmetric_eig

LOSS = nn.CrossEntropyLoss()
# Products of vectors that torch.func makes at once.
CHUNK = 8
# The width of the window around 0 whose outside is asked for, over the largest absolute eigenvalue.
WINDOW = 0.01
Batches = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Problem:
    """A model, with batches for us and for peers."""

    model: nn.Module
    batches: Batches
    peers_batches: Batches

    @property
    def size(self) -> int:
        """N."""
        return sum(p.numel() for p in self.model.parameters())


@dataclass(frozen=True)
class Way:
    """A call of a library. ``answer`` takes the problem, the products, which it may ignore, and a seed.

    ``has_budget`` tells whether products are asked for: the fewest that are enough are then found in hindsight.
    """

    library: str
    call: str
    answer: Callable[[Problem, int, int], Any]
    has_budget: bool = False


def own(problem: Problem) -> Any:
    return hessian_operator(problem.model, LOSS, problem.batches)


def eigenthings(problem: Problem) -> Any:
    from hessian_eigenthings.loss_fns import supervised_loss
    from hessian_eigenthings.operators.hessian import HessianOperator

    return HessianOperator(problem.model, problem.peers_batches, supervised_loss(LOSS))


def curvlinops(problem: Problem, seed: int) -> Any:
    from curvlinops import HessianLinearOperator

    torch.manual_seed(seed)
    parameters = list(problem.model.parameters())
    return HessianLinearOperator(problem.model, LOSS, parameters, problem.peers_batches)


@contextmanager
def pyhessian(problem: Problem, seed: int) -> Iterator[Any]:
    """Give PyHessian's object; `density` gets the function that torch no longer has."""
    torch.manual_seed(seed)
    torch.eig = symmetric_eig
    try:
        yield importlib.import_module("pyhessian").hessian(
            problem.model, LOSS, dataloader=problem.peers_batches, cuda=False
        )
    finally:
        del torch.eig
        problem.model.zero_grad()


def by_hand(problem: Problem) -> Callable[[Tensor], Tensor]:
    """Return products with rows of vectors, as one writes them with ``torch.func``."""
    values = {name: p.detach() for name, p in problem.model.named_parameters()}
    sizes = [value.numel() for value in values.values()]
    total = sum(len(x) for x, _ in problem.peers_batches)

    def product(x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        pieces = zip(values.items(), v.split(sizes), strict=True)
        tangent = {name: piece.view_as(value) for (name, value), piece in pieces}
        gradient = grad(lambda values: LOSS(functional_call(problem.model, values, (x,)), y))
        return torch.cat([part.flatten() for part in jvp(gradient, (values,), (tangent,))[1].values()])

    def products(V: Tensor) -> Tensor:
        parts = (
            len(x) / total * vmap(product, in_dims=(None, None, 0), chunk_size=CHUNK)(x, y, V)
            for x, y in problem.peers_batches
        )
        return torch.stack(list(parts)).sum(dim=0)

    return products


def signs(count: int, size: int, seed: int) -> Tensor:
    return torch.randint(0, 2, (count, size), generator=torch.Generator().manual_seed(seed)) * 2.0 - 1


def trace_ways() -> list[Way]:
    """Return the ways to the trace."""

    def of_pyhessian(problem: Problem, seed: int, **options: Any) -> float:
        with pyhessian(problem, seed) as hessian:
            return float(np.mean(hessian.trace(**options)))

    def of_eigenthings(problem: Problem, products: int, seed: int) -> float:
        from hessian_eigenthings.algorithms.trace import trace

        return float(trace(eigenthings(problem), num_matvecs=products, seed=seed).estimate)

    def of_curvlinops(problem: Problem, products: int, seed: int) -> float:
        function = importlib.import_module("curvlinops").xtrace
        return float(function(curvlinops(problem, seed), products // 2 * 2))

    def hutchinson(problem: Problem, products: int, seed: int) -> float:
        V = signs(products, problem.size, seed)
        return float((by_hand(problem)(V) * V).sum() / products)

    return [
        Way("hessdens", "spectral_moments(H, 1, rtol=.01)",
            lambda p, _, seed: p.size * float(spectral_moments(own(p), 1, rtol=0.01, seed=seed).values[0])),
        Way("hessdens", "spectral_moments(H, 1, rtol=.02)",
            lambda p, _, seed: p.size * float(spectral_moments(own(p), 1, rtol=0.02, seed=seed).values[0])),
        Way("hessdens", "spectral_moments(H, 1, max_products=m)",
            lambda p, m, seed: p.size * float(spectral_moments(own(p), 1, max_products=m, seed=seed).values[0]),
            has_budget=True),
        Way("hessdens", "multilevel_moments(H, 1, rtol=.01)",
            lambda p, _, seed: multilevel_moments(own(p), 1, rtol=0.01, seed=seed).trace),
        Way("PyHessian", "trace()", lambda p, _, seed: of_pyhessian(p, seed)),
        Way("PyHessian", "trace(maxIter=m, tol=0)",
            lambda p, m, seed: of_pyhessian(p, seed, maxIter=m, tol=0.0), has_budget=True),
        Way("hessian-eigenthings", "trace(op)", lambda p, _, seed: of_eigenthings(p, 100, seed)),
        Way("hessian-eigenthings", "trace(op, num_matvecs=m)", of_eigenthings, has_budget=True),
        Way("curvlinops", "xtrace(op, m)", of_curvlinops, has_budget=True),
        Way("torch.func", "Hutchinson by hand", hutchinson, has_budget=True),
    ]  # fmt: skip


def largest_ways() -> list[Way]:
    """Return the ways to the largest eigenvalue."""

    def of_pyhessian(problem: Problem, seed: int, **options: Any) -> float:
        with pyhessian(problem, seed) as hessian:
            return float(hessian.eigenvalues(**options)[0][0])

    def of_eigenthings(problem: Problem, seed: int, **options: Any) -> float:
        from hessian_eigenthings.algorithms.lanczos import lanczos

        return float(lanczos(eigenthings(problem), k=1, which="LA", seed=seed, **options).eigenvalues[0])

    def of_scipy(problem: Problem, seed: int, tol: float) -> float:
        operator = curvlinops(problem, seed).to_scipy()
        start = np.random.default_rng(seed).standard_normal(problem.size).astype(np.float32)
        return float(eigsh(operator, k=1, which="LA", tol=tol, v0=start, return_eigenvectors=False)[0])

    def power(problem: Problem, products: int, seed: int) -> float:
        product = by_hand(problem)
        v, value = torch.randn(1, problem.size, generator=torch.Generator().manual_seed(seed)), 0.0
        for _ in range(products):
            v = v / v.norm()
            w = product(v)
            value, v = float((v * w).sum()), w
        return value

    return [
        Way("hessdens", "eigenpairs(H, 1)", lambda p, _, seed: eigenpairs(own(p), 1, seed=seed).values[0]),
        Way("hessdens", "eigenpairs(H, 1, block_size=1, max_products=m)",
            lambda p, m, seed: eigenpairs(own(p), 1, block_size=1, max_products=m, seed=seed).values[0],
            has_budget=True),
        Way("PyHessian", "eigenvalues()", lambda p, _, seed: of_pyhessian(p, seed)),
        Way("PyHessian", "eigenvalues(maxIter=m, tol=0)",
            lambda p, m, seed: of_pyhessian(p, seed, maxIter=m, tol=0.0), has_budget=True),
        Way("hessian-eigenthings", "lanczos(op, k=1)", lambda p, _, seed: of_eigenthings(p, seed)),
        Way("hessian-eigenthings", "lanczos(op, k=1, max_iter=m)",
            lambda p, m, seed: of_eigenthings(p, seed, max_iter=m), has_budget=True),
        Way("curvlinops", "eigsh(op.to_scipy(), 1)", lambda p, _, seed: of_scipy(p, seed, 0.0)),
        Way("curvlinops", "eigsh(op.to_scipy(), 1, tol=.01)", lambda p, _, seed: of_scipy(p, seed, 0.01)),
        Way("torch.func", "power iteration by hand", power, has_budget=True),
    ]  # fmt: skip


def outside_ways() -> list[Way]:
    """Return the ways to the fraction of eigenvalues outside of a window as wide as 1% of the largest absolute one."""

    def weight(points: Any, weights: Any) -> float:
        points, weights = np.asarray(points, dtype=float).ravel(), np.asarray(weights, dtype=float).ravel()
        return float(weights[np.abs(points) > WINDOW / 2 * np.abs(points).max()].sum() / weights.sum())

    def of_hessdens(problem: Problem, _: int, seed: int) -> float:
        density = lanczos_density(own(problem), window=f"{WINDOW:.0%}", rtol=0.1, seed=seed)
        return 1 - density.fraction_degenerate()

    def with_budget(problem: Problem, products: int, seed: int) -> float:
        density = lanczos_density(own(problem), window=f"{WINDOW:.0%}", max_products=products, seed=seed)
        return 1 - density.fraction_degenerate()

    def of_pyhessian(problem: Problem, steps: int, seed: int) -> float:
        with pyhessian(problem, seed) as hessian:
            return weight(*hessian.density(iter=steps, n_v=1))

    def of_eigenthings(problem: Problem, seed: int, runs: int, steps: int) -> float:
        from hessian_eigenthings.algorithms.spectral_density import spectral_density

        found = spectral_density(eigenthings(problem), num_runs=runs, lanczos_steps=steps, seed=1000 * seed)
        known = torch.isfinite(found.raw_eigenvalues)
        return weight(found.raw_eigenvalues[known], found.raw_weights[known])

    return [
        Way("hessdens", 'lanczos_density(H, window="1%", rtol=.1)', of_hessdens),
        Way("hessdens", 'lanczos_density(H, window="1%", max_products=m)', with_budget, has_budget=True),
        Way("PyHessian", "density()", lambda p, _, seed: of_pyhessian(p, 100, seed)),
        Way("PyHessian", "density(iter=m)", of_pyhessian, has_budget=True),
        Way("hessian-eigenthings", "spectral_density(op)", lambda p, _, seed: of_eigenthings(p, seed, 10, 80)),
        Way("hessian-eigenthings", "spectral_density(op, num_runs=5, lanczos_steps=m/5)",
            lambda p, m, seed: of_eigenthings(p, seed, 5, max(2, m // 5)), has_budget=True),
    ]  # fmt: skip


def layers_ways() -> list[Way]:
    """Return the ways to the traces of all layers, that is of parameters of one module each."""

    def sums(problem: Problem, samples: Tensor) -> np.ndarray:
        """Return the sums over layers of the mean over rows."""
        sizes: dict[str, int] = {}
        for name, p in problem.model.named_parameters():
            layer = name.rpartition(".")[0]
            sizes[layer] = sizes.get(layer, 0) + p.numel()
        return np.array([float(part.sum()) for part in samples.mean(dim=0).split(list(sizes.values()))])

    def of_pyhessian(problem: Problem, products: int, seed: int) -> np.ndarray:
        rows = []
        with pyhessian(problem, seed) as hessian:
            for _ in range(products):
                v = [torch.randint_like(p, high=2) * 2 - 1 for p in hessian.params]
                Hv = hessian.dataloader_hv_product(v)[1]
                rows.append(torch.cat([(a * b).flatten() for a, b in zip(v, Hv, strict=True)]).detach())
        return sums(problem, torch.stack(rows))

    def hutchinson(problem: Problem, products: int, seed: int) -> np.ndarray:
        V = signs(products, problem.size, seed)
        return sums(problem, by_hand(problem)(V) * V)

    return [
        Way("hessdens", "layer_traces(H, rtol=.1)",
            lambda p, _, seed: layer_traces(own(p), rtol=0.1, seed=seed).values),
        Way("hessdens", "layer_traces(H, max_products=m)",
            lambda p, m, seed: layer_traces(own(p), max_products=m, seed=seed).values, has_budget=True),
        Way("PyHessian", "its products, by hand", of_pyhessian, has_budget=True),
        Way("torch.func", "Hutchinson by hand", hutchinson, has_budget=True),
    ]  # fmt: skip


QUESTIONS: dict[str, tuple[Callable[[], list[Way]], float]] = {
    "trace": (trace_ways, 0.01),
    "largest eigenvalue": (largest_ways, 0.01),
    "fraction outside of 1% of the largest": (outside_ways, 0.1),
    "traces of layers": (layers_ways, 0.05),
}
