"""Stochastic descent of the two-unit network of figure 2 along the overlap manifold: on-singularity plateaus."""

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from skip_paper.figures.parts.fig2_models import TwoUnits, overlap_and_balance

Array = NDArray[np.float64]
STEP = 0.5
START_BALANCE = 0.6  # on the stable segment, |z| < 1
EVERY = 1_000


@dataclass(frozen=True)
class Walks:
    """Walks of stochastic descent, one example a step, from h = 0 on the stable segment.

    Parameters
    ----------
    overlap, balance
        h and z every ``EVERY`` steps, shape (walks, times).
    loss
        In units of the best single unit's.
    """

    overlap: Array
    balance: Array
    loss: Array

    @property
    def crossing(self) -> NDArray[np.int64]:
        """When |z| first exceeds 1, per walk; the number of times where never."""
        return _first(np.abs(self.balance) > 1)

    @property
    def escape(self) -> NDArray[np.int64]:
        """When the loss first falls below half of the single unit's, per walk; the number of times where never."""
        return _first(self.loss < 0.5)


def walk(model: TwoUnits, count: int, steps: int, seed: int) -> Walks:
    """Return ``count`` walks of so many steps."""
    w, v, _ = model.single_unit()
    teacher = np.array([*model.outgoing, *model.incoming])
    start = model.start(0.0, START_BALANCE)
    students = np.array([_descend(start, teacher, STEP, steps, EVERY, 1000 * seed + n) for n in range(count)])
    overlap, balance = overlap_and_balance(np.moveaxis(students, -1, 0))
    single = model.loss(np.array([w / 2, w / 2, v, v]))
    loss = np.array([[model.loss(student) for student in path] for path in students]) / single
    return Walks(overlap, balance, loss)


def _first(events: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.where(events.any(axis=1), events.argmax(axis=1), events.shape[1])


@numba.njit(cache=True)
def _descend(start, teacher, step, steps, every, seed):  # type: ignore[no-untyped-def]
    np.random.seed(seed)  # noqa: NPY002 - numba has no generators of its own for each call
    s = start.copy()
    kept = np.empty((steps // every, 4))
    slope = math.sqrt(2 / math.pi)
    for n in range(steps):
        if n % every == 0:
            kept[n // every] = s
        x = np.random.standard_normal()  # noqa: NPY002
        r = x / math.sqrt(2)
        first, second = math.erf(s[2] * r), math.erf(s[3] * r)
        error = teacher[0] * math.erf(teacher[2] * r) + teacher[1] * math.erf(teacher[3] * r)
        error -= s[0] * first + s[1] * second
        change = error * x * slope
        d2, d3 = s[0] * change * math.exp(-((s[2] * r) ** 2)), s[1] * change * math.exp(-((s[3] * r) ** 2))
        s[0] += step * error * first
        s[1] += step * error * second
        s[2] += step * d2
        s[3] += step * d3
    return kept
