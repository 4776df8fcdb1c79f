"""Gates: when measurements may decide nothing, or one side only. Each returns the reason, or "" where none."""

import math
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from skip_paper.verdicts.evidence import Evidence

ABOVE_CHANCE = 0.02
POOR_SHARE = 0.5
CONFOUNDED = 1.0  # decades
Bound = Literal["", "at most", "at least"]


def chance(accuracies: dict[str, ArrayLike], classes: int) -> str:
    """Return why an order of accuracies means nothing: a network that has not learned.

    Parameters
    ----------
    accuracies
        Per kind of network, the best accuracy that its runs reached, as fractions.
    classes
        Chance is 1 / classes. The mean must be two percentage points above it.
    """
    least = 1 / classes + ABOVE_CHANCE
    dead = {label: float(np.mean(values)) for label, values in accuracies.items() if not np.mean(values) > least}
    words = ", ".join(f"{label} {100 * value:.1f}%" for label, value in dead.items())
    return f"chance level: {words}, chance {100 / classes:.3g}%" if dead else ""


def poor_fit(poor: int, fits: int) -> str:
    """Return why fractions mean nothing: more than half of the mixture fits do not have the moments."""
    if not fits:
        return "no fits"
    return f"poor fit: {poor} of {fits} mixtures do not fit their moments" if poor > POOR_SHARE * fits else ""


def bounded(evidence: Evidence, larger: Bound, smaller: Bound) -> Evidence:
    """Return the evidence with the sides that bounds allow.

    A fit on the upper edge of the weight gives a degenerate fraction that is "at most" what it says. That the first is
    above the second may then be claimed where the second is such a bound, not where the first is.
    """
    positive = larger != "at most" and smaller != "at least"
    negative = larger != "at least" and smaller != "at most"
    sides = (evidence.sides[0] and positive, evidence.sides[1] and negative, not (larger or smaller))
    return replace(evidence, sides=sides)


def unresolved(ends: dict[str, ArrayLike]) -> str:
    """Return why an order of fractions may be an effect of resolution: intervals of two kinds of networks overlap.

    ``ends``: per kind, between what the mean over runs lies. What the steps of `lanczos_density` leave open is alike in
    all runs of a kind, so that no number of runs averages it out.
    """
    (first, (low, high)), (second, (other_low, other_high)) = ((k, np.asarray(v)) for k, v in ends.items())
    if low > other_high or other_low > high:
        return ""
    words = f"{first} {low:.3g} to {high:.3g}, {second} {other_low:.3g} to {other_high:.3g}"
    return f"not resolved by lanczos_density: {words}"


def one_eigenvalue(evidence: Evidence, parameters: int, unit: float = 100.0) -> Evidence:
    """Return the evidence without an order of fractions that differ by less than one eigenvalue of the matrix.

    ``unit``: what a fraction of 1 is in the units of the effect, 100 for percentage points. That the effect is absent
    may be claimed.
    """
    if not math.isfinite(evidence.effect) or abs(evidence.effect) >= unit / parameters:
        return evidence
    count = abs(evidence.effect) * parameters / unit
    if evidence.p_absent <= 0.05:
        return replace(evidence, sides=(False, False, evidence.sides[2]))
    return evidence.gated(f"fewer than one eigenvalue: {count:.2g} of {parameters:,}")


def confounded(start_gradients: dict[str, ArrayLike]) -> str:
    """Return why a difference may have another cause: gradients at the start that differ by a decade or more.

    ``start_gradients``: per kind of network, norms of the gradient by the first layer's activities at the start.
    """
    logs = {label: float(np.mean(np.log10(values))) for label, values in start_gradients.items()}
    ends = sorted(logs, key=logs.__getitem__)
    apart = logs[ends[-1]] - logs[ends[0]]
    if not apart < CONFOUNDED:  # also where a gradient is zero or not finite
        return f"confounded: gradients at the start {10**apart:.2g} times larger in {ends[-1]} than in {ends[0]}"
    return ""
