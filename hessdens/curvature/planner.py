"""The fastest way and pieces to make products that fit the memory, found by a short measurement."""

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from hessdens.curvature.engines.maker import EngineMaker
from hessdens.curvature.engines.tables import REFERENCE, Mode
from hessdens.curvature.memory_model import MemoryModel, peak_memory
from hessdens.curvature.plan import Plan, Schedule
from hessdens.curvature.problem import Problem
from hessdens.linalg.memory import readable_bytes, usual_bytes

# Shorter trials are repeated, and the shortest time counts.
SECONDS_PER_TRIAL = 0.3
REPEATS = 4
# A larger block must gain this part of the time, and a smaller one may lose it.
LEAST_GAIN = 0.03
# The special way is kept only where it is worth it.
FEEDFORWARD_GAIN = 1.25
# Blocks that need more are seldom faster.
USUAL_MEMORY = {"cpu": 3 * 2**27, "cuda": 2**32}
# Bytes of a block of one example and probe. Beyond, kernels take longer than their launches, and probes one by one,
# through the graph of the gradient that they share, are fastest.
HEAVY_BLOCK = 2**26
# Bytes of one more example, beyond which the same is true.
HEAVY_EXAMPLE = 2**20
# Above this number of parameters, trials use one example and one probe.
LARGE_MODEL = 10_000_000
# Timed with this many probes at least, of which a block may have fewer.
PROBES_OF_TRIAL = 8
# Blocks of work after which a measurement of some 20 blocks pays for itself.
WORK_BEFORE_MEASURING = 40

Size = Literal["examples_per_block", "probes_per_block"]
SIZES_AT_START: dict[Size, int] = {"probes_per_block": 8, "examples_per_block": 500}
Trial = Callable[[Schedule], tuple[Callable[[], object], int]]
Memory = Callable[[Mode, int, int], int]


