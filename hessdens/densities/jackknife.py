"""How sure numbers of a Lanczos density are, or changes of them: noise of the probes and finite resolution."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Self

import numpy as np
from scipy.special import ndtri, stdtrit

from hessdens._checks import check_level
from hessdens._types import FloatArray
from hessdens.densities.quadrature import Quadrature

# Errors exceed the spread over probes, since probes decide together which eigenvalues are found one by one: by 5 to
# 15%, with a bias of up to a quarter of the spread in the highest moments.
SUBSPACE = 1.25


# Numbers from a quadrature and weights (n,), or (P, n) for P at once.
Functional = Callable[[Quadrature, FloatArray], FloatArray]


@dataclass(frozen=True)
class Jackknife:
    """Numbers that the mean over probes gives, and the same numbers from less."""

    values: FloatArray  # (m,)
    left_out: FloatArray  # (P, m): the same without one probe each
    earlier: Sequence[FloatArray]  # the same some Lanczos steps earlier, each of shape (m,)
    unresolved: FloatArray  # (m,): mass that may lie on either side of an edge, its share on one side taken as uniform

    @classmethod
    def of(cls, functional: Functional, quadratures: Sequence[Quadrature], unresolved: FloatArray) -> Self:
        """Return what ``functional`` makes of quadratures, the latest first."""
        latest, *earlier = quadratures
        values = functional(latest, latest.mean_weights())
        left_out = functional(latest, without_one(latest.weights))
        before = [functional(quadrature, quadrature.mean_weights()) for quadrature in earlier]
        return cls(values, left_out, before, unresolved)

    def minus(self, other: Self) -> Self:
        """Return the change from numbers of the same probes. Mass between Ritz values lies elsewhere: it adds up."""
        return type(self)(
            self.values - other.values,
            self.left_out - other.left_out,
            [
                (self.values if mine is None else mine) - (other.values if theirs is None else theirs)
                for mine, theirs in zip_longest(self.earlier, other.earlier)
            ],
            np.hypot(self.unresolved, other.unresolved),
        )

    def noise(self) -> FloatArray:
        """Return standard errors by the probes, shape (m,)."""
        spread = np.mean((self.left_out - self.left_out.mean(axis=0)) ** 2, axis=0)
        return SUBSPACE * np.sqrt((len(self.left_out) - 1) * spread)

    def resolution(self) -> FloatArray:
        """Return standard errors by the finite number of steps, shape (m,)."""
        changes = [(earlier - self.values) ** 2 for earlier in self.earlier] or [np.zeros_like(self.values)]
        return np.hypot(np.sqrt(np.mean(changes, axis=0)), self.unresolved / np.sqrt(12))

    def interval(self, level: float) -> FloatArray:
        """Return confidence intervals, shape (2, m): lower ends, upper ends."""
        return interval_of(self.values, self.noise(), self.resolution(), len(self.left_out), level)


def interval_of(
    values: FloatArray, noise: FloatArray, resolution: FloatArray, num_probes: int, level: float
) -> FloatArray:
    """Return confidence intervals from standard errors by probes (Student's t) and by resolution (normal)."""
    check_level(level)
    tail = (1 + level) / 2
    half_width = np.hypot(stdtrit(num_probes - 1, tail) * noise, ndtri(tail) * resolution)
    return np.stack([values - half_width, values + half_width])


def without_one(samples: FloatArray) -> FloatArray:
    """Return the means of all samples except one, in the shape of ``samples``, (P, m)."""
    return (samples.sum(axis=0) - samples) / (len(samples) - 1)
