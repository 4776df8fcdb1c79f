"""Time of training and of what watches it, and whether a budget allows to watch again."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

# A measurement may take this many times as long as any before: it may have to time ways to make products, or other work
# on the machine may slow it down.
SURPRISE = 2.0


class OverheadBudget:
    """Keep the time of measuring within a fraction of the time of training, as `SpectrumMonitor` describes.

    Attributes are seconds: ``training`` until the latest measurement began, ``longest`` of the longest measurement.

    Examples
    --------
    >>> seconds = 0.0
    >>> budget = OverheadBudget(0.5, clock=lambda: seconds)
    >>> with budget.measuring():
    ...     seconds = seconds + 1.0
    >>> seconds = seconds + 4.0  # of training: too few for 1 s and twice 1 s
    >>> budget.allows_another()
    False
    >>> seconds = seconds + 2.0
    >>> budget.allows_another()
    True
    """

    def __init__(self, overhead: float | None, clock: Callable[[], float]) -> None:
        self._overhead = overhead
        self._clock = clock
        self._mark = clock()
        self._is_measuring = False
        self._spent = 0.0
        self.training = 0.0
        self.longest = 0.0

    def go_on_from(self, training: float, spent: Iterable[float]) -> None:
        """Add what an earlier part of the run has taken: training, and all measurements at the end of each."""
        self.training += training
        times = [0.0, *spent]
        self._spent += times[-1]
        self.longest = max(self.longest, *(after - before for before, after in pairwise(times)))

    def trained(self) -> float:
        """Return the seconds of training until now."""
        return self.training + (0.0 if self._is_measuring else self._clock() - self._mark)

    def spent(self) -> float:
        """Return the seconds of all measurements until now."""
        return self._spent + (self._clock() - self._mark if self._is_measuring else 0.0)

    def allows_another(self) -> bool:
        """Return whether another measurement would be within the budget, by its forecast."""
        if self._overhead is None:
            return True
        return self._spent + SURPRISE * self.longest <= self._overhead * self.trained()

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        """Count the time inside the block as measuring, and the time since the last measurement as training."""
        start = self._clock()
        self.training += start - self._mark
        self._mark, self._is_measuring = start, True
        try:
            yield
        finally:
            end = self._clock()
            seconds = end - self._mark
            self._spent += seconds
            self.longest = max(self.longest, seconds)
            self._mark, self._is_measuring = end, False
