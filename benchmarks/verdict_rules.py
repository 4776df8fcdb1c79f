"""Simulates claims with known truth through the verdict rules of the reproduction.

    python benchmarks/verdict_rules.py [--trials 4000]

A reader looks at 4, 8 and 12 seeds, and stops at the first decision. A decision is wrong where what it says is false:
"reproduced" without a positive effect, "contradicted" without a negative one, "absent" with an effect of the margin or
more. The margin is twice the standard error of the first look, or of the last.
"""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from measuring import origin, parser_of, save
from numpy.typing import NDArray
from skip_paper.verdicts.decisions import Claim, decide
from skip_paper.verdicts.evidence import SEQUENTIAL, Evidence
from skip_paper.verdicts.looks import PLANNED
from skip_paper.verdicts.means import difference, smaller_share
from skip_paper.verdicts.orders import rank_correlation, trend

Array = NDArray[np.float64]
Rng = np.random.Generator
LAST = PLANNED[-1]
# Spread of a difference of two runs, of which means of n have the standard error SPREAD / sqrt(n).
SPREAD = math.sqrt(2)
MARGINS = {"first": 2 * SPREAD / math.sqrt(PLANNED[0]), "last": 2 * SPREAD / math.sqrt(LAST)}
TRUTHS = (0.0, 0.5, 1.0, 1.5, 3.0)  # true effects, in margins
FAMILY = (0.0, 0.0, 0.0, 0.5, -0.5, 1.0, -1.0, 2.0)
KEYS = tuple("abcdefgh")
CLAIMS = {key: Claim(key, "ours", "", "", "", "", "") for key in KEYS}


def welch(rng: Rng, effect: float) -> tuple[Array, Array]:
    return rng.normal(effect, 1, LAST), rng.normal(0, 1, LAST)


def unequal(rng: Rng, effect: float) -> tuple[Array, Array]:
    a, b = math.sqrt(1.8), math.sqrt(0.2)  # three to one, of the same sum of variances
    return rng.normal(effect, a, LAST), rng.normal(0, b, LAST)


def heavy(rng: Rng, effect: float) -> tuple[Array, Array]:
    x = rng.standard_t(5, (2, LAST)) / math.sqrt(5 / 3)
    return x[0] + effect, x[1]


def skewed(rng: Rng, effect: float) -> tuple[Array, Array]:
    x = rng.exponential(1, (2, LAST)) - 1
    return x[0] + effect, x[1]


DESIGNS: dict[str, tuple[Callable[[Rng, float], tuple[Array, Array]], bool]] = {
    "Welch, normal": (welch, False),
    "Welch, spreads three to one": (unequal, False),
    "Welch, t with 5 degrees of freedom": (heavy, False),
    "Welch, exponential": (skewed, False),
    "paired, normal": (welch, True),
    "paired, exponential": (skewed, True),
}


def is_wrong(decision: str, effect: float, margin: float) -> bool:
    """Return whether a decision says something false of the true effect."""
    return {
        "reproduced": effect <= 0,
        "contradicted": effect >= 0,
        "absent": abs(effect) >= margin * (1 - 1e-12),
        "undecided": False,
    }[decision]


def first_decision(evidence: Callable[[int], Evidence]) -> str:
    """Return the first decision over the looks, of one claim alone."""
    for count in PLANNED:
        decision = decide({"a": evidence(count)}, CLAIMS)[0].decision
        if decision != "undecided":
            return decision
    return "undecided"


def rates(trials: int, design: str, truth: float, margin: float, seed: int) -> dict[str, Any]:
    """Return how often each decision was made, and how often wrongly."""
    draw, paired = DESIGNS[design]
    rng, found = np.random.default_rng(seed), Counter[str]()
    for _ in range(trials):
        a, b = draw(rng, truth * margin)
        found[first_decision(lambda n, a=a, b=b: difference(a[:n], b[:n], margin=margin, paired=paired))] += 1
    wrong = sum(count for decision, count in found.items() if is_wrong(decision, truth * margin, margin))
    return {"wrong": wrong / trials, **{d: found[d] / trials for d in ("reproduced", "contradicted", "absent")}}


