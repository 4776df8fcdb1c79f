"""Error of estimated moments against exact eigenvalues, for the same number of products.

    python benchmarks/accuracy.py [--seeds 200]

Spectra: 10x16 networks (4,852 parameters) of the paper on CIFAR-100 before training and after 1 and 3 epochs, and
synthetic ones. With Gaussian probes an estimate depends on the eigenvalues only, so
diagonal matrices stand for the Hessians. Columns: root-mean-square error of m_1..m_4,
relative to the moment of the absolute eigenvalues; that of Skilling's estimator over that of the default; share of 95%
intervals that hold the exact moment.
"""

from typing import Any

import numpy as np
from measuring import origin, parser_of, save
from spectra.catalogue import catalogue
from spectra.matrix import diagonal

from hessdens import spectral_moments

BUDGETS = (50, 150)
SPECTRA = [
    *(f"10x16 {architecture}, epoch {epoch}" for architecture in ("plain", "residual") for epoch in (0, 1, 3)),
    "square Wishart and spikes",
    "power law 1",
    "semicircle",
    "semicircle and outliers",
    "highly degenerate",
]
# Budgets tried for the products that an error of 5% takes.
LADDER = (10, 20, 30, 40, 50, 100, 200, 400, 800, 1600)


def run(eigenvalues: np.ndarray, method: str, products: int, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return relative errors, shape (seeds, 4), and whether the interval holds the exact moment."""
    matrix = diagonal(eigenvalues)
    exact = np.array([np.mean(eigenvalues**k) for k in range(1, 5)])
    scale = np.array([np.mean(np.abs(eigenvalues) ** k) for k in range(1, 5)])
    errors, held = [], []
    for seed in range(seeds):
        moments = spectral_moments(matrix, 4, method=method, max_products=products, seed=seed)
        low, high = moments.interval()
        errors.append((moments.values - exact) / scale)
        held.append((low - 1e-12 * scale <= exact) & (exact <= high + 1e-12 * scale))
    return np.array(errors), np.array(held)


def rms(errors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(errors**2, axis=0))


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--seeds", type=int, default=200)
    options = parser.parse_args()
    table: dict[str, Any] = {}
    for case in catalogue(SPECTRA):
        name, eigenvalues = case.name, case.exact.eigenvalues
        print(f"\n{name}: {len(eigenvalues):,} eigenvalues")
        rows = {}
        for products in BUDGETS:
            plain, _ = run(eigenvalues, "skilling", products, options.seeds)
            deflated, held = run(eigenvalues, "deflated", products, options.seeds)
            gain = rms(plain) / np.maximum(rms(deflated), 1e-15)
            rows[products] = {
                "skilling": rms(plain).tolist(),
                "deflated": rms(deflated).tolist(),
                "gain": gain.tolist(),
                "coverage": held.mean(axis=0).tolist(),
            }
            print(f"{products:4d} products: Skilling {_cells(rms(plain))}  deflated {_cells(rms(deflated))}")
            print(f"               gain {_cells(gain)}  coverage {_cells(held.mean(axis=0))}", flush=True)
        enough = {
            method: next(
                (p for p in LADDER if rms(run(eigenvalues, method, p, options.seeds // 4)[0])[1:].max() < 0.05), None
            )
            for method in ("skilling", "deflated")
        }
        print(f"products to 5% on m_2..m_4: {enough}", flush=True)
        table[name] = {"size": len(eigenvalues), "budgets": rows, "products_to_5_percent": enough}
    content = {
        **origin(),
        "seeds": options.seeds,
        "table": table,
    }
    save(options.output, content)


def _cells(values: np.ndarray) -> str:
    return " ".join(f"{v:9.3g}" for v in values)


if __name__ == "__main__":
    main()
