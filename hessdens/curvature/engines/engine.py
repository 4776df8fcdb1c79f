"""What an engine is: it adds up products of blocks of examples."""

from collections.abc import Iterable

import torch
from torch import Tensor

from hessdens.errors import NonFiniteError


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
