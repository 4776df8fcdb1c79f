"""A model, its loss and its data, all checked."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self, TypedDict

import torch
from torch import Tensor, nn

from hessdens.curvature.checks import (
    check_autocast,
    check_batch,
    check_loss,
    check_modules,
    check_parameters,
    check_total_weight,
    evaluated_nearby,
    moved,
)
from hessdens.curvature.containers import batch_length, chosen_examples, slice_batch
from hessdens.curvature.data.passes import RepeatedPasses
from hessdens.curvature.engines.loss_module import Forward, LossModule
from hessdens.curvature.means import MeanCheck, checked_weight
from hessdens.curvature.notes import noted
from hessdens.curvature.parameters import Selection, select_parameters, warn_of_constants, warn_of_statistics
from hessdens.curvature.settings import TURN, Undisturbed, full_precision, product_settings
from hessdens.curvature.trials.repeats import check_repeats

__all__ = ["Forward", "Problem", "ProblemOptions", "some"]


class ProblemOptions(TypedDict, total=False):
    """Keyword arguments of `hessian_operator` that say what is multiplied."""

    forward: Forward | None
    parameters: Selection
    num_examples: Callable[[Any], float] | None
    split_batches: bool
    check_deterministic: bool
    weight_decay: float


@dataclass(frozen=True)
class Problem:
    """A model, its loss and its data, all checked: the mean of ``loss`` over ``passes``, weighted by ``weight``.

    Parameters
    ----------
    loss
        The loss of a batch as a function of the parameters.
    passes
        The batches, the same in every pass.
    weight
        ``weight(batch)`` is the weight of a batch in the mean.
    parameters
        What derivatives are taken in, by name.
    splits
        Whether batches may be cut into blocks of examples.
    weight_decay
        What is added to the matrix, times the identity.
    """

    loss: LossModule
    passes: RepeatedPasses
    weight: Callable[[Any], float]
    parameters: dict[str, nn.Parameter]
    splits: bool
    weight_decay: float = 0.0

    @classmethod
    def of(
        cls,
        model: nn.Module,
        loss_fn: Callable[[Any, Any], Tensor],
        data: Iterable[Any],
        *,
        forward: Forward | None = None,
        parameters: Selection = None,
        num_examples: Callable[[Any], float] | None = None,
        split_batches: bool = True,
        check_deterministic: bool = True,
        weight_decay: float = 0.0,
    ) -> Self:
        """Return the problem that `hessian_operator` describes, checked as it says."""
        if isinstance(model, nn.parallel.DistributedDataParallel):
            model = model.module  # its hooks average gradients of a backward pass, which products do not make
        check_modules(model)
        _check_order(loss_fn, data)
        _check_functions(loss_fn=loss_fn, forward=forward, num_examples=num_examples)
        if not 0 <= weight_decay < math.inf:
            raise ValueError(f"weight_decay must be finite and at least 0; got {weight_decay}.")
        device = check_parameters(model)
        warn_of_statistics(model)
        passes = RepeatedPasses(data, check=check_deterministic)
        weight = checked_weight(num_examples)
        loss = LossModule(model, loss_fn, forward)
        means = MeanCheck(loss, weight, is_counted=num_examples is not None, splits=split_batches)

        looked_at: set[int] = set()

        def look(index: int, batch: Any) -> None:
            check_batch(batch, loss, device, name=f"batch {index}")
            if index not in looked_at:
                looked_at.add(index)
                with full_precision(), noted(loss, batch, index):
                    means.look(batch, index)

        check_batch(passes.first_batch, loss, device)
        passes.skip_to(lambda batch: weight(batch) > 0)
        looked_at.add(passes.first_index)
        passes.look, passes.end = look, means.end
        check_total_weight(weight(passes.first_batch))
        with product_settings(tf32=False):
            check_loss(loss, passes.first_batch, passes.first_index)
            nearby = moved(loss)
            value = evaluated_nearby(loss, passes.first_batch, nearby)
            if check_deterministic:
                check_repeats(loss, passes.first_batch, nearby, value)
            counted = (batch for batch in itertools.chain([passes.first_batch], passes) if weight(batch) > 0)
            selected = select_parameters(loss.model, parameters, loss, counted)
            means.first(passes.first_batch, nearby, value)
        if parameters is None:
            warn_of_constants(loss.model, loss.loss_fn)
        check_autocast(next(iter(selected.values())))
        return cls(loss, passes, weight, selected, split_batches, weight_decay)

    @property
    def largest_block(self) -> int:
        """Examples of the first batch, of which measurements take blocks; 1 if batches are not cut."""
        return batch_length(self.passes.first_batch) if self.splits else 1

    def total_weight(self) -> float:
        """Return the sum of the weights of all batches. Cost: one read of the data."""
        with TURN, self.undisturbed():
            return float(sum(self.weight(batch) for batch in self.passes))

    def undisturbed(self) -> Undisturbed:
        """Return a context in which model and loss function may be evaluated; afterwards they are as before."""
        return Undisturbed(self.loss.model, self.loss.loss_fn)

    def first(self, num_examples: int) -> Any:
        """Return the first examples of weight above 0, or the first batch if it is not to be cut."""
        batch = self.passes.first_batch
        if not self.splits:
            return batch
        starts = range(0, batch_length(batch), num_examples)
        blocks = (slice_batch(batch, start, start + num_examples) for start in starts)
        return next((block for block in blocks if self.weight(block) > 0), batch)

    def blocks(self, batch: Any, examples_per_block: int | None) -> list[Any]:
        """Cut a batch into blocks of examples of nearly equal size, or leave it whole."""
        return [batch] if examples_per_block is None else [*self.cut(batch, lambda: examples_per_block)]

    def cut(self, batch: Any, examples_per_block: Callable[[], int]) -> Iterator[Any]:
        """Cut a batch as `blocks` does, with a size that is asked for before each block and may change."""
        if not self.splits:
            examples_per_block()
            yield batch
            return
        length, size, start = batch_length(batch), 0, 0
        edges: list[int] = []
        while True:
            if (wanted := examples_per_block()) != size:
                size, rest = wanted, length - start
                count = max(1, -(-rest // size))  # of no examples, one block without any
                edges = [start + rest * i // count for i in range(count, 0, -1)]
            stop = edges.pop()
            yield slice_batch(batch, start, stop)
            start = stop
            if start >= length:
                return

    def amount(self, block: Any) -> float:
        """Return how much work a block is, compared with others: its examples, or its weight where it is not cut."""
        return batch_length(block) if self.splits else self.weight(block)

    def total(
        self,
        function: Callable[[Any], Tensor],
        examples_per_block: int | None,
        examples: Callable[[Any], Tensor] | None = None,
    ) -> tuple[Tensor, float]:
        """Return the sum of a function of blocks times their weights, and that of the weights, over chosen examples."""
        if examples is not None and not self.splits:
            raise ValueError("Chosen examples must be told apart; batches are not to be cut (split_batches=False).")
        total, total_weight = torch.zeros((), device=next(iter(self.parameters.values())).device), 0.0
        for batch in self.passes:
            chosen = batch if examples is None else chosen_examples(batch, examples(batch))
            for block in self.blocks(chosen, examples_per_block):
                weight = self.weight(block)
                if weight > 0:  # a loss of nothing is not finite
                    total = total + weight * function(block)
                    total_weight += weight
        return total, total_weight


def some(weight: float) -> float:
    """Return the weight of examples; ValueError if there are none."""
    if not weight:
        raise ValueError("The mean must be over at least one example; none was chosen.")
    return weight


def _check_order(loss_fn: Any, data: Any) -> None:
    """Raise TypeError if the loss is in the place of the data, and these in its."""
    if callable(data) and not callable(loss_fn):
        kinds = f"{type(loss_fn).__name__} before {type(data).__name__}"
        raise TypeError(f"loss_fn comes before data; got {kinds}. Write hessian_operator(model, loss_fn, data).")


def _check_functions(**functions: Any) -> None:
    """Raise TypeError, naming the argument, unless all are functions; those except the loss may be None."""
    for name, function in functions.items():
        if not callable(function) and (name == "loss_fn" or function is not None):
            cure = " Pass torch.nn.CrossEntropyLoss() or the like, or write from_transformers(model, batches)."
            raise TypeError(
                f"{name} must be callable; got {type(function).__name__}.{cure if name == 'loss_fn' else ''}"
            )
        if isinstance(function, type) and issubclass(function, nn.Module):
            kind = function.__name__
            raise TypeError(f"{name} must be a function or an instance; got the class {kind}. Write {kind}().")
