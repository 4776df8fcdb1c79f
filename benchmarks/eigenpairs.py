"""Products for eigenvalues to an accuracy: hessdens, SciPy, hessian-eigenthings and PyHessian on known spectra.

    python benchmarks/eigenpairs.py [--seeds 3] [-k 10]

The k eigenvalues of largest magnitude. For each library the products of the loosest tolerance, of 0.3, 0.1, 0.03, ...,
with which all k are within the accuracy, relative to each: that is hindsight, which users do not have. Of
hessian-eigenthings' ``lanczos``, which has no tolerance, it is the smallest number of steps. Where a library stops by a
tolerance of its own, that is told too, with the error that it then has. Products are counted, and passes over the data
where blocks share them; means over seeds. The libraries come with ``pip install hessdens[peers,examples]``.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from measuring import PEERS, origin, parser_of, save
from peers_agreement import LOSS, problem
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor, nn

from hessdens import as_operator, eigenpairs, exact_spectrum, hessian_operator

ACCURACIES = (1e-2, 1e-6)
TOLERANCES = [m * 10.0**-e for e in range(1, 13) for m in (3, 1)]
# Products of one method, beyond which it counts as not having reached an accuracy.
MOST = 5_000


@dataclass(frozen=True)
class Outcome:
    """What one call returned, and cost."""

    values: np.ndarray
    products: int
    passes: int


Method = Callable[[np.ndarray, int, float, int], Outcome]


class Counted:
    """A diagonal matrix that counts products and calls."""

    def __init__(self, spectrum: np.ndarray) -> None:
        self.diagonal, self.products, self.passes = torch.from_numpy(spectrum), 0, 0

    def __call__(self, V: Tensor) -> Tensor:  # noqa: D102
        self.passes += 1
        self.products += 1 if V.ndim == 1 else V.shape[1]
        if self.products > MOST:
            raise RuntimeError("too many products")
        return self.diagonal * V if V.ndim == 1 else self.diagonal[:, None] * V


def of_hessdens(block_size: int | None = None) -> Method:
    """Return `eigenpairs` with blocks of some vectors, or as it is by default."""

    def run(spectrum: np.ndarray, k: int, tol: float, seed: int) -> Outcome:
        counted = Counted(spectrum)
        operator = as_operator(counted, size=len(spectrum), dtype=torch.float64)
        counted.products = counted.passes = 0  # the check of symmetry
        options = {"which": "magnitude", "rtol": tol, "block_size": block_size, "max_products": MOST, "seed": seed}
        pairs = eigenpairs(operator, k, **options)
        return Outcome(pairs.values, counted.products, counted.passes)

    return run


def of_scipy(spectrum: np.ndarray, k: int, tol: float, seed: int) -> Outcome:
    """Return what ``eigsh`` finds."""
    counted = Counted(spectrum)
    operator = LinearOperator(
        (len(spectrum),) * 2, lambda v: counted(torch.from_numpy(v.ravel())).numpy(), dtype=np.float64
    )
    start = np.random.default_rng(seed).standard_normal(len(spectrum))
    values = eigsh(operator, k=k, which="LM", tol=tol, v0=start)[0]
    return Outcome(values, counted.products, counted.passes)


def of_eigenthings_power(spectrum: np.ndarray, k: int, tol: float, seed: int) -> Outcome:
    """Return what hessian-eigenthings' power iteration finds."""
    import hessian_eigenthings as het

    counted = Counted(spectrum)
    operator = het.LambdaOperator(counted, len(spectrum), dtype=torch.float64)
    found = het.deflated_power_iteration(operator, k=k, tol=tol, max_iter=MOST // k, seed=seed)
    return Outcome(found.eigenvalues.numpy(), counted.products, counted.passes)


def of_pyhessian(spectrum: np.ndarray, k: int, tol: float, seed: int) -> Outcome:
    """Return what PyHessian's power iteration finds, for a model whose Hessian is the matrix."""
    import pyhessian

    module: Any = sys.modules[pyhessian.hessian.__module__]

    counted = Counted(spectrum)

    class Quadratic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.theta = nn.Parameter(torch.ones(len(spectrum)))

        def forward(self, inputs: Tensor) -> Tensor:
            return self.theta

    def counting(gradients: Any, parameters: Any, v: list[Tensor]) -> list[Tensor]:
        return [counted(v[0])]

    original, dtype = module.hessian_vector_product, torch.get_default_dtype()
    module.hessian_vector_product = counting
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(seed)
        data = (torch.zeros(1), torch.zeros(1))
        found = module.hessian(Quadratic(), lambda x, _: (x * x).sum() / 2, data=data, cuda=False)
        values = found.eigenvalues(maxIter=MOST // k, tol=tol, top_n=k)[0]
    finally:
        module.hessian_vector_product = original
        torch.set_default_dtype(dtype)
    return Outcome(np.array(values), counted.products, counted.passes)


METHODS: dict[str, Method] = {
    "hessdens, eigenpairs(block_size=1)": of_hessdens(1),
    "hessdens, eigenpairs": of_hessdens(),
    "hessdens, eigenpairs(block_size=4)": of_hessdens(4),
    "SciPy, eigsh": of_scipy,
    "hessian-eigenthings, deflated_power_iteration": of_eigenthings_power,
    "PyHessian, eigenvalues": of_pyhessian,
}
LANCZOS = "hessian-eigenthings, lanczos"


def error_of(outcome: Outcome | None, spectrum: np.ndarray) -> float:
    """Return the largest relative error of the values, both in the order of their magnitude."""
    if outcome is None:
        return float("inf")
    found = np.sort(np.abs(outcome.values))[::-1]
    exact = np.sort(np.abs(spectrum))[::-1][: len(found)]
    return float(np.abs(found / exact - 1).max())


def attempt(method: Method, spectrum: np.ndarray, k: int, tol: float, seed: int) -> Outcome | None:
    """Return an outcome, or None if there is none within the products."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return method(spectrum, k, tol, seed)
        except (ArpackNoConvergence, RuntimeError):
            return None


def by_tolerance(method: Method, spectrum: np.ndarray, k: int, seed: int) -> Iterator[tuple[float, Outcome, float]]:
    """Yield tolerances, what they give, and its error, from the loosest one to the first that takes too long."""
    for tol in TOLERANCES:
        outcome = attempt(method, spectrum, k, tol, seed)
        if outcome is None:
            return
        yield tol, outcome, error_of(outcome, spectrum)


def of_method(method: Method, spectrum: np.ndarray, k: int, seed: int) -> dict[str, Any]:
    """Return products and passes to each accuracy, and what a tolerance as large gives."""
    needed: dict[str, Any] = {}
    for tol, outcome, error in by_tolerance(method, spectrum, k, seed):
        for accuracy in ACCURACIES:
            row = needed.setdefault(f"{accuracy:g}", {})
            if error <= accuracy and "products" not in row:
                row |= {"products": outcome.products, "passes": outcome.passes}
            if np.isclose(tol, accuracy):
                row |= {"own products": outcome.products, "own passes": outcome.passes, "own error": error}
        if error <= min(ACCURACIES) and tol <= 1.001 * min(ACCURACIES):
            break
    return needed


def of_eigenthings_lanczos(spectrum: np.ndarray, k: int, seed: int) -> dict[str, Any]:
    """Return the smallest numbers of steps that reach each accuracy."""
    import hessian_eigenthings as het

    def steps(count: int) -> float:
        counted = Counted(spectrum)
        operator = het.LambdaOperator(counted, len(spectrum), dtype=torch.float64)
        found = het.lanczos(operator, k=k, which="LM", max_iter=count, reorthogonalize=True, seed=seed)
        return error_of(Outcome(found.eigenvalues.numpy(), counted.products, 0), spectrum)

    needed = {}
    for accuracy in ACCURACIES:
        low, high = k - 1, len(spectrum) - 1
        while high - low > 1:  # errors fall with steps
            middle = (low + high) // 2
            low, high = (low, middle) if steps(middle) <= accuracy else (middle, high)
        needed[f"{accuracy:g}"] = {"products": high, "passes": high}
    return needed


def spectra() -> dict[str, np.ndarray]:
    """Return eigenvalues by name."""
    rng = np.random.default_rng(3)
    model, batches = problem((600,))
    outliers = np.geomspace(0.5, 20, 20)
    bulk = [0.01 * rng.standard_normal(900), 0.1 * rng.standard_exponential(80)]
    return {
        "a trained network": exact_spectrum(hessian_operator(model, LOSS, batches)).eigenvalues,
        "bulk, tail and outliers": np.concatenate([*bulk, outliers]),
        "indefinite, without a gap": np.concatenate([np.linspace(-1, 1, 800), [1.5, 1.7, 2.0, -2.2]]),
        "semicircle": 2 * np.cos(np.pi * (np.arange(600) + 0.5) / 1200),
        "pairs": np.concatenate([np.linspace(-1, 1, 300), np.repeat([3.0, 2.5, -2.0, 1.7, 1.5], 2)]),
    }


def mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return means over seeds; None where a seed has not reached an accuracy."""
    result: dict[str, Any] = {}
    for accuracy in (f"{value:g}" for value in ACCURACIES):
        names = ("products", "passes", "own products", "own passes", "own error")
        parts = {name: [row.get(accuracy, {}).get(name) for row in rows] for name in names}
        combine = {name: np.max if name == "own error" else np.mean for name in names}
        result[accuracy] = {
            name: None if None in values else float(combine[name](values)) for name, values in parts.items()
        }
    return result


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("-k", type=int, default=10)
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    for name, spectrum in spectra().items():
        print(f"{name}: {len(spectrum)} eigenvalues, k={arguments.k}")
        seeds = range(arguments.seeds)
        rows = {
            label: mean([of_method(method, spectrum, arguments.k, seed) for seed in seeds])
            for label, method in METHODS.items()
        }
        rows[LANCZOS] = mean([of_eigenthings_lanczos(spectrum, arguments.k, seed) for seed in seeds])
        for label, row in rows.items():
            texts = [f"{accuracy}: {_said(row[accuracy])}" for accuracy in row]
            print(f"  {label:48s} " + "   ".join(texts), flush=True)
        found[name] = {"size": len(spectrum), "methods": rows}
    settings = {"k": arguments.k, "seeds": arguments.seeds, "most products": MOST}
    save(arguments.output, {"origin": origin(packages=PEERS), **settings, "spectra": found})


def _said(row: dict[str, Any]) -> str:
    def whole(value: float | None) -> str:
        return "-" if value is None else f"{value:.0f}"

    error = "" if row["own error"] is None else f" (error {row['own error']:.0e})"
    return (
        f"{whole(row['products'])} in {whole(row['passes'])} passes, asked for it {whole(row['own products'])}{error}"
    )


if __name__ == "__main__":
    main()
