"""Decisions: evidence on the claims of one figure under one condition becomes verdicts, by Holm's procedure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from skip_paper.verdicts.evidence import ERROR, Evidence

Outcome = Literal["reproduced", "contradicted", "absent", "undecided"]
Whose = Literal["paper", "ours"]
Kind = Literal["larger", "no larger", "alike"]
OUTCOMES: tuple[Outcome, ...] = ("reproduced", "contradicted", "absent", "undecided")


@dataclass(frozen=True)
class Claim:
    """One sentence that can be true or false.

    Parameters
    ----------
    key
        Its name, used once.
    whose
        "paper", or "ours" for what the paper does not say.
    sentence
        What the paper says, in its words; for a claim of ours, what is meant.
    section, figure
        Where the paper says it, and which experiment tests it.
    words
        What is measured, in a few words: "training accuracy: residual above plain".
    unit
        Of the effect and of the margin.
    margin
        Effects within it count as absent; NaN where the question has no size.
    kind
        "larger": the effect is positive. "no larger": the effect (first less second) is not above the margin.
        "alike": it lies within the margin.
    """

    key: str
    whose: Whose
    sentence: str
    section: str
    figure: str
    words: str
    unit: str
    margin: float = math.nan
    kind: Kind = "larger"


@dataclass(frozen=True)
class Verdict:
    """What became of one claim under one condition.

    Parameters
    ----------
    claim, condition
        Of what, and under which condition.
    evidence
        Effect, intervals, tests.
    adjusted
        The p value of the decision after Holm's correction within the figure; of the nearest one where undecided.
    decision
        The verdict.
    """

    claim: Claim
    condition: str
    evidence: Evidence
    adjusted: float
    decision: Outcome

    @property
    def reason(self) -> str:
        """Why there is no decision, or what stands behind it, in words."""
        if self.evidence.gate:
            return self.evidence.gate
        if self.decision == "undecided":
            return "the interval allows more than one answer"
        if self.decision == "absent" or self.claim.kind != "larger":
            return f"margin {self.evidence.margin:.3g}"
        return "small: within the margin" if self.evidence.p_absent <= ERROR else ""


def decide(evidence: Mapping[str, Evidence], claims: Mapping[str, Claim], condition: str = "") -> list[Verdict]:
    """Return the verdicts on the claims of one figure under one condition.

    Parameters
    ----------
    evidence
        By the key of the claim.
    claims
        All claims by key.
    condition
        In words.

    Notes
    -----
    A claim is decided by the smaller one of its two p values: of a side, and of absence. Each is wrong with its error
    at most, whatever the true effect. Claims that a gate stops take no part in Holm's correction.
    """
    open_keys = [key for key, found in evidence.items() if not found.gate]
    p_values = {key: _p_values(claims[key], evidence[key]) for key in open_keys}
    smallest = [min(p_values[key].values()) for key in open_keys]
    order = sorted(range(len(open_keys)), key=smallest.__getitem__)
    factors = {open_keys[index]: len(open_keys) - position for position, index in enumerate(order)}
    adjusted = dict(zip(open_keys, holm(smallest), strict=True))
    verdicts = []
    for key, found in evidence.items():
        decision: Outcome = "undecided"
        if adjusted.get(key, 1.0) <= ERROR:
            decision = next(name for name, p in p_values[key].items() if factors[key] * p <= ERROR)
        verdicts.append(Verdict(claims[key], condition, found, adjusted.get(key, 1.0), decision))
    return verdicts


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [1.0] * len(p_values), 0.0
    for position, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - position) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _p_values(claim: Claim, found: Evidence) -> dict[Outcome, float]:
    """Return the p value of each outcome, those that say more first; 1 where a bound forbids it."""
    positive, negative, absent = found.sides
    side = found.p_sign if (positive if found.effect > 0 else negative) else 1.0
    if claim.kind == "larger":
        outcome: Outcome = "reproduced" if found.effect > 0 else "contradicted"
        return {outcome: side, "absent": found.p_absent if absent else 1.0}
    as_said = found.p_absent if claim.kind == "alike" else found.p_below
    size = abs(found.effect) if claim.kind == "alike" else found.effect
    return {"reproduced": as_said if absent else 1.0, "contradicted": side if size > found.margin else 1.0}
