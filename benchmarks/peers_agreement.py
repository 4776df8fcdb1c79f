"""Agreement with PyHessian, hessian-eigenthings and curvlinops on a small network, call by call.

    python benchmarks/peers_agreement.py [--seeds 20]

A 64-8-10 network on 600 of scikit-learn's digits. Products are compared with
dense matrices made by ``torch.func``, eigenvalues and traces with those of the dense Hessian. Differences are relative;
those of traces are root mean squares over seeds. The libraries come with ``pip install hessdens[peers,examples]``.
"""

import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from measuring import PEERS, origin, parser_of, save
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from hessdens import fisher_operator, ggn_operator, hessian_operator, lanczos_density, spectral_moments
from hessdens.testing import NetworkCase

LOSS = nn.CrossEntropyLoss()
NUM_EIGENVALUES, TRACE_PRODUCTS = 5, 99
Batches = list[tuple[Tensor, Tensor]]
Product = Callable[[Tensor], Tensor]


class Counted:
    """A product with one vector, counted."""

    def __init__(self, product: Product, size: int, dtype: torch.dtype) -> None:
        self._product, self.size, self.dtype, self.count = product, size, dtype, 0

    def __call__(self, v: Tensor) -> Tensor:  # noqa: D102
        self.count += 1
        return self._product(v)

    def to_scipy(self) -> LinearOperator:
        """Return the same for SciPy."""
        shape = (self.size, self.size)
        return LinearOperator(shape, lambda v: self(torch.from_numpy(v.ravel())).numpy(), dtype=np.float64)

    def to_eigenthings(self) -> Any:
        """Return the same for hessian-eigenthings."""
        from hessian_eigenthings import LambdaOperator

        return LambdaOperator(self, self.size, dtype=self.dtype)


def problem(sizes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Batches]:
    """Return the network after some training, and its data in batches of these sizes."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    inputs, targets = torch.from_numpy(digits.data / 16)[:600], torch.from_numpy(digits.target)[:600].long()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10)).double()
    train(model, inputs, targets)
    inputs = inputs.to(dtype)
    return model.to(dtype), list(zip(inputs.split(sizes), targets.split(sizes), strict=True))


def train(model: nn.Module, inputs: Tensor, targets: Tensor) -> None:
    """Train a network by 60 steps of Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        LOSS(model(inputs), targets).backward()
        optimizer.step()
    model.zero_grad()


