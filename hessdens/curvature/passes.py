"""Passes over the data: repeated, checked to see the same batches, and in the first one losses that are means."""

import contextlib
import copy
import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from functools import partial
from typing import Any

import torch
from torch import Tensor, is_autocast_enabled

from hessdens.curvature.checks import OF_A_SUM, evaluated, first_sentence, given, mean_message, moved
from hessdens.curvature.containers import batch_length, joined, slice_batch, tensors_of
from hessdens.curvature.engines.loss_module import LossModule, Values
from hessdens.curvature.engines.replacement import put_back, raise_interrupt, random_states
from hessdens.curvature.settings import same_random_state
from hessdens.linalg.fingerprint import Fingerprint, fingerprint, is_same

Weight = Callable[[Any], float]
Agree = Callable[[float, float], bool]
# Where batches are cut, in parts of their length: parts of unequal lengths, so that other weights do not fit by chance.
CUTS = (1 / 3, 1 / 2)
# Rounding of a loss: so many eps, or so many times what a change of the parameters by eps makes.
ROUNDING_IN_EPS = 100
ROUNDING_IN_CHANGES = 10
# The largest of some random changes counts: a single one may be small by chance.
NUM_CHANGES = 4


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
        # Called with index and batch in the first pass.
        self.look: Callable[[int, Any], None] = lambda index, batch: None
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
        "Switch off shuffling and random augmentation, or pass list(data). check_deterministic=False skips this check."
    )


def _check_iterable(data: Any) -> None:
    if isinstance(data, Iterator):
        raise TypeError(_used_up(type(data).__name__))
    if not isinstance(data, Iterable) or isinstance(data, Tensor | Mapping):
        raise TypeError(
            f"data must be an iterable of batches; got {type(data).__name__}. Pass [batch] for a single batch, or a "
            "DataLoader of a data set."
        )


def _used_up(kind: str) -> str:
    return (
        f"data must be re-iterable, because each product is one pass; got {kind}, which is used up after the first. "
        "Pass list(data) or a DataLoader."
    )


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
    must not be cut, the loss may be no mean at all; but if it is one with other weights, these must be given.
    """

    def __init__(self, loss: LossModule, weight: Weight, *, is_counted: bool, splits: bool) -> None:
        self._loss = loss
        self._weight = weight
        self._is_counted = is_counted
        self._splits = splits
        self._short: Any = None
        # Where losses are looked at, None: where the model is; and the dtypes of losses.
        self._parameters: Values | None = None
        self._dtypes: set[torch.dtype] = set()

    def first(self, batch: Any) -> None:
        """Look at the first batch; and whether the loss is a sum."""
        if tensors_of(batch) and (not self._splits or batch_length(batch) == 1):
            sums = [math.nan]
            with contextlib.suppress(Exception):  # of a batch that cannot be cut
                sums = self._values(whole_and_halves(batch))
            check_sum(sums[0], sums[1:], self._rounding(sums))
        self.look(batch)

    def look(self, batch: Any) -> None:
        """Look at a batch: at parameters that are moved a little, or at the present ones where there is no loss."""
        if self._weight(batch) == 0:
            return
        if (self._is_counted and not self._splits) or not tensors_of(batch):
            with contextlib.suppress(torch.OutOfMemoryError):
                self._values([batch])  # which sees whether weights or the batch are changed
            return
        with contextlib.suppress(torch.OutOfMemoryError):  # products take smaller pieces
            evaluated(self._loss, batch)  # which sees whether weights or the batch are changed
        least = 2 if self._splits else 3
        if batch_length(batch) < least:
            batch = batch if self._short is None else joined(self._short, batch) or batch
        self._short = batch if batch_length(batch) < least else None
        if self._short is None:
            with contextlib.suppress(torch.OutOfMemoryError):
                for parameters in (moved(self._loss), None):
                    self._parameters = parameters
                    (whole,) = self._values([batch])
                    if math.isfinite(whole):  # if not, the product says so
                        self._check_cuts(batch, whole) if self._splits else self._check_hidden_weights(batch, whole)
                        break

    def _check_cuts(self, batch: Any, whole: float) -> None:
        length = batch_length(batch)
        edges = sorted({0, *(int(length * cut) for cut in CUTS), length})
        try:
            parts = [slice_batch(batch, *edge) for edge in itertools.pairwise(edges)]
            counted = [(weight, part) for part in parts if (weight := self._weight(part)) > 0]
            values = self._values([part for _, part in counted])
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise ValueError(
                "Batches must be cut along the first dimension of all their tensors; that of the batch "
                f"{given(batch)} failed. Pass split_batches=False, and num_examples=, the weight of a batch in the "
                f"mean. The error was: {first_sentence(error)}."
            ) from error
        if len(values) > 1:
            check_sum(whole, values, self._rounding(values))
        check_mean(whole, values, [weight for weight, _ in counted], partial(self._agree, batch))

    def _check_hidden_weights(self, batch: Any, whole: float) -> None:
        """Raise if the losses of three pieces, and of two next to one another, are means with other weights."""
        edges = [batch_length(batch) * i // 3 for i in range(4)]
        pieces = [(0, 1), (1, 2), (2, 3), (0, 2), (1, 3)]
        try:
            a, b, c, ab, bc = self._values([slice_batch(batch, edges[i], edges[j]) for i, j in pieces])
        except Exception:  # of a batch that cannot be cut
            return
        counts = [stop - start for start, stop in itertools.pairwise(edges)]
        means = {ab: mean([a, b], counts[:2]), bc: mean([b, c], counts[1:]), whole: mean([a, b, c], counts)}
        if all(self._agree(batch, value, by_count) for value, by_count in means.items()) or a == ab or c == bc:
            return
        weights = [(ab - b) / (a - ab), 1.0, (bc - b) / (c - bc)]
        if min(weights) > 0 and math.isclose(mean([a, b, c], weights), whole, rel_tol=self._eps() ** 0.5):
            raise ValueError(
                mean_message("it is one with other weights than the numbers of examples")
                + " Pass num_examples=, the weight of a batch in the mean."
            )

    def _values(self, batches: Sequence[Any]) -> list[float]:
        with warnings.catch_warnings():  # about parts that the user has not asked for
            warnings.simplefilter("ignore")
            values = [evaluated(self._loss, batch, self._parameters) for batch in batches]
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
            values.append(float(evaluated(self._loss, batch, changed)))
        return max(values) - min(values)

    def _eps(self) -> float:
        """Return the rounding of the roughest numbers that the model computes with."""
        parameters = [p for p in self._loss.model.parameters() if p.is_floating_point() or p.is_complex()]
        dtypes = {p.dtype for p in parameters} | {
            torch.get_autocast_dtype(kind) for kind in {p.device.type for p in parameters} if is_autocast_enabled(kind)
        }
        return max(torch.finfo(dtype).eps for dtype in dtypes | self._dtypes)


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


def check_mean(whole: float, values: Sequence[float], weights: Sequence[float], agree: Agree) -> None:
    """Raise ValueError unless the loss of a batch is the weighted mean of those of its parts."""
    if not agree(mean(values, weights), whole):
        raise ValueError(
            mean_message(
                "the losses of the parts of a batch, weighted by numbers of examples, do not give that of the whole"
            )
            + " If it is a mean with other weights pass num_examples=; if batches must not be cut, split_batches=False."
        )
