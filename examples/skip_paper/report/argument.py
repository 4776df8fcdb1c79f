"""The paper's argument in seven steps, its five answers to other explanations, and what is left of the hypothesis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from skip_paper.report.summary import Status, Summary

State = Literal["holds", "holds in part", "fails", "open"]


@dataclass(frozen=True)
class Step:
    """One step of an argument: a sentence, the claims that it stands on (``main``), and others that bear on it."""

    title: str
    sentence: str
    main: tuple[str, ...]
    more: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """All claims."""
        return self.main + self.more

    def state(self, found: Mapping[str, Summary]) -> State:
        """Return what the verdicts on the main claims leave of the step."""
        statuses: list[Status] = [found[key].status for key in self.main]
        good = sum(status == "reproduced" for status in statuses)
        bad = sum(status in ("contradicted", "absent") for status in statuses)
        if good == len(statuses):
            return "holds"
        if good or "mixed" in statuses:
            return "holds in part"
        return "fails" if bad else "open"


STEPS = (
    Step(
        "Singularities slow learning",
        "Near an overlap of two units learning has a plateau; along linear dependence it is slow.",
        ("2-plateau", "2-slower"),
        ("2-on-singularity", "2-generic", "2-settled"),
    ),
    Step(
        "Skips make networks less degenerate",
        "Plain networks are the most degenerate, hyper-residual ones the least, and they train in the opposite order.",
        ("3-degenerate-plain", "3-accuracy-residual"),
        ("3-degenerate-hyper", "3-accuracy-hyper", "3-negative-residual", "3-negative-hyper", "3-early", "3-crossover",
         "3-relative", "S1-train", "S1-degenerate", "S1-negative", "S6-degenerate"),
    ),
    Step(
        "Distance from singularities predicts who trains",
        "Among equal plain networks, the worst are more degenerate, with smaller weights, more overlap and more linear "
        "dependence.",
        ("4-degenerate", "4-norm", "4-overlap", "4-dependence"),
        ("4-varies", "4-dead", "S2-degenerate", "S2-overlap", "S2-norm-early", "S2-negative", "S7-degenerate",
         "S7-norm", "S7-overlap", "S7-dependence"),
    ),
    Step(
        "It is not the initialisation",
        "A start that cancels the skips does harm, but little.",
        ("5-malicious-reduces", "5-malicious-slightly"),
        ("6-malicious-keeps", "6-malicious-alike"),
    ),
    Step(
        "Other ways of breaking symmetry work",
        "Biases drawn to random targets improve plain networks; an ordinary penalty of biases does not.",
        ("5-biasreg-plain", "5-l2reg"),
        ("5-residual-biasreg", "5-degenerate-biasreg", "5-degenerate-residual", "5-zeros", "5-dependence",
         "5-intermediate-mean", "5-intermediate-scale", "6-bn-improves", "6-bn-approaches"),
    ),
    Step(
        "It is not the identity",
        "Dense orthogonal skips work slightly better, and the more orthogonal, the better.",
        ("7-dense", "7-order"),
        ("7-slightly", "7-zero-relus", "7-vanishing"),
    ),
    Step(
        "It is not the gradients",
        "More orthogonal skips of equal spectrum train better though gradients do not vanish; equal gradients at the "
        "start leave degeneracy its part.",
        ("8-accuracy", "8-gradients", "4-gradients-alike"),
        ("S2-given-gradients", "4-given-gradients", "6-biasreg-alike", "7-gradients-alike"),
    ),
)  # fmt: skip
DISCUSSION = (
    Step("(i)", "All plain networks of figure 4 have similarly vanishing gradients at the start, yet differ.",
         ("4-gradients-alike",), ("4-given-gradients", "S2-given-gradients")),
    Step("(ii)", "Identity and dense skips both keep gradients alive, yet dense ones train better.",
         ("7-gradients-alike", "7-dense")),
    Step("(iii)", "Less orthogonal skips of equal spectrum have larger gradients, yet train worse.",
         ("8-gradients", "8-accuracy")),
    Step("(iv)", "BiasReg and plain networks have almost the same gradients early on, yet BiasReg trains better.",
         ("6-biasreg-alike", "5-biasreg-plain")),
    Step("(v)", "In shallow networks gradients do not vanish, yet the same holds.",
         ("S6-vanish", "S6-train", "S6-degenerate"), ("S6-overlap", "S6-track", "S6-accuracy-overlap", "S6-gradients")),
)  # fmt: skip


def survives(found: Mapping[str, Summary]) -> str:
    """Return whether the hypothesis survives, in a paragraph that the verdicts decide."""
    states = [step.state(found) for step in STEPS]
    parts = [
        f"{_numbers(states, state)} {_verb(states.count(state), state)}"
        for state in ("holds", "holds in part", "fails", "open")
        if state in states
    ]
    text = f"Of the seven steps of the paper's argument, {_listed(parts)}. "
    degenerate, trains = found["3-degenerate-plain"].status, found["3-accuracy-residual"].status
    text += (
        f"That skips make networks less degenerate is {_said(degenerate)}; that they make them train faster is "
        f"{_said(trains)}. "
    )
    predictors = [found[key].status for key in STEPS[2].main]
    shown = predictors.count("reproduced")
    text += (
        f"Of the four distances from singularities, {_count(shown)} {'is' if shown == 1 else 'are'} shown to predict "
        "which plain networks train well. "
    )
    alike, given = found["4-gradients-alike"].status, found["S2-given-gradients"].status
    if given == "reproduced":
        text += (
            "At equal gradients at the start degeneracy still predicts accuracy, so that gradients are not all of it. "
        )
    elif given in ("absent", "contradicted"):
        text += "At equal gradients at the start degeneracy does not predict accuracy as the paper expects. "
    if alike == "contradicted":
        text += "But gradients at the start predict accuracy too, which the paper denies. "
    return text + _last(states)


def _last(states: Sequence[State]) -> str:
    good, bad = states.count("holds"), states.count("fails")
    if states.count("open") > 3:
        return "Most steps are open: these runs do not say whether the hypothesis survives."
    if bad == 0 and good >= 5:
        return "The hypothesis survives."
    if good > bad:
        return (
            "The hypothesis survives in part: as a cause among others, and not in every form that the paper gives it."
        )
    return "In these experiments more speaks against the hypothesis than for it."


def _said(status: Status) -> str:
    return {
        "reproduced": "reproduced", "contradicted": "contradicted", "absent": "not the case to any size that matters",
        "mixed": "true under one condition and not under the other", "undecided": "undecided",
        "not run": "not tested here",
    }[status]  # fmt: skip


def _numbers(states: Sequence[State], state: str) -> str:
    places = [str(place) for place, found in enumerate(states, 1) if found == state]
    return f"{'number' if len(places) == 1 else 'numbers'} {_listed(places)}"


def _verb(count: int, state: str) -> str:
    if count == 1:
        return state if state != "open" else "is open"
    return {"holds": "hold", "holds in part": "hold in part", "fails": "fail", "open": "are open"}[state]


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _count(count: int) -> str:
    return ("none", "one", "two", "three", "all")[count]
