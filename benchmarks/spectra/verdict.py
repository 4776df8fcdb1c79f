"""What follows from the results of `run.py`: ratios to the best other method, falls with the budget, coverage.

python benchmarks/spectra/verdict.py [--results FOLDER] [--estimator lanczos_density] [--trace NAME]
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom

RESULTS = Path(__file__).resolve().parents[1] / "results" / "spectra"
PARTS = ("densities", "traces", "intervals")
MEASURES = ("outside", "negative", "distance")
# What is asked for: of errors over those of the best other, for densities and for traces.
LIMIT, TRACE_LIMIT = 1.15, 1.1
# A larger budget may have a median error that is larger by this factor, since seeds are few.
RISE = 1.15
# Errors of traces below this, relative to the mean absolute eigenvalue, count as this.
TRACE_FLOOR = 1e-6
LEVEL, LOW_COVERAGE, CHANCE = 0.95, 0.9, 1e-3
Content = dict[str, Any]


@dataclass(frozen=True)
class Duel:
    """An error of ours (over seeds) next to the least of all other methods and splits; both at least ``floor``."""

    spectrum: str
    kind: str
    measure: str
    products: int
    ours: float
    best: float
    winner: str
    floor: float

    @property
    def ratio(self) -> float:
        """Ours over the best other's."""
        return max(self.ours, self.floor) / max(self.best, self.floor)


@dataclass(frozen=True)
class Cell:
    """A number of one spectrum at one budget: how often its interval held over seeds, its width and error."""

    estimator: str
    spectrum: str
    products: int
    number: str
    held: float
    width: float
    error: float
    seeds: int
    size: int

    @property
    def kind(self) -> str:
        """What the number is of, without its window, order or quantile."""
        return "moments" if self.number.startswith("m_") else self.number.split(",")[0].split(" at ")[0]

    @property
    def is_beyond_chance(self) -> bool:
        """Whether intervals that hold in 95% of all cases would hold so rarely in one of a thousand cells at most."""
        return bool(binom.cdf(round(self.held * self.seeds), self.seeds, LEVEL) < CHANCE)

    @property
    def width_in_errors(self) -> float | None:
        """The width over 3.92 root-mean-square errors; None where the error is below one eigenvalue, or rounding."""
        is_large = self.error > (1e-12 if "m_" in self.number else 1 / self.size)
        return self.width / (3.92 * self.error) if is_large else None


def load(folder: Path = RESULTS) -> list[Content]:
    """Return the contents of the files of all spectra: networks first, then closed forms."""
    order = ("network", "closed form", "adversarial")
    contents = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return sorted(contents, key=lambda content: (order.index(content["kind"]), content["place"]))


def rows(content: Content, part: str, budget: int, seeds: int = 0) -> Iterator[tuple[str, str, int, Content]]:
    """Yield kind and name of each answer of so many seeds at least, its split and its numbers, where there are any."""
    for entry in content.get(part, {}).values():
        if entry["seeds"] < seeds:
            continue
        for split, answers in entry["budgets"].get(str(budget), {}).items():
            for name, numbers in answers.items():
                if numbers.get("answered"):
                    yield entry["kind"], name, int(split), numbers


def duels(contents: list[Content], part: str, ours: str, measures: tuple[str, ...]) -> list[Duel]:
    """Return ours against the best other of each spectrum, measure and budget.

    Others of fewer seeds do not count: the least of many medians over few seeds is luck.
    """
    found = []
    for content in contents:
        seeds = content.get(part, {}).get(ours, {}).get("seeds", 0)
        budgets = sorted({int(b) for entry in content.get(part, {}).values() for b in entry["budgets"]})
        for budget in budgets:
            every = list(rows(content, part, budget, seeds))
            own = [numbers for _, name, _, numbers in every if name == ours]
            others = [row for row in every if row[0] != "ours"]
            if not own or not others:
                continue
            for measure in measures:
                _, name, split, best = min(others, key=lambda row: row[3][measure])
                winner = f"{name}, {split} probe{'s' * (split > 1)}" if split else name
                found.append(
                    Duel(content["name"], content["kind"], measure, budget, own[0][measure],
                         best[measure], winner, content["floors"][measure])
                )  # fmt: skip
    return found


