"""The fastest way and pieces to make products that fit the memory, found by a short measurement."""

import itertools
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from hessdens.curvature.plan import Mode, Plan
from hessdens.linalg.memory import readable_bytes

# Shorter trials are repeated, and the shortest time counts.
SECONDS_PER_TRIAL = 0.3
REPEATS = 4
# A larger block must gain this share of the time, and a smaller one may lose it.
LEAST_GAIN = 0.03
# The special way is kept only where it is worth it.
FEEDFORWARD_GAIN = 1.25
# Blocks that need more are seldom faster.
USUAL_MEMORY = {"cpu": 3 * 2**27, "cuda": 2**32}
# Bytes of a block of one example and probe, and of one more example. Beyond either, kernels take longer than their
# launches, and probes one by one, through the graph of the gradient that they share, are fastest.
HEAVY_BLOCK, HEAVY_EXAMPLE = 2**26, 2**20
SIZES_AT_START = {"probes_per_block": 8, "examples_per_block": 500}


Trial = Callable[[Plan], tuple[Callable[[], object], int]]
Memory = Callable[[Mode, int, int], int]


class Planner:
    """Looks for the fastest plan that fits, by timing one block at a time.

    Parameters
    ----------
    trial
        ``trial(plan)`` returns a function that makes the products of one block of examples, with some blocks of probes,
        and how many probes these are.
    memory
        Predicted peak of one block in bytes.
    limit
        What may be used, in bytes.
    device
        "cpu" or "cuda".
    given
        The parts of a plan that are not the library's to choose.
    max_examples, max_probes
        The largest block that there is work for.
    """

    def __init__(
        self,
        trial: Trial,
        memory: Memory,
        *,
        limit: int,
        device: str,
        given: Plan,
        max_examples: int,
        max_probes: int,
    ) -> None:
        self._trial, self._memory, self._limit, self._given = trial, memory, limit, given
        self._device = device
        self._max = {"examples_per_block": max_examples, "probes_per_block": max_probes}
        self._seconds: dict[Plan, float] = {}

    def first(self, modes: tuple[Mode, ...]) -> Plan:
        """Return the plan before any measurement: the mode of widest use among ``modes``, given by preference."""
        reverse: Mode = "reverse-over-reverse"
        mode = reverse if reverse in modes and modes[0] != "feedforward" and self._is_heavy(reverse) else modes[0]
        return self.start(mode)

    def start(self, mode: Mode) -> Plan:
        """Return the plan for ``mode`` with the largest block that needs no more than usual, or one that just fits."""
        usual = min(self._limit, USUAL_MEMORY.get(self._device, USUAL_MEMORY["cpu"]))
        one_by_one = mode == "reverse-over-reverse" and self._is_heavy(mode)
        plans = [
            self._given.filled(Plan(mode, examples, probes))
            for probes in ([1] if one_by_one else self._halvings("probes_per_block"))
            for examples in self._halvings("examples_per_block")
        ]
        plan = next((p for p in sorted(plans, key=_block, reverse=True) if self._needed(p) <= usual), plans[-1])
        if self._needed(plan) > self._limit:
            raise MemoryError(
                f"Products of {plan.examples_per_block} examples with {plan.probes_per_block} probes need about "
                f"{readable_bytes(self._needed(plan))} ({mode}); {readable_bytes(self._limit)} may be used. Raise "
                "memory_limit, or free memory."
            )
        return replace(plan, memory=self._needed(plan))

    def _is_heavy(self, mode: Mode) -> bool:
        one, two = self._memory(mode, 1, 1), self._memory(mode, min(2, self._max["examples_per_block"]), 1)
        return one > HEAVY_BLOCK or two - one > HEAVY_EXAMPLE

    def _halvings(self, name: str) -> list[int]:
        """Return the usual size of a block, its half and so on down to 1."""
        size, sizes = min(SIZES_AT_START[name], self._max[name]), []
        while size > 1:
            sizes.append(size)
            size = -(-size // 2)
        return [*sizes, 1]

    def choose(self, modes: tuple[Mode, ...]) -> Plan:
        """Return the fastest plan found over ``modes`` and sizes of blocks."""
        starts = [self.start(mode) for mode in modes]
        best = min(starts, key=lambda plan: self._handicap(plan) * self.seconds(plan))
        open_sizes = [name for name in SIZES_AT_START if getattr(self._given, name) is None]
        before = None
        while before != best:
            before = best
            for step, name in itertools.product((self._grown, self._shrunk), open_sizes):
                best = step(best, name)
        return self._graphed(best) if self._device == "cuda" and self._given.cuda_graph is None else best

    def _graphed(self, plan: Plan) -> Plan:
        """Return the plan with a CUDA graph if that gains."""
        graphed = replace(plan, cuda_graph=True)
        return graphed if (1 + LEAST_GAIN) * self.seconds(graphed) <= self.seconds(plan) else plan

    def _grown(self, plan: Plan, name: str) -> Plan:
        """Double one size of the block for as long as that gains."""
        while True:
            other = self._resized(plan, name, 2 * getattr(plan, name))
            if other == plan or self._needed(other) > self._limit:
                return plan
            if not (1 + LEAST_GAIN) * self.seconds(other) <= self.seconds(plan) < float("inf"):
                return plan
            plan = other

    def _shrunk(self, plan: Plan, name: str) -> Plan:
        """Halve one size of the block for as long as that costs next to nothing: it saves memory, and may gain."""
        while True:
            other = self._resized(plan, name, getattr(plan, name) // 2)
            fastest = min(seconds for known, seconds in self._seconds.items() if known.mode == plan.mode)
            if other == plan or self.seconds(other) > (1 + LEAST_GAIN) * fastest:
                return plan
            plan = other

    def _resized(self, plan: Plan, name: str, size: int) -> Plan:
        size = min(max(size, 1), self._max[name])
        plan = (
            replace(plan, probes_per_block=size)
            if name == "probes_per_block"
            else replace(plan, examples_per_block=size)
        )
        return replace(plan, memory=self._needed(plan))

    def seconds(self, plan: Plan) -> float:
        """Return the time of a block, an example and probe."""
        if plan not in self._seconds:
            times: list[float] = []
            num_probes = 1
            try:
                run, num_probes = self._trial(plan)
                while len(times) < REPEATS and sum(times) < SECONDS_PER_TRIAL:
                    start = time.perf_counter()
                    run()
                    times.append(time.perf_counter() - start)
            except torch.OutOfMemoryError:  # less was free than there seemed
                times = [float("inf")]
            assert plan.examples_per_block is not None
            self._seconds[plan] = min(times) / (plan.examples_per_block * num_probes)
        return self._seconds[plan]

    def _needed(self, plan: Plan) -> int:
        return self._memory(*_parts(plan))

    def _handicap(self, plan: Plan) -> float:
        return FEEDFORWARD_GAIN if plan.mode == "feedforward" else 1.0


def _block(plan: Plan) -> tuple[int, int]:
    """Return what makes one block larger than another: products, and of equal ones probes, which share work."""
    _, examples, probes = _parts(plan)
    return examples * probes, probes


def _parts(plan: Plan) -> tuple[Mode, int, int]:
    assert plan.mode is not None
    assert plan.examples_per_block is not None
    assert plan.probes_per_block is not None
    return plan.mode, plan.examples_per_block, plan.probes_per_block
