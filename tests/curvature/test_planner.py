"""Plans: the fastest block that fits, within a memory budget; what a user gives stays as it is."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import Plan, ggn_operator, hessian_operator
from hessdens.curvature.planner import Planner
from hessdens.curvature.trials.modes import Modes

GIB = 2**30
DATA = [(torch.ones(40, 6), torch.arange(40) % 3)] * 30


class Clock:
    """Stands in for the measurement: a block takes ``seconds(mode, examples, probes)``."""

    def __init__(self, monkeypatch, seconds):
        self.now, self._seconds, self.trials = 0.0, seconds, []
        monkeypatch.setattr("hessdens.curvature.planner.time.perf_counter", lambda: self.now)

    def trial(self, plan):
        mode, examples, probes = plan.mode, plan.examples_per_block, plan.probes_per_block
        self.trials.append((mode, examples, probes))

        def run():
            self.now += self._seconds(mode, examples, probes)

        return run, probes


def planner(
    trial, *, memory=lambda mode, b, p: 1, limit=GIB, device="cpu", plan=None, max_examples=4096, max_probes=64
):
    largest = {"examples_per_block": max_examples, "probes_per_block": max_probes}
    return Planner(trial, memory, limit, device, plan or Plan(), largest)


def usual(fixed, shared, per_probe, cache):
    """Return the time of a block: a fixed cost, work shared by all probes, work of each, slower beyond a cache."""

    def seconds(mode, b, p):
        work = shared * b + per_probe * b * p
        return fixed + work * (1.5 if b * p > cache else 1.0)

    return seconds


@settings(max_examples=60, deadline=None)
@given(
    st.floats(1e-5, 1e-1), st.floats(1e-7, 1e-3), st.floats(1e-7, 1e-3), st.sampled_from([500, 4000, 10**9]),
    st.integers(1, 5000), st.integers(1, 64),
)  # fmt: skip
def test_block_is_near_the_best_of_all(fixed, shared, per_probe, cache, max_examples, max_probes):
    seconds = usual(fixed, shared, per_probe, cache)
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch, seconds)
        plan = planner(clock.trial, max_examples=max_examples, max_probes=max_probes).choose(("forward-over-reverse",))
    sizes = [
        [most] + [2**i for i in range(13) if 2**i < most] for most in (max_examples, max_probes)
    ]  # fmt: skip
    best = min(seconds("", b, p) / (b * p) for b, p in itertools.product(*sizes))
    chosen = plan.examples_per_block * plan.probes_per_block
    # At the edge of the cache the time jumps by half, which halving and doubling may miss.
    tolerance = 1.1 if cache == 10**9 else 1.6
    assert seconds("", plan.examples_per_block, plan.probes_per_block) <= tolerance * best * chosen
    assert plan.examples_per_block <= max_examples
    assert plan.probes_per_block <= max_probes


@pytest.mark.parametrize(("gain", "mode"), [(1.2, "forward-over-reverse"), (1.3, "feedforward")])
def test_feedforward_is_kept_only_where_it_is_worth_it(monkeypatch, gain, mode):
    clock = Clock(monkeypatch, lambda mode, b, p: 1e-4 * b * p / (gain if mode == "feedforward" else 1))
    assert planner(clock.trial).choose(("feedforward", "forward-over-reverse")).mode == mode


def test_fastest_mode(monkeypatch):
    times = {"feedforward": 3.0, "forward-over-reverse": 2.0, "reverse-over-reverse": 1.0}
    clock = Clock(monkeypatch, lambda mode, b, p: times[mode] * 1e-4 * b * p)
    assert planner(clock.trial).choose(tuple(times)).mode == "reverse-over-reverse"


MIB = 2**20


@pytest.mark.parametrize(
    ("memory", "mode", "probes"),
    [
        (lambda mode, b, p: 2 * MIB * b * p, "reverse-over-reverse", 1),  # large activations
        (lambda mode, b, p: 100 * MIB * p + b, "reverse-over-reverse", 1),  # many parameters
        (lambda mode, b, p: MIB // 2 * b * p, "forward-over-reverse", 8),
    ],
)
def test_heavy_models_take_probes_one_by_one(monkeypatch, memory, mode, probes):
    clock = Clock(monkeypatch, lambda mode, b, p: 1.0)
    modes = ("forward-over-reverse", "reverse-over-reverse")
    plan = planner(clock.trial, memory=memory).first(Modes(modes))
    assert (plan.mode, plan.probes_per_block) == (mode, probes)
    assert planner(clock.trial, memory=memory).first(Modes(modes[:1])).mode == modes[0]
    assert planner(clock.trial, memory=memory).first(Modes(("feedforward", *modes))).mode == "feedforward"
    assert planner(clock.trial, memory=memory, plan=Plan(probes_per_block=3)).first(Modes(modes)).probes_per_block == 3
    assert clock.trials == [], "nothing is measured yet"


@pytest.mark.parametrize(("gain", "kept"), [(1.01, False), (1.1, True)])
def test_graph_is_kept_where_it_gains(monkeypatch, gain, kept):
    clock = Clock(monkeypatch, lambda mode, b, p: 1e-4 * b * p)

    def trial(plan):
        run, probes = clock.trial(plan)
        return run, probes * gain if plan.cuda_graph else probes

    modes = ("forward-over-reverse",)
    assert planner(trial, device="cuda").choose(modes).cuda_graph is kept
    assert planner(trial, device="cuda", plan=Plan(cuda_graph=False)).choose(modes).cuda_graph is False
    assert planner(trial).choose(modes).cuda_graph is False


@given(st.integers(100, 10**9), st.integers(1, 1000), st.integers(1, 64))
def test_memory_limit_is_kept(limit, max_examples, max_probes):
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch, lambda mode, b, p: 1e-3 + 1e-6 * b * p)
        memory = lambda mode, b, p: 100 * b * p  # noqa: E731
        plan = planner(
            clock.trial, memory=memory, limit=limit, max_examples=max_examples, max_probes=max_probes
        ).choose(("forward-over-reverse",))  # fmt: skip
        assert plan.memory == memory("", plan.examples_per_block, plan.probes_per_block) <= limit
        assert all(memory(*trial) <= limit for trial in clock.trials), "trials are products too"


def test_what_is_given_stays(monkeypatch):
    clock = Clock(monkeypatch, lambda mode, b, p: 1e-6 * b * p)
    given_plan = Plan("reverse-over-reverse", examples_per_block=7, probes_per_block=3)
    plan = planner(clock.trial, plan=given_plan).choose(("reverse-over-reverse",))
    assert (plan.mode, plan.examples_per_block, plan.probes_per_block) == ("reverse-over-reverse", 7, 3)


def test_trial_that_runs_out_of_memory_is_not_chosen(monkeypatch):
    clock = Clock(monkeypatch, lambda mode, b, p: 1e-3 + 1e-6 * b * p)

    def trial(plan):
        if plan.examples_per_block > 100:
            raise torch.OutOfMemoryError
        return clock.trial(plan)

    assert planner(trial).choose(("forward-over-reverse",)).examples_per_block <= 100


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
        patch.setattr("hessdens.curvature.planner.peak_memory", lambda work: pytest.fail("a trial"))
        patch.setattr(Planner, "seconds", lambda self, schedule: pytest.fail("a trial"))
        given = operators[0].settle(3)
        product = operators[0] @ V
    assert (given.mode, given.examples_per_block, given.probes_per_block, given.memory) == (plan.mode, 7, 2, 0)
    assert torch.equal(product, operators[1] @ V)
    assert operators[1].plan.memory > 0, "a limit must be kept"


def test_plan_is_measured_once_there_is_work_and_then_remembered(monkeypatch):
    operator = hessian_operator(network(), F.cross_entropy, DATA * 3)
    calls = []
    choose = Planner.choose
    monkeypatch.setattr(Planner, "choose", lambda self, modes: calls.append(modes) or choose(self, modes))
    for _ in range(3):
        operator @ torch.ones(operator.size, 4)
    assert calls == [operator.modes]
    few = hessian_operator(network(), F.cross_entropy, DATA[:1])
    few @ torch.ones(few.size, 4)
    assert len(calls) == 1, "one block is not worth a measurement"