def dense(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    """Return Hessian, Gauss-Newton matrix and empirical Fisher matrix, made by ``torch.func``, in float64."""
    inputs, targets = (torch.cat(part) for part in zip(*batches, strict=True))
    values = {name: p.detach() for name, p in model.named_parameters()}
    with torch.no_grad():
        probabilities = model(inputs).softmax(dim=1)
    one = jacrev(lambda v, x: functional_call(model, v, (x,)))
    by_example = vmap(one, in_dims=(None, 0))(values, inputs)
    jacobian = torch.cat([part.flatten(start_dim=2) for part in by_example.values()], dim=2)
    bend = torch.diag_embed(probabilities) - probabilities[:, :, None] * probabilities[:, None, :]
    gradients = torch.einsum("ncp,nc->np", jacobian, probabilities - nn.functional.one_hot(targets, 10))
    return {
        "Hessian": NetworkCase(model, LOSS, batches).dense_hessian().detach(),
        "Gauss-Newton": jacobian.flatten(end_dim=1).T @ (bend @ jacobian).flatten(end_dim=1) / len(inputs),
        "empirical Fisher": gradients.T @ gradients / len(inputs),
    }


def products(model: nn.Module, batches: Batches) -> dict[str, dict[str, Product]]:
    """Return products with one vector, by matrix and library."""
    import curvlinops
    import hessian_eigenthings as het
    from pyhessian import hessian

    parameters = list(model.parameters())
    old = hessian(model, LOSS, dataloader=batches, cuda=False)

    def pyhessian(v: Tensor) -> Tensor:
        pieces = v.split([p.numel() for p in parameters])
        found = old.dataloader_hv_product([x.view_as(p) for x, p in zip(pieces, parameters, strict=True)])[1]
        return torch.cat([part.flatten() for part in found])

    def linear_operator(make: Any) -> Product:
        return make(model, LOSS, parameters, batches).__matmul__

    forward, loss, sample = het.supervised_forward, het.supervised_loss(LOSS), het.supervised_per_sample_loss(LOSS)
    of_output = het.supervised_loss_of_output(LOSS)
    return {
        "Hessian": {
            "hessdens": hessian_operator(model, LOSS, batches).matvec,
            "PyHessian": pyhessian,
            "hessian-eigenthings": het.HessianOperator(model, batches, loss).matvec,
            "curvlinops": linear_operator(curvlinops.HessianLinearOperator),
        },
        "Gauss-Newton": {
            "hessdens": ggn_operator(model, LOSS, batches).matvec,
            "hessian-eigenthings": het.GGNOperator(model, batches, forward, of_output).matvec,
            "curvlinops": linear_operator(curvlinops.GGNLinearOperator),
        },
        "empirical Fisher": {
            "hessdens": fisher_operator(model, LOSS, batches, kind="empirical").matvec,
            "hessian-eigenthings": het.EmpiricalFisherOperator(model, batches, sample).matvec,
            "curvlinops": linear_operator(curvlinops.EFLinearOperator),
        },
    }


def compare_products(sizes: tuple[int, ...], dtype: torch.dtype) -> dict[str, dict[str, float]]:
    """Return relative differences from products with the dense matrices, largest of three vectors."""
    model, batches = problem(sizes, dtype)
    wide, wide_batches = problem(sizes)
    wide.load_state_dict(model.state_dict())
    references = dense(wide, [(x.double(), y) for x, y in batches] if dtype != torch.float64 else wide_batches)
    found: dict[str, dict[str, float]] = {}
    for matrix, by_library in products(model, batches).items():
        V = torch.randn(3, len(references[matrix]), dtype=dtype, generator=torch.Generator().manual_seed(1))
        for library, product in by_library.items():
            pairs = [(product(v).detach().double(), references[matrix] @ v.double()) for v in V]
            found.setdefault(matrix, {})[library] = max(float((a - b).norm() / b.norm()) for a, b in pairs)
    return found


def compare_eigenvalues(model: nn.Module, batches: Batches, exact: np.ndarray) -> list[dict[str, Any]]:
    """Return the largest relative difference of the five largest eigenvalues, and products spent."""
    import hessian_eigenthings as het
    from pyhessian import hessian

    by_library = products(model, batches)["Hessian"]
    top = exact[::-1][:NUM_EIGENVALUES]
    rows = []

    def add(library: str, call: str, run: Callable[[Counted], Any]) -> None:
        counted = Counted(by_library[library], len(exact), torch.float64)
        values = np.sort(np.asarray(run(counted), dtype=np.float64))[::-1][:NUM_EIGENVALUES]
        difference = float(np.abs(values / top - 1).max())
        rows.append({"library": library, "call": call, "difference": difference, "products": counted.count})

    def power(counted: Counted) -> list[float]:
        torch.manual_seed(0)
        # It draws start vectors in the dtype of torch's default, and then multiplies them by float64 parameters.
        found = hessian(model, LOSS, dataloader=batches, cuda=False)
        product = found.dataloader_hv_product

        def once(v: list[Tensor]) -> Any:
            counted.count += 1
            return product([x.double() for x in v])

        found.dataloader_hv_product = once
        return found.eigenvalues(top_n=NUM_EIGENVALUES)[0]

    def scipy(counted: Counted) -> np.ndarray:
        start = np.random.default_rng(0).standard_normal(counted.size)
        return eigsh(counted.to_scipy(), k=NUM_EIGENVALUES, which="LA", v0=start)[0]

    def lanczos(counted: Counted) -> np.ndarray:
        density = lanczos_density(hessian_operator(model, LOSS, batches))
        counted.count = density.num_products
        return density.nodes()[-NUM_EIGENVALUES:]

    k = NUM_EIGENVALUES
    add("hessdens", "eigsh(H.to_scipy(), k=5, which='LA')", scipy)
    add("hessdens", "lanczos_density(H).nodes()[-5:]", lanczos)
    add("PyHessian", "eigenvalues(top_n=5)", power)
    add("hessian-eigenthings", "lanczos(op, k=5, which='LA')",
        lambda c: het.lanczos(c.to_eigenthings(), k=k, which="LA", seed=0).eigenvalues)  # fmt: skip
    add("hessian-eigenthings", "lanczos(op, k=5, which='LA', max_iter=40)",
        lambda c: het.lanczos(c.to_eigenthings(), k=k, which="LA", max_iter=40, seed=0).eigenvalues)  # fmt: skip
    add("hessian-eigenthings", "deflated_power_iteration(op, k=5)",
        lambda c: het.deflated_power_iteration(c.to_eigenthings(), k=k, seed=0).eigenvalues)  # fmt: skip
    add("curvlinops", "eigsh(op.to_scipy(), k=5, which='LA')", scipy)
    return rows


def compare_traces(model: nn.Module, batches: Batches, matrix: Tensor, seeds: int) -> list[dict[str, Any]]:
    """Return root-mean-square relative errors of the trace over seeds, and mean numbers of products.

    All but PyHessian work on the dense Hessian, since the products of all are equal; that saves time only.
    """
    import curvlinops
    import hessian_eigenthings as het
    from pyhessian import hessian

    size, exact = len(matrix), float(matrix.trace())
    old = hessian(model, LOSS, dataloader=batches, cuda=False)
    dense_product = lambda v: (None, [part.view_as(p) for part, p in zip(  # noqa: E731
        (matrix @ torch.cat([x.flatten() for x in v])).split([p.numel() for p in old.params]), old.params, strict=True
    )])  # fmt: skip
    old.dataloader_hv_product = dense_product

    def moments(count: int) -> Callable[[int], tuple[float, int]]:
        def run(seed: int) -> tuple[float, int]:
            found = spectral_moments(matrix, count, max_products=TRACE_PRODUCTS, seed=seed)
            return size * float(found.values[0]), found.num_products

        return run

    def pyhessian(seed: int) -> tuple[float, int]:
        torch.manual_seed(seed)
        samples = old.trace()
        return float(np.mean(samples)), len(samples)

    def eigenthings(method: str) -> Callable[[int], tuple[float, int]]:
        def run(seed: int) -> tuple[float, int]:
            counted = Counted(matrix.__matmul__, size, torch.float64)
            found = het.trace(counted.to_eigenthings(), num_products=TRACE_PRODUCTS, method=method, seed=seed)
            return float(found.estimate), counted.count

        return run

    def linear(function: Any, count: int) -> Callable[[int], tuple[float, int]]:
        def run(seed: int) -> tuple[float, int]:
            torch.manual_seed(seed)
            return float(function(matrix, count)), count

        return run

    calls: list[tuple[str, str, Callable[[int], tuple[float, int]]]] = [
        ("hessdens", "spectral_moments(H, max_products=99)", moments(4)),
        ("hessdens", "spectral_moments(H, 1, max_products=99)", moments(1)),
        ("PyHessian", "trace()", pyhessian),
        ("hessian-eigenthings", "trace(op, method='hutchinson')", eigenthings("hutchinson")),
        ("hessian-eigenthings", "trace(op)", eigenthings("hutch++")),
        ("curvlinops", "hutchinson_trace(op, 99)", linear(curvlinops.hutchinson_trace, TRACE_PRODUCTS)),
        ("curvlinops", "hutchpp_trace(op, 99)", linear(curvlinops.hutchpp_trace, TRACE_PRODUCTS)),
        ("curvlinops", "xtrace(op, 98)", linear(curvlinops.xtrace, TRACE_PRODUCTS - 1)),
    ]
    rows = []
    for library, call, run in calls:
        found = np.array([run(seed) for seed in range(seeds)])
        error = float(np.sqrt(np.mean((found[:, 0] / exact - 1) ** 2)))
        rows.append({"library": library, "call": call, "error": error, "products": float(found[:, 1].mean())})
    return rows


def density_of_pyhessian(model: nn.Module, batches: Batches) -> str:
    """Return what its ``density`` says with this torch."""
    from pyhessian import hessian

    try:
        hessian(model.float(), LOSS, dataloader=[(x.float(), y) for x, y in batches], cuda=False).density(iter=3)
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return "works"


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of other libraries
    uneven, even = (500, 100), (300, 300)
    model, batches = problem(even)  # so that all libraries have one Hessian
    matrix = dense(model, batches)["Hessian"]
    exact = torch.linalg.eigvalsh(matrix).numpy()
    content = {
        **origin(packages=PEERS),
        "parameters": len(matrix),
        "examples": sum(len(x) for x, _ in batches),
        "seeds": options.seeds,
        "products": {
            "batches of 500 and 100, float64": compare_products(uneven, torch.float64),
            "batches of 300 and 300, float64": compare_products(even, torch.float64),
            "batches of 300 and 300, float32": compare_products(even, torch.float32),
        },
        "eigenvalues": compare_eigenvalues(model, batches, exact),
        "trace": compare_traces(model, batches, matrix, options.seeds),
        "density of PyHessian": density_of_pyhessian(model, batches),
    }
    print(json.dumps(content, indent=1))
    save(options.output, content)


if __name__ == "__main__":
    main()
