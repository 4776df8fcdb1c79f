"""A matrix of a model's loss over data as an operator: passes over the data."""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hessdens._calls import warn_caller
from hessdens.curvature.checks import check_autocast, check_batch, check_modules, check_total_weight, evaluated
from hessdens.curvature.engines.cross_entropy import with_closed_form
from hessdens.curvature.engines.engine import FiniteChecks, UnsuitableError
from hessdens.curvature.engines.maker import Adding, EngineMaker
from hessdens.curvature.engines.tables import ENGINES, LAST_RESORT, Matrix, Mode
from hessdens.curvature.parameters import check_same_ties, displaced, flattened, ties, unflattened
from hessdens.curvature.plan import Plan, Schedule
from hessdens.curvature.planning.schedules import LARGE_MODEL, Schedules
from hessdens.curvature.problem import Problem, some
from hessdens.curvature.settings import TURN, product_settings
from hessdens.curvature.trials.modes import Look, Modes, explained, possible_modes
from hessdens.errors import NonFiniteError
from hessdens.linalg.fingerprint import as_number, digest_of, digest_of_all, fingerprint
from hessdens.linalg.operator import Operator

NAMES: dict[Matrix, str] = {"hessian": "Hessian", "gauss-newton": "Gauss-Newton matrix"}


