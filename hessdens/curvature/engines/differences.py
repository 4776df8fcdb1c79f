r"""Hessian products by central differences of gradients, where torch cannot differentiate twice.

With g the gradient and h = e max(1, ||theta||) / ||v||, the product is D(h) = (g(theta + h v) - g(theta - h v)) / 2 h.
In float64 e = 1e-8: a smooth loss is right to seven digits, and between the two points there is seldom a kink. One kink
there changes D(h) by twice D(h) - D(2 h), hence the error is 2 ||D(h) - D(2 h)|| + 10 eps ||g|| / h. Cost: 4 gradients.
What is detached stays as it is at theta, as it does in a derivative; to see it costs one more gradient of each block.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hessdens.curvature.engines.engine import check_sums
from hessdens.curvature.engines.loss_module import LossModule, Values, widened
from hessdens.curvature.engines.replacement import Constants, is_of_the_model
from hessdens.errors import NonFiniteError

RELATIVE_STEP = 1e-8
# Where the error is larger than this part of a product, the step is made smaller: kinks are in the way.
WANTED_ERROR = 1e-4
SMALLER, TIMES_SMALLER = 8.0, 2
# What rounding does to a gradient, in units of eps.
GRADIENT_ROUNDING = 10
# The slope of the loss along a vector, by its gradient and by differences.
SLOPE_WITHIN = 1e-3


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

    def is_of_the_loss(self) -> bool:
        """Return whether the slope between the two nearest points is that of the loss, up to rounding."""
        slope, rise = self._slopes()
        largest = max(abs(float(value)) for value in self.values[:2])
        rounding = GRADIENT_ROUNDING * torch.finfo(self.values[0].dtype).eps * largest / self.step
        return abs(slope - rise) <= SLOPE_WITHIN * max(abs(slope), abs(rise)) + rounding

    def gap(self) -> float:
        """Return how far the slope between the two nearest points is from that of the loss; infinite where unknown."""
        slope, rise = self._slopes()
        return abs(slope - rise) if math.isfinite(slope - rise) else math.inf

    def _slopes(self) -> tuple[float, float]:
        """Return the slope along the vector by gradients, and by losses."""
        ahead, behind = (float(value) for value in self.values[:2])
        return float(self.slopes[0] + self.slopes[1]) / 2, (ahead - behind) / (2 * self.step)


class DifferenceProducts:
    """Sum of the products of each added block with each row of ``probes``, shape (P, N), to a measured error.

    The model is evaluated in float64 if that is possible, whatever its dtype. For the Gauss-Newton matrix, the outputs
    are moved only, and the gradient of the loss in them is pulled back where the parameters are.
    """

    def __init__(
        self,
        loss: LossModule,
        parameters: Values,
        probes: Tensor,
        probes_per_block: int,
        *,
        gauss_newton: bool = False,
    ) -> None:
        self._loss = loss
        self._gauss_newton = gauss_newton
        self._probes = probes
        self._values = {name: value.detach() for name, value in parameters.items()}
        self._total = torch.zeros_like(probes, dtype=torch.promote_types(probes.dtype, torch.float32))
        self._errors = torch.zeros(len(probes), dtype=torch.float64, device=probes.device)
        self._is_wide: bool | None = None
        self._keeps: bool | None = None
        self._failure: Exception | None = None

    def add(self, batch: Any, weight: float | Tensor) -> Tensor:
        """Add ``weight`` times the products of one block of examples; return its `check_sums`."""
        sums, constants = [], self._constants(batch)
        for probe, total, error in zip(self._probes, self._total, self._errors, strict=True):
            difference = self._best(batch, probe, constants)
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
        """Return the product with one vector.

        Raises NonFiniteError where the gradient is finite at the parameters, but not near them.
        """
        return self._best(batch, probe, self._constants(batch))

    def _constants(self, batch: Any) -> Constants | None:
        """Return what is detached, unless the gradient is that of a loss where this moves, as of implicit layers."""
        if self._is_wide is None:
            self._decide_precision(batch)
        generator, constants = torch.Generator().manual_seed(0), Constants()
        vector, step = self._vector_and_step(torch.randn(self._probes.shape[1], generator=generator).to(self._probes))
        self._gradient(batch, vector, 0.0, constants)
        if not constants.kept:
            return None
        if self._keeps is None:
            moving, kept = (self._at(batch, vector, step, choice).gap() for choice in (None, constants))
            self._keeps = kept <= moving
        return constants if self._keeps else None

    def _best(self, batch: Any, probe: Tensor, constants: Constants | None) -> Difference:
        """Return the product with the step of the least error."""
        vector, step = self._vector_and_step(probe)
        best = self._at(batch, vector, step, constants)
        for _ in range(TIMES_SMALLER):
            if float(best.error) <= WANTED_ERROR * float(best.product.norm()):
                break
            step /= SMALLER
            smaller = self._at(batch, vector, step, constants)
            best = smaller if smaller.error < best.error else best
        if math.isfinite(best.error):
            return best
        value, here = self._gradient(batch, vector, 0.0)
        if value.isfinite() and here.isfinite().all():
            reason = f": {self._failure}" if self._failure else "."
            raise NonFiniteError(f"Central differences need a finite gradient near the parameters{reason}")
        return dataclasses.replace(best, product=here)

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

    def _gradient(
        self, batch: Any, vector: Tensor, size: float, constants: Constants | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the loss and its gradient, so many times the vector from the parameters.

        Not finite where the model raises an error there, but not at the parameters.
        """
        mode = constants and (Constants(constants) if size else constants)
        moved, is_wide = shifted(self._values, vector, size), bool(self._is_wide)
        try:
            if self._gauss_newton:
                value, gradient = self._loss.pulled_gradient(batch, self._values, moved, wide=is_wide, forward=mode)
            else:
                value, gradient = self._loss.gradient(batch, moved, wide=is_wide, forward=mode)
        except Exception as error:
            if size == 0 or not is_of_the_model(error):
                raise
            self._failure = error
            return vector.new_tensor(math.nan), torch.full_like(vector, math.nan)
        return value, _flat(gradient, vector.dtype)

    def _at(self, batch: Any, vector: Tensor, step: float, constants: Constants | None) -> Difference:
        values: list[Tensor] = []
        slopes: list[Tensor] = []

        def gradient(size: float) -> Tensor:
            value, flat = self._gradient(batch, vector, size, constants)
            values.append(value)
            slopes.append(flat @ vector)
            return flat

        product, curved, last = differences(gradient, step)
        rounding = GRADIENT_ROUNDING * torch.finfo(self.precision).eps / step * last.norm().double()
        error = (2 * curved.norm().double() + rounding).nan_to_num(nan=math.inf)
        return Difference(product, error, step, values, slopes)


def _flat(gradient: list[Tensor], dtype: torch.dtype) -> Tensor:
    return torch.cat([entry.flatten() for entry in gradient]).to(dtype)