def rises(contents: list[Content], ours: str) -> list[tuple[str, str, int, float]]:
    """Return spectrum, measure, budget and factor where a median error is larger than at the budget before."""
    found = []
    for content in contents:
        budgets = content.get("densities", {}).get(ours, {}).get("budgets", {})
        for before, after in zip(sorted(budgets, key=int), sorted(budgets, key=int)[1:], strict=False):
            first, second = (budgets[budget]["0"].get(ours, {}) for budget in (before, after))
            for measure in MEASURES:
                if measure in first and measure in second:
                    low, high = (max(each[measure], content["floors"][measure]) for each in (first, second))
                    if high > RISE * low:
                        found.append((content["name"], measure, int(after), high / low))
    return found


def cells(contents: list[Content]) -> list[Cell]:
    """Return all numbers of all spectra at all budgets, for which an estimate states an interval."""
    return [
        Cell(name, content["name"], int(budget), number, *values, entry["seeds"], content["size"])
        for content in contents
        for entry in content.get("intervals", {}).values()
        for budget, splits in entry["budgets"].items()
        for answers in splits.values()
        for name, numbers in answers.items()
        for number, values in numbers.items()
    ]


def coverage(contents: list[Content]) -> dict[tuple[str, str], dict[str, float]]:
    """Return for each estimator and kind of number: how many cells, coverage, and widths in units of the error."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for each in cells(contents):
        for kind in ("all", each.kind):
            found.setdefault((each.estimator, kind), []).append(each)
    return {name: _coverage(some) for name, some in found.items()}


def _coverage(some: list[Cell]) -> dict[str, float]:
    held, widths = np.array([each.held for each in some]), [each.width_in_errors for each in some]
    wide = np.array([width for width in widths if width is not None] or [np.nan])
    return {
        "cells": len(held),
        "least": float(held.min()),
        "mean": float(held.mean()),
        "low": int((held < LOW_COVERAGE).sum()),
        "beyond_chance": sum(each.is_beyond_chance for each in some),
        "median_width": float(np.median(wide)),
        "wider_than_10": float(np.mean(wide > 10)),
    }


def summary(found: list[Duel], limit: float) -> dict[str, float]:
    """Return how many duels there are, how many within the limit, the median ratio, the largest, and where that is."""
    ratios = np.array([duel.ratio for duel in found])
    return {
        "duels": len(found),
        "within": int((ratios <= limit).sum()),
        "better": int((ratios <= 1).sum()),
        "median": float(np.median(ratios)),
        "largest": float(ratios.max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--estimator", default="lanczos_density")
    parser.add_argument("--trace", default="spectral_moments, trace alone")
    options = parser.parse_args()
    contents = load(options.results)
    found = duels(contents, "densities", options.estimator, MEASURES)
    found += duels(contents, "traces", options.trace, ("m_1",))
    for measure in (*MEASURES, "m_1"):
        limit = TRACE_LIMIT if measure == "m_1" else LIMIT
        chosen = [duel for duel in found if duel.measure == measure]
        for kind in dict.fromkeys(duel.kind for duel in chosen):
            for products in sorted({duel.products for duel in chosen}):
                part = [duel for duel in chosen if duel.kind == kind and duel.products == products]
                numbers = ", ".join(f"{key} {value:.4g}" for key, value in summary(part, limit).items())
                print(f"{measure:9s} {kind:12s} {products:4d} products: {numbers}")
        for duel in sorted(chosen, key=lambda duel: -duel.ratio):
            if duel.ratio > limit:
                print(f"  {duel.ratio:8.2f} {duel.spectrum}, {duel.products} products: {duel.ours:.3g} against "
                      f"{duel.best:.3g} of {duel.winner}")  # fmt: skip
    for spectrum, measure, products, factor in rises(contents, options.estimator):
        print(f"rises {factor:.2f} times: {measure}, {spectrum}, at {products} products")
    for (name, kind), numbers in coverage(contents).items():
        print(f"{name}, {kind}: " + ", ".join(f"{key} {value:.4g}" for key, value in numbers.items()))
    for each in cells(contents):
        if each.held < LOW_COVERAGE:
            mark = "*" if each.is_beyond_chance else " "
            print(f" {mark}{each.held:.2f} {each.estimator}, {each.spectrum}, {each.products} products: {each.number}")


if __name__ == "__main__":
    main()
