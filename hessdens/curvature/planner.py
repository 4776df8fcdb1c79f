"""The fastest way and pieces to make products that fit the memory, found by a short measurement."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from hessdens.curvature.engines.maker import EngineMaker
from hessdens.curvature.engines.tables import REFERENCE, Mode
from hessdens.curvature.memory_model import MemoryModel, peak_memory
from hessdens.curvature.plan import Plan, Schedule
from hessdens.curvature.problem import Problem
from hessdens.curvature.trials.modes import Modes
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
Block = dict[Size, int]
SIZES_AT_START: Block = {"probes_per_block": 8, "examples_per_block": 500}


@dataclass
class Schedules:
    """The schedule for each number of probes: a usual one, and measured once there has been enough work."""

    problem: Problem
    maker: EngineMaker
    modes: Modes
    plan: Plan
    memory_limit: int | None
    settled: dict[int, Schedule] = field(default_factory=dict)
    _memory_models: dict[Mode, MemoryModel] = field(default_factory=dict)
    _work: int = 0

    def choose(self, probes: Tensor) -> Schedule:
        """Return the schedule for as many probes, measured if there has been enough work."""
        num_probes = len(probes)
        if num_probes in self.settled:
            return self.settled[num_probes]
        schedule = self.usual(probes)
        blocks = -(-self.problem.largest_block // schedule.examples_per_block)
        blocks *= -(-num_probes // schedule.probes_per_block)
        self._work += self.problem.passes.num_batches * blocks
        return self.settle(probes) if self._work >= WORK_BEFORE_MEASURING else schedule

    def usual(self, probes: Tensor) -> Schedule:
        """Return the schedule for as many probes before any measurement."""
        return self._given(probes.device) or self._planner(probes).first(self.modes)

    def _given(self, device: torch.device) -> Schedule | None:
        """Return what the plan says if it leaves nothing open and no limit is to be kept, without any trial."""
        plan = self.plan
        if self.memory_limit is not None or (plan.cuda_graph is None and device.type == "cuda"):
            return None
        if plan.examples_per_block is None or plan.probes_per_block is None or len(self.modes.all()) > 1:
            return None
        sizes = (plan.examples_per_block, plan.probes_per_block)
        return Schedule(self.modes.known[0], *sizes, cuda_graph=bool(plan.cuda_graph), tf32=plan.tf32, memory=0)

    def settle(self, probes: Tensor) -> Schedule:
        """Measure, and return the schedule that stays from now on for as many probes."""
        num_probes = len(probes)
        if num_probes not in self.settled:
            self.settled[num_probes] = self._given(probes.device) or self._planner(probes).choose(self.modes.all())
        return self.settled[num_probes]

    def _planner(self, probes: Tensor) -> "Planner":
        limit = usual_bytes(probes.device) if self.memory_limit is None else self.memory_limit
        largest: Block = {"examples_per_block": self.problem.largest_block, "probes_per_block": len(probes)}
        return Planner(partial(self._trial, probes), self._predict, limit, probes.device.type, self.plan, largest)

    def _trial(self, probes: Tensor, schedule: Schedule) -> tuple[Callable[[], None], int]:
        """Return what adds the products of a block of examples, with enough probes to show what they share."""
        block = self.problem.first(schedule.examples_per_block)
        rows = probes[: max(schedule.probes_per_block, PROBES_OF_TRIAL)]
        self.maker.release()
        engine = self.maker.engine(schedule.mode, rows, schedule.probes_per_block, cuda_graph=schedule.cuda_graph)

        def run() -> None:
            engine.add(block, 1.0)
            if probes.is_cuda:
                torch.cuda.synchronize(probes.device)

        return run, len(rows)

    def _predict(self, mode: Mode, examples: int, probes_per_block: int) -> int:
        """Return the predicted peak memory of a block in bytes."""
        if mode not in self._memory_models:
            parameters = self.problem.parameters.values()
            size = sum(parameter.numel() for parameter in parameters)
            leader = next(iter(parameters))
            few_probes = (1,) if size > LARGE_MODEL else (2, 3)
            few_examples = tuple({1, min(3, self.problem.largest_block)})
            dtype = torch.promote_types(leader.dtype, torch.float32)
            probes = torch.ones(few_probes[-1], size, dtype=dtype, device=leader.device)

            def peak(b: int, p: int) -> int:
                schedule = Schedule(mode, b, p, cuda_graph=False, tf32=self.plan.tf32, memory=0)
                return peak_memory(lambda: self._trial(probes[:p], schedule)[0]())

            self._memory_models[mode] = MemoryModel(peak, few_examples, few_probes)
        return self._memory_models[mode](examples, probes_per_block)


@dataclass
class Planner:
    """Looks for the fastest schedule that fits, by timing one block at a time."""

    # ``trial(schedule)`` returns what makes products of one block of examples, and with how many probes.
    trial: Callable[[Schedule], tuple[Callable[[], object], int]]
    # ``memory(mode, examples, probes)`` is the predicted peak of one block, ``limit`` what may be used, in bytes.
    memory: Callable[[Mode, int, int], int]
    limit: int
    device: str
    plan: Plan
    # The largest block that there is work for.
    largest: Block
    _seconds: dict[Schedule, float] = field(default_factory=dict)

    def first(self, modes: Modes) -> Schedule:
        """Return the schedule before any measurement: with the mode of widest use among ``modes``, best first."""
        if modes.known[0] == "feedforward":
            return self.start("feedforward")
        takes_reverse = REFERENCE in modes.known and self._is_heavy(REFERENCE)
        return self.start(REFERENCE if takes_reverse else modes.all()[0])

    def start(self, mode: Mode) -> Schedule:
        """Return the schedule with the largest block that needs no more than usual, or one that just fits."""
        usual = min(self.limit, USUAL_MEMORY.get(self.device, USUAL_MEMORY["cpu"]))
        one_by_one = mode == REFERENCE and self._is_heavy(mode)
        schedules = [
            self._schedule(mode, examples, probes)
            for probes in self._sizes("probes_per_block", 1 if one_by_one else None)
            for examples in self._sizes("examples_per_block")
        ]
        largest_first = sorted(schedules, key=lambda schedule: schedule.work, reverse=True)
        schedule = next((s for s in largest_first if s.memory <= usual), schedules[-1])
        if schedule.memory > self.limit:
            raise MemoryError(
                f"Products of {schedule.examples_per_block} examples with {schedule.probes_per_block} probes need "
                f"about {readable_bytes(schedule.memory)} ({mode}); {readable_bytes(self.limit)} may be used. Raise "
                "memory_limit, or free memory."
            )
        return schedule

    def _schedule(self, mode: Mode, examples_per_block: int, probes_per_block: int) -> Schedule:
        memory = self.memory(mode, examples_per_block, probes_per_block)
        cuda_graph = bool(self.plan.cuda_graph)
        return Schedule(mode, examples_per_block, probes_per_block, cuda_graph, self.plan.tf32, memory)

    def _is_heavy(self, mode: Mode) -> bool:
        one, two = self.memory(mode, 1, 1), self.memory(mode, min(2, self.largest["examples_per_block"]), 1)
        return one > HEAVY_BLOCK or two - one > HEAVY_EXAMPLE

    def _sizes(self, name: Size, only: int | None = None) -> list[int]:
        """Return what the plan says, or ``only``, or the usual size of a block, its half and so on down to 1."""
        fixed = getattr(self.plan, name) or only
        sizes = [fixed or min(SIZES_AT_START[name], self.largest[name])]
        while not fixed and sizes[-1] > 1:
            sizes.append(-(-sizes[-1] // 2))
        return sizes

    def choose(self, modes: tuple[Mode, ...]) -> Schedule:
        """Return the fastest schedule found over ``modes`` and sizes of blocks."""
        handicaps = {"feedforward": FEEDFORWARD_GAIN}
        starts = [self.start(mode) for mode in modes]
        best = min(starts, key=lambda schedule: handicaps.get(schedule.mode, 1.0) * self.seconds(schedule))
        open_sizes = [name for name in SIZES_AT_START if getattr(self.plan, name) is None]
        last = None
        while last != best:
            last = best
            for step, name in itertools.product((self._grown, self._shrunk), open_sizes):
                best = step(best, name)
        if self.device != "cuda" or self.plan.cuda_graph is not None:
            return best
        graphed = replace(best, cuda_graph=True)
        return graphed if self._gains(graphed, best) else best

    def _gains(self, new: Schedule, old: Schedule) -> bool:
        return (1 + LEAST_GAIN) * self.seconds(new) <= self.seconds(old)

    def _grown(self, schedule: Schedule, name: Size) -> Schedule:
        """Double one size of the block for as long as that gains."""
        while self.seconds(schedule) < float("inf"):
            larger = self._resized(schedule, name, 2 * getattr(schedule, name))
            if larger == schedule or larger.memory > self.limit or not self._gains(larger, schedule):
                break
            schedule = larger
        return schedule

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
        return self._schedule(schedule.mode, **sizes | {name: min(max(size, 1), self.largest[name])})

    def seconds(self, schedule: Schedule) -> float:
        """Return the time of a block per example and probe."""
        if schedule not in self._seconds:
            times: list[float] = []
            num_probes = 1
            try:
                run, num_probes = self.trial(schedule)
                while len(times) < REPEATS and sum(times) < SECONDS_PER_TRIAL:
                    start = time.perf_counter()
                    run()
                    times.append(time.perf_counter() - start)
            except torch.OutOfMemoryError:  # less was free than there seemed
                times = [float("inf")]
            self._seconds[schedule] = min(times) / (schedule.examples_per_block * num_probes)
        return self._seconds[schedule]
