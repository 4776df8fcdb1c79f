"""How often confidence intervals hold the exact value, and how wide they are, over spectra, windows and budgets.

    python benchmarks/interval_coverage.py [--seeds 100] [--label after]

Spectra of 1,000 eigenvalues of kinds that are hard, as diagonal matrices, with Gaussian probes. Windows are 0.2, 0.02,
2e-3, and twice the median of the absolute eigenvalues, whose ends lie in the bulk, and for atoms at one. Numbers are
the degenerate and negative fraction and the mass between 0 and the window's upper end, for each window; the cdf at
three quantiles; moments by `lanczos_density` and by both methods of `spectral_moments`; and changes of both fractions
and of m_2 to a matrix whose eigenvalues are 30% larger, and are moved by noise. A cell is one number of one spectrum at
one budget. Intervals are nominal ones of 95%; the width is given in units of 3.92 root-mean-square errors of the
estimate, in cells where this error is above 1/N (of moments above rounding).
Cells are stored spectrum by spectrum, under a label, next to those of other versions of the package.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from measuring import origin, parser_of, save
from scipy.special import ndtri
from spectra.matrix import diagonal

from hessdens import Spectrum, lanczos_density, spectral_moments

SIZE = 1000
BUDGETS = (20, 50, 100, 200)
WINDOWS = (0.2, 0.02, 2e-3)
QUANTILES = (0.1, 0.5, 0.9)
# Of each number the exact value, and of one seed the estimate, the lower and the upper end.
Numbers = dict[str, Any]


def hard_spectra(size: int = SIZE) -> dict[str, np.ndarray]:
    """Return eigenvalues that intervals have failed on, or may fail on."""
    bulk = 1e-3 * ndtri((np.arange(size * 9 // 10) + 0.5) / (size * 9 // 10))
    few, half = size - len(bulk) - 10, np.geomspace(1e-5, 5, size // 2)
    ranks = np.arange(1, size // 20 + 1)
    rng = np.random.default_rng(0)
    wishart = np.linalg.eigvalsh(np.cov(rng.standard_normal((size // 4, 500)), rowvar=True))
    semicircle = np.cos(np.pi * (np.arange(size) + 0.5) / size) * np.sqrt(rng.random(size))
    spectra = {
        "zeros and power law": np.concatenate([np.zeros(size - len(ranks)), 10 / ranks]),
        "bulk and shoulder": np.concatenate([bulk, np.linspace(0.01, 0.3, few), np.geomspace(1, 30, 10)]),
        "bulk and exponential shoulder": np.concatenate(
            [bulk, -0.05 * np.log((np.arange(few) + 0.5) / few), np.geomspace(1, 30, 10)]
        ),
        "symmetric log-uniform": np.concatenate([half, -half]),
        "log-uniform": np.geomspace(1e-12, 1e2, size),
        "all equal": np.full(size, 0.05),
        "two points": np.repeat([-1.0, 1.0], [3 * size // 10, 7 * size // 10]),
        "rank 3": np.concatenate([np.zeros(size - 3), [5.0, 1.0, -0.3]]),
        "zeros inside a band": np.concatenate([np.zeros(size // 2), np.linspace(-0.5, 1, size // 2)]),
        "20 eigenvalues": np.concatenate([np.linspace(-0.3, 0.3, 16), [1.0, 2.0, 3.0, 5.0]]),
        "atoms at ends of windows": np.repeat([-0.1, -1e-3, 1e-3, 0.1, 3.0], [100, 200, size - 410, 100, 10]),
        "semicircle": semicircle,
        "Wishart with spikes": np.concatenate([wishart, np.geomspace(10, 100, 5)]),
    }
    return {name: np.sort(values) for name, values in spectra.items()}


def density_numbers(eigenvalues: np.ndarray, others: np.ndarray, products: int, seed: int) -> Numbers:
    """Return the numbers of the density of a spectrum, and their changes to another."""
    first, second = Spectrum(eigenvalues), Spectrum(others)
    density, other = (
        lanczos_density(diagonal(values), max_products=products, seed=seed) for values in (eigenvalues, others)
    )
    numbers: Numbers = {}
    median = 2 * float(np.median(np.abs(eigenvalues)))
    for name, window in [*((f"window {w:g}", w) for w in WINDOWS), ("relative window", median)]:
        change = density.difference(other, window=window)
        ends = change.interval()
        for place, part in ((4, "degenerate"), (5, "negative")):
            exact, value, after = (getattr(each, f"fraction_{part}")(window) for each in (first, density, second))
            numbers[f"{part}, {name}"] = (exact, value, *getattr(density, f"{part}_interval")(window))
            numbers[f"change of {part}, {name}"] = (after - exact, change.values[place], *ends[:, place])
        edges = [0.0, window / 2]
        numbers[f"mass, {name}"] = (first.mass(*edges), density.mass(*edges), *density.mass_interval(edges)[:, 0])
    exact = second.moments(2)[1] - first.moments(2)[1]
    numbers["change of m_2"] = (exact, change.values[1], *ends[:, 1])
    points = np.quantile(eigenvalues, QUANTILES, method="inverted_cdf")
    cdf = zip(QUANTILES, first.cdf(points), density.cdf(points), *density.cdf_interval(points), strict=True)
    numbers |= {f"cdf at {q:.0%}": row for q, *row in cdf}
    return numbers | _moments("lanczos", first, density.moments(4), density.moments_interval(4))


def moment_numbers(eigenvalues: np.ndarray, products: int, seed: int) -> Numbers:
    """Return the moments of a spectrum by both methods."""
    numbers: Numbers = {}
    for method in ("deflated", "skilling"):
        moments = spectral_moments(diagonal(eigenvalues), method=method, max_products=products, seed=seed)
        numbers |= _moments(method, Spectrum(eigenvalues), moments.values, moments.interval())
    return numbers


def _moments(name: str, spectrum: Spectrum, values: np.ndarray, ends: np.ndarray) -> Numbers:
    rows = zip(spectrum.moments(4), values, *ends, strict=True)
    return {f"m_{order}, {name}": row for order, row in enumerate(rows, start=1)}


def cells(eigenvalues: np.ndarray, products: int, seeds: int) -> dict[str, tuple[float, float, float, bool]]:
    """Return for each number coverage, mean width, root-mean-square error, and whether that is not tiny."""
    others = eigenvalues * (1.3 + 0.1 * np.random.default_rng(0).standard_normal(len(eigenvalues)))
    runs = [
        density_numbers(eigenvalues, others, products, seed) | moment_numbers(eigenvalues, products, seed)
        for seed in range(seeds)
    ]
    table = {}
    for number in runs[0]:
        exact, values, low, high = np.array([run[number] for run in runs]).T
        order = int(number.split("m_")[1][0]) if "m_" in number else 0
        slack = 1e-9 * float(np.mean(np.abs(eigenvalues) ** order))
        coverage = np.mean((low - slack <= exact) & (exact <= high + slack))
        error = np.sqrt(np.mean((values - exact) ** 2))
        is_large = bool(error > (slack if order else 1 / len(eigenvalues)))
        table[number] = float(coverage), float(np.mean(high - low)), float(error), is_large
    return table


def summary(rows: list[tuple[float, float, float, bool]]) -> dict[str, float]:
    """Return what is asked of all cells: coverage of each and of all, and widths where errors are not tiny."""
    coverage = np.array([row[0] for row in rows])
    ratios = np.array([width / (3.92 * error) for _, width, error, is_large in rows if is_large] or [0.0])
    return {
        "cells": len(rows),
        "least_coverage": float(coverage.min()),
        "mean_coverage": float(coverage.mean()),
        "below_90_percent": int(np.sum(coverage < 0.9)),
        "median_width": float(np.median(ratios)),
        "wider_than_10": float(np.mean(ratios > 10)),
    }


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--label", default="after", help="under which the cells are stored")
    options = parser.parse_args()
    content = json.loads(Path(options.output).read_text()) if Path(options.output).exists() else {}
    kinds: dict[str, list[Any]] = {"all": []}
    stored: dict[str, dict[int, dict[str, str]]] = {}
    for name, eigenvalues in hard_spectra().items():
        for products in BUDGETS:
            table = cells(eigenvalues, products, options.seeds)
            for number, row in table.items():
                kinds["all"].append(row)
                kinds.setdefault(_kind(number), []).append(row)
            texts = {number: f"{row[0]:.2f} {row[1]:.3g} {row[2]:.3g}" for number, row in table.items()}
            stored.setdefault(name, {})[products] = texts
        summaries = {kind: summary(rows) for kind, rows in kinds.items()}
        columns = "coverage, mean width, root-mean-square error"
        facts = {**origin(), "seeds": options.seeds, "summary": summaries, "columns": columns}
        content[options.label] = {**facts, "cells": stored}
        save(options.output, content)
        print(f"{name}: {summaries['all']}", flush=True)
    for kind, numbers in summaries.items():
        print(f"{kind:22s}" + "  ".join(f"{key} {value:.3g}" for key, value in numbers.items()))


def _kind(number: str) -> str:
    """Return the kind of a number: without its window, order or quantile."""
    return f"moments, {number.split(', ')[1]}" if number.startswith("m_") else number.split(",")[0].split(" at ")[0]


if __name__ == "__main__":
    main()
