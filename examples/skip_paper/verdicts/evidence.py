"""What runs say of one claim, as plain numbers: effect, intervals and p values that hold for all looks.

The rules (`means.py`, `orders.py`) take plain arrays with one value a run, in the order of their seeds, and give the
effect as positive where it is as the claim says. Runs between two looks of the plan wait for the next look. A value
that is not finite is refused: a run that diverged counts as the worst (`with_diverged`), and no rule may lose one
silently.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from skip_paper.verdicts.looks import Plan, single_look

Array = NDArray[np.float64]
LEVEL = 0.95
ERROR = 1 - LEVEL
NORMAL = 1e9  # degrees of freedom with which t is normal
SEQUENTIAL = Plan()


@dataclass(frozen=True)
class Evidence:
    """What runs say of one claim.

    Parameters
    ----------
    effect
        Positive where it is as the claim says.
    low, high
        The 95% interval, which holds for all looks together.
    inner
        The 90% interval: an effect is absent where it lies within the margin, which is wrong in 5% at most, as two
        one-sided tests are.
    margin
        An effect within +-margin counts as absent; NaN where no margin is stated, and absence cannot be claimed.
    p_sign, p_absent, p_below
        Two-sided p value of an effect on either side; p value of one within +-margin, and of one below +margin.
    runs
        How many runs of each kind were used.
    test
        How it was tested, in words.
    gate
        Why no verdict may be given, "" where one may.
    sides
        Whether a positive effect, a negative one and an absent one may be claimed. A bound allows one side.
    """

    effect: float
    low: float
    high: float
    inner: tuple[float, float]
    margin: float
    p_sign: float
    p_absent: float
    p_below: float
    runs: int
    test: str
    gate: str = ""
    sides: tuple[bool, bool, bool] = (True, True, True)

    def gated(self, reason: str) -> "Evidence":
        """Return the evidence stopped by a gate; the first gate stays."""
        return self if self.gate or not reason else replace(self, gate=reason)


def spread(values: ArrayLike, least: float) -> Evidence:
    """Return the evidence that values vary over runs: their standard deviation less ``least``, chi-squared interval."""
    x = values_of(values)
    if len(x) < 8:
        return too_few(len(x), single_look(8), math.nan, least=8)
    freedom, deviation = len(x) - 1, float(x.std(ddof=1))

    def interval(error: float) -> tuple[float, float]:
        ends = (deviation * math.sqrt(freedom / stats.chi2.isf(q, freedom)) - least for q in (error / 2, 1 - error / 2))
        low, high = ends
        return float(low), float(high)

    ratio = freedom * (deviation / least) ** 2
    p = 2 * float(min(stats.chi2.sf(ratio, freedom), stats.chi2.cdf(ratio, freedom)))
    low, high = interval(ERROR)
    return Evidence(
        deviation - least, low, high, interval(2 * ERROR), math.nan, p, 1.0, 1.0, len(x), "chi-squared of the variance"
    )  # fmt: skip


def proportion(count: int, total: int, least: float) -> Evidence:
    """Return the evidence that a share of independent cases is above ``least``: the exact binomial interval."""
    found = stats.binomtest(count, total, least)

    def ends(level: float) -> tuple[float, float]:
        interval = found.proportion_ci(level)
        return float(interval.low) - least, float(interval.high) - least

    low, high = ends(LEVEL)
    words = f"binomial, {count} of {total}"
    return Evidence(
        count / total - least, low, high, ends(1 - 2 * ERROR), math.nan, float(found.pvalue), 1.0, 1.0, total, words
    )


def computation(holds: bool, effect: float, test: str) -> Evidence:
    """Return the evidence of a computation without chance, which could have come out otherwise."""
    return Evidence(
        abs(effect) if holds else -abs(effect),
        math.nan,
        math.nan,
        (math.nan, math.nan),
        math.nan,
        0.0,
        1.0,
        1.0,
        1,
        test,
    )


def stopped(reason: str, margin: float = math.nan) -> Evidence:
    """Return the evidence of a claim that cannot be judged, and why."""
    return _empty(math.nan, margin, 0, reason)


def with_diverged(values: ArrayLike, worst: float) -> Array:
    """Return values in which a run that diverged, which has none, counts as the worst."""
    values = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(values), values, worst)


def values_of(values: ArrayLike) -> Array:
    """Return one finite value a run, or refuse."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"A rule takes one value a run; got an array of shape {array.shape}. Take a mean first.")
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise ValueError(f"Every run must have a finite value; {count} of {len(array)} have none. Use with_diverged.")
    return array


def of_t(effect: float, variance: float, freedom: float, margin: float, plan: Plan, look: int, words: str) -> Evidence:
    """Return the evidence of an effect with this variance and degrees of freedom."""
    if not variance > 0:
        return all_the_same(plan.counts[look], margin, effect)
    error = math.sqrt(variance)
    low, high, inner = around(effect, error, freedom, plan, look)
    nominal = two_sided(abs(effect) / error, freedom)
    absent, below = absence(effect, error, freedom, margin, plan, look)
    return Evidence(
        effect, low, high, inner, margin, plan.p_value(look, nominal), absent, below, plan.counts[look], words
    )  # fmt: skip


def around(
    effect: float, error: float, freedom: float, plan: Plan, look: int
) -> tuple[float, float, tuple[float, float]]:
    """Return the ends of the 95% interval, and the 90% interval."""
    outer, inner = (quantile(plan.nominal(look, e), freedom) * error for e in (ERROR, 2 * ERROR))
    return effect - outer, effect + outer, (effect - inner, effect + inner)


def absence(effect: float, error: float, freedom: float, margin: float, plan: Plan, look: int) -> tuple[float, float]:
    """Return the p values of an effect within +-margin, the larger one of two one-sided tests, and below +margin."""

    def one_sided(distance: float) -> float:
        return plan.p_value(look, two_sided(distance / error, freedom)) / 2 if distance > 0 else 1.0

    return one_sided(margin - abs(effect)), one_sided(margin - effect)


def two_sided(t: float, freedom: float) -> float:
    """Return the two-sided p value of a t statistic."""
    return float(2 * special.stdtr(freedom, -t))


def quantile(error: float, freedom: float) -> float:
    """Return the t that is exceeded on one of both sides with probability ``error``."""
    return float(-special.stdtrit(freedom, error / 2))


def _empty(effect: float, margin: float, runs: int, gate: str) -> Evidence:
    return Evidence(effect, -math.inf, math.inf, (-math.inf, math.inf), margin, 1.0, 1.0, 1.0, runs, "", gate)


def too_few(
    runs: int, plan: Plan, margin: float, *, least: int | None = None, effect: float = math.nan
) -> Evidence:  # fmt: skip
    """Return the evidence of fewer runs than the first look needs: its sign may be seen, and decides nothing."""
    return _empty(effect, margin, runs, f"{runs} runs, and the first look is at {least or plan.counts[0]}")


def all_the_same(runs: int, margin: float, effect: float = math.nan) -> Evidence:
    """Return the evidence of runs without spread, of which nothing follows: fits on one point of an edge do so."""
    return _empty(effect, margin, runs, "all runs gave the same number")
