"""Verdict rules: looks against simulation, intervals against SciPy, gates, Holm, and error rates with known truth."""

import json
import math

import numpy as np
import pytest
import verdict_rules as simulation
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from skip_paper.verdicts import gates
from skip_paper.verdicts.decisions import Claim, decide, step_down
from skip_paper.verdicts.evidence import ERROR, Evidence, computation, spread, with_diverged
from skip_paper.verdicts.looks import Plan, boundaries, single_look
from skip_paper.verdicts.means import contrast, difference, fieller, smaller_share
from skip_paper.verdicts.orders import page, rank_correlation, trend

RNG = np.random.default_rng(0)
RUNS = 12
SINGLE = single_look(RUNS)
LIGHT = settings(max_examples=25, deadline=None)


def claim(kind: str = "larger", margin: float = 1.0) -> dict[str, Claim]:
    return {"a": Claim("a", "paper", "", "", "", "", "", margin, kind)}


def decision(evidence: Evidence, kind: str = "larger") -> str:
    return decide({"a": evidence}, claim(kind))[0].decision


# Looks


def test_boundaries_of_equal_looks_are_those_of_the_literature():
    """Pocock's constant 2.413 for five looks (Jennison & Turnbull, table 2.1), from the error that it spends."""
    counts = (1, 2, 3, 4, 5)
    rng, constant = np.random.default_rng(1), 2.413
    sums = np.abs(rng.standard_normal((400_000, 5)).cumsum(axis=1) / np.sqrt(counts))
    first = np.where((sums > constant).any(axis=1), (sums > constant).argmax(axis=1), 5)
    spent = np.array([(first <= look).mean() for look in range(5)])
    assert spent[-1] == pytest.approx(0.05, abs=0.002)
    np.testing.assert_allclose(boundaries(counts, spent), constant, atol=0.03)


def test_all_looks_together_are_wrong_as_rarely_as_stated():
    plan = Plan()
    sums = np.random.default_rng(2).standard_normal((100_000, 24)).cumsum(axis=1)
    z = np.abs(sums[:, [count - 1 for count in plan.counts[:4]]] / np.sqrt(plan.counts[:4]))
    for error in (0.05, 0.01):
        limits = [plan.critical_value(look, error) for look in range(4)]
        for looks in (3, 4):
            rate = (z[:, :looks] > limits[:looks]).any(axis=1).mean()
            expected = float(plan.spent(error)[looks - 1])
            assert abs(rate - expected) < 4 * math.sqrt(expected / 100_000)


@LIGHT
@given(look=st.integers(0, 6), error=st.floats(1e-9, 0.9))
def test_p_values_invert_critical_values(look: int, error: float):
    plan = Plan()
    assert plan.p_value(look, plan.nominal(look, error)) == pytest.approx(error, rel=0.02)


def test_looks_are_at_planned_numbers_of_runs():
    plan = Plan()
    assert [plan.look(runs) for runs in (3, 4, 7, 8, 12, 23, 24, 1000)] == [None, 0, 0, 1, 2, 2, 3, 6]
    assert plan.spent(0.05)[-1] < 0.05
    assert single_look(40).p_value(0, 0.03) == pytest.approx(0.03, rel=1e-3)


# Intervals


def test_at_a_single_look_difference_is_welchs_and_the_paired_interval():
    a, b = RNG.normal(1, 2, RUNS), RNG.normal(0, 1, RUNS)
    expected = stats.ttest_ind(a, b, equal_var=False)
    found = difference(a, b, plan=SINGLE)
    interval = expected.confidence_interval(0.95)
    np.testing.assert_allclose([found.low, found.high], [interval.low, interval.high], rtol=1e-3)
    assert found.p_sign == pytest.approx(expected.pvalue, rel=0.03)
    pairs = difference(a, b, plan=SINGLE, paired=True)
    interval = stats.ttest_rel(a, b).confidence_interval(0.95)
    np.testing.assert_allclose([pairs.low, pairs.high], [interval.low, interval.high], rtol=1e-3)
    combined = contrast([(1.0, a), (-1.0, b)], plan=SINGLE)
    np.testing.assert_allclose([combined.low, combined.high], [found.low, found.high])


