"""Schedules: a usual one, then the fastest, found on the blocks of real products and remembered."""

import math

import pytest
import torch
from curvature_cases import Greedy
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import Plan, ggn_operator, hessian_operator
from hessdens.curvature.planning import planner, schedules
from hessdens.curvature.planning.planner import Planner
from hessdens.curvature.planning.schedules import Schedules

GIB = 2**30
DATA = [(torch.ones(40, 6), torch.arange(40) % 3)] * 30
SMOOTH = [(torch.linspace(-1, 1, 300).view(50, 6), torch.arange(50) % 3) for _ in range(20)]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


@pytest.mark.parametrize("make", [hessian_operator, ggn_operator])
def test_memory_limit_too_small_for_one_example_and_probe(make):
    operator = make(network(), F.cross_entropy, DATA, memory_limit=100)
    with pytest.raises(
        MemoryError,
        match=r"1 probes need about \d\.\d+ KiB \(.*\); 100 bytes may be used. Raise",
    ):
        operator @ torch.ones(operator.size)


def test_memory_limit_makes_blocks_smaller():
    wide = hessian_operator(network(), F.cross_entropy, DATA, plan=Plan("forward-over-reverse"))
    V = torch.randn(wide.size, 16)
    wide @ V
    narrow = hessian_operator(network(), F.cross_entropy, DATA, plan=Plan("forward-over-reverse"), memory_limit=20_000)
    torch.testing.assert_close(narrow @ V, wide @ V, rtol=1e-4, atol=1e-6)
    assert narrow.plan.memory <= 20_000
    assert narrow.plan.examples_per_block * narrow.plan.probes_per_block < 40 * 16


def test_complete_plan_needs_no_trial(monkeypatch):
    plan = Plan("reverse-over-reverse", 7, 2, cuda_graph=False)
    operators = [hessian_operator(network(), F.cross_entropy, DATA, plan=plan, memory_limit=m) for m in (None, GIB)]
    V = torch.randn(operators[0].size, 3)
    with monkeypatch.context() as patch:
        patch.setattr("hessdens.curvature.planning.schedules.peak_memory", lambda work: pytest.fail("a trial"))
        patch.setattr(Planner, "choose", lambda self, modes: pytest.fail("a trial"))
        given = operators[0].settle(3)
        product = operators[0] @ V
    assert (given.mode, given.examples_per_block, given.probes_per_block, given.memory) == (plan.mode, 7, 2, 0)
    assert torch.equal(product, operators[1] @ V)
    assert operators[1].plan.memory > 0, "a limit must be kept"


@pytest.fixture
def search_at_once(monkeypatch):
    monkeypatch.setattr(schedules, "WORK_BEFORE_SEARCH", 0)
    monkeypatch.setattr(schedules, "WORK_BEFORE_COSTLY", 0)


@pytest.fixture
def used(monkeypatch):
    """All schedules that blocks of products had, in order."""
    seen, timed = [], Schedules.timed
    monkeypatch.setattr(
        Schedules, "timed", lambda self, schedule, *rest: seen.append(schedule) or timed(self, schedule, *rest)
    )
    return seen


def smooth_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()


@pytest.mark.parametrize("make", [hessian_operator, ggn_operator])
@pytest.mark.parametrize("num_probes", [1, 5])
def test_products_are_the_same_while_schedules_are_tried(search_at_once, used, make, num_probes):
    """Each block of each pass counts once, whatever it is cut to and by which engine it is made."""
    model = smooth_network()
    data = [(x.double(), y) for x, y in SMOOTH]
    H = make(model, F.cross_entropy, data)
    V = torch.randn(H.size, num_probes, dtype=torch.float64)
    reference = make(model, F.cross_entropy, data, plan=Plan("reverse-over-reverse", 50, 8)) @ V
    used.clear()
    for _ in range(40):
        torch.testing.assert_close(H @ V, reference, rtol=1e-11, atol=1e-13)
        if num_probes in H._schedules.settled:
            break
    assert {schedule.mode for schedule in used} == set(H.modes), "all are tried"
    assert len({schedule.examples_per_block for schedule in used}) > 1
    settled = H._schedules.settled[num_probes]
    used.clear()
    H @ V
    assert {*used} == {settled} == {H.plan}


