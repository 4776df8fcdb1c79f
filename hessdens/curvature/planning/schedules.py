"""Which schedule products have: a usual one, then the fastest, found on the blocks of real products."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hessdens.curvature.engines.maker import EngineMaker
from hessdens.curvature.engines.tables import LAST_RESORT, Mode
from hessdens.curvature.plan import Plan, Schedule
from hessdens.curvature.planning.memory_model import MemoryModel, peak_memory
from hessdens.curvature.planning.planner import Block, Planner, UntimedError
from hessdens.curvature.problem import Problem
from hessdens.curvature.trials.modes import Modes
from hessdens.linalg.memory import usual_bytes

# Above this number of parameters, trials use one example and one probe.
LARGE_MODEL = 10_000_000
# Timed with this many probes at least, of which a block may have fewer.
PROBES_OF_TRIAL = 8
# Other schedules are tried once blocks have taken as many times as long as predictions of memory, which each way needs.
WORK_BEFORE_SEARCH = 10
# Seconds of blocks after which the costly way is tried, too: for torch's forward derivatives, it imports its compiler.
WORK_BEFORE_COSTLY = 10.0
# On a CUDA device, they are timed on blocks of their own once there were as many blocks: to wait for each is slow.
BLOCKS_BEFORE_TRIALS = 40


@dataclass
class Schedules:
    """The schedule for each number of probes."""

    problem: Problem
    maker: EngineMaker
    modes: Modes
    plan: Plan
    memory_limit: int | None
    settled: dict[int, Schedule] = field(default_factory=dict)
    _memory_models: dict[Mode, MemoryModel] = field(default_factory=dict)
    _planners: dict[int, Planner] = field(default_factory=dict)
    _searched: set[int] = field(default_factory=set)
    _seconds_of_predictions: float = 0.0
    _seconds_of_work: float = 0.0
    _blocks: int = 0

    def choose(self, probes: Tensor) -> Schedule:
        """Return the schedule of the next block: the settled one, one to be tried, or the usual one."""
        num_probes = len(probes)
        if self.modes.is_open and self._seconds_of_work >= WORK_BEFORE_COSTLY:
            self.modes.all()
            self.settled.clear()
        if num_probes in self.settled:
            return self.settled[num_probes]
        if probes.is_cuda:
            return self.settle(probes) if self._blocks >= BLOCKS_BEFORE_TRIALS else self.usual(probes)
        pays = self._seconds_of_work >= WORK_BEFORE_SEARCH * self._seconds_of_predictions
        return self._next(probes) if pays and num_probes in self._planners else self.usual(probes)

    @contextlib.contextmanager
    def timed(self, schedule: Schedule, num_probes: int, amount: float) -> Iterator[None]:
        """Learn how long a block of such an amount takes."""
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        self._seconds_of_work += seconds
        self._blocks += -(-num_probes // schedule.probes_per_block)
        if num_probes in self._planners and num_probes not in self.settled and self._is_typical(schedule, amount):
            self._planners[num_probes].note(schedule, seconds, amount * num_probes)

    def _is_typical(self, schedule: Schedule, amount: float) -> bool:
        """Return whether a block is about as large as this schedule makes them, unlike what is left of a batch."""
        largest = self.problem.largest_block
        usual = largest / -(-largest // schedule.examples_per_block)
        return not self.problem.splits or 0.8 * usual <= amount <= 1.25 * usual

    def can_do_with_less(self, schedule: Schedule, num_probes: int) -> bool:
        """Return whether there is another schedule than this, for which there was no memory."""
        return self._is_tried(num_probes) or schedule.halved(splits=self.problem.splits) is not None

    def shrink(self, schedule: Schedule, num_probes: int) -> bool:
        """Go on with half of a block for which there was no memory, unless it was only tried; return whether so."""
        if self._is_tried(num_probes):
            self._planners[num_probes].note(schedule, math.inf, 1.0)
            return False
        smaller = schedule.halved(splits=self.problem.splits)
        assert smaller is not None, "`can_do_with_less` has been asked"
        self.settled[num_probes] = smaller
        return True

    def _is_tried(self, num_probes: int) -> bool:
        return num_probes in self._searched and num_probes not in self.settled

    def usual(self, probes: Tensor) -> Schedule:
        """Return the schedule for as many probes before any measurement."""
        return self._given(probes.device) or self._planner(probes).first(self.modes)

    def _given(self, device: torch.device) -> Schedule | None:
        """Return what the plan says if it leaves nothing open and no limit is to be kept, without any trial."""
        plan = self.plan
        if self.memory_limit is not None or (plan.cuda_graph is None and device.type == "cuda"):
            return None
        if plan.examples_per_block is None or plan.probes_per_block is None:
            return None
        if self.modes.is_open or len(self.modes.known) > 1:
            return None
        sizes = (plan.examples_per_block, plan.probes_per_block)
        return Schedule(self.modes.known[0], *sizes, cuda_graph=bool(plan.cuda_graph), tf32=plan.tf32, memory=0)

    def _next(self, probes: Tensor) -> Schedule:
        """Return the schedule that is to be tried next, or the fastest, which stays."""
        self._searched.add(len(probes))
        if self._given(probes.device) or self.modes.known == (LAST_RESORT,):
            fastest = self.usual(probes)
        else:
            try:
                fastest = self._planner(probes).choose(self.modes.known)
            except UntimedError as needed:
                return needed.schedule
        self.settled[len(probes)] = fastest
        return fastest

    def settle(self, probes: Tensor) -> Schedule:
        """Measure blocks of their own, and return the schedule that stays from now on for as many probes."""
        tried: Schedule | None = None
        self.modes.all()
        while len(probes) not in self.settled:
            schedule = self._next(probes)
            if len(probes) in self.settled:
                break
            seconds, products = math.inf, 1.0
            with contextlib.suppress(torch.OutOfMemoryError):  # less was free than there seemed
                if schedule != tried:
                    run, products_of_block = self._trial(probes, schedule)
                    tried = schedule
                start = time.perf_counter()
                run()
                seconds, products = time.perf_counter() - start, products_of_block
            self._planner(probes).note(schedule, seconds, products)
        return self.settled[len(probes)]

    def leave(self, mode: Mode) -> None:
        """Go on without a mode."""
        self.settled = {n: schedule for n, schedule in self.settled.items() if schedule.mode != mode}
        self._planners.clear()
        self._searched.clear()

    def _planner(self, probes: Tensor) -> Planner:
        if len(probes) not in self._planners:
            limit = usual_bytes(probes.device) if self.memory_limit is None else self.memory_limit
            largest: Block = {"examples_per_block": self.problem.largest_block, "probes_per_block": len(probes)}
            planner = Planner(self._predict, limit, probes.device.type, self.plan, largest)
            self._planners[len(probes)] = planner
        return self._planners[len(probes)]

    def _trial(self, probes: Tensor, schedule: Schedule) -> tuple[Callable[[], None], float]:
        """Return what adds the products of a block of examples, and how many: with enough probes to share work."""
        block = self.problem.first(schedule.examples_per_block)
        rows = probes[: max(schedule.probes_per_block, PROBES_OF_TRIAL)]
        self.maker.release()
        engine = self.maker.engine(schedule.mode, rows, schedule.probes_per_block, cuda_graph=schedule.cuda_graph)

        def run() -> None:
            engine.add(block, 1.0)
            if probes.is_cuda:
                torch.cuda.synchronize(probes.device)

        return run, self.problem.amount(block) * len(rows)

    def _predict(self, mode: Mode, examples: int, probes_per_block: int) -> int:
        """Return the predicted peak memory of a block in bytes."""
        if mode not in self._memory_models:
            start = time.perf_counter()
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
            self._seconds_of_predictions += time.perf_counter() - start
        return self._memory_models[mode](examples, probes_per_block)
