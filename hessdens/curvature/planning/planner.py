"""The fastest way and pieces to make products that fit the memory, by the times of single blocks."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from hessdens.curvature.engines.tables import REFERENCE, Mode
from hessdens.curvature.plan import Plan, Schedule
from hessdens.curvature.trials.modes import Modes
from hessdens.linalg.memory import readable_bytes

# Shorter blocks are timed several times, and the shortest time counts.
SECONDS_PER_TRIAL = 0.3
REPEATS = 4
# A schedule is given up after two times that are as many times the least of another.
SLOW = 1.5
# A larger block must gain this part of the time, and a smaller one may lose it.
LEAST_GAIN = 0.03
# The special way is kept only where it is worth it.
FEEDFORWARD_GAIN = 1.25
# Blocks that need more are seldom faster.
USUAL_MEMORY = {"cpu": 3 * 2**27, "cuda": 2**32}
# Blocks start with more examples than usual as long as they need less: calls take longer than kernels of small models.
SMALL_MEMORY = 2**26
# Bytes of a block of one example and probe. Beyond, kernels take longer than their launches, and probes one by one,
# through the graph of the gradient that they share, are fastest.
HEAVY_BLOCK = 2**26
# Bytes of one more example, beyond which the same is true.
HEAVY_EXAMPLE = 2**20

Size = Literal["examples_per_block", "probes_per_block"]
Block = dict[Size, int]
SIZES_AT_START: Block = {"probes_per_block": 8, "examples_per_block": 500}


class UntimedError(Exception):
    """The choice depends on the time of a schedule that is not known yet."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule)
        self.schedule = schedule


@dataclass
class Planner:
    """Looks for the fastest schedule that fits: asks for the time of one after another until it knows enough."""

    # ``memory(mode, examples, probes)`` is the predicted peak of one block, ``limit`` what may be used, in bytes.
    memory: Callable[[Mode, int, int], int]
    limit: int
    device: str
    plan: Plan
    # The largest block that there is work for.
    largest: Block
    _schedules: dict[tuple[Mode, int, int], Schedule] = field(default_factory=dict)
    _times: dict[Schedule, list[float]] = field(default_factory=dict)
    # Per example and probe.
    _seconds: dict[Schedule, float] = field(default_factory=dict)
    # What the present choice has looked at: with times of others, it would take another way when it is made again.
    _seen: dict[Schedule, float] = field(default_factory=dict)

    def first(self, modes: Modes) -> Schedule:
        """Return the schedule before any measurement: without what is costly to try."""
        if modes.known[0] == "feedforward":
            return self.start("feedforward")
        takes_reverse = REFERENCE in modes.known and (modes.is_open or self._is_heavy(REFERENCE))
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
        schedule = self._enlarged(next((s for s in largest_first if s.memory <= usual), schedules[-1]))
        if schedule.memory > self.limit:
            raise MemoryError(
                f"Products of {schedule.examples_per_block} examples with {schedule.probes_per_block} probes need "
                f"about {readable_bytes(schedule.memory)} ({mode}); {readable_bytes(self.limit)} may be used. Raise "
                "memory_limit, or free memory."
            )
        return schedule

    def _enlarged(self, schedule: Schedule) -> Schedule:
        """Double the examples of a small block."""
        while self.plan.examples_per_block is None:
            larger = self._resized(schedule, "examples_per_block", 2 * schedule.examples_per_block)
            if larger == schedule or larger.memory > min(self.limit, SMALL_MEMORY):
                break
            schedule = larger
        return schedule

    def _schedule(self, mode: Mode, examples_per_block: int, probes_per_block: int) -> Schedule:
        sizes = (mode, examples_per_block, probes_per_block)
        if sizes not in self._schedules:
            cuda_graph = bool(self.plan.cuda_graph)
            self._schedules[sizes] = Schedule(*sizes, cuda_graph, self.plan.tf32, memory=self.memory(*sizes))
        return self._schedules[sizes]

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
        """Return the fastest schedule found over ``modes`` and sizes of blocks; UntimedError where a time is wanted."""
        self._seen.clear()
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
        while self.seconds(schedule) < math.inf:
            larger = self._resized(schedule, name, 2 * getattr(schedule, name))
            if larger == schedule or larger.memory > self.limit or not self._gains(larger, schedule):
                break
            schedule = larger
        return schedule

    def _shrunk(self, schedule: Schedule, name: Size) -> Schedule:
        """Halve one size of the block for as long as that costs almost nothing: it saves memory, and may gain."""
        while True:
            smaller = self._resized(schedule, name, getattr(schedule, name) // 2)
            fastest = min(seconds for seen, seconds in self._seen.items() if seen.mode == schedule.mode)
            if smaller == schedule or self.seconds(smaller) > (1 + LEAST_GAIN) * fastest:
                return schedule
            schedule = smaller

    def _resized(self, schedule: Schedule, name: Size, size: int) -> Schedule:
        sizes = {other: getattr(schedule, other) for other in SIZES_AT_START}
        return self._schedule(schedule.mode, **sizes | {name: min(max(size, 1), self.largest[name])})

    def note(self, schedule: Schedule, seconds: float, products: float) -> None:
        """Learn that a block took so long for so many products of an example and a vector; infinite if it failed."""
        times = self._times.setdefault(schedule, [])
        times.append(seconds / products)
        least, spent = min(times) if math.isfinite(seconds) else seconds, len(times) * seconds
        is_slow = len(times) > 1 and least > SLOW * min(self._seconds.values(), default=math.inf)
        if len(times) >= REPEATS or spent >= SECONDS_PER_TRIAL or is_slow:
            self._seconds[schedule] = least

    def seconds(self, schedule: Schedule) -> float:
        """Return the time of a block per example and probe; UntimedError as long as it is not known."""
        if schedule not in self._seconds:
            raise UntimedError(schedule)
        self._seen[schedule] = self._seconds[schedule]
        return self._seconds[schedule]
