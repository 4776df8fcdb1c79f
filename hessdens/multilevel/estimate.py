"""A call that estimates numbers of many examples from levels of fewer: its plan, and rounds until they are accurate."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hessdens._checks import at_least
from hessdens.linalg.operator import Operator
from hessdens.multilevel.coupling import Setting
from hessdens.multilevel.examples import Examples, Source
from hessdens.multilevel.levels import Levels, pilot
from hessdens.multilevel.plan import (
    FEWEST_PROBES,
    MARGIN,
    LevelPlan,
    Variances,
    candidates,
    costs,
    plan_for_accuracy,
    plan_for_budget,
)
from hessdens.multilevel.quantities import Quantity

# In products with all examples: what is spent by default, and at most for an accuracy.
DEFAULT_PRODUCTS = 20.0
MOST_PRODUCTS = 1_000.0
# The fewest examples of a level that is chosen: this many times the square root of all.
FEWEST = 4.0
NO_ACCURACY = 1e9
# Errors may exceed what is asked for by so much.
SHORT_OF_ACCURACY = 1.1


@dataclass(frozen=True)
class Call:
    """Arguments that all functions of this wing have."""

    operator: Operator
    quantity: Quantity
    num_examples: Sequence[int] | None
    seed: int
    block_size: int
    checkpoint: str | os.PathLike[str] | None
    progress: bool

    def estimated(self, limit: float) -> tuple[Any, float]:
        """Return the result, and what its accuracy takes in products, or 0 if it is reached."""
        at_least("seed", self.seed, 0)
        examples, given = Examples(self.operator, self.seed), self.num_examples
        choices = _choices(examples.total) if given is None else [examples.levels(given)]
        folder = None if self.checkpoint is None else Path(self.checkpoint)
        with tqdm(unit="product", disable=not self.progress) as bar:
            return estimated(Setting(self.quantity, self.seed, self.block_size, folder, bar), examples, choices, limit)


def checked_limit(max_products: float | None, *, has_accuracy: bool) -> float:
    """Return the products that may be spent; ValueError if they are none."""
    if max_products is None:
        return MOST_PRODUCTS if has_accuracy else DEFAULT_PRODUCTS
    if not 0 < max_products < np.inf:
        raise ValueError(f"max_products must be positive and finite; got {max_products}.")
    return float(max_products)


def estimated(setting: Setting, examples: Source, choices: list[tuple[int, ...]], limit: float) -> tuple[Any, float]:
    """Return a result from the best of some levels, and what its accuracy takes in products, or 0 if it is reached."""
    quantity = setting.quantity
    variances, basis = pilot(setting, examples, choices[0][0])
    plan = _plan(quantity, variances, choices, limit)
    foreseen = np.sqrt(variances.of_levels(plan.num_examples, plan.rank)) * variances.scales
    spread = np.zeros_like(foreseen) if quantity.tolerance is None else foreseen
    levels = Levels(setting, examples, plan, basis[: plan.rank], spread)
    first, known = levels.first(limit), levels.deflated()
    drawn, counts = np.zeros(len(plan.probes), dtype=int), np.array(plan.probes)
    while True:
        result = quantity.total((first, *levels.changes(drawn, counts, known)), plan.num_examples, plan.rank)
        short = quantity.excess(result)
        drawn = drawn + counts
        counts = np.ceil(MARGIN * short**2 * counts).astype(int)
        needed = result.num_products + quantity.per_probe * float(counts @ costs(plan.num_examples))
        if short <= SHORT_OF_ACCURACY or needed > limit:
            return result, needed if short > SHORT_OF_ACCURACY else 0.0


def _choices(total: int) -> list[tuple[int, ...]]:
    """Return levels to choose from, the smallest one first."""
    fewest = round(FEWEST * total**0.5)
    if 2 * fewest > total:
        raise ValueError(
            f"The data must have at least {round(4 * FEWEST**2)} examples for levels of fewer; they have {total:,}. "
            "Use spectral_moments, or give num_examples."
        )
    return sorted(candidates(fewest, total))


def _plan(quantity: Quantity, variances: Variances, choices: list[tuple[int, ...]], limit: float) -> LevelPlan:
    """Return the cheapest plan for an accuracy where the budget allows it, or else the best one of the budget."""
    if quantity.tolerance is not None:
        plan = plan_for_accuracy(variances, choices, quantity.tolerance, quantity.per_probe)
        if plan.work <= (1 - variances.first.share) * limit:
            return plan
    best = plan_for_budget(variances, choices, limit, quantity.per_probe)
    if best is None:
        least = plan_for_accuracy(variances, choices, NO_ACCURACY, quantity.per_probe).work
        fewest = np.ceil(10 * least / (1 - variances.first.share)) / 10
        raise ValueError(
            f"max_products must be at least {fewest:g}, for {FEWEST_PROBES} probes with all examples; got {limit:g}."
        )
    return best
