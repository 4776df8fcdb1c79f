"""Whether losses are means over examples, and with which weights of batches."""

import contextlib
import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, is_autocast_enabled

from hessdens.curvature.checks import (
    OF_A_SUM,
    check_labels,
    evaluated,
    evaluated_nearby,
    mean_message,
    moved,
)
from hessdens.curvature.containers import batch_length, counting_labels, joined, slice_batch, tensors_of
from hessdens.curvature.engines.loss_module import LossModule, Values
from hessdens.curvature.engines.replacement import is_of_the_model
from hessdens.curvature.notes import first_sentence, given

Weight = Callable[[Any], float]
Agree = Callable[[float, float], bool]
# Parameters near the present ones, and the loss of a batch there.
Known = tuple[Values, Tensor]
# Where batches are cut, in parts of their length: parts of unequal lengths, so that other weights do not fit by chance.
CUTS = (1 / 3, 1 / 2)
# Rounding of a loss: so many eps, or so many times what a change of the parameters by eps makes.
ROUNDING_IN_EPS = 100
ROUNDING_IN_CHANGES = 10
# The largest of some random changes counts: a single one may be small by chance.
NUM_CHANGES = 4


def checked_weight(num_examples: Weight | None) -> Weight:
    """Return the weight of a batch as a function that raises ValueError unless it is a number of at least 0."""

    def weight(batch: Any) -> float:
        value: Any = batch_length(batch) if num_examples is None else num_examples(batch)
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not 0 <= number < math.inf:
            raise ValueError(
                f"num_examples(batch) must be a number of at least 0; got {value!r} for the batch {given(batch)}."
            )
        return number

    return weight


