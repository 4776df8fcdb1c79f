"""What `lanczos_density` takes beyond its products, over the matrix products of one reorthogonalisation.

    OMP_NUM_THREADS=1 python benchmarks/reorthogonalisation.py [--size 100000] [--products 500] [--rounds 5]

A diagonal matrix, whose products cost almost nothing. One reorthogonalisation are the two matrix products of each step,
W Q' and W - C Q, with all vectors before it: what no method that keeps its basis orthogonal is spared. Both in turn,
with one thread; seconds are those of the processor. The orthogonality is the largest inner product of a vector of the
last block with another, in units of eps.
"""

from time import process_time
from typing import Any

import numpy as np
import torch
from measuring import origin, parser_of, save
from torch import Tensor

from hessdens import as_operator, lanczos_density


def measure(size: int, products: int, dtype: torch.dtype, rounds: int) -> dict[str, Any]:
    """Return seconds beyond products, and those of one reorthogonalisation, of every round."""
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
        density = lanczos_density(operator, max_products=products, seed=seed)
        beyond.append(process_time() - start - in_products[0])
        once.append(_one_reorthogonalisation(size, density.num_probes, density.num_steps, dtype))
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
        name = str(dtype).removeprefix("torch.")
        table[name] = measure(options.size, options.products, dtype, options.rounds)
        print(name, table[name], flush=True)
    save(options.output, {**origin(), "size": options.size, "products": options.products, "dtypes": table})


if __name__ == "__main__":
    main()
