"""Passes over the data: repeated, and checked to see the same batches."""

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any

from torch import Tensor

from hessdens.curvature.engines.replacement import put_back, raise_interrupt, random_states
from hessdens.curvature.settings import same_random_state
from hessdens.linalg.fingerprint import Fingerprint, fingerprint, is_same


class RepeatedPasses:
    """Iterate over ``data`` any number of times, and refuse a pass that differs from the first.

    The first batch is read twice at once, from two random states; all are compared from the second pass on. That costs
    one read of the data per pass. The global random state of torch (which a ``DataLoader`` advances) is the same
    after a whole pass as before.
    """

    def __init__(self, data: Iterable[Any], *, check: bool) -> None:
        _check_iterable(data)
        self._data = data
        self._check = check
        self._transform: Callable[[int, Any], Any] = lambda index, batch: batch
        self._is_first = True
        # Called with index and batch in the first pass, and at its end.
        self.look: Callable[[int, Any], None] = lambda index, batch: None
        self.end: Callable[[], None] = lambda: None
        self._fingerprints: list[Fingerprint] | None = None
        first = self._first(seed=0)
        if not first:
            raise ValueError("data must hold at least one batch; got none.")
        self.first_index, self.first_batch = 0, first[0]
        if check:
            again = self._first(seed=1)
            if not again:
                raise TypeError(_used_up(type(data).__name__))
            if not is_same(fingerprint(self.first_batch), fingerprint(again[0])):
                raise ValueError(_difference(0))

    @property
    def num_batches(self) -> int:
        """Number of batches in a pass; 1 as long as it is not known."""
        if self._fingerprints is not None:
            return len(self._fingerprints)
        try:
            return len(self._data) if isinstance(self._data, Sized) else 1
        except TypeError:  # of a DataLoader of a stream
            return 1

    def skip_to(self, counts: Callable[[Any], bool]) -> None:
        """Let the first batch be the first one that counts, if there is one. Cost: one read of those before it."""
        if not counts(self.first_batch):
            pairs = ((index, batch) for index, batch in enumerate(self) if counts(batch))
            self.first_index, self.first_batch = next(pairs, (0, self.first_batch))

    def transformed(self, transform: Callable[[int, Any], Any]) -> "RepeatedPasses":
        """Return passes over ``transform(index, batch)`` of each batch."""
        other = copy.copy(self)
        other._transform = transform
        other.first_batch = transform(self.first_index, self.first_batch)
        return other

    def __iter__(self) -> Iterator[Any]:
        states = random_states()
        seen: list[Fingerprint] = []
        expected = self._fingerprints
        for index, batch in enumerate(self._data):
            raise_interrupt()
            if self._check:
                seen.append(fingerprint(batch))
                if expected is not None and (index >= len(expected) or not is_same(seen[-1], expected[index])):
                    raise ValueError(_difference(index))
            if self._is_first:
                self.look(index, batch)
            yield self._transform(index, batch)
        if expected is not None and len(seen) < len(expected):
            raise ValueError(
                f"data must give the same batches in every pass; the first had {len(expected)}, this one "
                f"{len(seen)}. Pass list(data)."
            )
        put_back(states)
        if self._is_first:
            self.end()
        self._is_first = False
        if self._check:
            self._fingerprints = seen

    def _first(self, seed: int) -> list[Any]:
        """Return the first batch, if any, of a pass that starts from a chosen random state."""
        with same_random_state(seed):
            return list(itertools.islice(self._data, 1))


def _difference(index: int) -> str:
    return (
        f"data must give the same batches in every pass; batch {index} differs from the first pass. "
        "Switch off shuffling and random augmentation, as in DataLoader(dataset, batch_size=500, shuffle=False), or "
        "pass list(data)."
    )


def _check_iterable(data: Any) -> None:
    if isinstance(data, Iterator):
        raise TypeError(_used_up(type(data).__name__))
    if not isinstance(data, Iterable) or isinstance(data, Tensor | Mapping):
        raise TypeError(
            f"data must be an iterable of batches; got {type(data).__name__}. Pass [(inputs, targets)], or a "
            "DataLoader of a data set."
        )


def _used_up(kind: str) -> str:
    return (
        f"data must be re-iterable, because each product is one pass; got {kind}, which is used up after the first. "
        "Pass list(data) or a DataLoader."
    )
