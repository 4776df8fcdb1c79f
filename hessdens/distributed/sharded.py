"""Hessians of models that ``fully_shard`` has divided among processes; no process holds a whole vector."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hessdens.curvature.checks import check_batch, check_finite, check_modules, check_scalar, check_total_weight
from hessdens.curvature.data.passes import RepeatedPasses
from hessdens.curvature.engines.differences import GRADIENT_ROUNDING, differences, step_sizes
from hessdens.curvature.engines.loss_module import Forward, LossModule
from hessdens.curvature.means import check_mean, check_sum, checked_weight, whole_and_halves
from hessdens.curvature.parameters import flattened, unflattened
from hessdens.curvature.settings import TURN, Undisturbed
from hessdens.distributed.agreement import check_different, check_table
from hessdens.distributed.group import Group
from hessdens.distributed.shards import Shard, gradients_aside, group_sizes, kept, reshard, rows_of, shards_of
from hessdens.distributed.teams import ShardedTeam
from hessdens.errors import NonFiniteError, RankError
from hessdens.linalg.fingerprint import Fingerprint, digest_of, fingerprint
from hessdens.linalg.inner_products import column_dots
from hessdens.linalg.operator import Operator


def sharded_operator(
    model: nn.Module,
    loss_fn: Callable[[Any, Any], Tensor],
    data: Iterable[Any],
    *,
    forward: Forward | None = None,
    num_examples: Callable[[Any], float] | None = None,
    check_deterministic: bool = True,
    allow_equal_data: bool = False,
) -> "ShardedOperator":
    r"""Return the Hessian of the mean loss over the data of all processes, for a model sharded by ``fully_shard``.

    Vectors are sharded as the parameters are: of N = ``size`` entries a process has those of its own shards, one after
    the other, ``num_rows``. Estimators give the same result on every process. Backward passes through ``fully_shard``
    cannot be differentiated, so products are differences of gradients, with a measured error. With g the gradient and
    h = eps^(1/5) max(1, ||theta||) / ||v||, D(h) = (g(theta + h v) - g(theta - h v)) / (2 h); the product is
    (4 D(h) - D(2 h)) / 3.

    The model stays as it is: parameters are restored to the last bit, gradients are not touched.

    Parameters
    ----------
    model
        Sharded along the first dimension of its parameters, over a mesh of one dimension, in float32 or float64.
    loss_fn, forward, num_examples, check_deterministic
        As in `hessian_operator`.
    data
        This process' part: a re-iterable of batches, each of which is one forward and backward pass. Parts may be
        uneven; a process with fewer batches repeats its first with weight zero.
    allow_equal_data
        Whether two processes may have the same data.

    Raises
    ------
    ValueError
        If parameters are not sharded in this way, or the loss is no mean over examples, random or not a scalar.
        At the first product: if the gradient is not that of the loss, parts of which are detached.
    NonFiniteError
        If the loss is not finite.
    RankError
        On every process: if models, losses or libraries differ between processes, or data do not.

    Notes
    -----
    Cost: 4 gradients per vector. Besides the model, a process holds its shards of one gradient, of a copy of the
    parameters, of the P vectors and P products, and of three vectors more. Sent: `sharded_traffic`. Each process draws
    all entries of a probe and keeps its own.
    """
    check_modules(model)
    loss = LossModule(model, loss_fn, forward)
    with TURN, Undisturbed():  # attributes are those of fully_shard
        return ShardedOperator(loss, data, checked_weight(num_examples), check_deterministic, allow_equal_data)


# Gradients along a vector, and differences of the loss, agree to this part of the largest, or the loss has other ones.
SLOPE_WITHIN = 0.05


class ShardedOperator(Operator):
    """Hessian of a sharded model; made by `sharded_operator`.

    Attributes
    ----------
    parameter_names
        Parameters that the loss depends on, in the order of their entries in a vector.
    product_error
        The measured relative error of the latest product; before the first, NaN.
    total_weight
        Number of examples of all processes.
    num_steps
        Forward and backward passes of a gradient: the batches of the process that has most.
    """

    def __init__(
        self, loss: LossModule, data: Iterable[Any], weight: Callable[[Any], float], check: bool, allow_equal_data: bool
    ) -> None:
        self.name = "Hessian"
        self._loss = loss
        self._weight = weight
        reshard(loss.model)
        shards, mesh = shards_of(loss.model)
        self._group = Group(mesh, "sharded_operator")
        leader = next(iter(shards.values())).local
        self.dtype, self.device = leader.dtype, leader.device
        # Balances truncation, of order h^4, with rounding over h.
        self._relative_step = float(torch.finfo(self.dtype).eps ** 0.2)
        choices = {"check_deterministic": check, "allow_equal_data": allow_equal_data}
        prepared = self._group.together(lambda: (*self._prepare(data, check), self._facts() | choices))
        weights, counts, digests, facts = map(list, zip(*prepared, strict=True))
        check_table(self._group, facts, "the same model and loss")
        if not allow_equal_data:
            check_different(self._group, digests)
        self.total_weight: float = sum(weights)
        self.num_steps: int = max(counts)
        self._check_loss(check)
        used = self._used(shards)
        self.parameter_names = tuple(used)
        self._shards = list(used.values())
        self.size = sum(shard.parameter.numel() for shard in self._shards)
        self.product_error = math.nan
        self.team = ShardedTeam(self._group, rows_of(self._shards), self.device)

    @property
    def shard_sizes(self) -> list[int]:
        """Numbers of parameters that a process holds of each ``fully_shard``, padding included."""
        return group_sizes(self._loss.model)

    def origin(self) -> dict[str, str | int | float]:
        """Return model and loss, and digests of the shards, buffers and data of this process."""
        state = (
            fingerprint([shard.local for shard in self._shards]),
            fingerprint(dict(self._loss.model.named_buffers())),
        )
        parameters, buffers = map(digest_of, state)
        return {**self._facts(), "parameters": parameters, "buffers": buffers, "data": self._data}

    @property
    def has_whole_origin(self) -> bool:
        """True, since a checkpoint need not look at the last bits of products, which are differences."""
        return True

    def _prepare(self, data: Iterable[Any], check: bool) -> tuple[float, int, str]:
        """Return weight, number of batches and a digest of this process' data."""
        if not callable(self._loss.loss_fn):
            raise TypeError(f"loss_fn must be callable; got {type(self._loss.loss_fn).__name__}.")
        self._passes = RepeatedPasses(data, check=check)
        self._passes.skip_to(lambda batch: self._weight(batch) > 0)
        weights: list[float] = []
        prints: Fingerprint = []
        for index, batch in enumerate(self._passes):
            check_batch(batch, self._loss, self.device, name=f"batch {index}")
            weights.append(self._weight(batch))
            prints += fingerprint(batch)
        check_total_weight(sum(weights))
        self._data = digest_of(prints)
        return sum(weights), len(weights), self._data

    def _facts(self) -> dict[str, Any]:
        return {
            **self._loss.facts(name for name, _ in self._loss.model.named_parameters()),
            "dtype": str(self.dtype),
            "torch version": str(torch.__version__),
        }

    def _value(self, batch: Any) -> Tensor:
        return self._loss.loss_of(*self._loss.forward(batch))

    def _check_loss(self, repeats: bool) -> None:
        """Raise everywhere unless the loss of the first batch is a finite scalar, repeats itself, and is a mean."""
        batch, *halves = whole_and_halves(self._passes.first_batch)
        with torch.no_grad():  # four forward passes on every process, because each is work of all
            whole, again, *parts = (self._value(piece) for piece in (batch, batch, *halves))
        reshard(self._loss.model)

        def verdict() -> None:
            check_scalar(whole)
            check_finite(whole, self._loss, batch, self._passes.first_index)
            value = float(whole)
            if repeats and not torch.equal(whole, again):
                raise ValueError(f"The loss must not be random; got {value!r} and then {float(again)!r}.")
            weights, values = [self._weight(half) for half in halves], [float(part) for part in parts]
            rounding = torch.finfo(self.dtype).eps ** 0.5 * max(map(abs, values))
            check_sum(value, values, rounding)
            if min(weights) > 0:
                check_mean(value, values, weights, lambda x, y: abs(x - y) <= rounding, batch)

        self._group.together(verdict)

    def _used(self, shards: dict[str, Shard]) -> dict[str, Shard]:
        """Return the shards of parameters that the loss of the first batch depends on, on any process."""
        with gradients_aside(shards.values()), torch.enable_grad():
            value = self._value(self._passes.first_batch)
            if not value.requires_grad:
                raise ValueError("The loss must depend on the parameters; it depends on none of them.")
            value.backward()
            return {name: shard for name, shard in shards.items() if shard.parameter.grad is not None}

    def loss(self) -> float:
        """Return the mean loss over the data of all processes at the present parameters. Cost: one forward pass."""
        reshard(self._loss.model)
        with TURN, Undisturbed(), torch.no_grad():
            own = sum(float(value) * weight for value, weight in self._values() if weight > 0)
            reshard(self._loss.model)
        mean = float(self.team.sum(torch.tensor(own, dtype=torch.float64, device=self.device))) / self.total_weight
        if not math.isfinite(mean):
            raise NonFiniteError(f"The loss must be finite; that of the data of all ranks is {mean}.")
        return mean

    def gradient(self) -> Tensor:
        """Return this process' entries of the gradient of `loss`, shape (num_rows,). Cost: one gradient."""
        zero = torch.zeros(self.num_rows, dtype=self.dtype, device=self.device)
        with TURN, Undisturbed(), gradients_aside(self._shards), kept(self._shards, self._loss.model) as starts:
            return self._gradient(starts, 0.0, zero)[1]

    def flatten(self, direction: Mapping[str, Any]) -> Tensor:
        """Return this process' shards by parameter as its entries of a vector, shape (num_rows,)."""
        return flattened(direction, self._locals(), self._shards[0].local)

    def unflatten(self, direction: Any) -> dict[str, Tensor]:
        """Return this process' entries of a vector by parameter, in the shapes of its shards."""
        return unflattened(direction, self._locals(), self._shards[0].local)

    @contextmanager
    def displaced(self, direction: Any, scale: float = 1.0) -> Iterator[None]:
        """Add ``scale`` times a vector to the parameters for a while; this process passes its own entries."""
        parts = self.unflatten(direction)
        with TURN, kept(self._shards, self._loss.model):
            for shard, part in zip(self._shards, parts.values(), strict=True):
                shard.local.add_(part, alpha=scale)
            yield

    def _locals(self) -> dict[str, Tensor]:
        return dict(zip(self.parameter_names, (shard.local for shard in self._shards), strict=True))

    def _matmat(self, V: Tensor) -> Tensor:
        check_modules(self._loss.model)
        fewest, most = self.team.least(V.shape[1]), -self.team.least(-V.shape[1])
        if fewest < most:
            raise RankError(f"All ranks must have as many vectors in a product; they have from {fewest} to {most}.")
        squares = torch.stack([shard.local.square().sum(dtype=torch.float64) for shard in self._shards]).sum()
        steps = step_sizes(
            column_dots(V, V, self.team).sqrt(), float(self.team.sum(squares)) ** 0.5, self._relative_step
        )
        products, errors = torch.zeros_like(V.T), []
        with TURN, Undisturbed(), gradients_aside(self._shards), kept(self._shards, self._loss.model) as starts:
            for product, probe, step in zip(products, V.T, steps.tolist(), strict=True):
                errors.append(self._difference(starts, probe, step, product))
        self.product_error = max(errors)
        return products.T

    def _difference(self, starts: list[Tensor], probe: Tensor, step: float, product: Tensor) -> float:
        """Write the product with one vector to ``product``, which is zero; return its relative error."""
        losses: list[Tensor] = []
        slopes: list[Tensor] = []

        def gradient(size: float) -> Tensor:
            loss, found = self._gradient(starts, size, probe)
            losses.append(loss)
            slopes.append(found.double() @ probe.double())
            return found

        near, curved, last = differences(gradient, step)
        self._check_slopes(self.team.sum(torch.stack([*losses, *slopes])), step)
        product.copy_(near).add_(curved, alpha=1 / 3)
        vectors = torch.stack([near, curved, last], dim=1)
        length, distance, slope = column_dots(vectors, vectors, self.team).sqrt().tolist()
        # One kink between the points, which D(h) shows twice.
        error = 7 / 3 * distance + GRADIENT_ROUNDING * torch.finfo(self.dtype).eps / step * slope
        return error / length if length > 0 else 0.0

    def _check_slopes(self, sums: Tensor, step: float) -> None:
        """Raise ValueError if gradients are not those of the loss: ``sums`` are losses at ±h and ±2h, and slopes."""
        losses, slopes = sums[:4] / self.total_weight, sums[4:]
        rises, means = (losses[::2] - losses[1::2]) / (2 * step), (slopes[::2] + slopes[1::2]) / 2
        rises[1] /= 2
        # Extrapolated, so that third derivatives do not matter.
        gap = abs(float((4 * rises[0] - rises[1]) / 3 - (4 * means[0] - means[1]) / 3))
        rounding = GRADIENT_ROUNDING * torch.finfo(self.dtype).eps * float(losses.abs().max()) / step
        if gap > SLOPE_WITHIN * float(slopes.abs().max()) + rounding:
            raise ValueError(
                "The gradient must be the derivative of the loss, since products of a sharded model are differences "
                f"of gradients; along a vector they differ by {gap:.1g} of {float(slopes.abs().max()):.1g}. Parts of "
                "the loss that are detached, or custom functions, have other products here: use hessian_operator on "
                "the whole model."
            )

    def _gradient(self, starts: list[Tensor], size: float, probe: Tensor) -> tuple[Tensor, Tensor]:
        """Return this process' part of the loss of all examples, and its entries of the gradient of the mean loss.

        Both are ``size`` times the vector from ``starts``.
        """
        pieces = probe.split([start.numel() for start in starts])
        for shard, start, piece in zip(self._shards, starts, pieces, strict=True):
            shard.local.copy_(start).add_(piece.view_as(start), alpha=size)
            shard.parameter.grad = None
        # fully_shard averages gradients over processes.
        scale = self._group.num_ranks / self.total_weight
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        with torch.enable_grad():
            for value, weight in self._values():
                (value * (scale * weight)).backward()
                total += value.detach() * weight if weight > 0 else 0.0
        return total, torch.cat([shard.gradient().flatten() for shard in self._shards])

    def _values(self) -> Iterator[tuple[Tensor, float]]:
        """Yield losses of batches and weights, as often on each process; without weight, the first batch serves."""
        spare = self.num_steps
        for batch in self._passes:
            weight = self._weight(batch)
            yield self._value(batch if weight > 0 else self._passes.first_batch), weight
            spare -= 1
        for _ in range(spare):
            yield self._value(self._passes.first_batch), 0.0
