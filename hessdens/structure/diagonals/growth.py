"""Sums over parts of a diagonal from more and more products, until they are accurate enough."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtri

from hessdens._types import FloatArray
from hessdens.estimators.run import Run
from hessdens.linalg.memory import usual_bytes
from hessdens.structure.accuracy import TraceAccuracy, half_widths
from hessdens.structure.diagonals.sampling import Products, blocks_of_products, diagonal_samples
from hessdens.structure.parts import Parts

# Products at the first look, and how many times as many there are at each further one.
FIRST_LOOK, LOOK_EVERY = 8, 1.2
# Probes that change places: time grows with their square, in each entry.
MOST_TOGETHER = 200
# Vectors in memory for each product of these: as of `fits_memory`, and a basis that is tried.
VECTORS_PER_PRODUCT = 4.0
# Fewer products are not worth another look.
FEWEST_PRODUCTS = 4
# After fewer looks it is not known how fast errors fall.
FEWEST_LOOKS = 4
# With this confidence standard errors are small enough where products end.
STOP_LEVEL = 0.9
# A basis takes as many products as there are. Where twice as many probes will do, it is not tried.
WORTH_A_BASIS = 2**0.5
# Errors fall at least as the root of the number of products, and are not foreseen to fall faster than this power.
SLOWEST, FASTEST = 0.5, 4.0


@dataclass(frozen=True)
class Sums:
    """Estimates of sums from each probe, shape (P, L), and what they have cost.

    Where an accuracy is asked for: about how many products it takes, and the error over what is allowed, of the worst
    sum.
    """

    samples: FloatArray
    num_products: int
    needed: float = 0.0
    excess: float = 0.0


class PlainSums:
    """Sums over parts of v * A v for probes v, which are not kept."""

    def __init__(self, run: Run, parts: Parts, bar: Any) -> None:
        self._run, self._parts, self._bar = run, parts, bar
        self.samples = np.empty((0, len(parts.names)))

    @property
    def num_products(self) -> int:
        """How many products are made."""
        return len(self.samples)

    def next_look(self) -> int:
        """Return after how many products samples are worth another look."""
        return max(FIRST_LOOK, math.ceil(LOOK_EVERY * self.num_products))

    def grow(self, num_products: int, excess: float = np.inf) -> None:
        """Add products until there are so many."""
        samples = [self.samples]
        for _, V, W in blocks_of_products(self._run, self.num_products, num_products, self._bar):
            samples.append(self._parts.sums(V * W).T.numpy())
        self.samples = np.concatenate(samples)


class SharedSums:
    """Sums over parts of what `Products` give, of at most so many ``together``; others make further groups."""

    def __init__(self, run: Run, parts: Parts, bar: Any, together: int) -> None:
        self._run, self._parts, self._bar, self._together = run, parts, bar, together
        self._made = Products(run, bar)
        self._further: list[tuple[FloatArray, int]] = []

    @property
    def num_products(self) -> int:
        """How many products are made."""
        return self._made.num_products + sum(count for _, count in self._further)

    @property
    def samples(self) -> FloatArray:
        """An estimate of each sum per probe, shape (P, L), with the spread that gives standard errors."""
        return np.concatenate([self._made.samples().sums(self._parts), *(samples for samples, _ in self._further)])

    @property
    def _is_full(self) -> bool:
        return self._made.num_products + 1 >= self._together

    def next_look(self) -> int:
        """Return after how many products samples are worth another look."""
        if self._is_full:
            return self.num_products + self._together
        return min(max(FIRST_LOOK, math.ceil(LOOK_EVERY * self.num_products)), self._together)

    def grow(self, num_products: int, excess: float = np.inf) -> None:
        """Add products until there are about so many, by the way that promises more.

        ``excess`` is the error of the last look, over what is allowed.
        """
        made = self._made
        if self._is_full:
            found = diagonal_samples(self._run, num_products - self.num_products, self._bar, first=self.num_products)
            self._further.append((found.sums(self._parts), found.num_products))
        elif made.has_basis:
            made.add_probes(num_products // 2 - made.num_probes)
            made.add_basis()
        elif self._is_worth_a_basis(excess):
            made.add_basis()
        else:
            made.add_probes(num_products - made.num_probes)

    def _is_worth_a_basis(self, excess: float) -> bool:
        count = self._made.num_probes
        is_possible = count > 1 and 2 * count <= self._together and excess > WORTH_A_BASIS
        return is_possible and self._made.basis_promises_less(2 * count)


def sums_to_accuracy(
    run: Run,
    parts: Parts,
    accuracy: TraceAccuracy,
    max_products: int,
    low_memory: bool,
    bar: Any,
    *,
    worth: float = math.inf,
) -> Sums:
    """Return sums over parts of the diagonal as soon as they have an accuracy, or after so many products.

    Each look takes all products so far. Standard errors are uncertain themselves, so it is their upper limits that must
    be small enough: else they would be taken where they come out small by chance. Products end where the accuracy takes
    more than it is ``worth``, in further ones.
    """
    operator = run.operator
    vector_bytes = operator.num_rows * operator.dtype.itemsize
    by_memory = operator.team.least(int(usual_bytes(operator.device) / (VECTORS_PER_PRODUCT * vector_bytes)))
    together = min(by_memory, MOST_TOGETHER, max_products)
    is_plain = low_memory or together < min(FIRST_LOOK, max_products)
    grown = PlainSums(run, parts, bar) if is_plain else SharedSums(run, parts, bar, together)
    history: list[tuple[int, float]] = []
    excess = np.inf
    while True:
        grown.grow(min(grown.next_look(), max_products), excess)
        samples = grown.samples
        excess = float(accuracy.excess(*half_widths(samples)).max())
        history.append((grown.num_products, excess))
        needed = foreseen(history)
        is_hopeless = len(history) > FEWEST_LOOKS and needed - grown.num_products > worth
        is_over = max_products - grown.num_products < FEWEST_PRODUCTS or is_hopeless
        if operator.team.least(int(is_over or _largest_ratio(len(samples)) * excess <= 1)):
            return Sums(samples, grown.num_products, needed, excess)


def _largest_ratio(count: int) -> float:
    """Return by how much the true spread of so many normal samples may be above theirs, at the level of a stop."""
    return math.sqrt((count - 1) / chdtri(count - 1, STOP_LEVEL))


def foreseen(history: list[tuple[int, float]]) -> float:
    """Return after how many products errors are those allowed, from numbers of products and errors over these."""
    count, excess = history[-1]
    before = [pair for pair in history if 2 * pair[0] <= count] or history[:1]
    fewer, larger = before[-1]
    power = math.log(larger / excess) / math.log(count / fewer) if count > fewer and excess < larger < np.inf else 0.0
    return count * excess ** (1 / min(max(power, SLOWEST), FASTEST))