def test_absence_is_two_one_sided_tests():
    a, b = RNG.normal(0, 1, RUNS), RNG.normal(0, 1, RUNS)
    found = difference(a, b, margin=2.0, plan=SINGLE)
    lower = stats.ttest_ind(a, b - 2, equal_var=False, alternative="greater").pvalue
    upper = stats.ttest_ind(a, b + 2, equal_var=False, alternative="less").pvalue
    assert found.p_absent == pytest.approx(max(lower, upper), rel=0.03)
    assert found.p_below == pytest.approx(upper, rel=0.03)
    assert (found.p_absent <= ERROR) == (found.inner[0] > -2 and found.inner[1] < 2)


@LIGHT
@given(seed=st.integers(0, 10_000), runs=st.sampled_from([4, 8, 12, 24]), effect=st.floats(-2, 2))
def test_intervals_and_p_values_say_the_same(seed: int, runs: int, effect: float):
    a, b = np.random.default_rng(seed).normal(0, 1, (2, runs))
    found = difference(a + effect, b, margin=1.0)
    assert (found.p_sign <= ERROR) == (found.low > 0 or found.high < 0)
    assert (found.p_absent <= ERROR) == (found.inner[0] > -1 and found.inner[1] < 1)
    assert found.low < found.inner[0] < found.effect < found.inner[1] < found.high


def test_pairs_decide_what_common_starts_hide():
    common = RNG.normal(0, 10, RUNS)
    a, b = common + 1 + RNG.normal(0, 0.1, RUNS), common + RNG.normal(0, 0.1, RUNS)
    assert decision(difference(a, b, paired=True)) == "reproduced"
    assert decision(difference(a, b)) == "undecided"


def test_fiellers_interval_holds():
    """The true share is inside in 95% of 1,500 trials, to four standard errors, paired or not."""
    rng, inside = np.random.default_rng(3), {True: 0, False: 0}
    for _ in range(1_500):
        common = rng.normal(0, 1, 12)
        table = rng.normal(0, 1, (3, 12)) + np.array([[10.0], [7.0], [0.0]])
        for paired in inside:
            low, high = fieller(table + common * paired, 0.05, paired=paired)
            inside[paired] += low <= 0.3 <= high
    for count in inside.values():
        assert abs(count / 1_500 - 0.95) < 4 * math.sqrt(0.05 * 0.95 / 1_500)


def test_slightly_below_needs_both_halves():
    noise = RNG.normal(0, 0.1, (3, RUNS))
    best, near, far = noise + np.array([[10.0], [9.0], [0.0]])
    found = smaller_share(best, near, far)
    assert found.effect == pytest.approx(0.4, abs=0.02)
    assert found.low < found.effect < found.high
    assert decision(found) == "reproduced"
    assert decision(smaller_share(best, far + 1, far)) == "contradicted"
    assert "premise" in smaller_share(far, near, best).gate
    assert decision(smaller_share(far, near, best)) == "undecided"


def test_page_is_scipys_trend_test():
    table = RNG.normal(0, 1, (8, 5)) + 0.4 * np.arange(5)
    p, z = page(table)
    expected = stats.page_trend_test(table, method="asymptotic")
    assert z > 0
    assert p / 2 == pytest.approx(expected.pvalue, rel=1e-6)


def test_trend():
    rising = RNG.normal(0, 0.5, (4, RUNS)) + 2.0 * np.arange(4)[:, None]
    found = trend(rising, margin=0.5)
    assert found.effect == pytest.approx(2.0, abs=0.3)
    assert decision(found) == "reproduced"
    assert decision(trend(rising[::-1])) == "contradicted"
    assert decision(trend(RNG.normal(0, 0.1, (4, RUNS)), margin=1.0)) == "absent"


def test_rank_correlation_agrees_with_scipy_and_partial_takes_a_common_cause_out():
    x, noise, cause = RNG.normal(0, 1, (3, 200))
    found = rank_correlation(x, x + 3 * noise)
    expected = stats.spearmanr(x, x + 3 * noise)
    assert found.effect == pytest.approx(expected.statistic)
    assert 0.3 < found.p_sign / expected.pvalue < 3
    assert decision(rank_correlation(x + 3 * cause, noise + 3 * cause)) == "reproduced"
    assert abs(rank_correlation(x + 3 * cause, noise + 3 * cause, given=cause).effect) < 0.25
    assert decision(rank_correlation(*RNG.normal(0, 1, (2, 4_000)), margin=0.1)) == "absent"


