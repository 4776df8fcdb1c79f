"""What runs say of one claim, as plain numbers: effect, intervals and p values that hold for all looks.

Every function takes plain arrays with one value a run, in the order of their seeds, and gives the effect as positive
where it is as the claim says. Runs between two looks of the plan wait for the next look. A value that is not finite is
refused: a run that diverged counts as the worst (`with_diverged`), and no rule may lose one silently.
"""

import math
from collections.abc import Sequence
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


def difference(
    larger: ArrayLike, smaller: ArrayLike, *, margin: float = math.nan, paired: bool = False, plan: Plan = SEQUENTIAL
) -> Evidence:
    """Return the evidence that the mean of ``larger`` is above that of ``smaller``.

    Parameters
    ----------
    larger, smaller
        One value a run, in the order of the seeds.
    margin
        Differences within it count as absent.
    paired
        Whether runs of one seed share their start: the t interval of their differences, else Welch's.
    plan
        When to look.

    Examples
    --------
    >>> found = difference([5.1, 5.3, 4.9, 5.2], [1.0, 1.1, 0.8, 1.2], margin=0.5)
    >>> round(found.effect, 2), found.p_sign < 0.001, found.p_absent
    (4.1, True, 1.0)
    """
    first, second = _values(larger), _values(smaller)
    runs = min(len(first), len(second))
    look = plan.look(runs)
    if look is None:
        return _too_few(runs, plan, margin)
    runs = plan.counts[look]
    first, second = first[:runs], second[:runs]
    if paired:
        differences = first - second
        variance, freedom = float(differences.var(ddof=1)) / runs, runs - 1.0
    else:
        parts = np.array([first.var(ddof=1), second.var(ddof=1)]) / runs
        variance = float(parts.sum())
        freedom = variance**2 / float((parts**2).sum()) * (runs - 1) if variance else 1.0
    words = "paired t" if paired else "Welch's t"
    return _of_t(float(first.mean() - second.mean()), variance, freedom, margin, plan, look, words)


def contrast(
    terms: Sequence[tuple[float, ArrayLike]], *, margin: float = math.nan, paired: bool = False,
    plan: Plan = SEQUENTIAL,
) -> Evidence:  # fmt: skip
    """Return the evidence that a weighted sum of means is positive: ``terms`` are (weight, values of the runs)."""
    values = [_values(x) for _, x in terms]
    weights = np.array([weight for weight, _ in terms])
    runs = min(map(len, values))
    look = plan.look(runs)
    if look is None:
        return _too_few(runs, plan, margin)
    runs = plan.counts[look]
    table = np.array([x[:runs] for x in values])
    effect = float(weights @ table.mean(axis=1))
    if paired:
        variance, freedom = float((weights @ table).var(ddof=1)) / runs, runs - 1.0
    else:
        parts = weights**2 * table.var(axis=1, ddof=1) / runs
        variance = float(parts.sum())
        freedom = variance**2 / float((parts**2).sum()) * (runs - 1) if variance else 1.0
    return _of_t(effect, variance, freedom, margin, plan, look, "paired t" if paired else "t, Welch-Satterthwaite")


def smaller_share(
    best: ArrayLike, near: ArrayLike, far: ArrayLike, *, share: float = 0.5, paired: bool = True,
    plan: Plan = SEQUENTIAL,
) -> Evidence:  # fmt: skip
    """Return the evidence that ``near`` lies below ``best`` by less than a share of the distance to ``far``.

    The effect is share - (best - near) / (best - far), with Fieller's interval. It is claimed where ``best`` is above
    ``far`` and the contrast near - (1 - share) best - share far is positive: both must hold, so the larger p value
    counts. "Slightly below" is this and ``difference(best, near)``, two statements.
    """
    lead = difference(best, far, paired=paired, plan=plan)
    part = contrast([(1.0, near), (share - 1.0, best), (-share, far)], paired=paired, plan=plan)
    if lead.gate or part.gate:
        return part.gated(lead.gate)
    look = plan.look(part.runs)
    assert look is not None
    table = np.array([_values(x)[: part.runs] for x in (best, near, far)])
    p_lead = lead.p_sign / 2 if lead.effect > 0 else 1.0
    low, high = fieller(table, plan.nominal(look, ERROR), paired=paired)
    inner = fieller(table, plan.nominal(look, 2 * ERROR), paired=paired)
    gap = table[0].mean() - table[2].mean()
    effect = share - float((table[0].mean() - table[1].mean()) / gap) if gap else math.nan
    if lead.effect <= 0 or lead.p_sign > ERROR:
        part = part.gated(f"premise: the better one is not shown to be better (p = {lead.p_sign:.2g})")
    return replace(
        part, effect=effect, low=share - high, high=share - low, inner=(share - inner[1], share - inner[0]),
        p_sign=max(part.p_sign, 2 * p_lead), test=f"{part.test}, Fieller's interval",
    )  # fmt: skip


