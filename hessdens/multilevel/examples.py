"""The matrices of some of the examples of one operator."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from hessdens._calls import warn_caller
from hessdens._checks import at_least
from hessdens.curvature import CurvatureOperator
from hessdens.curvature.data.subsets import Subsets
from hessdens.distributed.shared_examples import SharedExamples
from hessdens.linalg.adapt import kind_of
from hessdens.linalg.operator import Operator


class Source(Protocol):
    """What has operators of some of its examples."""

    total: int

    def operator(self, num_examples: int) -> Operator:
        """Return the operator of so many examples."""


class Examples:
    """Operators of some of the examples of an operator, each made once; smaller sets are parts of larger ones.

    Parameters
    ----------
    operator
        That of all examples.
    seed
        Which examples.

    Raises
    ------
    TypeError
        If the operator has no data.
    """

    def __init__(self, operator: Any, seed: int) -> None:
        if not isinstance(operator, CurvatureOperator | SharedExamples):
            raise TypeError(
                "H must have data to take fewer examples of, as hessian_operator makes it; got "
                f"{kind_of(operator)}. Scale or shift the result instead."
            )
        self._seed = seed
        if isinstance(operator, SharedExamples):
            self.total = sum(operator.examples_of_ranks())
            self._fewer: Callable[..., Operator] = operator.fewer_examples
        else:
            subsets = Subsets(operator)
            self.total, self._fewer = subsets.total, subsets.operator
        self._made: dict[int, Operator] = {self.total: operator}

    def operator(self, num_examples: int) -> Operator:
        """Return the operator of so many examples."""
        if num_examples not in self._made:
            self._made[num_examples] = self._fewer(num_examples, seed=self._seed)
        return self._made[num_examples]

    def levels(self, num_examples: Sequence[int]) -> tuple[int, ...]:
        """Return the numbers of examples of levels, with that of all as the last; ValueError if they do not ascend."""
        for count in num_examples:
            at_least("num_examples", count, 2)
        levels = [*num_examples, *([] if self.total in num_examples[-1:] else [self.total])]
        if len(levels) < 2 or any(a >= b for a, b in itertools.pairwise(levels)):
            raise ValueError(
                f"num_examples must ascend, to fewer than the {self.total:,} of the data; got {list(num_examples)}."
            )
        classes = num_classes(self._made[self.total])
        if levels[0] < classes:
            warn_caller(
                f"Levels of {levels[0]:,} examples are fewer than the {classes:,} classes of the data, and show few of "
                f"them. Take {2 * classes:,} or more.",
            )
        return tuple(levels)


def num_classes(operator: Operator) -> int:
    """Return the number of labels in the data of an operator, where batches are (inputs, labels); else 0."""
    labels: set[int] = set()
    passes = operator.problem.passes if isinstance(operator, CurvatureOperator) else ()
    for batch in passes:
        targets = batch[1] if isinstance(batch, tuple | list) and len(batch) == 2 else None
        if not isinstance(targets, Tensor) or targets.ndim != 1 or targets.is_floating_point():
            return 0
        labels.update(targets.unique().tolist())
    return len(labels)