def test_spread():
    values = stats.norm.ppf((np.arange(50) + 0.5) / 50)
    assert decision(spread(3 * values, 1.0)) == "reproduced"
    assert decision(spread(0.2 * values, 1.0)) == "contradicted"
    assert decision(spread(values, 1.0)) == "undecided"


# What may not be decided


def test_few_equal_and_infinite_runs():
    a = np.array([1.0, 2.0, 3.0])
    few = difference(a, a + 100)
    assert (few.gate, few.effect) == ("3 runs, and the first look is at 4", -100)
    verdict = decide({"a": few}, claim())[0]
    assert (verdict.decision, verdict.reason) == ("undecided", f"{few.gate}; the sign is not as the paper says")
    assert trend([a, a + 1, a + 2]).effect == 1
    assert rank_correlation(a, a).gate == "3 runs, and the first look is at 8"
    assert "same number" in difference(np.full(4, 9.0), np.full(4, 1.0)).gate
    with pytest.raises(ValueError, match=r"must have a finite value; 1 of 4 have none\. Use with_diverged"):
        difference([1.0, 2.0, 3.0, math.nan], np.arange(4.0))
    with pytest.raises(ValueError, match=r"one value a run; got an array of shape \(2, 2\)"):
        difference(np.ones((2, 2)), np.ones(4))


def test_runs_that_diverged_are_the_worst():
    good, bad = np.full(12, 0.5) + RNG.normal(0, 0.01, 12), np.full(12, 0.6)
    bad[::2] = math.nan
    assert difference(good, with_diverged(bad, 0.05)).effect > 0.1, "the runs that are left are better by 0.1"
    assert with_diverged([math.inf, 1.0], 0.05).tolist() == [0.05, 1.0]


def test_runs_between_looks_wait():
    a, b = RNG.normal(5, 1, 7), RNG.normal(0, 1, 7)
    assert difference(a, b) == difference(a[:4], b[:4])
    assert difference(a, b).runs == 4


SURE = Evidence(1.0, 0.9, 1.1, (0.95, 1.05), 0.1, 1e-6, 1.0, 1.0, 12, "")
SURELY_NOT = Evidence(-1.0, -1.1, -0.9, (-1.05, -0.95), 0.1, 1e-6, 1.0, 1e-6, 12, "")


@pytest.mark.parametrize(
    ("larger", "smaller", "allowed"),
    [
        ("", "", (True, True, True)),
        ("at most", "", (False, True, False)),
        ("", "at most", (True, False, False)),
        ("at least", "", (True, False, False)),
        ("", "at least", (False, True, False)),
        ("at most", "at most", (False, False, False)),
        ("at least", "at most", (True, False, False)),
    ],
)
def test_a_bound_decides_on_one_side_only(larger, smaller, allowed):
    assert gates.bounded(SURE, larger, smaller).sides == allowed
    assert (decision(gates.bounded(SURE, larger, smaller)) == "reproduced") == allowed[0]
    assert (decision(gates.bounded(SURELY_NOT, larger, smaller)) == "contradicted") == allowed[1]


def test_chance():
    assert gates.chance({"plain": [0.08, 0.09], "residual": [0.3]}, 20) == ""
    assert gates.chance({"plain": [0.06, 0.06], "residual": [0.3]}, 20) == "chance level: plain 6.0%, chance 5%"
    assert gates.chance({"plain": [math.nan]}, 10).startswith("chance level")


def test_poor_fits():
    assert gates.poor_fit(6, 12) == ""
    assert gates.poor_fit(7, 12) == "poor fit: 7 of 12 mixtures do not fit their moments"
    assert gates.poor_fit(0, 0) == "no fits"


def test_one_eigenvalue():
    assert gates.one_eigenvalue(SURE, 1_000).gate == ""  # one point of a thousand: ten eigenvalues
    assert gates.one_eigenvalue(SURE, 90).gate == "fewer than one eigenvalue: 0.9 of 90"
    absent = Evidence(0.01, -0.02, 0.04, (-0.01, 0.03), 0.1, 0.4, 1e-4, 1e-4, 12, "")
    assert decision(gates.one_eigenvalue(absent, 1_000)) == "absent"


