"""How many products would resolve a window: from how far this very run has narrowed what it leaves open."""

from dataclasses import dataclass

import numpy as np

from hessdens._types import FloatArray
from hessdens.results.intervals import count_interval

# Products are foreseen up to so many times those of the run.
FARTHEST = 10
# Budgets that are tried are so many times as large as the last.
STRIDE = 1.1
# More probes are tried where they, not steps, are what is missing.
TIMES_PROBES = (1, 2, 4, 8)


@dataclass(frozen=True, eq=False)
class Narrowing:
    """What a Lanczos run leaves open of some fractions, after about half of its steps and after all.

    ``earlier`` and ``shares`` are parts of the squares of P probes, at least and at most, shape (2, n), among the
    ``others`` that were not found one by one of ``size`` eigenvalues; ``growth`` is by how much the space grew.
    """

    earlier: FloatArray
    shares: FloatArray
    growth: float
    num_products: int
    num_probes: int
    others: int
    size: int

    def width(self, factor: float, level: float, times_probes: int = 1) -> float:
        """Return the width of the widest interval after ``factor`` times as many steps of some times as many probes.

        What is left open falls as the power of the steps that it fell with in this run. How far probes may be from the
        spectrum depends on their number alone.
        """
        before, now = (shares[1] - shares[0] for shares in (self.earlier, self.shares))
        tiny = np.finfo(np.float64).tiny
        gains = np.log(np.maximum(before, tiny) / np.maximum(now, tiny))
        exponents = gains / np.log(self.growth) if self.growth > 1 else np.zeros_like(gains)
        left = now * factor ** -np.maximum(exponents, 0.0)
        middle = self.shares.mean(axis=0)
        ends = np.clip(np.stack([middle - left / 2, middle + left / 2]), 0.0, 1.0)
        counts = count_interval(ends, times_probes * self.num_probes, self.others, level)
        return float(np.max(counts[1] - counts[0])) / self.size

    def budget_for(self, part: float, level: float) -> tuple[int, int] | None:
        """Return the products, to two digits, and probes after which intervals are this part of what they are now.

        None if they are too many to be foreseen: where almost all is open, nothing shows how fast it will fall.
        """
        wanted, factor = part * self.width(1.0, level), STRIDE
        while factor <= FARTHEST and factor * self.num_products <= self.size:
            for times in TIMES_PROBES:
                if times <= factor and self.width(factor / times, level, times) <= wanted:
                    return int(float(f"{factor * self.num_products:.2g}")), times * self.num_probes
            factor *= STRIDE
        return None