class Schedules:
    """The schedule for each number of probes: a usual one, and measured once there has been enough work."""

    def __init__(
        self, problem: Problem, maker: EngineMaker, modes: tuple[Mode, ...], plan: Plan, memory_limit: int | None
    ) -> None:
        leader = next(iter(problem.parameters.values()))
        self._problem = problem
        self._maker = maker
        self._modes = modes
        self._plan = plan
        self._memory_limit = memory_limit
        self._device = leader.device
        self._memory_models: dict[Mode, MemoryModel] = {}
        self._work = 0
        self.settled: dict[int, Schedule] = {}

    def choose(self, probes: Tensor) -> Schedule:
        """Return the schedule for as many probes, measured if there has been enough work."""
        num_probes = len(probes)
        if num_probes in self.settled:
            return self.settled[num_probes]
        schedule = self.usual(probes)
        blocks = -(-self._problem.largest_block // schedule.examples_per_block)
        blocks *= -(-num_probes // schedule.probes_per_block)
        self._work += self._problem.passes.num_batches * blocks
        return self.settle(probes) if self._work >= WORK_BEFORE_MEASURING else schedule

    def usual(self, probes: Tensor) -> Schedule:
        """Return the schedule for as many probes before any measurement."""
        return self._planner(probes).first(self._modes)

    def settle(self, probes: Tensor) -> Schedule:
        """Measure, and return the schedule that stays from now on for as many probes."""
        num_probes = len(probes)
        if num_probes not in self.settled:
            self.settled[num_probes] = self._planner(probes).choose(self._modes)
        return self.settled[num_probes]

    def _planner(self, probes: Tensor) -> "Planner":
        return Planner(
            partial(self._trial, probes),
            self._predict,
            limit=usual_bytes(self._device) if self._memory_limit is None else self._memory_limit,
            device=self._device.type,
            plan=self._plan,
            max_examples=self._problem.largest_block,
            max_probes=len(probes),
        )

    def _trial(self, probes: Tensor, schedule: Schedule) -> tuple[Callable[[], None], int]:
        """Return what adds the products of a block of examples, with enough probes to show what they share."""
        block = self._problem.first(schedule.examples_per_block)
        rows = probes[: max(schedule.probes_per_block, PROBES_OF_TRIAL)]
        self._maker.release()
        engine = self._maker.engine(schedule.mode, rows, schedule.probes_per_block, cuda_graph=schedule.cuda_graph)

        def run() -> None:
            engine.add(block, 1.0)
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)

        return run, len(rows)

    def _predict(self, mode: Mode, examples: int, probes_per_block: int) -> int:
        """Return the predicted peak memory of a block in bytes."""
        if mode not in self._memory_models:
            parameters = self._problem.parameters.values()
            size = sum(parameter.numel() for parameter in parameters)
            probes = (1,) if size > LARGE_MODEL else (2, 3)
            dtype = torch.promote_types(next(iter(parameters)).dtype, torch.float32)
            few = torch.ones(probes[-1], size, dtype=dtype, device=self._device)

            def work(b: int, p: int) -> None:
                run, _ = self._trial(few[:p], Schedule(mode, b, p, cuda_graph=False, tf32=self._plan.tf32, memory=0))
                run()

            self._memory_models[mode] = MemoryModel(
                lambda b, p: peak_memory(partial(work, b, p)),
                tuple({1, min(3, self._problem.largest_block)}),
                probes,
            )
        return self._memory_models[mode](examples, probes_per_block)


class Planner:
    """Looks for the fastest schedule that fits, by timing one block at a time.

    Parameters
    ----------
    trial
        ``trial(schedule)`` returns a function that makes the products of one block of examples, with some blocks of
        probes, and how many probes these are.
    memory
        Predicted peak of one block in bytes.
    limit
        What may be used, in bytes.
    device
        "cpu" or "cuda".
    plan
        What is not the library's to choose.
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
        plan: Plan,
        max_examples: int,
        max_probes: int,
    ) -> None:
        self._trial = trial
        self._memory = memory
        self._limit = limit
        self._plan = plan
        self._device = device
        self._max: dict[Size, int] = {"examples_per_block": max_examples, "probes_per_block": max_probes}
        self._seconds: dict[Schedule, float] = {}

    def first(self, modes: tuple[Mode, ...]) -> Schedule:
        """Return the schedule before any measurement: with the mode of widest use among ``modes``, best first."""
        takes_reverse = REFERENCE in modes and modes[0] != "feedforward" and self._is_heavy(REFERENCE)
        return self.start(REFERENCE if takes_reverse else modes[0])

    def start(self, mode: Mode) -> Schedule:
        """Return the schedule with the largest block that needs no more than usual, or one that just fits."""
        usual = min(self._limit, USUAL_MEMORY.get(self._device, USUAL_MEMORY["cpu"]))
        one_by_one = mode == REFERENCE and self._is_heavy(mode)
        schedules = [
            self._schedule(mode, examples, probes)
            for probes in self._sizes("probes_per_block", 1 if one_by_one else None)
            for examples in self._sizes("examples_per_block")
        ]
        largest_first = sorted(schedules, key=lambda schedule: schedule.work, reverse=True)
        schedule = next((s for s in largest_first if s.memory <= usual), schedules[-1])
        if schedule.memory > self._limit:
            raise MemoryError(
                f"Products of {schedule.examples_per_block} examples with {schedule.probes_per_block} probes need "
                f"about {readable_bytes(schedule.memory)} ({mode}); {readable_bytes(self._limit)} may be used. Raise "
                "memory_limit, or free memory."
            )
        return schedule

    def _schedule(self, mode: Mode, examples: int, probes: int) -> Schedule:
        memory = self._memory(mode, examples, probes)
        return Schedule(mode, examples, probes, bool(self._plan.cuda_graph), self._plan.tf32, memory)

    def _is_heavy(self, mode: Mode) -> bool:
        one, two = self._memory(mode, 1, 1), self._memory(mode, min(2, self._max["examples_per_block"]), 1)
        return one > HEAVY_BLOCK or two - one > HEAVY_EXAMPLE

    def _sizes(self, name: Size, only: int | None = None) -> list[int]:
        """Return what the plan says, or ``only``, or the usual size of a block, its half and so on down to 1."""
        fixed = getattr(self._plan, name) or only
        if fixed is not None:
            return [fixed]
        size, sizes = min(SIZES_AT_START[name], self._max[name]), []
        while size > 1:
            sizes.append(size)
            size = -(-size // 2)
        return [*sizes, 1]

    def choose(self, modes: tuple[Mode, ...]) -> Schedule:
        """Return the fastest schedule found over ``modes`` and sizes of blocks."""
        starts = [self.start(mode) for mode in modes]
        best = min(starts, key=lambda schedule: self._handicap(schedule) * self.seconds(schedule))
        open_sizes = [name for name in SIZES_AT_START if getattr(self._plan, name) is None]
        last = None
        while last != best:
            last = best
            for step, name in itertools.product((self._grown, self._shrunk), open_sizes):
                best = step(best, name)
        return self._graphed(best) if self._device == "cuda" and self._plan.cuda_graph is None else best

    def _graphed(self, schedule: Schedule) -> Schedule:
        """Return the schedule with a CUDA graph if that gains."""
        graphed = replace(schedule, cuda_graph=True)
        gains = (1 + LEAST_GAIN) * self.seconds(graphed) <= self.seconds(schedule)
        return graphed if gains else schedule

    def _grown(self, schedule: Schedule, name: Size) -> Schedule:
        """Double one size of the block for as long as that gains."""
        while True:
            larger = self._resized(schedule, name, 2 * getattr(schedule, name))
            if larger == schedule or larger.memory > self._limit:
                return schedule
            if not (1 + LEAST_GAIN) * self.seconds(larger) <= self.seconds(schedule) < float("inf"):
                return schedule
            schedule = larger

    def _shrunk(self, schedule: Schedule, name: Size) -> Schedule:
        """Halve one size of the block for as long as that costs almost nothing: it saves memory, and may gain."""
        while True:
            smaller = self._resized(schedule, name, getattr(schedule, name) // 2)
            fastest = min(seconds for tried, seconds in self._seconds.items() if tried.mode == schedule.mode)
            if smaller == schedule or self.seconds(smaller) > (1 + LEAST_GAIN) * fastest:
                return schedule
            schedule = smaller

    def _resized(self, schedule: Schedule, name: Size, size: int) -> Schedule:
        sizes = {other: getattr(schedule, other) for other in SIZES_AT_START}
        sizes[name] = min(max(size, 1), self._max[name])
        return self._schedule(schedule.mode, sizes["examples_per_block"], sizes["probes_per_block"])

    def seconds(self, schedule: Schedule) -> float:
        """Return the time of a block per example and probe."""
        if schedule not in self._seconds:
            times: list[float] = []
            num_probes = 1
            try:
                run, num_probes = self._trial(schedule)
                while len(times) < REPEATS and sum(times) < SECONDS_PER_TRIAL:
                    start = time.perf_counter()
                    run()
                    times.append(time.perf_counter() - start)
            except torch.OutOfMemoryError:  # less was free than there seemed
                times = [float("inf")]
            self._seconds[schedule] = min(times) / (schedule.examples_per_block * num_probes)
        return self._seconds[schedule]

    def _handicap(self, schedule: Schedule) -> float:
        return FEEDFORWARD_GAIN if schedule.mode == "feedforward" else 1.0
