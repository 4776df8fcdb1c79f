"""Threads of torch that wait for a core, and so for one another: measured during long work, and said once."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

# Where Linux keeps, for each thread, the time on a core and the time it was ready and waited for one, in nanoseconds.
TASKS = Path("/proc/self/task")
# Seconds of work before there is a verdict, and between two.
PERIOD = 3.0
# Seconds between two pieces of work after which they are measured apart.
PAUSE = 1.0
# Where both are exceeded, threads hinder one another. Quiet machines have less than a hundredth of each.
LEAST_SHARE = 0.05  # of the time in which threads were ready to run
LEAST_RATE = 0.25  # seconds of waiting, summed over threads, in a second
LOGGER = logging.getLogger("hessdens")

# Seconds on a core and seconds of waiting for one, by thread.
Times = dict[str, tuple[float, float]]


def thread_times() -> Times | None:
    """Return the times of each thread of this process; None where the system does not tell."""
    times: Times = {}
    try:
        for name in os.listdir(TASKS):
            try:
                running, waiting, _ = (TASKS / name / "schedstat").read_text().split()
            except (FileNotFoundError, ProcessLookupError):
                if not (TASKS / name).exists():  # it has ended meanwhile
                    continue
                raise
            times[name] = int(running) / 1e9, int(waiting) / 1e9
    except (OSError, ValueError):
        return None
    return times


class Watch:
    """Looks at long work, and logs once, as a warning, that torch has more threads than there are free cores.

    Products, Gram matrices and the making of operators stand in `work`. Each evaluation of a model inside calls `look`.
    Cost: a look at the clock each, and every few seconds a file for each thread. Nothing is measured where torch has
    one thread, or on another device than a CPU.
    """

    def __init__(
        self, times: Callable[[], Times | None] = thread_times, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._times = times
        self._clock = clock
        self._is_done = False
        self._depth = 0
        self._start: tuple[float, Times] | None = None  # of the period that is measured
        self._last = 0.0  # when work ended

    @contextmanager
    def work(self, device: torch.device) -> Iterator[None]:
        """Measure what happens within, unless it is part of such work."""
        if self._is_done or device.type != "cpu" or torch.get_num_threads() == 1:
            yield
            return
        if self._depth == 0 and (self._start is None or self._clock() - self._last > PAUSE):
            self._begin()
        self._depth += 1
        try:
            yield
            self.look()
        finally:
            self._depth -= 1
            self._last = self._clock()

    def look(self) -> None:
        """Come to a verdict, if this is part of such work and a period is over."""
        if self._is_done or self._depth == 0 or self._start is None or self._clock() - self._start[0] < PERIOD:
            return
        before, past = self._start
        now, times = self._begin()
        running, waiting = (
            sum(spent[i] - past.get(name, (0.0, 0.0))[i] for name, spent in times.items()) for i in range(2)
        )
        threads = torch.get_num_threads()
        if threads > 1 and waiting > LEAST_RATE * (now - before) and waiting > LEAST_SHARE * (running + waiting):
            self._is_done = True
            LOGGER.warning(_hint(threads, waiting / (running + waiting), running / (now - before)))

    def _begin(self) -> tuple[float, Times]:
        """Begin a period, and return when, and the times of threads; never again where these are not known."""
        times = self._times()
        self._is_done = times is None
        self._start = self._clock(), times or {}
        return self._start


def _hint(threads: int, share: float, cores: float) -> str:
    """Return two lines: what was measured, and what to write, with as many threads as there were cores."""
    fewer = max(1, min(threads - 1, int(cores)))
    return (
        f"hessdens: work is slow, because torch has {threads} threads and too few cores are free: threads waited "
        f"for a core in {share:.0%} of their time.\n"
        f"Write torch.set_num_threads({fewer}), or set OMP_NUM_THREADS={fewer} before Python starts."
    )


# Of this process: it says so once.
WATCH = Watch()
