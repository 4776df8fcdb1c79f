"""Rules on means: a difference, a weighted sum, and a share of a difference."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skip_paper.verdicts.evidence import ERROR, SEQUENTIAL, Evidence, of_t, quantile, too_few, values_of
from skip_paper.verdicts.looks import Plan

Array = NDArray[np.float64]


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
    >>> round(found.effect, 2), found.p_sign < 0.01, found.p_absent
    (4.1, True, 1.0)
    """
    first, second = values_of(larger), values_of(smaller)
    runs = min(len(first), len(second))
    look = plan.look(runs)
    if look is None:
        return too_few(runs, plan, margin, effect=float(first.mean() - second.mean()) if runs else math.nan)
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
    return of_t(float(first.mean() - second.mean()), variance, freedom, margin, plan, look, words)


def contrast(
    terms: Sequence[tuple[float, ArrayLike]], *, margin: float = math.nan, paired: bool = False,
    plan: Plan = SEQUENTIAL,
) -> Evidence:  # fmt: skip
    """Return the evidence that a weighted sum of means is positive: ``terms`` are (weight, values of the runs)."""
    values = [values_of(x) for _, x in terms]
    weights = np.array([weight for weight, _ in terms])
    runs = min(map(len, values))
    look = plan.look(runs)
    if look is None:
        return too_few(runs, plan, margin)
    runs = plan.counts[look]
    table = np.array([x[:runs] for x in values])
    effect = float(weights @ table.mean(axis=1))
    if paired:
        variance, freedom = float((weights @ table).var(ddof=1)) / runs, runs - 1.0
    else:
        parts = weights**2 * table.var(axis=1, ddof=1) / runs
        variance = float(parts.sum())
        freedom = variance**2 / float((parts**2).sum()) * (runs - 1) if variance else 1.0
    return of_t(effect, variance, freedom, margin, plan, look, "paired t" if paired else "t, Welch-Satterthwaite")


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
    table = np.array([values_of(x)[: part.runs] for x in (best, near, far)])
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
    q = quantile(error, freedom) ** 2
    # The shares r for which (top - r bottom)^2 <= q var(top - r bottom): between the roots of a quadratic.
    curve = bottom**2 - q * d
    roots = (top * bottom - q * b) ** 2 - curve * (top**2 - q * a)
    if curve <= 0 or roots < 0:
        return -math.inf, math.inf
    half = math.sqrt(roots)
    return float((top * bottom - q * b - half) / curve), float((top * bottom - q * b + half) / curve)
