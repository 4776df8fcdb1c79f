"""Estimates of a matrix of many examples as sums over levels: those of few examples, and what more examples change."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import numpy as np

from hessdens._checks import LEVEL, check_level
from hessdens._types import FloatArray, Window
from hessdens.results.intervals import cumulants_of_mean, shifted_quantiles
from hessdens.results.moments import Moments, TraceOfMoments, moment_lines
from hessdens.results.saved import Numbers, Saved, rows
from hessdens.results.summaries.text import listed


class LevelSum(Saved):
    """What sums over levels have in common, of K numbers each.

    ``levels`` are the estimate of the matrix of fewest examples, and for each further level that of the matrix of its
    examples less that of the level before. Their ``num_products`` are those with each of both matrices.
    """

    levels: tuple[Any, ...]
    num_examples: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.levels or len(self.levels) != len(self.num_examples):
            raise ValueError(
                f"levels must be at least one, each with its num_examples; got {len(self.levels)} and "
                f"{len(self.num_examples)}."
            )
        if (np.diff(self.num_examples) <= 0).any() or self.num_examples[0] < 1:
            raise ValueError(f"num_examples must ascend from 1 at least; got {list(self.num_examples)}.")

    @property
    def values(self) -> FloatArray:
        """Estimates for the matrix of all examples, shape (K,)."""
        total: FloatArray = np.sum([level.values for level in self.levels], axis=0)
        return total

    @property
    def standard_errors(self) -> FloatArray:
        """Standard errors of `values`, shape (K,): levels are independent."""
        return _root_sum(self.levels)

    @property
    def num_products(self) -> float:
        """What all levels have cost, in products with all examples."""
        both = [self.num_examples[0], *map(sum, pairwise(self.num_examples))]
        work = sum(level.num_products * count for level, count in zip(self.levels, both, strict=True))
        # What is deflated is multiplied with the first and the last matrix.
        deflated = self._num_deflated() * (self.num_examples[0] - self.num_examples[-2]) if self.levels[1:] else 0
        return (work + deflated) / self.num_examples[-1]

    def interval(self, level: float = LEVEL) -> FloatArray:
        """Return confidence intervals, shape (2, K): lower ends, upper ends.

        That of a shifted gamma distribution with the skewness of the sum, as `Moments.interval` has it, and wider by
        what Student's t adds: degrees of freedom are those of Welch and Satterthwaite.
        """
        centres = [self._centre(), *(part.values for part in self.levels[1:])]
        return _interval(self.levels, centres, level)

    def change(self, first: int) -> tuple[FloatArray, FloatArray]:
        """Return `values` less those of level ``first``, and standard errors, both of shape (K,)."""
        later = self.levels[first + 1 :]
        if not later:
            return np.zeros(len(self.values)), np.zeros(len(self.values))
        return np.sum([level.values for level in later], axis=0), _root_sum(later)

    def change_interval(self, first: int, level: float = LEVEL) -> FloatArray:
        """Return confidence intervals of `change`, shape (2, K)."""
        later = self.levels[first + 1 :]
        return _interval(later, [part.values for part in later], level) if later else np.zeros((2, len(self.values)))

    def enough_examples(self, rtol: float, level: float = LEVEL) -> tuple[int, ...]:
        """Return for each number the fewest examples, of those of the levels, that give it within a relative error.

        For these examples, the whole confidence interval of `change` lies within ``rtol`` times the number.
        """
        if not rtol > 0:
            raise ValueError(f"rtol must be positive; got {rtol}.")
        worst = np.array([np.abs(self.change_interval(i, level)).max(axis=0) for i in range(len(self.levels))])
        is_enough = worst <= rtol * np.abs(self.values)
        return tuple(self.num_examples[i] for i in is_enough.argmax(axis=0))

    def _num_deflated(self) -> int:
        """Return the dimensions that are treated exactly."""
        raise NotImplementedError

    def _centre(self) -> FloatArray:
        """Return from where the signs of samples of the first level count: quadratic forms may have one sign."""
        raise NotImplementedError

    def _source(self) -> str:
        """Return how many examples there are on each level, and the cost, in words."""
        counts = [f"{n:,}" for n in self.num_examples]
        of = f"levels of {listed(counts)}" if len(counts) > 1 else counts[0]
        return f"from {of} examples, at the cost of {self.num_products:.2g} products with all"

    def _certified(self) -> list[str]:
        certificates = [level.certificates for level in self.levels if level.certificates is not None]
        return [str(each) for each in certificates[:1]]

    def _level_numbers(self, window: Window, level: float) -> list[Numbers]:
        return [
            {"num_examples": count, **part._numbers(window, level)}
            for count, part in zip(self.num_examples, self.levels, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class MultilevelMoments(LevelSum, TraceOfMoments):
    """Estimated moments m_1..m_K of the matrix of all examples, as a sum over levels.

    Parameters
    ----------
    levels
        The moments of the matrix of fewest examples, and for each further level those of the matrix of its examples
        less those of the level before. Their ``num_products`` are those with each of both matrices.
    num_examples
        Of each level, ascending; the last one has all.

    Examples
    --------
    >>> from hessdens.results import Moments
    >>> few = Moments.from_samples([[1.0], [1.2], [1.1]], size=100, num_products=3)
    >>> change = Moments.from_samples([[-0.1], [-0.2], [-0.3]], size=100, num_products=6)
    >>> print(MultilevelMoments((few, change), (50, 1_000)))
    Moments of 100 eigenvalues from levels of 50 and 1,000 examples, at the cost of 6.5 products with all
      trace = 90.0 ± 8.2 (standard error; 95% interval 67.94 to 113.3)
      m_1 =  9.0000e-01 ± 8.2e-02
      with 50 examples: m_1 = 1.1, larger by 0.2 ± 0.06
    """

    levels: tuple[Moments, ...]
    num_examples: Annotated[tuple[int, ...], "L count"]

    def __post_init__(self) -> None:
        super().__post_init__()
        first = self.levels[0]
        for level in self.levels[1:]:
            if (level.size, len(level.values)) != (first.size, len(first.values)):
                raise ValueError("levels must be of matrices of one size, with as many moments each.")

    @property
    def size(self) -> int:
        """N, the number of eigenvalues."""
        return self.levels[0].size

    def _num_deflated(self) -> int:
        return self.levels[-1].num_deflated

    def _centre(self) -> FloatArray:
        return self.levels[0].known

    def __str__(self) -> str:
        lines = [f"Moments of {self.size:,} eigenvalues {self._source()}", self._trace_line()]
        lines += moment_lines("m", self.values, self.standard_errors)
        for index, count in enumerate(self.num_examples[:-1]):
            value = float(np.sum([level.values[0] for level in self.levels[: index + 1]]))
            (change, *_), (error, *_) = self.change(index)
            side = "smaller" if change > 0 else "larger"
            lines.append(f"  with {count:,} examples: m_1 = {value:.4g}, {side} by {abs(change):.2g} ± {error:.1g}")
        return "\n".join([*lines, *self._certified()])

    def _numbers(self, window: Window, level: float) -> Numbers:
        low, high = self.interval(level)
        table = rows(value=self.values, standard_error=self.standard_errors, low=low, high=high)
        return {**self._named("size", "num_products"), "moments": table, "levels": self._level_numbers(window, level)}


def _root_sum(levels: tuple[Any, ...]) -> FloatArray:
    return np.sqrt(np.sum([level.standard_errors**2 for level in levels], axis=0))


def _interval(levels: tuple[Any, ...], centres: list[FloatArray], level: float) -> FloatArray:
    """Return confidence intervals of the sum of independent means, of samples whose signs count from a centre each."""
    check_level(level)
    parts = [cumulants_of_mean(part.standard_errors, part.samples - c) for part, c in zip(levels, centres, strict=True)]
    variance, third, squared_error = (np.sum(kind, axis=0) for kind in zip(*parts, strict=True))
    varies = variance > 0
    skewness = third / np.where(varies, variance, 1.0) ** 1.5
    freedom = np.where(varies, variance**2, 1.0) / np.where(varies, squared_error, 1.0)
    tail, values = (1 - level) / 2, np.sum([part.values for part in levels], axis=0)
    return shifted_quantiles(values, np.sqrt(variance), skewness, freedom, np.array([[tail], [1 - tail]]))
