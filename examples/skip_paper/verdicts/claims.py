"""Verdicts on the paper's claims. The rules are fixed here, before the runs they judge.

A claim is "reproduced" where the 95% confidence interval of its effect lies on the side that the paper says, "not
reproduced" where it lies on the other side, and else "not decided": more runs may decide it.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
Decision = Literal["reproduced", "not reproduced", "not decided"]
LEVEL = 0.95
NEGLIGIBLE_SHARE = 0.5  # "slightly below" and "nearly as well": by less than half of the difference to the other one


@dataclass(frozen=True)
class Verdict:
    """What became of one claim.

    Parameters
    ----------
    claim
        What the paper says, in a sentence.
    effect, low, high
        The measured effect, positive where it is as the paper says, and its 95% interval (NaN without one).
    unit
        What the effect is, and in which unit.
    test
        How it was decided.
    decision
        The verdict.
    """

    claim: str
    effect: float
    low: float
    high: float
    unit: str
    test: str
    decision: Decision


def difference(claim: str, larger: Array, smaller: Array, unit: str) -> Verdict:
    """Judge whether the mean of ``larger`` is above that of ``smaller``: one value a run, Welch's t interval."""
    effect, low, high, p = _welch(_finite(larger), _finite(smaller))
    return Verdict(claim, effect, low, high, unit, _words("Welch's t", p), _decide(low, high))


def not_larger(claim: str, first: Array, second: Array, unit: str) -> Verdict:
    """Judge whether ``first`` is no better than ``second``: not so where its mean is clearly above.

    Reproduced where the interval lies below a tenth of the mean of ``second``: an absent effect needs a margin.
    """
    first, second = _finite(first), _finite(second)
    effect, low, high, p = _welch(second, first)
    margin = 0.1 * abs(float(second.mean())) if len(second) else math.nan
    decision: Decision = "reproduced" if low > -margin else "not reproduced" if high < 0 else "not decided"
    return Verdict(claim, effect, low, high, unit, _words(f"Welch's t, margin {margin:.2g}", p), decision)


def close(claim: str, best: Array, near: Array, far: Array, unit: str) -> Verdict:
    """Judge whether ``near`` lies closer to ``best`` than to ``far``: the effect is near - (best + far) / 2.

    The claim takes for granted that ``best`` is above ``far``: where that does not hold it is not reproduced either,
    and where that is not decided it is not.
    """
    best, near, far = map(_finite, (best, near, far))
    if min(map(len, (best, near, far))) < 2:
        return _undecided(claim, unit)
    centre = NEGLIGIBLE_SHARE * best.mean() + (1 - NEGLIGIBLE_SHARE) * far.mean()
    parts = [near.var(ddof=1) / len(near)]
    parts += [(share**2) * x.var(ddof=1) / len(x) for share, x in ((NEGLIGIBLE_SHARE, best), (0.5, far))]
    effect = float(near.mean() - centre)
    low, high, p = _interval(effect, parts, [len(near), len(best), len(far)])
    _, *premise, _ = _welch(best, far)
    given, decision = _decide(*premise), _decide(low, high)
    test = _words("t, Welch-Satterthwaite", p)
    if given != "reproduced":
        test += f"; that the better one is better: {given}"
        decision = "not reproduced" if "not reproduced" in (given, decision) else "not decided"
    return Verdict(claim, effect, low, high, unit, test, decision)


def slope(claim: str, x: Array, y: Array, unit: str) -> Verdict:
    """Judge whether y rises with x: least-squares slope over all runs, t interval."""
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return _undecided(claim, unit)
    line = stats.linregress(x, y)
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(x) - 2) * line.stderr)
    low, high = line.slope - half, line.slope + half
    test = _words(f"linear regression, r = {line.rvalue:.2f}", float(line.pvalue))
    return Verdict(claim, float(line.slope), float(low), float(high), unit, test, _decide(low, high))


def paired(claim: str, differences: Array, unit: str) -> Verdict:
    """Judge whether paired differences are positive in the mean: t interval."""
    differences = _finite(differences)
    if len(differences) < 2:
        return _undecided(claim, unit)
    effect = float(differences.mean())
    low, high, p = _interval(effect, [differences.var(ddof=1) / len(differences)], [len(differences)])
    return Verdict(claim, effect, low, high, f"percentage points, {unit}", _words("paired t", p), _decide(low, high))


def fact(claim: str, holds: bool, effect: float, unit: str, test: str) -> Verdict:
    """Return the verdict on a claim about a computation without chance."""
    return Verdict(claim, effect, math.nan, math.nan, unit, test, "reproduced" if holds else "not reproduced")


def _finite(values: Any) -> Array:
    values = np.asarray(values, dtype=np.float64).ravel()
    return values[np.isfinite(values)]


def _welch(first: Array, second: Array) -> tuple[float, float, float, float]:
    if min(len(first), len(second)) < 2:
        effect = float(first.mean() - second.mean()) if min(len(first), len(second)) else math.nan
        return effect, -math.inf, math.inf, math.nan
    effect = float(first.mean() - second.mean())
    parts = [first.var(ddof=1) / len(first), second.var(ddof=1) / len(second)]
    return effect, *_interval(effect, parts, [len(first), len(second)])


def _interval(effect: float, parts: list[Any], counts: list[int]) -> tuple[float, float, float]:
    """Return the ends of the interval of an effect with these variances of its terms, and the two-sided p value."""
    variance = float(sum(parts))
    if not variance > 0:
        # All runs gave the same numbers (fits on one point of a grid's edge do): nothing is known of their spread.
        return -math.inf, math.inf, math.nan
    freedom = variance**2 / sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    error = math.sqrt(variance)
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    return effect - half, effect + half, float(2 * stats.t.sf(abs(effect) / error, freedom))


def _decide(low: float, high: float) -> Decision:
    return "reproduced" if low > 0 else "not reproduced" if high < 0 else "not decided"


def _words(test: str, p: float) -> str:
    return f"{test}, p = {p:.2g}" if math.isfinite(p) else f"{test}: too few different runs"


def _undecided(claim: str, unit: str) -> Verdict:
    return Verdict(claim, math.nan, -math.inf, math.inf, unit, "too few different runs", "not decided")
