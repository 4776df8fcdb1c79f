"""Diagonals, traces of layers and norms of blocks: unbiased, with true errors, and against XDiag at equal products.

    python benchmarks/structure.py

takes some minutes on one core. For matrices of known kinds, each estimate is made with many seeds. The table has the
root of the mean squared error of the diagonal over that of XDiag (Epperly, Tropp & Webber 2024, as curvlinops has it),
reported errors over the spread of the seeds, and the largest bias in units of its standard error.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import origin, parser_of, save

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from matrices import kinds
from naive import xdiag

from hessdens._types import FloatArray
from hessdens.structure import block_norms, diagonal, layer_traces

SIZE, PRODUCTS, SEEDS = 120, 20, 300
PARTS = {"first": slice(0, 40), "second": slice(40, SIZE)}
PROBES = 8


def quality(estimates: FloatArray, reported: FloatArray, truth: FloatArray) -> dict[str, float]:
    """Return reported errors over the root mean squared error, and the largest z-score of the mean, over seeds."""
    errors = estimates - truth
    squared = float(np.mean(np.sum(errors**2, axis=1)))
    spread = errors.std(axis=0, ddof=1)
    scores = np.abs(errors.mean(axis=0)) / np.maximum(spread / len(errors) ** 0.5, 1e-12 * np.abs(truth).max())
    return {
        "reported_over_actual": float((np.mean(np.sum(reported**2, axis=1)) / squared) ** 0.5),
        "largest_z_score": float(scores.max()),
        "root_mean_square": squared**0.5,
    }


def measured(make: Callable[[int], tuple[Any, Any]], truth: FloatArray, seeds: int) -> dict[str, float]:
    """Return the quality of an estimator, which gives values and errors for a seed."""
    values, errors = (np.array(part) for part in zip(*(make(seed) for seed in range(seeds)), strict=True))
    return quality(values.reshape(seeds, -1), errors.reshape(seeds, -1), truth.reshape(-1))


def of_matrix(matrix: FloatArray, seeds: int) -> dict[str, dict[str, float]]:
    """Return the quality of all estimators for one matrix."""
    truth, rng = np.diag(matrix), np.random.default_rng(0)
    places = list(PARTS.values())

    def entries(seed: int) -> tuple[Any, Any]:
        found = diagonal(matrix, max_products=PRODUCTS, seed=seed)
        return found.values, found.standard_errors

    def traces(seed: int) -> tuple[Any, Any]:
        found = layer_traces(matrix, PARTS, max_products=PRODUCTS, seed=seed)
        return found.values, found.standard_errors

    def norms(seed: int) -> tuple[Any, Any]:
        found = block_norms(matrix, PARTS, num_probes=PROBES, seed=seed)
        return found.values, found.standard_errors

    sums = np.array([truth[place].sum() for place in places])
    squares = np.array([[np.sum(matrix[i, j] ** 2) for j in places] for i in places])
    peer = [float(np.sum((xdiag(matrix, PRODUCTS, rng) - truth) ** 2)) for _ in range(seeds)]
    own = measured(entries, truth, seeds)
    own["over_xdiag"] = own["root_mean_square"] / np.mean(peer) ** 0.5
    return {
        "diagonal": own,
        "traces of layers": measured(traces, sums, seeds),
        "norms of blocks": measured(norms, squares, seeds),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all matrices, print a table, and write the numbers."""
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args(argv)
    found = {}
    print(f"{'matrix':18s} {'estimate':18s} {'reported/actual':>16s} {'largest z':>10s} {'error/XDiag':>12s}")
    for name, matrix in kinds(SIZE).items():
        if name == "diagonal":  # which probes of ±1 know exactly
            continue
        found[name] = of_matrix(matrix, options.seeds)
        for estimate, row in found[name].items():
            ratio = f"{row['over_xdiag']:12.2f}" if "over_xdiag" in row else ""
            print(
                f"{name:18s} {estimate:18s} {row['reported_over_actual']:16.2f} {row['largest_z_score']:10.2f} {ratio}"
            )
    content = {"size": SIZE, "products": PRODUCTS, "probes": PROBES, "seeds": options.seeds, "matrices": found}
    save(options.output, {**origin(), **content})


if __name__ == "__main__":
    main()
