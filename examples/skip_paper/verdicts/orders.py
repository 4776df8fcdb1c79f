"""Rules on orders: a trend over conditions, and correlations over runs."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from skip_paper.verdicts.evidence import (
    NORMAL,
    SEQUENTIAL,
    Evidence,
    absence,
    all_the_same,
    around,
    of_t,
    too_few,
    two_sided,
    values_of,
)
from skip_paper.verdicts.looks import Plan, single_look

Array = NDArray[np.float64]


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
    values = [values_of(x) for x in ordered]
    runs = min(map(len, values))
    look = plan.look(runs)
    kinds = len(values)
    place = np.arange(kinds) - (kinds - 1) / 2
    if look is None:
        table = np.array([x[:runs] for x in values]).T
        return too_few(runs, plan, margin, effect=float((table @ place / (place @ place)).mean()) if runs else math.nan)
    runs = plan.counts[look]
    table = np.array([x[:runs] for x in values]).T
    rises = table @ place / (place @ place)
    found = of_t(float(rises.mean()), float(rises.var(ddof=1)) / runs, runs - 1.0, margin, plan, look, "")
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
    return two_sided(abs(z), NORMAL), z


def rank_correlation(
    x: ArrayLike, y: ArrayLike, *, given: ArrayLike | None = None, margin: float = math.nan, plan: Plan | None = None
) -> Evidence:
    """Return the evidence that y rises with x over all runs: Spearman's correlation.

    Parameters
    ----------
    x, y
        One value a run.
    given
        A third quantity that is taken out of both first: the partial correlation, of normal scores of the ranks. With
        the gradient at the start it says whether x predicts y among networks that started alike.
    margin
        Of the correlation.
    plan
        When to look; None: once, at all runs.

    Notes
    -----
    Fisher's transform with the variance (1 + r^2 / 2) / (n - 3 - k), k being the number of given quantities (Bonett &
    Wright 2000).
    """
    a, b = values_of(x), values_of(y)
    third = None if given is None else values_of(given)
    plan = plan or single_look(max(len(a), 1))
    look = plan.look(min(len(a), len(b)))
    if look is None or plan.counts[look] < 8:
        return too_few(min(len(a), len(b)), plan, margin, least=8)
    runs = plan.counts[look]
    ranks = [stats.rankdata(v[:runs]) for v in (a, b)]
    if third is not None:
        # Normal scores: what is linear in them is taken out wholly, as it is not of ranks.
        scores = [_normal_scores(r) for r in (*ranks, stats.rankdata(third[:runs]))]
        ranks = [_without(s, scores[2]) for s in scores[:2]]
    if min(float(np.ptp(r)) for r in ranks) < 1e-9:
        return all_the_same(runs, margin)
    r = float(np.clip(np.corrcoef(*ranks)[0, 1], -0.999999, 0.999999))
    error = math.sqrt((1 + r**2 / 2) / (runs - 3 - (third is not None)))
    z = math.atanh(r)
    low, high, inner = around(z, error, NORMAL, plan, look)
    limit = math.atanh(margin) if margin < 1 else math.nan
    absent, below = absence(z, error, NORMAL, limit, plan, look)
    words = "Spearman's rank correlation" + (", partial" if third is not None else "")
    nominal = two_sided(abs(z) * math.sqrt((runs - 3 - (third is not None)) / 1.06), NORMAL)
    ends = math.tanh(inner[0]), math.tanh(inner[1])
    return Evidence(
        r, math.tanh(low), math.tanh(high), ends, margin, plan.p_value(look, nominal), absent, below, runs, words
    )  # fmt: skip


def _normal_scores(ranks: Array) -> Array:
    scores: Array = special.ndtri((ranks - 0.5) / len(ranks))
    return scores


def _without(ranks: Array, given: Array) -> Array:
    centred = given - given.mean()
    size = float(centred @ centred)
    rest: Array = ranks - ranks.mean()
    return rest - centred * float(centred @ rest) / size if size else rest
