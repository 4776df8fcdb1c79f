"""Plans: the fastest block that fits, within a memory budget; what a user gives stays as it is."""

import itertools
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdens import Plan
from hessdens.curvature.planning.planner import REPEATS, SMALL_MEMORY, Planner, UntimedError
from hessdens.curvature.trials.modes import Modes

GIB = 2**30


def planner(*, memory=lambda mode, b, p: 1, limit=GIB, device="cpu", plan=None, max_examples=4096, max_probes=64):
    largest = {"examples_per_block": max_examples, "probes_per_block": max_probes}
    return Planner(memory, limit, device, plan or Plan(), largest)


def chosen(planner, modes, seconds):
    """Return the choice of a planner where a block takes ``seconds(schedule)``, and all schedules that were timed."""
    timed = []
    while True:
        try:
            return planner.choose(modes), timed
        except UntimedError as needed:
            schedule = needed.schedule
            timed.append(schedule)
            planner.note(schedule, seconds(schedule), schedule.examples_per_block * schedule.probes_per_block)


def of_sizes(seconds):
    """Return the time of a block as a function of its schedule, from one of mode and sizes."""
    return lambda schedule: seconds(schedule.mode, schedule.examples_per_block, schedule.probes_per_block)


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
    sized = planner(max_examples=max_examples, max_probes=max_probes)
    plan, _ = chosen(sized, ("forward-over-reverse",), of_sizes(seconds))
    sizes = [[most] + [2**i for i in range(13) if 2**i < most] for most in (max_examples, max_probes)]
    best = min(seconds("", b, p) / (b * p) for b, p in itertools.product(*sizes))
    work = plan.examples_per_block * plan.probes_per_block
    # At the edge of the cache the time jumps by half, which halving and doubling may miss.
    tolerance = 1.1 if cache == 10**9 else 1.6
    assert seconds("", plan.examples_per_block, plan.probes_per_block) <= tolerance * best * work
    assert plan.examples_per_block <= max_examples
    assert plan.probes_per_block <= max_probes


@pytest.mark.parametrize(("gain", "mode"), [(1.2, "forward-over-reverse"), (1.3, "feedforward")])
def test_feedforward_is_kept_only_where_it_is_worth_it(gain, mode):
    seconds = of_sizes(lambda mode, b, p: 1e-4 * b * p / (gain if mode == "feedforward" else 1))
    assert chosen(planner(), ("feedforward", "forward-over-reverse"), seconds)[0].mode == mode


def test_fastest_mode():
    times = {"feedforward": 3.0, "forward-over-reverse": 2.0, "reverse-over-reverse": 1.0}
    plan, _ = chosen(planner(), tuple(times), of_sizes(lambda mode, b, p: times[mode] * 1e-4 * b * p))
    assert plan.mode == "reverse-over-reverse"


def test_short_blocks_are_timed_often_and_slow_ones_twice():
    times = {"reverse-over-reverse": 1.0, "forward-over-reverse": 2.0}
    _, timed = chosen(planner(plan=Plan(None, 500, 8)), tuple(times), lambda schedule: 1e-3 * times[schedule.mode])
    assert Counter(schedule.mode for schedule in timed) == {"reverse-over-reverse": REPEATS, "forward-over-reverse": 2}
    _, timed = chosen(planner(plan=Plan(None, 500, 8)), tuple(times), lambda schedule: times[schedule.mode])
    assert len(timed) == 2, "long ones once"


def test_least_of_several_times_counts():
    """The first block of a way warms it up, and other work of the machine may disturb any of them."""
    first = planner(plan=Plan(None, 500, 8))
    spent = itertools.cycle([9e-3, 1e-3, 5e-3, 4e-3])
    other = "reverse-over-reverse"
    times = lambda schedule: 1.5e-3 if schedule.mode == other else next(spent)  # noqa: E731
    assert chosen(first, ("forward-over-reverse", other), times)[0].mode == "forward-over-reverse"


