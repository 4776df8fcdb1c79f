"""Verdicts: intervals against scipy's, decisions on clear and unclear effects, and their error rate."""

import numpy as np
import pytest
from scipy import stats
from skip_paper.verdicts import claims

RNG = np.random.default_rng(0)


def test_difference_is_welchs_interval():
    a, b = RNG.normal(1, 2, 7), RNG.normal(0, 1, 12)
    verdict = claims.difference("claim", a, b, "unit")
    expected = stats.ttest_ind(a, b, equal_var=False)
    interval = expected.confidence_interval(0.95)
    np.testing.assert_allclose([verdict.low, verdict.high], [interval.low, interval.high])
    assert f"p = {expected.pvalue:.2g}" in verdict.test


@pytest.mark.parametrize(("shift", "decision"), [(5.0, "reproduced"), (-5.0, "not reproduced"), (0.0, "not decided")])
def test_decisions(shift, decision):
    a = np.array([-1.0, 0.5, 1.0, -0.5])
    assert claims.difference("", a + shift, a, "").decision == decision
    assert claims.paired("", a + shift, "").decision == decision
    x = np.arange(8.0)
    assert claims.slope("", x, shift * x + np.tile(a, 2)[::-1], "").decision == decision
    far, best = a - 10, a + 10
    assert claims.close("", best, a + shift, far, "").decision == decision


def test_nearness_to_the_better_one_needs_a_better_one():
    a = np.array([-1.0, 0.5, 1.0, -0.5])
    above_both = claims.close("", a, a + 50, a + 10, "")
    assert above_both.effect == 45
    assert above_both.decision == "not reproduced"
    assert "that the better one is better: not reproduced" in above_both.test
    assert claims.close("", a, a + 50, a + 0.1, "").decision == "not decided"
    assert claims.close("", a, a - 50, a + 0.1, "").decision == "not reproduced"
    assert claims.close("", a + 10, a + 9, a, "").test.startswith("t, Welch-Satterthwaite, p = ")


def test_absent_effects_need_a_margin():
    a = 100 + np.array([-1.0, 0.5, 1.0, -0.5])
    assert claims.not_larger("", a, a + 0.1, "").decision == "reproduced"
    assert claims.not_larger("", a + 50, a, "").decision == "not reproduced"
    wide = 100 + 40 * np.array([-1.0, 0.5, 1.0, -0.5])
    assert claims.not_larger("", wide, a, "").decision == "not decided"


def test_runs_that_are_missing_or_all_the_same_decide_nothing():
    a = np.array([1.0, 2.0, 3.0])
    assert claims.difference("", np.array([9.0]), a, "").decision == "not decided"
    assert claims.difference("", np.array([np.nan, np.nan]), a, "").decision == "not decided"
    assert claims.difference("", np.full(3, 9.0), np.full(3, 1.0), "").decision == "not decided"
    assert claims.paired("", np.array([1.0]), "").decision == "not decided"
    assert claims.slope("", a, np.full(3, 2.0), "").decision == "not decided"
    assert claims.close("", a, np.array([1.0]), a, "").decision == "not decided"
    assert claims.difference("", np.array([np.nan, 9.0, 9.1]), a, "").effect == pytest.approx(7.05)


def test_wrong_decisions_are_as_rare_as_the_level_says():
    """Without an effect, each side is claimed in 2.5% of 2,000 trials, to four standard errors."""
    kinds = {"difference": 0, "close": 0, "slope": 0}
    for _ in range(2_000):
        a, b, c = RNG.normal(0, 1, (3, 5))
        kinds["difference"] += claims.difference("", a, b, "").decision != "not decided"
        kinds["close"] += claims.close("", a + 2, b, c - 2, "").decision != "not decided"
        kinds["slope"] += claims.slope("", np.arange(5.0), a, "").decision != "not decided"
    for count in kinds.values():
        assert abs(count / 2_000 - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 2_000)


def test_facts():
    assert claims.fact("", True, 1.0, "", "").decision == "reproduced"
    assert claims.fact("", False, 1.0, "", "").decision == "not reproduced"
