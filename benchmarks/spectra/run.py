"""Runs estimators on spectra with known eigenvalues, at equal numbers of products.

    python benchmarks/spectra/run.py [--spectra network "log*"] [--estimators ours SLQ] [--parts densities]

Parts: `densities` (errors of fractions, W1, moments, and seconds of the processor, products with a matrix that costs
nothing included), `traces` (estimators of moments), and `intervals` (of all that state some: coverage, width, error,
over windows). Results are written spectrum by spectrum and estimator by estimator to `benchmarks/results/spectra`; what
is stored for the same code or version and as many seeds is not run again. `verdict.py` says what follows from them.
"""

import argparse
import json
import re
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measuring import origin

from hessdens import Spectrum
from spectra.catalogue import Case, catalogue
from spectra.measures import WINDOW, cell, change_intervals, errors, intervals, summary_of
from spectra.registry import Estimator, estimators
from spectra.verdict import PARTS, RESULTS, TRACE_FLOOR

BUDGETS = {"densities": (50, 100, 200), "traces": (24, 50, 100, 200), "intervals": (20, 50, 100, 200, 500)}
SEEDS = {"densities": 10, "traces": 40, "intervals": 20}
# Of a spectrum with more eigenvalues than this, a third of the seeds are taken, no budget above LARGEST_BUDGET, and
# only estimators that are given a diagonal matrix.
LARGE, LARGEST_BUDGET = 50_000, 100
Answers = list[dict[str, Any]]


def slug(name: str) -> str:
    """Return the name of a spectrum's file."""
    return "".join(c if c.isalnum() else "_" for c in name.replace("/", "_over_"))


def run(
    estimator: Estimator, eigenvalues: np.ndarray, budget: int, split: int, seeds: int
) -> tuple[Answers, list[float]]:
    """Return the answers of each seed at which there are any, and the seconds that each took."""
    found, seconds = [], []
    for seed in range(seeds):
        start = time.process_time()
        try:
            found.append(estimator.answers(eigenvalues, budget, split, seed))
        except (ValueError, np.linalg.LinAlgError) as error:
            print(f"    {estimator.name} refuses seed {seed}: {str(error)[:80]}", flush=True)
            continue
        seconds.append(time.process_time() - start)
    return found, seconds


def error_rows(estimator: Estimator, case: Case, budget: int, split: int, seeds: int) -> dict[str, Any]:
    """Return for each answer of an estimator its errors, how many seeds gave one, and its seconds."""
    answers, seconds = run(estimator, case.exact.eigenvalues, budget, split, seeds)
    names = answers[0] if answers else [estimator.name]
    table = {}
    for name in names:
        rows = [errors(found[name], case) for found in answers]
        table[name] = {"answered": len(rows), "seconds": float(np.median(seconds or [0.0])), **summary_of(rows)}
    return table


def interval_rows(estimator: Estimator, case: Case, budget: int, split: int, seeds: int) -> dict[str, Any]:
    """Return for each answer of an estimator the cells of its intervals; those of changes where it has them."""
    answers, _ = run(estimator, case.exact.eigenvalues, budget, split, seeds)
    table: dict[str, Any] = {}
    for name in answers[0] if answers else []:
        rows = [intervals(found[name], case) for found in answers]
        if hasattr(answers[0][name], "difference"):
            moved = moved_eigenvalues(case.exact.eigenvalues)
            others, _ = run(estimator, moved, budget, split, seeds)
            pairs = zip(rows, answers, others, strict=True)
            rows = [row | change_intervals(a[name], b[name], case.exact, Spectrum(moved)) for row, a, b in pairs]
        cells = {number: cell(number, [row[number] for row in rows], case) for number in rows[0]}
        table[name] = {number: [float(f"{value:.3g}") for value in each] for number, each in cells.items()}
    return table


def moved_eigenvalues(eigenvalues: np.ndarray) -> np.ndarray:
    """Return eigenvalues that are about 30% larger, each moved by noise."""
    return eigenvalues * (1.3 + 0.1 * np.random.default_rng(0).standard_normal(len(eigenvalues)))


