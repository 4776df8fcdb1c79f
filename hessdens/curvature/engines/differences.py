"""Hessian products by central differences of gradients, where torch cannot differentiate twice."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hessdens.curvature.engines.engine import check_sums
from hessdens.curvature.engines.loss_module import LossModule

Values = Mapping[str, Tensor]


class DifferenceProducts:
    r"""Sum of the products of each added block with each row of ``probes``, shape (P, N), to a measured error.

    With g the gradient and h = eps^(1/5) max(1, ||theta||) / ||v||, D(h) = (g(theta + h v) - g(theta - h v)) / (2 h);
    the product is (4 D(h) - D(2 h)) / 3, whose truncation error is of order h^4. Cost: 4 gradients a product.
    """

    def __init__(self, loss: LossModule, parameters: Values, probes: Tensor, probes_per_block: int) -> None:
        self._loss, self._probes = loss, probes
        self._values = {name: value.detach() for name, value in parameters.items()}
        self._sizes = [value.numel() for value in self._values.values()]
        norm = torch.stack([value.norm() for value in self._values.values()]).norm()
        step = torch.finfo(next(iter(self._values.values())).dtype).eps ** 0.2 * max(1.0, float(norm))
        lengths = probes.norm(dim=1)
        self._steps = torch.where(lengths > 0, step / lengths, 1.0)
        self._near, self._far = torch.zeros_like(probes), torch.zeros_like(probes)

    def add(self, batch: Any, weight: float) -> Tensor:
        """Add ``weight`` times the products of one block of examples; return its `check_sums`."""
        sums = []
        for i, probe in enumerate(self._probes):
            for total, step in ((self._near[i], self._steps[i]), (self._far[i], 2 * self._steps[i])):
                for sign in (1, -1):
                    value, gradient = self._gradient(batch, sign * step * probe)
                    total += sign * weight * gradient / (2 * step)
                    sums.append(check_sums(value, [gradient]))
        return torch.stack(sums).sum(dim=0)

    def total(self) -> Tensor:
        """Return the sum, shape (P, N)."""
        return (4 * self._near - self._far) / 3

    def relative_error(self) -> float:
        """Return the largest relative difference over probes between the products and those with the step doubled.

        A bound on the truncation error, and of the size of the rounding error.
        """
        total = self.total()
        norms = total.norm(dim=1)
        errors = (total - self._near).norm(dim=1)
        return float(torch.where(norms > 0, errors / norms, 0.0).max())

    def _gradient(self, batch: Any, shift: Tensor) -> tuple[Tensor, Tensor]:
        pieces = shift.split(self._sizes)
        values = {
            name: (value + piece.view_as(value)).to(value.dtype).requires_grad_()
            for (name, value), piece in zip(self._values.items(), pieces, strict=True)
        }
        with torch.enable_grad():
            value = self._loss.value(batch, values)
        gradient = torch.cat([entry.flatten() for entry in torch.autograd.grad(value, list(values.values()))])
        return value.detach(), gradient
