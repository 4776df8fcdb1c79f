"""What an engine is: it adds up products of blocks of examples with fixed vectors."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from hessdens.curvature.engines.loss_module import LossModule, Values
from hessdens.errors import NonFiniteError


class Engine(Protocol):
    """Adds up the products of blocks of examples with each row of its probes.

    A new engine is a class with these methods, made by a `Make`, and a row in `hessdens.curvature.engines.tables`.
    """

    def add(self, batch: Any, weight: float | Tensor) -> Tensor:
        """Add ``weight`` times the products of one block of examples; return its `check_sums`.

        Raises UnsuitableError if the engine is not made for this model.
        """

    def total(self) -> Tensor:
        """Return the sum, shape (P, N)."""

    @property
    def error(self) -> float | None:
        """The measured relative error of the sum; None where it is exact to rounding."""


@runtime_checkable
class Replayable(Engine, Protocol):
    """An engine whose work on a block may be recorded as a CUDA graph: the same work in the same memory each time.

    Its weights may be tensors without dimensions, which are read when the work is done.
    """

    @property
    def structure(self) -> Hashable:
        """What decides which work there is, besides the block."""

    def load(self, probes: Tensor) -> None:
        """Start anew with other probes, as many as before, in the same memory."""


# (loss, parameters by name, probes of shape (P, N), probes per block) -> an engine.
Make = Callable[[LossModule, Values, Tensor, int], Engine]


class UnsuitableError(Exception):
    """The engine is not made for this model; another one is."""


def gradients(value: Tensor, leaves: Sequence[Tensor], *, create_graph: bool = False) -> list[Tensor]:
    """Return the gradient in each leaf: zero where the value does not depend on it, dense where torch has it sparse."""
    if not value.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    parts = torch.autograd.grad(value, leaves, create_graph=create_graph, materialize_grads=True)
    return [dense(part) for part in parts]


def dense(gradient: Tensor) -> Tensor:
    """Return a gradient as a tensor that is stored in full, as those of embeddings may not be."""
    return gradient if gradient.layout == torch.strided else gradient.to_dense()


def check_sums(loss: Tensor, gradients: Iterable[Tensor]) -> Tensor:
    """Return the loss and a sum over tensors that are finite if its gradient is, shape (2,), in float64."""
    sums = [g.detach().sum(dtype=torch.promote_types(g.dtype, torch.float32)) for g in gradients]
    return torch.stack([loss.detach().double(), torch.stack(sums).sum().double()])


class FiniteChecks:
    """The `check_sums` of each batch, looked at once at the end of a pass: to look is to wait for the device."""

    def __init__(self) -> None:
        self._sums: dict[int, Tensor] = {}

    def add(self, index: int, sums: Tensor) -> None:
        """Note the sums of a block of batch ``index``."""
        self._sums[index] = self._sums[index] + sums if index in self._sums else sums

    def raise_if_not(self) -> None:
        """Raise NonFiniteError naming the first batch whose loss or gradient is not finite."""
        finite = torch.isfinite(torch.stack(list(self._sums.values()))).tolist()
        for index, (loss, gradient) in zip(self._sums, finite, strict=True):
            if not (loss and gradient):
                what = "gradient" if loss else "loss"
                raise NonFiniteError(f"The loss and its gradient must be finite; the {what} of batch {index} is not.")
