"""Traces of layers to an accuracy: how often it is kept, how often intervals hold, and what it costs.

    python benchmarks/accuracy_of_traces.py [--seeds 100]

takes a quarter of an hour on one core. Each estimate is made with many seeds, of matrices whose diagonals are known:
those of ``benchmarks/structure.py``, and exact Hessians of small networks. An accuracy is kept where all layers are
within it; intervals are those at 95%, of the least covered layer. Matrices with both signs have a part of the identity
added, since traces near 0 have no relative accuracy.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from measuring import origin, parser_of, save

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from matrices import kinds
from structure import NETWORKS, Case, networks, of_kind

from hessdens.structure import layer_traces

SEEDS, SIZE = 100, 100
ACCURACIES = (0.1, 0.03)
# What is added to the diagonal, in units of the root mean square of the eigenvalues.
SHIFTED = {"indefinite": 1.0, "flat": 1.0, "network": 0.1}
# More than enough for each.
MOST_PRODUCTS = 2_000
SMALL_NETWORKS = NETWORKS[:2]


def cases() -> Iterator[Case]:
    """Yield all matrices."""
    for name, matrix in kinds(SIZE).items():
        if name != "diagonal":  # which probes of ±1 know exactly
            scale = SHIFTED.get(name, 0.0) * np.linalg.norm(matrix) / SIZE**0.5
            yield of_kind(name, matrix + scale * np.eye(SIZE), MOST_PRODUCTS)
    for name, (matrix, layers) in networks(SMALL_NETWORKS).items():
        yield Case(f"Hessian, {name}", matrix, layers, MOST_PRODUCTS)


def of_case(case: Case, rtol: float, seeds: int) -> dict[str, float]:
    """Return how often the accuracy is kept and intervals hold, the largest bias in its errors, and products."""
    truth = case.sums(np.diag(case.matrix))
    found = [
        layer_traces(case.matrix, case.layers, rtol=rtol, max_products=case.products, seed=s) for s in range(seeds)
    ]
    errors = np.array([result.values for result in found]) - truth
    ends = np.array([result.interval() for result in found])
    rounding = 1e-9 * np.abs(truth)
    held = np.mean((ends[:, 0] <= truth + rounding) & (truth - rounding <= ends[:, 1]), axis=0)
    spread = np.maximum(errors.std(axis=0, ddof=1) / seeds**0.5, rounding)
    products = [result.num_products for result in found]
    return {
        "kept": float(np.mean((np.abs(errors) <= rtol * np.abs(truth)).all(axis=1))),
        "held": float(held.min()),
        "held on average": float(held.mean()),
        "largest_z_score": float(np.abs(errors.mean(axis=0) / spread).max()),
        "products": float(np.mean(products)),
        "fewest": min(products),
        "most": max(products),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all matrices, print a table, and write the numbers."""
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args(argv)
    rows = []
    for case in cases():
        for rtol in ACCURACIES:
            row = of_case(case, rtol, options.seeds)
            rows.append({"matrix": case.name, "size": len(case.matrix), "rtol": rtol, **row})
            print(rows[-1], flush=True)
    save(options.output, {**origin(), "seeds": options.seeds, "rows": rows})


if __name__ == "__main__":
    main()
