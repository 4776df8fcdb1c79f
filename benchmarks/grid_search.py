"""Fit four moments on the paper's grid of 10⁸ mixtures: three backends, their speed, and whether they agree.

    python benchmarks/grid_search.py                 # about 3 minutes on 2 cores
    python benchmarks/grid_search.py --vectors 50    # less agreement tested, 30 seconds

Prints tables and writes them to `benchmarks/results/grid_search.json`. Times are those of `fit_mixture` from a NumPy
array to a `MixtureFit`. The default backend uses one core for a fit, all points in Numba all cores, NumPy one.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import numba
import numpy as np
from measuring import origin, parser_of, save, timed

from hessdens.mixture import Grid, MixtureFit, SkewNormalMixture, fit_mixture, fit_mixtures

MEBIBYTE = 2**20
# A fresh process: peak memory after the import and after two fits, and the time of each fit.
FRESH_PROCESS = """
import json, time
import hessdens
from hessdens.mixture import fit_mixture

def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))

before, times = peak(), []
for _ in range(2):
    start = time.perf_counter()
    fit_mixture([0.01, 0.05, 1.0, 30.0])
    times.append(time.perf_counter() - start)
print(json.dumps({"times": times, "peak": peak() - before}))
"""


def off_grid(rng: np.random.Generator) -> np.ndarray:
    """Return moments of a mixture with parameters drawn from the ranges of the paper's grid."""
    return SkewNormalMixture(
        10 ** rng.uniform(-9, -3), rng.uniform(-10, 10), 10 ** rng.uniform(-1, 3), rng.uniform(-50, 50)
    ).moments(4)


def noisy(rng: np.random.Generator) -> np.ndarray:
    return off_grid(rng) * (1 + 0.1 * rng.standard_normal(4))


def planted(rng: np.random.Generator) -> np.ndarray:
    return Grid.paper().point(rng.integers(100, size=4)).moments(4)


def near_tie(rng: np.random.Generator) -> np.ndarray:
    """Return moments half-way between neighbours on the grid, or of a point of it except for rounding."""
    index = rng.integers(99, size=4)
    first = Grid.paper().point(index).moments(4)
    if rng.random() < 0.5:
        return first * (1 + 1e-15 * rng.standard_normal(4))
    return (first + Grid.paper().point(index + (np.arange(4) == rng.integers(4))).moments(4)) / 2


def huge(rng: np.random.Generator) -> np.ndarray:
    """Return moments of eigenvalues far above the grid; many or all objectives are 4 except for rounding."""
    return noisy(rng) * (10 ** rng.uniform(1, 40)) ** np.arange(1, 5)


def tiny(rng: np.random.Generator) -> np.ndarray:
    return noisy(rng) * (10 ** rng.uniform(-40, -1)) ** np.arange(1, 5)


def any_size_and_sign(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(4) * 10 ** rng.uniform(-8, 8, 4)


def outliers(rng: np.random.Generator) -> np.ndarray:
    """Return moments of a bulk and a few outliers, as the Hessian of a trained network has."""
    bulk = 10 ** rng.uniform(-3, -1) * rng.standard_normal(5000)
    tail = rng.lognormal(rng.uniform(0, 3), rng.uniform(0.2, 1.2), int(10 ** rng.uniform(0.5, 2)))
    return (np.concatenate([bulk, tail])[:, None] ** np.arange(1, 5)).mean(axis=0)


GROUPS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "mixture off the grid, 10% noise": noisy,
    "mixture off the grid": off_grid,
    "point of the grid": planted,
    "near-tie": near_tie,
    "huge scale": huge,
    "tiny scale": tiny,
    "any size and sign": any_size_and_sign,
    "bulk and outliers": outliers,
}


def fits_of(moments: np.ndarray, backend: str) -> tuple[list[MixtureFit], np.ndarray]:
    """Return one fit for each row, and the seconds that each took."""
    fits, seconds = zip(*(timed(partial(fit_mixture, row, backend=backend)) for row in moments), strict=True)
    return list(fits), np.array(seconds)


def agree(fits: list[MixtureFit], others: list[MixtureFit]) -> int:
    """Return how many have the same index and, to the last bit, the same objective."""
    return sum(a.index == b.index and a.objective == b.objective for a, b in zip(fits, others, strict=False))