class CurvatureOperator(Operator):
    """The ``matrix`` ("hessian" or "gauss-newton") of a ``problem``, a mean loss; `hessian_operator` makes one.

    Attributes
    ----------
    parameter_names
        The selected parameters, in the order of their entries in a vector.
    confirmation
        What confirmed the second derivatives of a few examples: by which mode, how near to what.
    product_error
        For central differences, the measured relative error of the latest product; else None: exact to rounding.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from hessdens import hessian_operator
    >>> data = [(torch.eye(4), torch.tensor([0, 1, 2, 0]))]
    >>> H = hessian_operator(nn.Linear(4, 3), nn.CrossEntropyLoss(), data)
    >>> H.shape, H.parameter_names, (H @ torch.ones(15, 2)).shape
    ((15, 15), ('weight', 'bias'), torch.Size([15, 2]))
    >>> H.confirmation.split(" from ")[1]
    'differences of gradients in float64'
    """

    def __init__(
        self, problem: Problem, matrix: Matrix, plan: Plan | None = None, memory_limit: int | None = None
    ) -> None:
        leader = next(iter(problem.parameters.values()))
        self.problem = problem
        self.matrix = matrix
        if not isinstance(plan, Plan | None):
            raise TypeError(f"plan must be a Plan; got {type(plan).__name__}.")
        self._plan = plan or Plan()
        self._loss = problem.loss.with_loss(with_closed_form(problem.loss.loss_fn))
        self._ties = ties(problem.loss.model)
        self._kinds = {name: (p.numel(), p.dtype, p.device) for name, p in problem.parameters.items()}
        self._shapes = {name: tuple(parameter.shape) for name, parameter in problem.parameters.items()}
        self.size = sum(parameter.numel() for parameter in problem.parameters.values())
        self.dtype = torch.promote_types(leader.dtype, torch.float32)
        self.device = leader.device
        self.name = NAMES[matrix]
        self.parameter_names = tuple(problem.parameters)
        self.product_error: float | None = None
        self._total_weight: float | None = None
        if self._plan.cuda_graph and self.device.type != "cuda":
            raise ValueError(f"plan.cuda_graph needs a model on a CUDA device; got {self.device}.")
        few = problem.first(1 if self.size > LARGE_MODEL else 8)
        with product_settings(tf32=self._plan.tf32):
            verdict = possible_modes(ENGINES[matrix], self._loss, problem.parameters, few)
            self._modes = self._allowed(verdict.modes, has_last_resort=LAST_RESORT in ENGINES[matrix])
        self.confirmation = verdict.confirmation
        self._look = Look(ENGINES[matrix], self._modes, verdict, self._loss)
        self._looks = True  # until all batches have been seen to be like the first examples
        self._maker = EngineMaker(ENGINES[matrix], self._loss, problem.parameters)
        self._schedules = Schedules(problem, self._maker, self._modes, self._plan, memory_limit)
        self._schedule: Schedule | None = None
        self._has_warned = False

    def _allowed(self, possible: Modes, *, has_last_resort: bool) -> Modes:
        """Return the modes that are possible and that the plan allows."""
        wanted = self._plan.mode
        if wanted is None:
            return possible
        is_possible = wanted in possible.known or (has_last_resort and wanted == LAST_RESORT)
        if not is_possible and wanted not in possible.all():
            names = ", ".join(possible.all())
            raise ValueError(f"This model and loss allow the modes {names}; got plan.mode={wanted!r}.")
        return Modes((wanted,))

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The ways to make products that this model allows, in order of preference, all tried on a few examples."""
        with TURN, self.problem.undisturbed(), product_settings(tf32=self._plan.tf32):
            return self._modes.all()

    @property
    def plan(self) -> Schedule:
        """How the latest block was made; before the first product, how one with a single vector would be."""
        if self._schedule is not None:
            return self._schedule
        with TURN, self.problem.undisturbed(), product_settings(tf32=self._plan.tf32):
            return self._schedules.usual(torch.zeros(1, self.size, dtype=self.dtype, device=self.device))

    @property
    def total_weight(self) -> float:
        """Number of examples, or what ``num_examples=`` counts, as the latest product saw them, or else by a read."""
        return self.problem.total_weight() if self._total_weight is None else self._total_weight

    def settle(self, num_probes: int) -> Schedule:
        """Measure now how products with so many vectors are fastest, and keep to it; return what `plan` will be.

        Cost: some twenty blocks of examples. Without this call it is done once there has been enough work.
        """
        probes = torch.randn(num_probes, self.size, generator=torch.Generator().manual_seed(0), dtype=self.dtype)
        with TURN, self.problem.undisturbed(), product_settings(tf32=self._plan.tf32):
            self._look_at_the_model()
            return self._schedules.settle(probes.to(self.device))

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each selected parameter, in the order of their entries in a vector."""
        return dict(self._shapes)

    def origin(self) -> dict[str, str | int | float]:
        """Return matrix, model, loss, and digests of parameters, buffers, data and weights. Cost: one read of all."""
        with TURN, self.problem.undisturbed():
            self._look_at_the_model()
            digests = [digest_of(fingerprint((b, float(self.problem.weight(b))))) for b in self.problem.passes]
            return {
                "matrix": self.matrix,
                "weight decay": self.problem.weight_decay,
                **self.problem.loss.facts(self.parameter_names),
                "parameters": digest_of(fingerprint(self._state())),
                "buffers": digest_of(fingerprint(dict(self._loss.model.named_buffers()))),
                "batches": len(digests),
                "data": digest_of_all(digests),  # of batches in any order, which changes rounding only
            }

    @property
    def has_whole_origin(self) -> bool:
        """True, since what is not in `origin` is code, which a product recognises to rounding."""
        return True

    def loss(self) -> float:
        """Return the mean loss over the data at the present parameters, and the penalty of ``weight_decay=``.

        Cost: one forward pass over the data.
        """
        return self.mean_loss(*self.loss_sum())

    def loss_sum(self) -> tuple[Tensor, float]:
        """Return the sum of the losses of all examples times their weights, and that of the weights."""
        return self._total(lambda block: evaluated(self.problem.loss, block).double())

    def mean_loss(self, total: Tensor, weight: float) -> float:
        """Return `loss` from a sum over examples, of other processes too, and their weight."""
        decay = self.problem.weight_decay
        squares = sum(float(p.detach().square().sum()) for p in self._parameters.values()) if decay else 0.0
        return float(total) / some(weight) + decay / 2 * squares

    def gradient(self, examples: Callable[[Any], Tensor] | None = None) -> Tensor:
        """Return the gradient of `loss` at the present parameters, shape (N,). Cost: one gradient over the data.

        ``examples`` gives a truth value for each example of a batch; the mean is then over those where it is true, as
        in ``H.gradient(lambda batch: batch[1] == 3)``. ValueError if there are none, or batches are not to be cut.
        `hessdens.curvature.gradient_noise` says how far it is off.
        """
        return self.mean_gradient(*self.gradient_sum(examples))

    def gradient_sum(self, examples: Callable[[Any], Tensor] | None = None) -> tuple[Tensor, float]:
        """Return the sum of the gradients of chosen examples times their weights, and that of the weights."""
        with product_settings(tf32=self._plan.tf32):
            total, weight = self._total(lambda block: self._gradient_of(block, self.dtype), examples)
        return total.to(self.dtype).expand(self.size).clone(), weight

    def _gradient_of(self, block: Any, dtype: torch.dtype) -> Tensor:
        _, parts = self.problem.loss.gradient(block, self._maker.parameters)
        return torch.cat([part.reshape(-1).to(dtype) for part in parts])

    def mean_gradient(self, total: Tensor, weight: float) -> Tensor:
        """Return `gradient` from a sum over examples, of other processes too, and their weight."""
        values = torch.cat([p.detach().reshape(-1).to(self.dtype) for p in self._parameters.values()])
        gradient = (total / some(weight)).add_(values, alpha=self.problem.weight_decay)
        if not torch.isfinite(gradient).all():
            raise NonFiniteError("The gradient must be finite; it is not, as after a divergence of training.")
        return gradient

    def _total(self, function: Callable[[Any], Tensor], examples: Any = None) -> tuple[Tensor, float]:
        with TURN, self.problem.undisturbed():
            self._look_at_the_model()
            return self.problem.total(function, (self._schedule or self._plan).examples_per_block, examples)

    def flatten(self, direction: Mapping[str, Any]) -> Tensor:
        """Return tensors or arrays by parameter as one vector, shape (N,); ValueError if names or shapes do not fit."""
        return flattened(direction, self._parameters, torch.empty(0, dtype=self.dtype, device=self.device))

    def unflatten(self, direction: Any) -> dict[str, Tensor]:
        """Return a vector, tensor or array of shape (N,), as a tensor for each parameter, in its shape."""
        return unflattened(direction, self._parameters, torch.empty(0, dtype=self.dtype, device=self.device))

    @contextlib.contextmanager
    def displaced(self, direction: Any, scale: float = 1.0) -> Iterator[None]:
        """Add ``scale`` times a direction to the parameters as long as the context lasts.

        The direction is a vector of shape (N,), or tensors by parameter. Afterwards, also after an error or Ctrl-C, the
        parameters are as before to the last bit. Other threads wait. A graph for derivatives must not be used beyond.
        """
        vector = self.flatten(direction) if isinstance(direction, Mapping) else direction
        parts = self.unflatten(vector)
        if not (math.isfinite(scale) and all(bool(torch.isfinite(part).all()) for part in parts.values())):
            raise ValueError("A direction and its scale must be finite; got values that are not.")
        with TURN, displaced(self._parameters, parts, scale):
            yield

    @property
    def _parameters(self) -> dict[str, nn.Parameter]:
        return self._loss.named(self._kinds)

    def state_checksum(self) -> float:
        """Return a checksum of the model's parameters. Cost: one read of them."""
        with TURN:
            return as_number(digest_of(fingerprint(self._state())))

    def _state(self) -> list[Tensor]:
        return [parameter.detach() for parameter in self._loss.model.parameters()]

    def _matmat(self, V: Tensor) -> Tensor:
        probes = V.T.contiguous()
        with TURN, self.problem.undisturbed(), product_settings(tf32=self._plan.tf32):
            self._look_at_the_model()
            while True:
                try:
                    products = self._products_of_all(probes)
                    return products.add_(probes, alpha=self.problem.weight_decay).T
                except UnsuitableError:
                    self._leave(self.plan.mode)
                    continue
                except torch.OutOfMemoryError:
                    if not self._schedules.can_do_with_less(self.plan, len(probes)):
                        raise
                self._shrink(len(probes))  # outside of the handler, in which the error keeps what the product had

    def _leave(self, mode: Mode) -> None:
        """Go on without a mode that is right for the first batch only."""
        self._modes.leave_out((mode,))
        if not self._modes.all():
            raise ValueError(
                f"plan.mode={mode!r} does not serve a later batch, which computes what the first one does not. Leave "
                "it out."
            )
        self._schedules.leave(mode)
        self._maker.release()

    def _shrink(self, num_probes: int) -> None:
        """Go on with smaller blocks, after the device had no memory for those of the present schedule."""
        if self._schedules.shrink(self.plan, num_probes) and not self._has_warned:
            self._has_warned = True
            warn_caller(
                f"Out of memory with {self.plan.examples_per_block} examples and {self.plan.probes_per_block} probes "
                "at once; going on with half as many. memory_limit= avoids the wasted pass.",
            )
        self._maker.release()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _look_at_the_model(self) -> None:
        """Take the model as it is now; raise if it is no longer one that the operator can serve."""
        check_modules(self._loss.model)
        check_same_ties(self._ties, ties(self._loss.model))
        parameters = self._loss.named(self._kinds)
        for name, parameter in parameters.items():
            kind = (parameter.numel(), parameter.dtype, parameter.device)
            if kind != self._kinds[name]:
                raise ValueError(
                    f"The model must stay as it was when the operator was made; {name!r} had (size, dtype, device) "
                    f"{self._kinds[name]} and has {kind}. Make a new operator."
                )
        check_autocast(next(iter(parameters.values())))
        self._maker.parameters = parameters

    def _products_of_all(self, probes: Tensor) -> Tensor:
        """Return the products with each row, in one pass over the data."""
        adding = Adding(self._maker, probes)
        total_weight, checks = 0.0, FiniteChecks()
        for index, batch in enumerate(self.problem.passes):
            check_batch(batch, self._loss, self.device, name=f"batch {index}")
            for block in self.problem.cut(batch, lambda: self._next(probes).examples_per_block):
                weight, schedule = self.problem.weight(block), self.plan
                if weight > 0:  # the loss of nothing is not finite
                    total_weight += weight
                    if self._looks:
                        self._look(self._maker.parameters, block, index)
                        if schedule.mode not in self._modes.known:
                            raise UnsuitableError(f"another mode for batch {index}")
                    engine = adding.engine(schedule.mode, schedule.probes_per_block, cuda_graph=schedule.cuda_graph)
                    timed = self._schedules.timed(schedule, len(probes), self.problem.amount(block))
                    with explained(self._loss, self._maker.parameters, block, index), timed:
                        checks.add(index, engine.add(block, weight))
        check_total_weight(total_weight)
        checks.raise_if_not()
        self._looks = False
        self._total_weight = total_weight
        self.product_error = adding.error
        return adding.total().div_(total_weight).to(self.dtype)

    def _next(self, probes: Tensor) -> Schedule:
        self._schedule = self._schedules.choose(probes)
        return self._schedule
