"""Certified counts against exact eigenvalues: how often they fail, and how wide they are.

    python benchmarks/certificate.py [--pairs 10000] [--seeds 5]

First pairs of a spectrum and a seed: how many have a count outside its range, at the level 99% and, of a quarter of the
pairs, at 50%, and how many may have by the binomial distribution (at one in 10,000). The spectra are small ones that
are hard: eigenvalues on, just inside and just outside the edges, without gaps, of low rank, all equal. In float32 these
are dense matrices in a random basis, whose own eigenvalues count; in float64 they are diagonal, which makes no
difference to Gaussian probes. One in a hundred pairs has a 10-layer network on CIFAR-100, with 4,852 parameters. Then
these networks at several epochs: widths of the range of degenerate eigenvalues at the level 99%.
"""

import numpy as np
import torch
from measuring import origin, parser_of, save
from scipy.stats import binom
from spectra.matrix import diagonal
from spectra.networks import network

from hessdens import as_operator
from hessdens.estimators import certified_counts
from hessdens.results.counts import SIDES
from hessdens.testing import rotated

EDGE = 0.1
BUDGETS = (100, 200, 500)
NETWORKS = [f"10x16 {kind}, epoch {epoch}" for kind in ("plain", "residual") for epoch in (0, 1, 3, 6)]
# Budgets of small spectra, and of networks.
FEW = (6, 12, 24)
# Levels, and the share of the pairs at each.
LEVELS = {0.99: 1.0, 0.5: 0.25}
# The share of pairs with networks.
SHARE_OF_NETWORKS = 0.01
ONE_IN = 10_000


def hard_spectra(size: int = 60) -> dict[str, np.ndarray]:
    """Return small spectra that are hard for a window of 0.2."""
    rng = np.random.default_rng(0)
    bulk, third = 0.02 * rng.standard_normal(size // 3), size // 3
    return {
        "on the edges": np.repeat([EDGE, -EDGE, 0.0], third),
        "just inside": np.concatenate([np.repeat([EDGE - 1e-9, 1e-9 - EDGE], third), bulk]),
        "just outside": np.concatenate([np.repeat([EDGE + 1e-9, -1e-9 - EDGE], third), bulk]),
        "across the edges": np.concatenate([rng.uniform(0.098, 0.102, 2 * third), rng.uniform(-0.102, -0.098, third)]),
        "semicircle": np.cos(np.pi * (np.arange(size) + 0.5) / size) * np.sqrt(rng.random(size)),
        "normal": 0.08 * rng.standard_normal(size),
        "bulk and exponential tail": np.concatenate([bulk, bulk, rng.exponential(0.1, third)]),
        "log-uniform": np.geomspace(1e-6, 10, size),
        "symmetric log-uniform": np.concatenate([np.geomspace(1e-4, 5, size // 2), -np.geomspace(1e-4, 5, size // 2)]),
        "rank 3": np.concatenate([np.zeros(size - 3), [5.0, 1.0, -0.3]]),
        "two points": np.repeat([1.0, 1.0, -1.0], third),
        "all equal, inside": np.full(size, 0.05),
        "all equal, outside": np.full(size, 0.5),
    }


def counts_of(eigenvalues):
    inside = np.abs(eigenvalues) < EDGE
    return [int(np.count_nonzero(of)) for of in (eigenvalues <= -EDGE, inside, eigenvalues >= EDGE)]


def cells(networks):
    """Yield name, operator, eigenvalues and budgets of each spectrum, and whether it is a network's."""
    for name, eigenvalues in networks.items():
        yield name, diagonal(eigenvalues), eigenvalues, BUDGETS[:1], True
    for name, eigenvalues in hard_spectra().items():
        yield name, diagonal(eigenvalues), eigenvalues, FEW, False
        matrix = torch.from_numpy(rotated(eigenvalues, np.random.default_rng(1))).float()
        yield f"{name}, float32", as_operator(matrix), np.linalg.eigvalsh(matrix.double().numpy()), FEW, False


def failures_of(networks, pairs, level):
    """Return for each spectrum how many pairs there are, and how many of them fail."""
    every = list(cells(networks))
    small = sum(len(budgets) for *_, budgets, is_network in every if not is_network)
    seeds = {
        True: round(SHARE_OF_NETWORKS * pairs / len(networks)),
        False: round((1 - SHARE_OF_NETWORKS) * pairs / small),
    }
    rows = []
    for name, operator, eigenvalues, budgets, is_network in every:
        exact, failed, widths = counts_of(eigenvalues), 0, []
        for max_products in budgets:
            for seed in range(seeds[is_network]):
                result = certified_counts(operator, level=level, max_products=max_products, seed=seed)
                ranges = [getattr(result, side) for side in SIDES]
                failed += not all(low <= count <= high for (low, high), count in zip(ranges, exact, strict=True))
                widths.append(result.degenerate[1] - result.degenerate[0])
        rows.append({"spectrum": name, "pairs": len(widths), "failed": failed, "mean_width": float(np.mean(widths))})
        print(f"  {name:35s} {failed:4d} of {len(widths)} failed, mean width {np.mean(widths):6.1f}", flush=True)
    total, failed = (sum(row[name] for row in rows) for name in ("pairs", "failed"))
    most = int(binom.ppf(1 - 1 / ONE_IN, total, 1 - level))
    print(f"level {level:g}: {failed} of {total:,} pairs failed; at most {most} may", flush=True)
    return {"level": level, "pairs": total, "failed": failed, "most": most, "rows": rows}


def widths_of(name, eigenvalues, seeds):
    """Return for each budget the range of eigenvalues outside the window for the first seed, and widths for all."""
    operator, exact = diagonal(eigenvalues), counts_of(eigenvalues)
    for max_products in BUDGETS:
        results = [certified_counts(operator, max_products=max_products, seed=seed) for seed in range(seeds)]
        outside = [(len(eigenvalues) - r.degenerate[1], len(eigenvalues) - r.degenerate[0]) for r in results]
        row = {
            "network": name,
            "size": len(eigenvalues),
            "exact": exact[0] + exact[2],
            "products": max_products,
            "outside_of_first_seed": outside[0],
            "widths": [high - low for low, high in outside],
        }
        print(f"  {row}", flush=True)
        yield row


def main():
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    networks = {name: network(name) for name in NETWORKS}
    content = {
        **origin(packages=("numpy", "scipy")),
        "arguments": {"pairs": options.pairs, "seeds": options.seeds},
        "window": 2 * EDGE,
        "failures": [],
        "widths": [],
    }
    for level, share in LEVELS.items():
        content["failures"].append(failures_of(networks, share * options.pairs, level))
        save(options.output, content)
    for name, eigenvalues in networks.items():
        content["widths"] += widths_of(name, eigenvalues, options.seeds)
        save(options.output, content)


if __name__ == "__main__":
    main()
