"""What a pilot shows of levels, and what is estimated on each of them."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.linalg.memory import usual_bytes
from hessdens.linalg.operator import Operator
from hessdens.multilevel.coupling import (
    PROBES_PER_LEVEL,
    Setting,
    deflated_part,
    dominant_directions,
    samples,
    samples_of_ranks,
)
from hessdens.multilevel.examples import Source
from hessdens.multilevel.plan import LevelPlan, Variances
from hessdens.multilevel.quantities import Change

# Probes of the pilot, whose products are with few examples, and the place of these among levels.
PILOT_PROBES = 32
PILOT_PLACE = 2**20
# Dimensions that may be deflated, of one or two moments.
RANKS = (0, 2, 4, 8, 16, 32, 64)
# Two spaces with two vectors for each direction, what is found of both, and their products.
VECTORS_PER_DIRECTION = 6
# Products with the fewest examples, at most.
MOST_FIRST_PRODUCTS = 2_000


def pilot(setting: Setting, examples: Source, count: int) -> tuple[Variances, Tensor]:
    """Return what two small sets of examples show of variances, and dominant directions of the larger one."""
    half = max(1, count // 2)
    few, fewer = examples.operator(count), examples.operator(half)
    most = _most_directions(few) if setting.quantity.deflates else 0
    basis = dominant_directions(setting, few, most, f"directions-{count}")
    # Those of the larger set would fit it too well.
    own = dominant_directions(setting, fewer, most, f"directions-{half}")
    ranks = tuple(rank for rank in RANKS if rank <= min(len(basis), len(own)))
    numbers = PILOT_PLACE * PROBES_PER_LEVEL, PILOT_PLACE * PROBES_PER_LEVEL + PILOT_PROBES
    fine, coarse = (
        np.array(samples_of_ranks(setting, A, f"pilot-{n}", numbers, own, ranks))
        for A, n in ((few, count), (fewer, half))
    )
    scales = setting.quantity.scales(fine[0].mean(axis=0))
    variances = np.var((fine - coarse) / scales, axis=1, ddof=1)
    return Variances(ranks, variances / (1 / half - 1 / count), scales, setting.quantity.first_level), basis


def _most_directions(operator: Operator) -> int:
    """Return the directions that may be deflated, by size and by the memory that finding them takes."""
    vector_bytes = operator.num_rows * operator.dtype.itemsize
    by_memory = operator.team.least(usual_bytes(operator.device) // (VECTORS_PER_DIRECTION * vector_bytes))
    return max(rank for rank in RANKS if rank <= min(operator.size // 4, by_memory))


@dataclass(frozen=True)
class Levels:
    """The levels of a plan, and what is estimated on each.

    ``spread`` is the least standard deviation of a coupled sample that counts, shape (L - 1, K): what the pilot
    foresees where an accuracy is asked for.
    """

    setting: Setting
    examples: Source
    plan: LevelPlan
    basis: Tensor
    spread: FloatArray

    def first(self, limit: float) -> Any:
        """Return the estimate of the matrix of fewest examples."""
        setting, plan = self.setting, self.plan
        products = setting.quantity.first_level.work(plan.num_examples, limit) * plan.num_examples[-1]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*tol=.* was not reached")  # all levels together tell
            return setting.quantity.first(
                self.examples.operator(plan.num_examples[0]),
                min(round(products / plan.num_examples[0]), MOST_FIRST_PRODUCTS),
                seed=setting.seed,
                block_size=setting.block_size,
                checkpoint=setting.folder("first"),
            )

    def deflated(self) -> FloatArray:
        """Return what the deflated directions add to the matrix of all examples, less that of the first level."""
        if not self.plan.rank:
            return np.zeros(self.setting.quantity.count)
        levels = self.plan.num_examples
        operators = [(self.examples.operator(n), f"deflated-{n}") for n in (levels[-1], levels[0])]
        last, first = (deflated_part(self.setting, A, name, self.basis) for A, name in operators)
        return last - first

    def changes(self, drawn: NDArray[np.int64], counts: NDArray[np.int64], known: FloatArray) -> list[Any]:
        """Return for each level but the first the estimate of its matrix less that of the level before.

        From so many probes after those that are drawn, which have only said how many these are. Samples whose spread
        comes out small by chance would be taken as accurate enough more often than others, were there no least one.
        """
        setting, levels, quantity = self.setting, self.plan.num_examples, self.setting.quantity
        changes = []
        for place, (before, count) in enumerate(zip(drawn.tolist(), counts.tolist(), strict=True), start=1):
            start, is_last = place * PROBES_PER_LEVEL + before, place == len(counts)
            pair = [(self.examples.operator(levels[p]), f"level-{place}-{p}") for p in (place, place - 1)]
            run = setting.run(pair[0][0], pair[0][1])
            fine, coarse = (samples(setting, A, name, (start, start + count), self.basis) for A, name in pair)
            rank, part = (self.plan.rank, known) if is_last else (0, np.zeros_like(known))
            spent = (before + count) * quantity.per_probe + rank
            values = _spread_out(fine - coarse, self.spread[place - 1]) + part
            change = Change(values, pair[0][0].size, spent, rank, part, run.certificates(spent))
            changes.append(quantity.change(change))
        return changes


def _spread_out(values: FloatArray, least: FloatArray) -> FloatArray:
    """Return samples, shape (P, K), whose spread about their mean is no smaller than some, where they vary at all."""
    spread, mean = values.std(axis=0, ddof=1), values.mean(axis=0)
    factors = np.maximum(np.divide(least, spread, out=np.ones_like(spread), where=spread > 0), 1.0)
    result: FloatArray = mean + factors * (values - mean)
    return result