def family_rates(trials: int, seed: int) -> dict[str, float]:
    """Return how often a figure of eight claims, of different truths, has any wrong verdict, by Holm's correction."""
    rng, margin = np.random.default_rng(seed), MARGINS["first"]
    figures = verdicts = decided = 0
    for _ in range(trials):
        effects = dict(zip(KEYS, rng.permutation(FAMILY) * margin, strict=True))
        data = {key: welch(rng, effect) for key, effect in effects.items()}
        final: dict[str, str] = {}
        for n in PLANNED:
            evidence = {key: difference(a[:n], b[:n], margin=margin) for key, (a, b) in data.items()}
            for verdict in decide(evidence, CLAIMS):
                if verdict.decision != "undecided":
                    final.setdefault(verdict.claim.key, verdict.decision)
        wrong = sum(is_wrong(decision, effects[key], margin) for key, decision in final.items())
        figures, verdicts, decided = figures + (wrong > 0), verdicts + wrong, decided + len(final)
    return {
        "figures_with_a_wrong_verdict": float(figures / trials),
        "wrong_verdicts": float(verdicts) / trials / len(KEYS),
        "decided": decided / trials / len(KEYS),
    }


def other_rules(trials: int, seed: int) -> dict[str, float]:
    """Return how often the other rules decide wrongly where there is no effect, or one at the edge of the claim."""
    rng, wrong = np.random.default_rng(seed), Counter[str]()
    for _ in range(trials):
        conditions = rng.normal(0, 1, (5, LAST))
        wrong["trend"] += first_decision(lambda n, c=conditions: trend(c[:, :n])) != "undecided"
        best, near, far = rng.normal(0, 1, (3, LAST)) + np.array([[6.0], [3.0], [0.0]])
        share = first_decision(
            lambda n, b=best, m=near, f=far: smaller_share(b[:n], m[:n], f[:n], paired=False, plan=SEQUENTIAL)
        )
        wrong["share"] += share != "undecided"
        x, y, z = rng.normal(0, 1, (3, 40))
        wrong["rank correlation"] += decide({"a": rank_correlation(x, y)}, CLAIMS)[0].decision != "undecided"
        partial = rank_correlation(x + 2 * z, y + 2 * z, given=z)
        wrong["partial rank correlation"] += decide({"a": partial}, CLAIMS)[0].decision != "undecided"
    return {name: count / trials for name, count in wrong.items()}


def most_power(margin: float) -> float:
    """Return the power against no effect of the best test that finds effects of ``margin`` standard errors in 5%."""
    from scipy import optimize, stats

    def error(limit: float) -> float:
        return float(stats.norm.cdf(limit - margin) - stats.norm.cdf(-limit - margin)) - 0.05

    limit = optimize.brentq(error, 0, margin + 5)
    return float(2 * stats.norm.cdf(limit) - 1)


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--trials", type=int, default=4_000)
    options = parser.parse_args()
    rows = []
    for name, margin in MARGINS.items():
        for design in DESIGNS:
            for truth in TRUTHS:
                row = {"margin_of": name, "design": design, "truth": truth}
                rows.append({**row, **rates(options.trials, design, truth, margin, len(rows))})
                print(rows[-1], flush=True)
            if name == "last":
                break  # one design shows the limit of power
    content = {
        **origin(packages=("numpy", "scipy")),
        "arguments": {"trials": options.trials},
        "single_claims": rows,
        "largest_wrong": max(row["wrong"] for row in rows),
        "family": family_rates(options.trials // 2, 1),
        "other_rules": other_rules(options.trials, 2),
        "most_power_at_two_standard_errors": most_power(2.0),
    }
    print({key: content[key] for key in ("largest_wrong", "family", "other_rules")})
    save(options.output, content)


if __name__ == "__main__":
    main()