def test_search_begins_once_there_is_work_and_ends_once(monkeypatch, used):
    calls, choose = [], Planner.choose
    monkeypatch.setattr(Planner, "choose", lambda self, modes: calls.append(modes) or choose(self, modes))
    H = hessian_operator(smooth_network(), F.cross_entropy, [(x.double(), y) for x, y in SMOOTH[:1]])
    V = torch.ones(H.size, 4, dtype=torch.float64)
    H @ V
    assert calls == [], "one block is not worth a search"
    monkeypatch.setattr(schedules, "WORK_BEFORE_SEARCH", 0)
    while 4 not in H._schedules.settled:
        H @ V
    many = len(calls)
    assert many > 4
    assert len({*used}) > 2
    for _ in range(3):
        H @ V
    assert len(calls) == many
    assert set(calls) == {("feedforward", "reverse-over-reverse")}, "what is costly to try waits for more work"
    monkeypatch.setattr(schedules, "WORK_BEFORE_COSTLY", 0)
    H @ V
    assert "forward-over-reverse" in calls[-1]


def test_fastest_schedule_is_found_on_the_work(search_at_once, monkeypatch, used):
    """Times are made up: blocks of 10 examples are fastest, by reverse-over-reverse."""
    H = hessian_operator(smooth_network(), F.cross_entropy, [(x.double(), y) for x, y in SMOOTH])
    V = torch.ones(H.size, 1, dtype=torch.float64)

    note = Planner.note

    def made_up(self, schedule, seconds, products):
        factor = 1 if schedule.mode == "reverse-over-reverse" else 3
        note(self, schedule, factor * products * (1 + abs(math.log(products / 10))), products)

    monkeypatch.setattr(Planner, "note", made_up)
    while 1 not in H._schedules.settled:
        H @ V
    assert H.plan.mode == "reverse-over-reverse"
    assert 8 <= H.plan.examples_per_block <= 13


def test_blocks_without_memory_are_not_tried_again(search_at_once, monkeypatch):
    """Warnings are errors, so that no advice is given for what was only tried."""
    monkeypatch.setitem(planner.SIZES_AT_START, "examples_per_block", 10)
    monkeypatch.setattr(planner, "SMALL_MEMORY", 0)
    model = Greedy()
    H, other = (hessian_operator(model, F.cross_entropy, SMOOTH) for _ in range(2))
    V = torch.ones(H.size, 3)
    reference = other @ V
    monkeypatch.setattr(planner, "LEAST_GAIN", -1)  # larger blocks always seem to gain
    model.most = 15
    failed, note = [], Planner.note

    def noted(self, schedule, seconds, products):
        failed.extend([schedule] * math.isinf(seconds))
        note(self, schedule, seconds, products)

    monkeypatch.setattr(Planner, "note", noted)
    while 3 not in H._schedules.settled:
        torch.testing.assert_close(H @ V, reference, rtol=1e-4, atol=1e-6)
    assert H.plan.examples_per_block <= 15
    assert len({*failed}) == len(failed) > 0
    assert all(schedule.examples_per_block > 15 for schedule in failed)


def test_settling_tries_blocks_of_their_own():
    H = hessian_operator(smooth_network(), F.cross_entropy, [(x.double(), y) for x, y in SMOOTH])
    schedule = H.settle(3)
    assert H._schedules.settled == {3: schedule}
    assert H.settle(3) is schedule
    assert H.modes == H._modes.known


def test_work_of_uncut_batches_is_their_weight(search_at_once):
    """Batches of one token and of many are compared by what they count for."""
    data = [(torch.randn(n, 6, dtype=torch.float64), torch.arange(n) % 3) for n in (1, 30, 7, 50)] * 4
    H = hessian_operator(smooth_network(), F.cross_entropy, data, split_batches=False)
    assert [H.problem.amount(batch) for batch in data[:4]] == [1, 30, 7, 50]
    V = torch.randn(H.size, 2, dtype=torch.float64)
    reference = hessian_operator(smooth_network(), F.cross_entropy, data) @ V
    for _ in range(4):
        torch.testing.assert_close(H @ V, reference, rtol=1e-11, atol=1e-13)
