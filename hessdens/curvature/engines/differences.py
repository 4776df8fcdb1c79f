r"""Hessian products by central differences of gradients, where torch cannot differentiate twice.

With g the gradient and h = eps^(1/5) max(1, ||theta||) / ||v||, D(h) = (g(theta + h v) - g(theta - h v)) / (2 h); the
product is (4 D(h) - D(2 h)) / 3, whose truncation error is of order h^4. Cost: 4 gradients per product.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hessdens.curvature.engines.engine import check_sums, gradients
from hessdens.curvature.engines.loss_module import LossModule, Values

# Balances truncation, of order h^4, with the rounding of gradients over h.
POWER_OF_EPS = 0.2


def step_sizes(lengths: Tensor, parameters_length: float, dtype: torch.dtype) -> Tensor:
    """Return h for vectors of these lengths, at parameters of this length and dtype; 1 for a zero vector."""
    step = torch.finfo(dtype).eps ** POWER_OF_EPS * max(1.0, parameters_length)
    return torch.where(lengths > 0, step / lengths, 1.0)


def add_differences(
    gradient: Callable[[Any], Tensor], step: Tensor | float, near: Tensor, far: Tensor, weight: float | Tensor = 1.0
) -> None:
    """Add ``weight`` D(h) to ``near`` and ``weight`` D(2 h) to ``far``, in place.

    ``gradient(t)`` returns g(theta + t v) in memory that may be written to.
    """
    for total, size in ((near, step), (far, 2 * step)):
        for sign in (1, -1):
            total += gradient(sign * size).mul_(sign * weight).div_(2 * size)


def extrapolated(near: Tensor, far: Tensor) -> Tensor:
    """Return (4 D(h) - D(2 h)) / 3, written over the latter."""
    return far.neg_().add_(near, alpha=4).div_(3)


def largest_error(differences: Tensor, lengths: Tensor) -> float:
    """Return the largest relative difference between products and D(h), from the lengths of both.

    It bounds the truncation error, and is of the size of the rounding error.
    """
    return float(torch.where(lengths > 0, differences / lengths, 0.0).max())


class DifferenceProducts:
    """Sum of the products of each added block with each row of ``probes``, shape (P, N), to a measured error."""

    def __init__(self, loss: LossModule, parameters: Values, probes: Tensor, probes_per_block: int) -> None:
        self._loss = loss
        self._probes = probes
        self._values = {name: value.detach() for name, value in parameters.items()}
        self._sizes = [value.numel() for value in self._values.values()]
        norm = torch.stack([value.norm() for value in self._values.values()]).norm()
        self._steps = step_sizes(probes.norm(dim=1), float(norm), next(iter(self._values.values())).dtype)
        self._near = torch.zeros_like(probes)
        self._far = torch.zeros_like(probes)

    def add(self, batch: Any, weight: float | Tensor) -> Tensor:
        """Add ``weight`` times the products of one block of examples; return its `check_sums`."""
        sums = []

        def gradient(probe: Tensor, step: Tensor) -> Tensor:
            value, gradient = self._gradient(batch, step * probe)
            sums.append(check_sums(value, [gradient]))
            return gradient

        for probe, step, near, far in zip(self._probes, self._steps, self._near, self._far, strict=True):
            add_differences(partial(gradient, probe), step, near, far, weight)
        return torch.stack(sums).sum(dim=0)

    def total(self) -> Tensor:
        """Return the sum, shape (P, N)."""
        return extrapolated(self._near, self._far.clone())

    @property
    def error(self) -> float:
        """The largest relative difference over probes between the products and those of D(h) alone."""
        total = self.total()
        return largest_error((total - self._near).norm(dim=1), total.norm(dim=1))

    def _gradient(self, batch: Any, shift: Tensor) -> tuple[Tensor, Tensor]:
        pieces = shift.split(self._sizes)
        values = {
            name: (value + piece.view_as(value)).to(value.dtype).requires_grad_()
            for (name, value), piece in zip(self._values.items(), pieces, strict=True)
        }
        with torch.enable_grad():
            value = self._loss.value(batch, values)
        gradient = torch.cat([entry.flatten() for entry in gradients(value, list(values.values()))])
        return value.detach(), gradient