def fieller(table: Array, error: float, *, paired: bool) -> tuple[float, float]:
    """Return Fieller's interval of (best - near) / (best - far), rows of ``table``; infinite where it is not closed."""
    runs = table.shape[1]
    best, near, far = table
    top, bottom = best.mean() - near.mean(), best.mean() - far.mean()
    if paired:
        (a, b), (_, d) = np.cov(best - near, best - far) / runs
        freedom = runs - 1.0
    else:
        v = table.var(axis=1, ddof=1) / runs
        a, b, d = v[0] + v[1], v[0], v[0] + v[2]
        freedom = 2.0 * (runs - 1)
    q = _quantile(error, freedom) ** 2
    # The shares r for which (top - r bottom)^2 <= q var(top - r bottom): between the roots of a quadratic.
    curve = bottom**2 - q * d
    roots = (top * bottom - q * b) ** 2 - curve * (top**2 - q * a)
    if curve <= 0 or roots < 0:
        return -math.inf, math.inf
    half = math.sqrt(roots)
    return float((top * bottom - q * b - half) / curve), float((top * bottom - q * b + half) / curve)


def trend(ordered: Sequence[ArrayLike], *, margin: float = math.nan, plan: Plan = SEQUENTIAL) -> Evidence:
    """Return the evidence that values rise over ordered conditions: Page's test, seeds being the blocks.

    Parameters
    ----------
    ordered
        Values of the runs of each condition, in the order in which the claim says that they rise.
    margin
        Of the mean rise from one condition to the next.

    Notes
    -----
    The effect is the mean over seeds of the least-squares rise per condition, with its t interval. Source: Page
    (1963), Ordered hypotheses for multiple treatments.
    """
    values = [_values(x) for x in ordered]
    runs = min(map(len, values))
    look = plan.look(runs)
    if look is None:
        return _too_few(runs, plan, margin)
    runs, kinds = plan.counts[look], len(values)
    table = np.array([x[:runs] for x in values]).T
    place = np.arange(kinds) - (kinds - 1) / 2
    rises = table @ place / (place @ place)
    found = _of_t(float(rises.mean()), float(rises.var(ddof=1)) / runs, runs - 1.0, margin, plan, look, "")
    if found.gate:
        return found
    nominal, z = page(table)
    if (z > 0) != (found.effect > 0):
        nominal = 1.0
    return replace(found, p_sign=plan.p_value(look, nominal), test=f"Page's trend test over {kinds} conditions")


def page(table: Array) -> tuple[float, float]:
    """Return the two-sided p value and z of Page's test, of a table (blocks, ordered conditions).

    By the normal distribution with Page's correction for ties left out, which makes it cautious.
    """
    blocks, kinds = table.shape
    ranks = stats.rankdata(table, axis=1)
    total = float((ranks @ np.arange(1, kinds + 1)).sum())
    mean = blocks * kinds * (kinds + 1) ** 2 / 4
    spread = math.sqrt(blocks * kinds**2 * (kinds + 1) ** 2 * (kinds - 1) / 144)
    z = (total - mean) / spread
    return float(2 * stats.norm.sf(abs(z))), z