def test_confounded():
    assert gates.confounded({"a": [1.0, 1.2], "b": [2.0, 2.1]}) == ""
    assert gates.confounded({"a": [0.1, 0.1], "b": [10.0]}) == (
        "confounded: gradients at the start 1e+02 times larger in b than in a"
    )


def test_gated_evidence_is_undecided_and_says_why():
    verdict = decide({"a": SURE.gated("first").gated("second")}, claim())[0]
    assert (verdict.decision, verdict.reason) == ("undecided", "first")
    assert SURE.gated("") is SURE


# Decisions


def test_outcomes_of_each_kind():
    small = Evidence(0.05, 0.03, 0.07, (0.035, 0.065), 0.1, 1e-5, 1e-5, 1e-5, 12, "")
    absent = Evidence(0.0, -0.02, 0.02, (-0.01, 0.01), 0.1, 0.8, 1e-5, 1e-5, 12, "")
    table = {
        "larger": {SURE: "reproduced", SURELY_NOT: "contradicted", small: "reproduced", absent: "absent"},
        "no larger": {SURE: "contradicted", SURELY_NOT: "reproduced", small: "reproduced", absent: "reproduced"},
        "alike": {SURE: "contradicted", SURELY_NOT: "contradicted", small: "reproduced", absent: "reproduced"},
    }
    for kind, rows in table.items():
        for evidence, expected in rows.items():
            assert decision(evidence, kind) == expected, (kind, evidence)
    assert decide({"a": small}, claim())[0].reason == "small: within the margin"
    assert decision(computation(True, 1.0, "")) == "reproduced"
    assert decision(computation(False, 1.0, "")) == "contradicted"


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_step_down_is_the_slow_definition(share):
    p = RNG.uniform(0, 0.2, 7)
    order = np.argsort(p)
    found = 0
    for error in np.linspace(0.001, 1, 50):
        slow = set()
        for position, index in enumerate(order):
            left = 7 - position
            if p[index] > error * (1 - share * (7 - left) / 7) / left:
                break
            slow.add(int(index))
        assert {i for i, adjusted in enumerate(step_down(list(p), share)) if adjusted <= error} == slow
        found += len(slow)
    assert found > 50


def test_more_claims_in_a_figure_need_more():
    clear = Evidence(1.0, 0.5, 1.5, (0.6, 1.4), math.nan, 0.03, 1.0, 1.0, 12, "")
    claims = {key: Claim(key, "paper", "", "", "", "", "") for key in "abc"}
    alone = decide({"a": clear}, claims)
    assert alone[0].decision == "reproduced"
    three = decide(dict.fromkeys("abc", clear), claims)
    assert {v.decision for v in three} == {"undecided"}
    assert three[0].adjusted == pytest.approx(0.09)
    gated = decide({"a": clear, "b": clear.gated("x"), "c": clear.gated("x")}, claims)
    assert gated[0].decision == "reproduced", "what a gate stops is not counted"


# Error rates with known truth: the benchmark, smaller


@pytest.mark.parametrize(("design", "truth"), [("Welch, normal", 0.0), ("paired, normal", 0.0), ("Welch, normal", 1.0)])
def test_wrong_decisions_are_rare_and_absent_effects_are_found(design, truth):
    trials = 500
    found = simulation.rates(trials, design, truth, simulation.MARGINS["first"], 5)
    assert found["wrong"] < 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
    if truth == 0:
        assert found["absent"] > 0.8 - 3 * math.sqrt(0.8 * 0.2 / trials)
    else:
        assert found["reproduced"] > 0.8


def test_figures_rarely_have_a_wrong_verdict():
    trials = 120
    found = simulation.family_rates(trials, 7)
    assert found["figures_with_a_wrong_verdict"] < 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
    assert found["decided"] > 0.4


def test_the_benchmark_says_that_the_rules_hold():
    content = json.loads((simulation.parser_of("", simulation.__file__).get_default("output")).read_text())
    trials = content["arguments"]["trials"]
    assert trials >= 4_000
    noise = 3 * math.sqrt(0.05 * 0.95 / trials)
    assert content["largest_wrong"] < 0.05 + noise
    assert content["family"]["figures_with_a_wrong_verdict"] < 0.05 + noise
    absent = [r["absent"] for r in content["single_claims"] if r["truth"] == 0 and r["margin_of"] == "first"]
    assert min(absent) >= 0.8
