"""What `lanczos_density` takes beyond its products, over the matrix products of one reorthogonalisation.

    OMP_NUM_THREADS=1 python benchmarks/reorthogonalisation.py [--size 100000] [--products 500] [--rounds 5]

A diagonal matrix, whose products cost almost nothing. One reorthogonalisation are the two matrix products of each step,
W Q' and W - C Q, with all vectors before it, in steps of all probes: what no method that keeps its basis orthogonal is
spared. Both in turn, with one thread; seconds are those of the processor. By default a few steps of all probes are
followed by many of the first one alone, which read the whole basis for one vector; "steps of all" has no others. The
orthogonality is the largest inner product of a vector of the last block with another, in units of eps.
"""

from time import process_time
from typing import Any

import numpy as np
import torch
from measuring import origin, parser_of, save
from torch import Tensor

from hessdens import as_operator, lanczos_density


def measure(size: int, products: int, dtype: torch.dtype, rounds: int, *, steps_of_all: bool) -> dict[str, Any]:
    """Return seconds beyond products, and those of one reorthogonalisation, of every round."""
    width = lanczos_density(np.eye(products), max_products=products).num_probes
    options = {"num_steps": products // width, "num_probes": width} if steps_of_all else {"max_products": products}
    eigenvalues = torch.randn(size, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    in_products = [0.0]

    def multiply(V: Tensor) -> Tensor:
        start = process_time()
        found = eigenvalues * V
        in_products[0] += process_time() - start
        return found

    operator, beyond, once = as_operator(multiply, size=size, dtype=dtype), [], []
    for seed in range(rounds):
        in_products[0], start = 0.0, process_time()
        density = lanczos_density(operator, seed=seed, **options)
        beyond.append(process_time() - start - in_products[0])
        once.append(_one_reorthogonalisation(size, width, products // width, dtype))
    ratios = np.array(beyond) / once
    return {
        "beyond products": beyond,
        "one reorthogonalisation": once,
        "ratio": [float(np.quantile(ratios, q)) for q in (0, 0.5, 1)],
        "orthogonality in eps": density.certificates.orthogonality / torch.finfo(dtype).eps,
    }


def _one_reorthogonalisation(size: int, width: int, steps: int, dtype: torch.dtype) -> float:
    basis = torch.ones(width * steps, size, dtype=dtype)
    block = torch.ones(width, size, dtype=dtype)
    start = process_time()
    for step in range(1, steps + 1):
        before = basis[: step * width]
        block.addmm_(block @ before.T, before, alpha=-1e-9)
    return process_time() - start


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--products", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = {}
    for dtype in (torch.float32, torch.float64):
        for kind in ("default", "steps of all"):
            name = f"{str(dtype).removeprefix('torch.')}, {kind}"
            sizes = options.size, options.products, dtype, options.rounds
            table[name] = measure(*sizes, steps_of_all=kind != "default")
            print(name, table[name], flush=True)
    save(options.output, {**origin(), "size": options.size, "products": options.products, "cases": table})


if __name__ == "__main__":
    main()