def budgets_and_seeds(part: str, case: Case, options: argparse.Namespace) -> tuple[list[int], int]:
    """Return what is asked for, less of large spectra."""
    budgets, seeds = options.budgets or BUDGETS[part], options.seeds or SEEDS[part]
    if case.exact.size > LARGE:
        budgets, seeds = [b for b in budgets if b <= LARGEST_BUDGET], -(-seeds // 3)
    return list(budgets), seeds


def measure(part: str, case: Case, estimator: Estimator, stored: dict[str, Any], options: argparse.Namespace) -> bool:
    """Add what an estimator gives of a spectrum to what is stored; return whether there was anything to do."""
    budgets, seeds = budgets_and_seeds(part, case, options)
    version = estimator.version()
    entry = stored.setdefault(part, {}).setdefault(estimator.name, {})
    if entry.get("version") != version or entry["seeds"] < seeds:
        entry.clear()
        entry |= {"kind": estimator.kind, "version": version, "seeds": seeds, **origin(), "budgets": {}}
    todo = [budget for budget in budgets if str(budget) not in entry["budgets"]]
    for budget in todo:
        rows = interval_rows if part == "intervals" else error_rows
        entry["budgets"][str(budget)] = {
            str(split): rows(estimator, case, budget, split, entry["seeds"])
            for split in estimator.splits or (0,)
            if split <= budget // 4
        }
    return bool(todo)


def fits(part: str, estimator: Estimator, case: Case) -> bool:
    """Return whether an estimator has a place in a part: splits of references and peers are compared by errors only."""
    if case.exact.size > LARGE and not estimator.gaussian:
        return False
    if part == "intervals":
        return estimator.kind == "ours" or estimator.gives == "moments"
    return (estimator.gives == "density") == (part == "densities")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spectra", nargs="+", metavar="PATTERN", help="names or kinds; all by default")
    parser.add_argument("--estimators", nargs="+", metavar="PATTERN", help="names or kinds; all by default")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--budgets", nargs="+", type=int, help="products; those of the part by default")
    parser.add_argument("--seeds", type=int, help=f"{SEEDS} by default")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the folder of the results")
    parser.add_argument("--list", action="store_true", help="name spectra and estimators, and run nothing")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    cases, chosen = catalogue(options.spectra), estimators(options.estimators)
    if options.list:
        for each in (*cases, *chosen):
            print(f"{each.kind:12s} {each.name}" + ("" if getattr(each, "is_installed", True) else " (not installed)"))
        return
    warnings.simplefilter("ignore")  # of other libraries
    options.output.mkdir(parents=True, exist_ok=True)
    for part in options.parts:
        for case in cases:
            path = options.output / f"{slug(case.name)}.json"
            stored = (json.loads(path.read_text()) if path.exists() else {}) | facts_of(case)
            for each in chosen:
                if fits(part, each, case) and each.is_installed:
                    start = time.perf_counter()
                    if measure(part, case, each, stored, options):
                        path.write_text(text_of(stored))
                        print(f"{part}, {case.name}: {each.name}, {time.perf_counter() - start:.1f} s", flush=True)


def facts_of(case: Case) -> dict[str, Any]:
    """Return what a file says of its spectrum; a floor is the error that one eigenvalue makes, or nobody's concern."""
    exact, size = case.exact, case.exact.size
    shares = {"outside": 1 - exact.fraction_degenerate(WINDOW), "negative": exact.fraction_negative(WINDOW)}
    floors = {name: 1 / size / (share or 1.0) for name, share in shares.items()}
    floors |= {"distance": case.scale / size, "m_1": TRACE_FLOOR}
    facts = {"name": case.name, "kind": case.kind, "place": case.place, "size": size, "mean_absolute": case.scale}
    return facts | {"shares": shares, "floors": floors}


def text_of(content: dict[str, Any]) -> str:
    """Return JSON with numbers of four digits, and a line for each row of numbers."""

    def rounded(each: Any) -> Any:
        if isinstance(each, dict):
            return {key: rounded(value) for key, value in each.items()}
        return float(f"{each:.4g}") if isinstance(each, float) else each

    text = json.dumps(rounded(content), indent=1)
    return re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda match: " ".join(match[0].split()), text) + "\n"


if __name__ == "__main__":
    main()