class MeanCheck:
    """Looks at one batch after another, and raises ValueError where their losses are no means with their weights.

    A loss need not say what it is, so that batches are cut in two, and those of one example are joined. Where batches
    must not be cut, the loss may be no mean at all; but if it is one with other weights, these must be given. So they
    must where batches are unlike, and nothing can be compared, as for single examples of unequal lengths.
    """

    def __init__(self, loss: LossModule, weight: Weight, *, is_counted: bool, splits: bool) -> None:
        self._loss = loss
        self._weight = weight
        self._is_counted = is_counted
        self._splits = splits
        # Examples that are too few to be compared, until others join them.
        self._short: Any = None
        self._is_compared = False
        self._batches: list[Any] = []  # the first one and the latest
        # Where losses are looked at, None: where the model is; and the dtypes of losses.
        self._parameters: Values | None = None
        self._dtypes: set[torch.dtype] = set()

    def first(self, batch: Any, nearby: Values, value: Tensor) -> None:
        """Look at the first batch, whose loss at parameters near the present ones is given; and whether it is a sum.

        That weights and batch stay as they are must have been seen.
        """
        if tensors_of(batch) and (not self._splits or batch_length(batch) == 1):
            with contextlib.suppress(torch.OutOfMemoryError):
                sums = self._values_of_parts(lambda: whole_and_halves(batch)) or [math.nan]
                check_sum(sums[0], sums[1:], self._rounding(sums))
        self._look(batch, (nearby, value))

    def look(self, batch: Any, index: int) -> None:
        """Look at a batch: at parameters that are moved a little, or at the present ones where there is no loss."""
        if self._weight(batch) == 0:
            return
        with contextlib.suppress(torch.OutOfMemoryError):  # products take smaller pieces
            value = evaluated(self._loss, batch)  # which sees whether weights or the batch are changed
            check_labels(value, self._loss, batch, index)
        self._look(batch)

    def _look(self, batch: Any, known: Known | None = None) -> None:
        if (self._is_counted and not self._splits) or not tensors_of(batch):
            return
        self._batches = [*self._batches[:1], batch]
        least, examples = 2 if self._splits else 3, batch
        if self._short is not None and batch_length(batch) < least:
            examples = joined(self._short, batch) or batch
        self._short = examples if batch_length(examples) < least else None
        with contextlib.suppress(torch.OutOfMemoryError):
            if self._short is None:
                self._is_compared |= self._compare(examples, known if examples is batch else None)
            else:
                self._is_compared |= self._is_mean_of_two(examples)
            if not self._is_compared and not self._is_counted:
                self._check_alike()

    def end(self) -> None:
        """Look at what the batches of a whole pass have left: two examples, each in a batch of its own."""
        if self._is_compared or self._is_counted or len(self._batches) < 2 or self._short is None:
            return
        values = self._values_of_parts(lambda: whole_and_halves(self._short))
        if values and min(values[1:]) < values[0] < max(values[1:]):
            raise _other_weights()

    def _check_alike(self) -> None:
        """Raise unless all batches have the same shapes, so that their weights are equal, whatever they are."""
        shapes = [[tensor.shape for tensor in tensors_of(batch)] for batch in self._batches]
        if shapes[0] != shapes[-1]:
            raise ValueError(
                "The weight of a batch in the mean must be certain; where batches are as unlike as "
                f"{given(self._batches[0])} and {given(self._batches[-1])}, and can be neither joined nor cut, nothing "
                "tells whether their loss is a mean over examples or over tokens. If over tokens, pass "
                f"{counting_labels(self._batches[0])}; if over examples, one a batch, num_examples=lambda batch: 1."
            )

    def _is_mean_of_two(self, batch: Any) -> bool:
        """Return whether the loss of two examples, if there are two, is their mean."""
        self._parameters = moved(self._loss)
        values = self._values_of_parts(lambda: whole_and_halves(batch)) if batch_length(batch) == 2 else []
        return bool(values) and self._agree(batch, values[0], mean(values[1:], [1.0, 1.0]))

    def _compare(self, batch: Any, known: Known | None) -> bool:
        """Raise if the loss is another mean; return whether that could be seen."""
        check = self._check_cuts if self._splits else self._check_hidden_weights
        nearby, value = known or (moved(self._loss), None)
        for parameters in (nearby, None):
            self._parameters = parameters
            if parameters is None or value is None:
                whole = self._values_of_parts(lambda: [batch])
            else:
                whole, self._dtypes = [float(value)], self._dtypes | {value.dtype}
            if whole and math.isfinite(whole[0]) and check(batch, whole[0]):  # if not finite, the product says so
                return True
        return False

    def _check_cuts(self, batch: Any, whole: float) -> bool:
        """Raise unless the loss is the mean of those of parts; return whether it could be compared where it is."""
        length = batch_length(batch)
        edges = sorted({0, *(int(length * cut) for cut in CUTS), length})
        try:
            parts = [slice_batch(batch, *edge) for edge in itertools.pairwise(edges)]
            counted = [(weight, part) for part in parts if (weight := self._weight(part)) > 0]
            values = self._values([part for _, part in counted])
        except Exception as error:
            if not is_of_the_model(error):
                raise
            raise ValueError(
                "Batches must be cut along the first dimension of all their tensors; that of the batch "
                f"{given(batch)} failed. Pass split_batches=False, and num_examples=, the weight of a batch in the "
                f"mean. The error was: {first_sentence(error)}."
            ) from error
        if self._parameters is not None and not all(map(math.isfinite, values)):
            return False
        if len(values) > 1:
            check_sum(whole, values, self._rounding(values))
        check_mean(whole, values, [weight for weight, _ in counted], partial(self._agree, batch), batch)
        return True

    def _check_hidden_weights(self, batch: Any, whole: float) -> bool:
        """Raise if the losses of three pieces, and of two next to one another, are means with other weights.

        Return whether they could be compared where they are.
        """
        edges = [batch_length(batch) * i // 3 for i in range(4)]
        pieces = [(0, 1), (1, 2), (2, 3), (0, 2), (1, 3)]
        values = self._values_of_parts(lambda: [slice_batch(batch, edges[i], edges[j]) for i, j in pieces])
        if not values or (self._parameters is not None and not all(map(math.isfinite, values))):
            return False
        a, b, c, ab, bc = values
        counts = [stop - start for start, stop in itertools.pairwise(edges)]
        means = {ab: mean([a, b], counts[:2]), bc: mean([b, c], counts[1:]), whole: mean([a, b, c], counts)}
        if all(self._agree(batch, value, by_count) for value, by_count in means.items()) or a == ab or c == bc:
            return True
        weights = [(ab - b) / (a - ab), 1.0, (bc - b) / (c - bc)]
        if min(weights) > 0 and math.isclose(mean([a, b, c], weights), whole, rel_tol=self._eps() ** 0.5):
            raise _other_weights()
        return True

    def _values_of_parts(self, parts: Callable[[], Sequence[Any]]) -> list[float]:
        """Return the losses of what is made of batches, or nothing where the model, or its making, raises an error."""
        try:
            return self._values(parts())
        except Exception as error:
            if not is_of_the_model(error):
                raise
            return []

    def _values(self, batches: Sequence[Any]) -> list[float]:
        with warnings.catch_warnings():  # about parts that the user has not asked for
            warnings.simplefilter("ignore")
            if self._parameters is None:
                values = [evaluated(self._loss, batch) for batch in batches]
            else:
                values = [evaluated_nearby(self._loss, batch, self._parameters) for batch in batches]
        self._dtypes |= {value.dtype for value in values}
        return [float(value) for value in values]

    def _agree(self, batch: Any, first: float, second: float) -> bool:
        """Return whether two values of the loss of a batch are equal to rounding."""
        difference, rounding = abs(first - second), self._rounding([first, second])
        return difference <= rounding or difference <= rounding + ROUNDING_IN_CHANGES * self._change(batch)

    def _rounding(self, values: Sequence[float]) -> float:
        eps = self._eps()
        return min(ROUNDING_IN_EPS * eps, eps**0.5) * max(map(abs, values))

    def _change(self, batch: Any) -> float:
        """Return how much the loss of a batch changes if the parameters do by their rounding."""
        generator, values = torch.Generator().manual_seed(0), []
        for _ in range(NUM_CHANGES):
            changed = {
                name: p.addcmul(p, torch.randn(p.shape, generator=generator).to(p), value=self._eps())
                .detach()
                .requires_grad_()
                for name, p in self._loss.model.named_parameters()
                if p.is_floating_point()
            }
            values.append(float(evaluated_nearby(self._loss, batch, changed)))
        finite = [value for value in values if math.isfinite(value)]
        return max(finite, default=0.0) - min(finite, default=0.0)

    def _eps(self) -> float:
        """Return the rounding of the roughest numbers that the model computes with."""
        parameters = [p for p in self._loss.model.parameters() if p.is_floating_point() or p.is_complex()]
        dtypes = {p.dtype for p in parameters} | {
            torch.get_autocast_dtype(kind) for kind in {p.device.type for p in parameters} if is_autocast_enabled(kind)
        }
        return max(torch.finfo(dtype).eps for dtype in dtypes | self._dtypes)


def _other_weights() -> ValueError:
    return ValueError(
        mean_message("it is one with other weights than the numbers of examples")
        + " Pass num_examples=, the weight of a batch in the mean."
    )


def whole_and_halves(batch: Any) -> tuple[Any, Any, Any]:
    """Return a batch, twice itself if it is a single example, and its two halves."""
    if batch_length(batch) == 1:
        batch = joined(batch, batch)
    length = batch_length(batch)
    return batch, slice_batch(batch, 0, length // 2), slice_batch(batch, length // 2, length)


def mean(values: Sequence[float], weights: Sequence[float]) -> float:
    """Return the weighted mean."""
    return sum(w * value for w, value in zip(weights, values, strict=True)) / (sum(weights) or math.nan)


def check_sum(whole: float, values: Sequence[float], tolerance: float) -> None:
    """Raise ValueError if the loss of a batch is the sum of those of its parts."""
    if abs(sum(values) - whole) <= tolerance < abs(whole):
        reason = "the losses of the parts of a batch add up to that of the whole, as a sum's do"
        raise ValueError(f"{mean_message(reason)} Divide it by the number of examples.{OF_A_SUM}")


def check_mean(whole: float, values: Sequence[float], weights: Sequence[float], agree: Agree, batch: Any) -> None:
    """Raise ValueError unless the loss of a batch is the weighted mean of those of its parts."""
    if not agree(mean(values, weights), whole):
        raise ValueError(
            mean_message(
                "the losses of the parts of a batch, weighted by numbers of examples, do not give that of the whole"
            )
            + f" If it is a mean with other weights pass them, as {counting_labels(batch)} does for labels "
            "that count; if batches must not be cut, split_batches=False."
        )
