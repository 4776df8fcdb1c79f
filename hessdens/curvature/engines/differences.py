r"""Hessian products by central differences of gradients, where torch cannot differentiate twice.

With g the gradient and h = e max(1, ||theta||) / ||v||, the product is D(h) = (g(theta + h v) - g(theta - h v)) / 2 h.
In float64 e = 1e-8: a smooth loss is right to seven digits, and between the two points there is seldom a kink. One kink
there changes D(h) by twice D(h) - D(2 h), hence the error is 2 ||D(h) - D(2 h)|| + 10 eps ||g|| / h. Cost: 4 gradients.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hessdens.curvature.engines.engine import check_sums
from hessdens.curvature.engines.loss_module import LossModule, Values, widened

RELATIVE_STEP = 1e-8
# Where the error is larger than this part of a product, the step is made smaller: kinks are in the way.
WANTED_ERROR = 1e-4
SMALLER, TIMES_SMALLER = 8.0, 2
# What rounding does to a gradient, in units of eps.
GRADIENT_ROUNDING = 10


def relative_step(dtype: torch.dtype) -> float:
    """Return e for gradients computed in this dtype."""
    # Other dtypes balance truncation, of order h^2, with rounding over h.
    return RELATIVE_STEP if dtype == torch.float64 else float(torch.finfo(dtype).eps ** (1 / 3))


def step_sizes(lengths: Tensor, parameters_length: float, relative: float) -> Tensor:
    """Return h for vectors of these lengths, at parameters of this length; 1 for a zero vector."""
    return torch.where(lengths > 0, relative * max(1.0, parameters_length) / lengths, 1.0)


def step_along(values: Values, vector: Tensor, precision: torch.dtype) -> float:
    """Return h for one vector from these parameters, with gradients computed in this dtype."""
    norm = torch.stack([value.detach().norm() for value in values.values() if value.numel()]).norm()
    return float(step_sizes(vector.norm(), float(norm), relative_step(precision)))


def shifted(values: Values, vector: Tensor, size: float) -> dict[str, Tensor]:
    """Return parameters so many times a vector from these, which it is cut up for."""
    pieces = vector.split([value.numel() for value in values.values()])
    return {
        name: value.detach().add(piece.view_as(value), alpha=size)
        for (name, value), piece in zip(values.items(), pieces, strict=True)
    }


def differences(gradient: Callable[[float], Tensor], step: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return D(h), D(h) - D(2 h) and g(theta - 2 h v), from ``gradient(t)``, which returns g(theta + t v) to keep."""
    near = gradient(step).sub_(gradient(-step)).div_(2 * step)
    far, last = gradient(2 * step), gradient(-2 * step)
    return near, far.sub_(last).div_(-4 * step).add_(near), last


def largest_error(errors: Tensor, lengths: Tensor) -> float:
    """Return the largest relative error of products, from their errors and lengths."""
    return float(torch.where(lengths > 0, errors / lengths, 0.0).max())


@dataclasses.dataclass
class Difference:
    """A product with one vector, its error, and the losses and slopes along the vector where the gradient was taken."""

    product: Tensor
    error: Tensor
    step: float
    values: list[Tensor]
    slopes: list[Tensor]

    def is_of_the_loss(self, within: float) -> bool:
        """Return whether the slope between the two nearest points is that of the loss, up to rounding."""
        ahead, behind = (float(value) for value in self.values[:2])
        rises, slope = (ahead - behind) / (2 * self.step), float(self.slopes[0] + self.slopes[1]) / 2
        rounding = GRADIENT_ROUNDING * torch.finfo(self.values[0].dtype).eps * max(abs(ahead), abs(behind)) / self.step
        return abs(slope - rises) <= within * max(abs(slope), abs(rises)) + rounding


