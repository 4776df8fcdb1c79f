"""The budget keeps its share exactly, by a clock that tests turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hessdens.monitor.overhead import OverheadBudget


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def measure(budget, clock, seconds):
    with budget.measuring():
        clock.now += seconds


def measured_after(share, step, cost, num_steps):
    """Return the steps after which a loop measures, the first of all at 0."""
    clock = Clock()
    budget = OverheadBudget(share, clock)
    measure(budget, clock, cost)
    found = []
    for number in range(1, num_steps + 1):
        clock.now += step
        if budget.allows_another():
            measure(budget, clock, cost)
            found.append(number)
    return found


def test_second_measurement_waits_until_both_and_a_reserve_are_paid_then_one_after_the_other():
    # 8 s a measurement at an eighth of training time: 64 s for the first, 128 s for twice another, then 64 s each.
    assert measured_after(0.125, 1.0, 8.0, 350) == [192, 256, 320]
    assert measured_after(0.125, 0.5, 8.0, 400) == [384]
    assert measured_after(None, 1.0, 8.0, 3) == [1, 2, 3]


@given(
    share=st.floats(0.01, 2.0),
    steps=st.lists(st.tuples(st.floats(0.01, 10.0), st.floats(0.01, 5.0)), min_size=1, max_size=60),
)
def test_share_holds_unless_a_measurement_takes_twice_as_long_as_all_before(share, steps):
    clock = Clock()
    budget = OverheadBudget(share, clock)
    measure(budget, clock, 2.0)
    for training, cost in steps:
        clock.now += training
        longest = budget.longest
        if budget.allows_another():
            measure(budget, clock, cost)
            assert budget.spent() <= share * budget.training * (1 + 1e-9) + max(0.0, cost - 2 * longest)


def test_dearer_measurement_is_paid_for_by_a_longer_wait():
    clock = Clock()
    budget = OverheadBudget(0.5, clock)
    measure(budget, clock, 1.0)
    clock.now += 5.9
    assert not budget.allows_another()  # 1 s and twice 1 s, of 5.9 s
    clock.now += 0.1
    assert budget.allows_another()
    measure(budget, clock, 3.0)  # 4 s of 6 s: over the budget, since it took three times as long
    clock.now += 13.9
    assert not budget.allows_another()  # 4 s and twice 3 s, of 19.9 s
    clock.now += 0.1
    assert budget.allows_another()
    measure(budget, clock, 1.0)
    clock.now += 1.9
    assert not budget.allows_another()  # 5 s and 6 s of 21.9 s: the next may be as dear as twice the dearest
    clock.now += 0.1
    assert budget.allows_another()


def test_time_inside_a_measurement_is_not_training():
    clock = Clock()
    budget = OverheadBudget(0.5, clock)
    clock.now += 3.0
    with budget.measuring():
        clock.now += 2.0
        assert (budget.training, budget.spent()) == (3.0, 2.0)
    clock.now += 1.0
    assert (budget.spent(), budget.longest) == (2.0, 2.0)
    measure(budget, clock, 1.0)
    assert (budget.training, budget.spent(), budget.longest) == (4.0, 3.0, 2.0)


def test_failed_measurement_has_cost_time_too():
    clock = Clock()
    budget = OverheadBudget(0.5, clock)

    def fail():
        with budget.measuring():
            clock.now += 2.0
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fail()
    assert budget.spent() == 2.0


def test_earlier_part_of_a_run_counts():
    clock = Clock()
    budget = OverheadBudget(0.5, clock)
    budget.go_on_from(10.0, [2.0, 4.0])
    clock.now += 5.9
    assert not budget.allows_another()
    clock.now += 0.1
    assert budget.allows_another()
