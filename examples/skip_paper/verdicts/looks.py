"""Looks at growing numbers of runs: critical values that hold for all looks together.

A claim is looked at after 4, 8 and 12 seeds, and may be decided at each look. A fixed interval of 95% would be wrong
in more than 5% of such series. Here the error is spent look by look: little at 4 seeds, most at 12, as O'Brien and
Fleming do, by the spending function of Lan and DeMets. A tenth of it is kept for the looks beyond 12, which double the
number of seeds, so that runs may be added.

Values of t are judged by the normal value of the same probability. With few runs this is an approximation;
``benchmarks/verdict_rules.py`` shows its error.

Notes
-----
Source: Lan & DeMets (1983), Discrete sequential boundaries for clinical trials; Jennison & Turnbull (2000), Group
sequential methods, chapters 3 (t statistics), 7 (spending) and 9 (repeated intervals and p values).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.optimize import brentq

Array = NDArray[np.float64]
PLANNED = (4, 8, 12)
DOUBLINGS = 4  # 24, 48, 96 and 192 seeds
KEPT = 0.1  # share of the error for these
LEVELS = np.concatenate(
    [np.geomspace(1e-12, 1e-4, 9), np.geomspace(2e-4, 0.05, 11), [0.07, 0.1], np.linspace(0.15, 0.999, 10)]
)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(101)  # the grid that carries the density from look to look


@dataclass(frozen=True)
class Plan:
    """At which numbers of runs a claim is looked at, and how the error is spent.

    Parameters
    ----------
    counts
        Numbers of runs, ascending. The default is 4, 8, 12, and doublings of 12 up to 192.
    planned
        How many of ``counts`` share the main part of the error; the rest have ``KEPT`` of it, halved at each.

    Examples
    --------
    >>> sequential = Plan()
    >>> [round(float(sequential.critical_value(look, 0.05)), 2) for look in range(3)]
    [3.47, 2.46, 2.06]
    >>> round(single_look(400).critical_value(0, 0.05), 2)
    1.96
    """

    counts: tuple[int, ...] = (*PLANNED, *(PLANNED[-1] * 2**j for j in range(1, DOUBLINGS + 1)))
    planned: int = len(PLANNED)

    def look(self, runs: int) -> int | None:
        """Return the position of the last look that so many runs allow, None before the first."""
        reached = [position for position, count in enumerate(self.counts) if count <= runs]
        return reached[-1] if reached else None

    def critical_value(self, look: int, error: float) -> float:
        """Return the normal value that is exceeded at this look or before with probability ``error`` at most."""
        # Squares of critical values are nearly linear in the logarithm of the error.
        return math.sqrt(float(np.interp(math.log(error), np.log(LEVELS), _table(self)[:, look] ** 2)))

    def nominal(self, look: int, error: float) -> float:
        """Return the two-sided error of the same critical value at a single look."""
        return float(2 * special.ndtr(-self.critical_value(look, error)))

    def p_value(self, look: int, nominal: float) -> float:
        """Return the p value that holds for all looks, of a two-sided p value that holds for one.

        It is the smallest error whose critical value is exceeded.
        """
        values = _table(self)[:, look]
        z = float(-special.ndtri(max(nominal, 1e-300) / 2))
        if z <= values[-1]:
            return 1.0
        return float(np.exp(np.interp(-(z**2), -(values**2), np.log(LEVELS))))

    def spent(self, error: float) -> Array:
        """Return how much of a two-sided error is spent up to each look."""
        if len(self.counts) == 1:
            return np.array([error])
        main = error * (1 - KEPT) if len(self.counts) > self.planned else error
        share = np.array(self.counts[: self.planned]) / self.counts[self.planned - 1]
        first = 2 * special.ndtr(special.ndtri(main / 2) / np.sqrt(share))
        rest = 1 - 0.5 ** np.arange(1, len(self.counts) - self.planned + 1)
        return np.concatenate([first, main + (error - main) * rest])


def single_look(runs: int) -> Plan:
    """Return the plan of an experiment of fixed size, judged once."""
    return Plan((runs,), 1)


@lru_cache(maxsize=64)
def _table(plan: Plan) -> Array:
    """Return the critical values of all looks at `LEVELS`, shape (levels, looks)."""
    values = np.array([boundaries(plan.counts, plan.spent(level)) for level in LEVELS])
    # Where nearly all error is spent, values are near 0 and rounding may turn their order.
    return np.minimum.accumulate(values, axis=0)


def boundaries(counts: tuple[int, ...], spent: Array) -> list[float]:
    """Return c_k such that |Z_k| exceeds c_k first at look k with probability ``spent[k] - spent[k - 1]``.

    Z_k is the standardised sum of ``counts[k]`` independent normal terms. The density of what has not yet crossed is
    carried from look to look on a grid (Armitage, McPherson & Rowe 1969).
    """
    values: list[float] = []
    sums, density = np.zeros(1), np.ones(1)  # points of the sum with their weights
    before = 0
    for count, share in zip(counts, np.diff(spent, prepend=0.0), strict=True):
        step = math.sqrt(count - before)

        def crossing(value: float, *, reach: float = math.sqrt(count), step: float = step) -> float:
            edges = (value * reach - sums) / step, (value * reach + sums) / step  # noqa: B023
            return float(density @ (special.ndtr(-edges[0]) + special.ndtr(-edges[1])))  # noqa: B023

        value = brentq(lambda v, share=share, crossing=crossing: crossing(v) - share, 0.0, 40.0, xtol=1e-6)
        values.append(float(value))
        edge = value * math.sqrt(count)
        points = edge * NODES
        steps = (points[:, None] - sums) / step
        density = edge * WEIGHTS * (np.exp(-(steps**2) / 2) @ density) / (step * math.sqrt(2 * math.pi))
        sums, before = points, count
    return values