def rank_correlation(
    x: ArrayLike, y: ArrayLike, *, given: ArrayLike | None = None, margin: float = math.nan, plan: Plan | None = None
) -> Evidence:
    """Return the evidence that y rises with x over all runs: Spearman's correlation.

    Parameters
    ----------
    x, y
        One value a run.
    given
        A third quantity, whose ranks are taken out of both first: the partial correlation. With the gradient at the
        start it says whether x predicts y among networks that started alike.
    margin
        Of the correlation.
    plan
        When to look; None: once, at all runs.

    Notes
    -----
    Fisher's transform with the variance (1 + r^2 / 2) / (n - 3 - k), k being the number of given quantities (Bonett &
    Wright 2000).
    """
    a, b = _values(x), _values(y)
    third = None if given is None else _values(given)
    plan = plan or single_look(max(len(a), 1))
    look = plan.look(min(len(a), len(b)))
    if look is None or plan.counts[look] < 8:
        return _too_few(min(len(a), len(b)), plan, margin, least=8)
    runs = plan.counts[look]
    ranks = [stats.rankdata(v[:runs]) for v in (a, b)]
    if third is not None:
        ranks = [_without(r, stats.rankdata(third[:runs])) for r in ranks]
    if min(float(np.ptp(r)) for r in ranks) < 1e-9:
        return _same(runs, margin)
    r = float(np.clip(np.corrcoef(*ranks)[0, 1], -0.999999, 0.999999))
    error = math.sqrt((1 + r**2 / 2) / (runs - 3 - (third is not None)))
    z = math.atanh(r)
    low, high, inner = _around(z, error, NORMAL, plan, look)
    limit = math.atanh(margin) if margin < 1 else math.nan
    absent, below = _absent(z, error, NORMAL, limit, plan, look)
    words = "Spearman's rank correlation" + (", partial" if third is not None else "")
    nominal = float(2 * stats.norm.sf(abs(z) * math.sqrt(runs - 3 - (third is not None)) / math.sqrt(1.06)))
    ends = math.tanh(inner[0]), math.tanh(inner[1])
    return Evidence(
        r, math.tanh(low), math.tanh(high), ends, margin, plan.p_value(look, nominal), absent, below, runs, words
    )  # fmt: skip


def spread(values: ArrayLike, least: float) -> Evidence:
    """Return the evidence that values vary over runs: their standard deviation less ``least``, chi-squared interval."""
    x = _values(values)
    if len(x) < 8:
        return _too_few(len(x), single_look(8), math.nan, least=8)
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


def with_diverged(values: ArrayLike, worst: float) -> Array:
    """Return values in which a run that diverged, which has none, counts as the worst."""
    values = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(values), values, worst)


def _values(values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"A rule takes one value a run; got an array of shape {array.shape}. Take a mean first.")
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise ValueError(f"Every run must have a finite value; {count} of {len(array)} have none. Use with_diverged.")
    return array


def _of_t(effect: float, variance: float, freedom: float, margin: float, plan: Plan, look: int, words: str) -> Evidence:
    if not variance > 0:
        return _same(plan.counts[look], margin, effect)
    error = math.sqrt(variance)
    low, high, inner = _around(effect, error, freedom, plan, look)
    nominal = _two_sided(abs(effect) / error, freedom)
    absent, below = _absent(effect, error, freedom, margin, plan, look)
    return Evidence(
        effect, low, high, inner, margin, plan.p_value(look, nominal), absent, below, plan.counts[look], words
    )  # fmt: skip


def _around(
    effect: float, error: float, freedom: float, plan: Plan, look: int
) -> tuple[float, float, tuple[float, float]]:
    """Return the ends of the 95% interval, and the 90% interval."""
    outer, inner = (_quantile(plan.nominal(look, e), freedom) * error for e in (ERROR, 2 * ERROR))
    return effect - outer, effect + outer, (effect - inner, effect + inner)


def _absent(effect: float, error: float, freedom: float, margin: float, plan: Plan, look: int) -> tuple[float, float]:
    """Return the p values of an effect within +-margin, the larger one of two one-sided tests, and below +margin."""

    def one_sided(distance: float) -> float:
        return plan.p_value(look, _two_sided(distance / error, freedom)) / 2 if distance > 0 else 1.0

    return one_sided(margin - abs(effect)), one_sided(margin - effect)


def _two_sided(t: float, freedom: float) -> float:
    """Return the two-sided p value of a t statistic."""
    return float(2 * special.stdtr(freedom, -t))


def _quantile(error: float, freedom: float) -> float:
    """Return the t that is exceeded on one of both sides with probability ``error``."""
    return float(-special.stdtrit(freedom, error / 2))


def _without(ranks: Array, given: Array) -> Array:
    centred = given - given.mean()
    size = float(centred @ centred)
    rest: Array = ranks - ranks.mean()
    return rest - centred * float(centred @ rest) / size if size else rest


def _empty(effect: float, margin: float, runs: int, gate: str) -> Evidence:
    return Evidence(effect, -math.inf, math.inf, (-math.inf, math.inf), margin, 1.0, 1.0, 1.0, runs, "", gate)


def _too_few(runs: int, plan: Plan, margin: float, *, least: int | None = None) -> Evidence:
    return _empty(math.nan, margin, runs, f"{runs} runs, and the first look is at {least or plan.counts[0]}")


def _same(runs: int, margin: float, effect: float = math.nan) -> Evidence:
    return _empty(effect, margin, runs, "all runs gave the same number")