@pytest.mark.parametrize(("bytes_of_one", "examples"), [(2**12, 2000), (2**14, 500), (1, 4096), (2**18, 192)])
def test_blocks_of_small_models_start_with_more_examples(bytes_of_one, examples):
    memory = lambda mode, b, p: bytes_of_one * b * p  # noqa: E731
    start = planner(memory=memory).first(Modes(("feedforward",)))
    assert start.probes_per_block == 8
    assert start.examples_per_block == pytest.approx(examples, rel=0.35)
    assert start.memory <= SMALL_MEMORY or start.examples_per_block <= 500
    fixed = planner(memory=memory, plan=Plan(examples_per_block=100)).first(Modes(("feedforward",)))
    assert fixed.examples_per_block == 100


MIB = 2**20


@pytest.mark.parametrize(
    ("memory", "mode", "probes"),
    [
        (lambda mode, b, p: 2 * MIB * b * p, "reverse-over-reverse", 1),  # large activations
        (lambda mode, b, p: 100 * MIB * p + b, "reverse-over-reverse", 1),  # many parameters
        (lambda mode, b, p: MIB // 2 * b * p, "forward-over-reverse", 8),
    ],
)
def test_heavy_models_take_probes_one_by_one(memory, mode, probes):
    modes = ("forward-over-reverse", "reverse-over-reverse")
    plan = planner(memory=memory).first(Modes(modes))
    assert (plan.mode, plan.probes_per_block) == (mode, probes)
    assert planner(memory=memory).first(Modes(modes[:1])).mode == modes[0]
    assert planner(memory=memory).first(Modes(("feedforward", *modes))).mode == "feedforward"
    assert planner(memory=memory, plan=Plan(probes_per_block=3)).first(Modes(modes)).probes_per_block == 3


def test_what_is_costly_to_try_is_not_tried_before_there_is_work():
    modes = Modes(("reverse-over-reverse",), lambda blocks: pytest.fail("a trial"), [None])
    assert planner().first(modes).mode == "reverse-over-reverse"


@pytest.mark.parametrize(("gain", "kept"), [(1.01, False), (1.1, True)])
def test_graph_is_kept_where_it_gains(gain, kept):
    def seconds(schedule):
        work = schedule.examples_per_block * schedule.probes_per_block
        return 1e-4 * work / (gain if schedule.cuda_graph else 1)

    modes = ("forward-over-reverse",)
    assert chosen(planner(device="cuda"), modes, seconds)[0].cuda_graph is kept
    assert chosen(planner(device="cuda", plan=Plan(cuda_graph=False)), modes, seconds)[0].cuda_graph is False
    assert chosen(planner(), modes, seconds)[0].cuda_graph is False


@given(st.integers(100, 10**9), st.integers(1, 1000), st.integers(1, 64))
def test_memory_limit_is_kept(limit, max_examples, max_probes):
    memory = lambda mode, b, p: 100 * b * p  # noqa: E731
    sized = planner(memory=memory, limit=limit, max_examples=max_examples, max_probes=max_probes)
    plan, timed = chosen(sized, ("forward-over-reverse",), of_sizes(lambda mode, b, p: 1e-3 + 1e-6 * b * p))
    assert plan.memory == memory("", plan.examples_per_block, plan.probes_per_block) <= limit
    assert all(schedule.memory <= limit for schedule in timed), "trials are products too"


def test_what_is_given_stays():
    given_plan = Plan("reverse-over-reverse", examples_per_block=7, probes_per_block=3)
    plan, _ = chosen(planner(plan=given_plan), ("reverse-over-reverse",), of_sizes(lambda mode, b, p: 1e-6 * b * p))
    assert (plan.mode, plan.examples_per_block, plan.probes_per_block) == ("reverse-over-reverse", 7, 3)


def test_trial_that_runs_out_of_memory_is_not_chosen():
    seconds = of_sizes(lambda mode, b, p: 1e-3 + 1e-6 * b * p if b <= 100 else math.inf)
    plan, timed = chosen(planner(), ("forward-over-reverse",), seconds)
    assert plan.examples_per_block <= 100
    assert all(count == 1 for schedule, count in Counter(timed).items() if schedule.examples_per_block > 100)
