"""Time of training and of what watches it, and whether a budget allows to watch again."""

import contextlib
from collections.abc import Callable, Iterator

# A measurement may take this many times as long as any before: one of them times ways to make products, and other work
# on the machine slows it down.
SURPRISE = 2.0


class OverheadBudget:
    """Keep the time of measuring within a share of the time of training.

    Another measurement is allowed once it would be within the share even if it takes twice as long as the longest so
    far. The first is not asked for: it is paid for by the time until the second.

    Parameters
    ----------
    share
        Of training time; None: no limit.
    clock
        Returns seconds from any start.

    Attributes
    ----------
    training
        Seconds of training until the latest measurement began.
    longest
        Seconds of the longest measurement.
    """

    def __init__(self, share: float | None, clock: Callable[[], float]) -> None:
        self._share, self._clock = share, clock
        self._mark, self._is_measuring = clock(), False
        self.training, self._spent, self.longest = 0.0, 0.0, 0.0

    def go_on_from(self, training: float, spent: float, longest: float) -> None:
        """Add what an earlier part of the run has taken."""
        self.training += training
        self._spent += spent
        self.longest = max(self.longest, longest)

    def trained(self) -> float:
        """Return the seconds of training until now."""
        return self.training + (0.0 if self._is_measuring else self._clock() - self._mark)

    def spent(self) -> float:
        """Return the seconds of all measurements until now."""
        return self._spent + (self._clock() - self._mark if self._is_measuring else 0.0)

    def allows_another(self) -> bool:
        """Return whether another measurement would be within the budget, by its forecast."""
        if self._share is None:
            return True
        return self._spent + SURPRISE * self.longest <= self._share * self.trained()

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        """Count the time inside as that of a measurement, the time since the one before as training."""
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
