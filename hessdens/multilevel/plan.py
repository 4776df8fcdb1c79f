"""Which levels, how much deflation, and how many probes on each: from variances and costs that few examples show."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hessdens._types import FloatArray

# Fewer coupled probes do not show their spread.
FEWEST_PROBES = 6
# More probes than predicted, since variances are known roughly.
MARGIN = 1.2
# Numbers of examples that are considered: all, divided by powers of this.
RATIO = 2
MOST_LEVELS = 4
TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class First:
    """What the level of fewest examples has of the variance that is allowed and of the products, and takes at least.

    ``num_products`` are those with the matrix of that level.
    """

    share: float
    num_products: int

    def work(self, num_examples: Sequence[int], products: float) -> float:
        """Return what it may cost of so many products, in products with all examples."""
        return max(self.share * products, self.num_products * num_examples[0] / num_examples[-1])


@dataclass(frozen=True)
class Variances:
    """What a few examples show of the variance of coupled samples.

    Let a coupled probe meet the matrices of n and of m > n examples, n among m, where a space of ``ranks[i]``
    dimensions is deflated. Its variance is ``change[i]`` times 1/n - 1/m; shape (R, K). Units are the squares of
    ``scales``, shape (K,).
    """

    ranks: tuple[int, ...]
    change: FloatArray
    scales: FloatArray
    first: First

    def of_levels(self, num_examples: Sequence[int], rank: int) -> FloatArray:
        """Return the variance of a coupled probe on each level but the first, shape (L - 1, K)."""
        inverse = 1 / np.asarray(num_examples, dtype=np.float64)
        return -np.diff(inverse)[:, None] * self.change[self.ranks.index(rank)]


@dataclass(frozen=True)
class LevelPlan:
    """Numbers of examples of the levels, ascending, dimensions that are deflated, and coupled probes but of the first.

    ``work`` is the least cost, in products with all examples, and ``error`` the largest standard error that is
    predicted for the sum of coupled levels, in units of the moments.
    """

    num_examples: tuple[int, ...]
    rank: int
    probes: tuple[int, ...]
    work: float
    error: float


def costs(num_examples: Sequence[int]) -> FloatArray:
    """Return the cost of two coupled products on each level but the first, in products with all examples."""
    counts = np.asarray(num_examples, dtype=np.float64)
    return np.asarray((counts[1:] + counts[:-1]) / counts[-1])


def candidates(fewest: int, total: int) -> Iterator[tuple[int, ...]]:
    """Yield levels from ``fewest`` examples or more to all."""
    powers = range(1, 1 + max(0, math.floor(math.log(total / fewest, RATIO))))
    counts = sorted({total // RATIO**power for power in powers} | {min(fewest, total // RATIO)})
    for size in range(1, MOST_LEVELS):
        for some in itertools.combinations(counts, size):
            yield (*some, total)


def plan_for_accuracy(
    variances: Variances, choices: Sequence[tuple[int, ...]], rtol: float, per_probe: int
) -> LevelPlan:
    """Return the cheapest plan for a relative standard error, of which the first level has its share."""
    allowed = (1 - variances.first.share) * rtol**2
    plans = []
    for levels, rank in itertools.product(choices, variances.ranks):
        spread, each = variances.of_levels(levels, rank), costs(levels)[:, None]
        counts = np.max(np.sqrt(spread / each) * np.sqrt(spread * each).sum(axis=0), axis=1) / allowed
        probes = [max(FEWEST_PROBES, math.ceil(MARGIN * count)) for count in counts]
        plans.append(_plan(variances, levels, rank, probes, per_probe))
    return min(plans, key=lambda plan: plan.work)


def plan_for_budget(
    variances: Variances, choices: Sequence[tuple[int, ...]], products: float, per_probe: int
) -> LevelPlan | None:
    """Return the plan with the smallest error for so many products with all examples; None if they do not suffice."""
    plans = []
    for levels, rank in itertools.product(choices, variances.ranks):
        spread, each = variances.of_levels(levels, rank), costs(levels)
        share = np.sqrt(spread / each[:, None]).max(axis=1)
        left = (products - variances.first.work(levels, products) - rank * (1 + levels[0] / levels[-1])) / per_probe
        probes: list[int] = []
        for index in reversed(range(len(each))):  # levels of many examples have few probes, which are whole
            part = left * share[index] / max(float(share[: index + 1] @ each[: index + 1]), TINY)
            probes.append(max(FEWEST_PROBES, int(part)))
            left -= probes[-1] * each[index]
        if left >= 0:
            plans.append(_plan(variances, levels, rank, probes[::-1], per_probe))
    return min(plans, key=lambda plan: plan.error, default=None)


def _plan(variances: Variances, levels: Sequence[int], rank: int, probes: Sequence[int], per_probe: int) -> LevelPlan:
    error = np.sqrt(np.max(np.sum(variances.of_levels(levels, rank) / np.array(probes)[:, None], axis=0)))
    first = variances.first.work(levels, 0.0)
    work = first + rank * (1 + levels[0] / levels[-1]) + per_probe * float(np.dot(probes, costs(levels)))
    return LevelPlan(tuple(levels), rank, tuple(probes), work, float(error))
