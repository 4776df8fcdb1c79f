"""Plans of levels: costs, candidates, and the split of a budget that theory gives."""

import itertools

import numpy as np
import pytest

from hessdens.multilevel.plan import (
    FEWEST_PROBES,
    First,
    Variances,
    candidates,
    costs,
    plan_for_accuracy,
    plan_for_budget,
)

FIRST = First(0.2, 24)
PLAIN = Variances((0,), np.array([[2.0, 3.0]]), np.ones(2), FIRST)


def test_costs_are_those_of_both_matrices():
    np.testing.assert_allclose(costs((10, 100, 1_000)), [0.11, 1.1])


def test_candidates_ascend_from_the_fewest_to_all():
    levels = list(candidates(100, 1_000))
    assert all(a < b for some in levels for a, b in itertools.pairwise(some))
    assert {some[-1] for some in levels} == {1_000}
    assert {some[0] for some in levels} == {100, 125, 250, 500}
    assert (125, 250, 500, 1_000) in levels


def test_variances_of_nested_means_fall_as_one_over_the_number_of_examples():
    """By simulation: means of n and of m > n numbers, n among m."""
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((4_000, 80)) * np.sqrt(2.0)
    means = {n: numbers[:, :n].mean(axis=1) for n in (10, 40, 80)}
    found = [np.var(means[40] - means[10]), np.var(means[80] - means[40])]
    np.testing.assert_allclose(PLAIN.of_levels((10, 40, 80), 0)[:, 0], found, rtol=0.1)


def test_probes_for_an_accuracy_have_it_and_no_split_is_cheaper():
    plan = plan_for_accuracy(PLAIN, [(100, 400, 6_400)], 1e-3, 1)
    spread, each = PLAIN.of_levels(plan.num_examples, 0)[:, 1], costs(plan.num_examples)
    probes = np.array(plan.probes)
    assert np.sum(spread / probes) <= 0.8e-6
    for shift in (0.8, 1.25):  # fewer on one level and as much work on the other
        other = probes * [shift, 1.0]
        other[1] += (probes - other) @ each / each[1]
        assert np.sum(spread / other) > 0.999 * np.sum(spread / probes)


def test_deflation_is_taken_where_it_pays():
    variances = Variances((0, 10), np.array([[100.0], [0.1]]), np.ones(1), FIRST)
    loose, tight = (plan_for_accuracy(variances, [(100, 1_000)], rtol, 1) for rtol in (0.5, 0.01))
    assert (loose.rank, tight.rank) == (0, 10)
    assert tight.work < 100


@pytest.mark.parametrize("budget", [12.0, 40.0, 300.0])
def test_a_budget_is_kept_and_used(budget):
    plan = plan_for_budget(PLAIN, list(candidates(64, 4_096)), budget, 1)
    assert 0.6 * budget < plan.work + max(0.2 * budget - 24 * plan.num_examples[0] / 4_096, 0) <= budget
    assert min(plan.probes) >= FEWEST_PROBES
    assert plan_for_budget(PLAIN, list(candidates(64, 4_096)), 3.0, 1) is None


def test_the_first_level_has_its_share_or_what_it_takes():
    assert FIRST.work((100, 1_000), 50.0) == 10
    assert FIRST.work((100, 1_000), 5.0) == 2.4
    dear = Variances((0,), PLAIN.change, PLAIN.scales, First(0.2, 2_400))
    choices = [(100, 6_400), (3_200, 6_400)]
    plans = [plan_for_accuracy(variances, choices, 0.01, 1).num_examples for variances in (PLAIN, dear)]
    assert plans == [(3_200, 6_400), (100, 6_400)]