class DifferenceProducts:
    """Sum of the products of each added block with each row of ``probes``, shape (P, N), to a measured error.

    The model is evaluated in float64 if that is possible, whatever its dtype.
    """

    def __init__(self, loss: LossModule, parameters: Values, probes: Tensor, probes_per_block: int) -> None:
        self._loss = loss
        self._probes = probes
        self._values = {name: value.detach() for name, value in parameters.items()}
        self._total = torch.zeros_like(probes, dtype=torch.promote_types(probes.dtype, torch.float32))
        self._errors = torch.zeros(len(probes), dtype=torch.float64, device=probes.device)
        self._is_wide: bool | None = None

    def add(self, batch: Any, weight: float | Tensor) -> Tensor:
        """Add ``weight`` times the products of one block of examples; return its `check_sums`."""
        sums = []
        for probe, total, error in zip(self._probes, self._total, self._errors, strict=True):
            difference = self.difference(batch, probe)
            total += (difference.product * weight).to(total.dtype)
            error += difference.error * weight
            sums.append(check_sums(difference.values[0], [difference.product]))
        return torch.stack(sums).sum(dim=0)

    def total(self) -> Tensor:
        """Return the sum, shape (P, N)."""
        return self._total.clone()

    @property
    def error(self) -> float:
        """The largest relative error over probes, at most."""
        return largest_error(self._errors, self._total.double().norm(dim=1))

    def quotient(self, batch: Any, probe: Tensor) -> Tensor:
        """Return (g(theta + h v) - g(theta)) / h, a product whose error is not measured. Cost: 2 gradients."""
        here = self._decide_precision(batch)
        vector, step = self._vector_and_step(probe)
        _, ahead = self._gradient(batch, vector, step)
        return ahead.sub_(_flat(here, vector.dtype)).div_(step)

    def difference(self, batch: Any, probe: Tensor) -> Difference:
        """Return the product with one vector, with the step of the least error."""
        if self._is_wide is None:
            self._decide_precision(batch)
        vector, step = self._vector_and_step(probe)
        best = self._at(batch, vector, step)
        for _ in range(TIMES_SMALLER):
            if float(best.error) <= WANTED_ERROR * float(best.product.norm()):
                break
            step /= SMALLER
            smaller = self._at(batch, vector, step)
            best = smaller if smaller.error < best.error else best
        return best

    @property
    def precision(self) -> torch.dtype:
        """In what gradients are computed."""
        own = next(iter(self._values.values())).dtype
        return torch.float32 if own == torch.float64 and not self._is_wide else own

    def _decide_precision(self, batch: Any) -> list[Tensor]:
        """Return the gradient of a batch, in float64 if it can be computed so all through, as then all others are."""
        wide = {name: widened(value) for name, value in self._values.items()}
        try:
            _, here = self._loss.gradient(batch, wide, wide=True, watch=True)
        except (NotImplementedError, RuntimeError, TypeError, ValueError):
            self._is_wide = False
            return self._loss.gradient(batch, self._values)[1]
        self._is_wide, self._values = True, wide
        return here

    def _vector_and_step(self, probe: Tensor) -> tuple[Tensor, float]:
        step = step_along(self._values, probe, self.precision)
        return probe.to(next(iter(self._values.values())).dtype), step

    def _gradient(self, batch: Any, vector: Tensor, size: float) -> tuple[Tensor, Tensor]:
        """Return the loss and its gradient, so many times the vector from the parameters."""
        moved = shifted(self._values, vector, size)
        value, gradient = self._loss.gradient(batch, moved, wide=bool(self._is_wide))
        return value, _flat(gradient, vector.dtype)

    def _at(self, batch: Any, vector: Tensor, step: float) -> Difference:
        values: list[Tensor] = []
        slopes: list[Tensor] = []

        def gradient(size: float) -> Tensor:
            value, flat = self._gradient(batch, vector, size)
            values.append(value)
            slopes.append(flat @ vector)
            return flat

        product, curved, last = differences(gradient, step)
        rounding = GRADIENT_ROUNDING * torch.finfo(self.precision).eps / step * last.norm().double()
        return Difference(product, 2 * curved.norm().double() + rounding, step, values, slopes)


def _flat(gradient: list[Tensor], dtype: torch.dtype) -> Tensor:
    return torch.cat([entry.flatten() for entry in gradient]).to(dtype)