def fresh_process(cache: str) -> dict[str, Any]:
    """Fit twice in a new interpreter whose compiled code is kept in ``cache``."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    command = [sys.executable, "-c", FRESH_PROCESS]
    return json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def measure(num_vectors: int, num_numpy: int) -> dict[str, Any]:
    """Time the backends on the same vectors and compare what they find."""
    rng = np.random.default_rng(0)
    names = [name for _, name in zip(range(num_vectors), list(GROUPS) * num_vectors, strict=False)]
    moments = np.array([GROUPS[name](rng) for name in names])
    for backend in ("numba", "numba-exhaustive"):
        fit_mixture(moments[0], backend=backend)
    fits, seconds = fits_of(moments, "numba")
    all_points, all_points_seconds = fits_of(moments, "numba-exhaustive")
    plain, plain_seconds = fits_of(moments[:num_numpy], "numpy")
    backends = [
        ("numba", seconds, agree(fits, fits), len(fits)),
        ("numba-exhaustive", all_points_seconds, agree(fits, all_points), len(all_points)),
        ("numpy", plain_seconds, agree(fits, plain), len(plain)),
    ]
    groups = {}
    for group in GROUPS:
        chosen = np.array(names) == group
        objectives = np.array([fit.objective for fit in fits])[chosen]
        groups[group] = {
            "fits": int(chosen.sum()),
            "median_ms": 1e3 * float(np.median(seconds[chosen])),
            "max_ms": 1e3 * float(seconds[chosen].max()),
            "median_objective": float(np.median(objectives)),
            "quantile_95_objective": float(np.quantile(objectives, 0.95)),
        }
    many = np.array([noisy(rng) for _ in range(1000)])
    _, thousand_fits = timed(fit_mixtures, many)
    return {
        "backends": {
            name: {
                "median_ms": 1e3 * float(np.median(times)),
                "max_ms": 1e3 * float(times.max()),
                "points_per_second": 1e8 / float(np.median(times)),
                "times_slower": float(np.median(times) / np.median(seconds)),
                "same_index_and_objective": f"{same} of {number}",
            }
            for name, times, same, number in backends
        },
        "groups": groups,
        "thousand_fits_in_one_call_s": thousand_fits,
    }


def report(result: dict[str, Any]) -> None:
    print(f"{result['machine']}, {result['threads']} threads, 10⁸ points")
    print(
        f"\n{'backend':18s} {'median':>12s} {'slowest':>12s} {'points/s':>10s} {'times':>7s}  same index and objective"
    )
    for name, row in result["backends"].items():
        print(
            f"{name:18s} {row['median_ms']:9.2f} ms {row['max_ms']:9.2f} ms {row['points_per_second']:10.2g} "
            f"{row['times_slower']:7.1f}  {row['same_index_and_objective']}"
        )
    print(f"\n{'default backend on':32s} {'fits':>5s} {'median':>10s} {'slowest':>10s}   objective: median, 95%")
    for name, row in result["groups"].items():
        print(
            f"{name:32s} {row['fits']:5d} {row['median_ms']:7.2f} ms {row['max_ms']:7.2f} ms   "
            f"{row['median_objective']:.3g}, {row['quantile_95_objective']:.3g}"
        )
    print(f"\n1,000 fits in one call: {result['thousand_fits_in_one_call_s']:.2f} s")
    for name in ("compiling", "from_cache"):
        row = result["fresh_process"][name]
        print(
            f"fresh process, {name.replace('_', ' ')}: first fit {row['first_fit_s']:.2f} s, "
            f"second {1e3 * row['second_fit_s']:.2f} ms, peak memory {row['peak_mib']:.0f} MiB over the import"
        )


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--vectors", type=int, default=1000, help="fits by both Numba backends")
    parser.add_argument("--numpy", type=int, default=16, help="fits by NumPy as well")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        runs = {name: fresh_process(cache) for name in ("compiling", "from_cache")}
    result = {
        **origin(packages=("hessdens", "numba", "numpy", "scipy")),
        "threads": numba.config.NUMBA_NUM_THREADS,
        "fresh_process": {
            name: {
                "first_fit_s": run["times"][0],
                "second_fit_s": run["times"][1],
                "peak_mib": run["peak"] / MEBIBYTE,
            }
            for name, run in runs.items()
        },
        **measure(arguments.vectors, arguments.numpy),
    }
    report(result)
    save(arguments.output, result)


if __name__ == "__main__":
    main()
