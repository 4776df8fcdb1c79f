"""The matrix of a loss on fewer examples than its data have."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hessdens._calls import takes_operator
from hessdens._checks import whole_at_least
from hessdens.curvature.containers import batch_length, chosen_examples, joined
from hessdens.curvature.data.passes import RepeatedPasses
from hessdens.curvature.operator import CurvatureOperator
from hessdens.curvature.problem import Problem
from hessdens.curvature.settings import TURN
from hessdens.linalg.adapt import kind_of


class Subsets:
    """The examples of an operator, counted once, and the matrices of some of them.

    Cost: one read of the data, and one for each matrix.

    Attributes
    ----------
    total
        The number of examples: rows, or batches where these are not to be cut.
    """

    def __init__(self, operator: CurvatureOperator) -> None:
        with TURN:
            self._operator, self._sizes = operator, _sizes(operator.problem)
        self.total = int(sum(self._sizes))

    def operator(self, num_examples: int, *, seed: int) -> CurvatureOperator:
        """Return what `fewer_examples` does."""
        whole_at_least("num_examples", num_examples, 1)
        whole_at_least("seed", seed, 0)
        operator, sizes = self._operator, self._sizes
        with TURN:
            problem = operator.problem
            if num_examples > self.total:
                raise ValueError(f"num_examples must be at most the {self.total:,} of the data; got {num_examples:,}.")
            if not problem.splits and len(sizes) == 1:
                raise ValueError(
                    "The data are one batch that is not to be cut (split_batches=False): no part can be taken. Give "
                    "the data in several batches."
                )
            places = drawn_places(self.total, num_examples, seed)
            batches = list(_joined(_parts(problem, places, sizes), max(sizes)))
        passes = RepeatedPasses(batches, check=False)
        passes.skip_to(lambda batch: problem.weight(batch) > 0)
        fewer = CurvatureOperator(
            replace(problem, passes=passes), operator.matrix, operator._plan, operator._schedules.memory_limit
        )
        fewer.name = operator.name
        return fewer


@takes_operator
def fewer_examples(operator: CurvatureOperator, num_examples: int, *, seed: int = 0) -> CurvatureOperator:
    """Return the matrix of the same model and loss on some of the examples, drawn at random without replacement.

    Parameters
    ----------
    operator
        From `hessian_operator`, `ggn_operator` or `fisher_operator`.
    num_examples
        How many, at most all. Where batches are not to be cut (``split_batches=False``), batches count, not examples.
    seed
        Decides which. Smaller subsets of one seed are parts of larger ones.

    Returns
    -------
    CurvatureOperator
        It keeps its examples in memory, as many at a time as the largest batch had. Like ``operator``, it is that of
        the parameters that the model has when a product is made.

    Raises
    ------
    ValueError
        If there are not so many examples, or only one batch that is not to be cut.
    TypeError
        If the operator has no data.

    Notes
    -----
    Cost: two reads of the data, and what making an operator takes.

    Examples
    --------
    >>> import torch
    >>> from hessdens import hessian_operator
    >>> from hessdens.curvature import fewer_examples
    >>> data = [(torch.randn(20, 3), torch.randn(20, 1)) for batch in range(5)]
    >>> H = hessian_operator(torch.nn.Linear(3, 1), torch.nn.MSELoss(), data)
    >>> few = fewer_examples(H, 30)
    >>> (few @ torch.ones(4)).shape, few.total_weight
    (torch.Size([4]), 30.0)
    """
    if not isinstance(operator, CurvatureOperator):
        raise TypeError(
            "operator must have data to take examples from, as hessian_operator makes it; got "
            f"{kind_of(operator)}. Take fewer examples first, then add or scale."
        )
    return Subsets(operator).operator(num_examples, seed=seed)


def drawn_places(total: int, count: int, seed: int) -> NDArray[np.int64]:
    """Return ``count`` of the numbers from 0 to ``total - 1``, ascending; those of a seed are nested."""
    order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(5,))).permutation(total)
    return np.sort(order[:count])


def _sizes(problem: Problem) -> list[int]:
    """Return the number of examples of each batch; 1 of each that is not to be cut."""
    return [batch_length(batch) if problem.splits else 1 for batch in problem.passes]


def _parts(problem: Problem, chosen: NDArray[np.int64], sizes: list[int]) -> Iterator[Any]:
    """Yield of each batch the examples that are chosen, by their places in a pass, ascending."""
    edges = np.cumsum([0, *sizes])
    for batch, first, last in zip(problem.passes, edges[:-1], edges[1:], strict=True):
        places = chosen[np.searchsorted(chosen, first) : np.searchsorted(chosen, last)] - first
        if len(places) and problem.splits:
            mask = torch.zeros(last - first, dtype=torch.bool)
            mask[torch.from_numpy(places)] = True
            yield chosen_examples(batch, mask)
        elif len(places):
            yield batch


def _joined(parts: Iterator[Any], largest: int) -> Iterator[Any]:
    """Yield neighbouring parts as one batch, as far as they fit together and are not larger than a batch."""
    held = next(parts)
    for part in parts:
        is_small = batch_length(held) + batch_length(part) <= largest if largest > 1 else False
        both = joined(held, part) if is_small else None
        if both is None:
            yield held
        held = part if both is None else both
    yield held
