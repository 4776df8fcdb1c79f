"""Decisions: evidence on the claims of one figure under one condition becomes verdicts, corrected for their number.

Holm's procedure knows one hypothesis a claim. Here each claim has two: that there is no effect, and that it reaches the
margin. At most one of them is true, and the usual step down would count a claim as settled that may still be wrong
(simulated: 6.7% of figures had a wrong verdict, not 5%). So, with m claims, z of which have no side yet, and a = (1 +
1/m) / 2, a side is found where p <= 0.05 (1 - a (m - z) / m) / z, and absence where p <= 0.05 a / m.

Proof: let Z be the number of claims without an effect. Before the first wrong side, all sides found were right, so z >=
Z, and the wrong ones have the probability Z 0.05 (1 - a (m - Z) / m) / Z at most. Wrong absences are possible in the
m - Z others, with 0.05 a (m - Z) / m at most. The sum is 0.05. Where no claim has a margin, a = 0: Holm's procedure.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from skip_paper.verdicts.evidence import ERROR, Evidence
from skip_paper.verdicts.rules import Computed, Rule

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
    rule
        Which numbers are compared, and how.
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
    rule: Rule = field(default=Computed("a test of the rules"), repr=False)

    def __str__(self) -> str:
        return self.words


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
        The p value of the decision, corrected for the number of claims; the smallest one where undecided.
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
            return self.evidence.gate + self._sign()
        if self.decision == "undecided":
            return "the interval allows more than one answer"
        if self.decision == "absent" or self.claim.kind != "larger":
            return f"margin {self.evidence.margin:.3g}"
        return "small: within the margin" if self.evidence.p_absent <= ERROR else ""

    def _sign(self) -> str:
        """Return what few runs show: the sign, which decides nothing."""
        found = self.evidence
        if self.claim.kind != "larger" or not math.isinf(found.high) or not math.isfinite(found.effect):
            return ""
        whose = "the paper says" if self.claim.whose == "paper" else "expected"
        return f"; the sign is {'' if found.effect > 0 else 'not '}as {whose}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, None where a number is not finite."""
        claim, found = self.claim, self.evidence
        numbers = {
            "effect": found.effect, "low": found.low, "high": found.high, "inner_low": found.inner[0],
            "inner_high": found.inner[1], "margin": found.margin, "p_sign": found.p_sign, "p_absent": found.p_absent,
            "adjusted": self.adjusted,
        }  # fmt: skip
        return {
            "key": claim.key, "whose": claim.whose, "sentence": claim.sentence, "section": claim.section,
            "figure": claim.figure, "claim": claim.words, "unit": claim.unit, "kind": claim.kind,
            "condition": self.condition, "runs": found.runs, "test": found.test, "decision": self.decision,
            "reason": self.reason, **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
        }  # fmt: skip


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
    A claim is decided by a side, where one is found, else by absence. Claims that a gate stops are not counted.
    """
    open_keys = [key for key, found in evidence.items() if not found.gate]
    tables = {key: _p_values(claims[key], evidence[key]) for key in open_keys}
    with_margin = any(math.isfinite(evidence[key].margin) for key in open_keys)
    share = (1 + 1 / len(open_keys)) / 2 if with_margin else 0.0
    sides = step_down([side for _, side, _, _ in tables.values()], share)
    adjusted: dict[str, tuple[tuple[Outcome, float], ...]] = {}
    for key, side in zip(open_keys, sides, strict=True):
        side_outcome, _, absent_outcome, absent = tables[key]
        within = min(1.0, absent * len(open_keys) / share) if share else 1.0
        adjusted[key] = (side_outcome, side), (absent_outcome, within)
    return [_verdict(claims[key], condition, found, adjusted.get(key, ())) for key, found in evidence.items()]


def step_down(p_values: Sequence[float], share: float = 0.0) -> list[float]:
    """Return p values of sides adjusted for their number; ``share`` of the error is kept for absences.

    Examples
    --------
    Without absences this is Holm's procedure.

    >>> step_down([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    count = len(p_values)
    order = sorted(range(count), key=p_values.__getitem__)
    adjusted, largest = [1.0] * count, 0.0
    for found, index in enumerate(order):
        factor = (count - found) / (1 - share * found / count)
        largest = max(largest, min(1.0, factor * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _verdict(
    claim: Claim, condition: str, found: Evidence, adjusted: Sequence[tuple[Outcome, float]]
) -> Verdict:  # fmt: skip
    for outcome, p in adjusted:
        if p <= ERROR:
            return Verdict(claim, condition, found, p, outcome)
    return Verdict(claim, condition, found, min((p for _, p in adjusted), default=1.0), "undecided")


def _p_values(claim: Claim, found: Evidence) -> tuple[Outcome, float, Outcome, float]:
    """Return what a side and what absence would mean for a claim, each with its p value; 1 where a gate forbids it."""
    positive, negative, absent = found.sides
    side = found.p_sign if (positive if found.effect > 0 else negative) else 1.0
    if claim.kind == "larger":
        return "reproduced" if found.effect > 0 else "contradicted", side, "absent", found.p_absent if absent else 1.0
    within = (found.p_absent if claim.kind == "alike" else found.p_below) if absent else 1.0
    if claim.kind == "no larger" and found.effect < 0:
        return "reproduced", side, "reproduced", within
    return "contradicted", side if abs(found.effect) > found.margin else 1.0, "reproduced", within
