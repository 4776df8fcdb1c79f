"""A matrix of a model's loss over data as an operator: passes over the data, plans, and what is possible."""

import itertools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hessdens.curvature.checks import check_autocast, check_batch, check_modules
from hessdens.curvature.containers import batch_length, slice_batch
from hessdens.curvature.engines.cross_entropy import with_closed_form
from hessdens.curvature.engines.cuda_graphs import GraphedProducts
from hessdens.curvature.engines.engine import FiniteChecks
from hessdens.curvature.engines.tape import NotFeedforwardError
from hessdens.curvature.memory_model import MemoryModel, peak_memory
from hessdens.curvature.plan import Mode, Plan
from hessdens.curvature.planner import Planner
from hessdens.curvature.problem import Problem
from hessdens.curvature.settings import product_settings
from hessdens.curvature.trials import is_differentiable_once_only, place_without_derivative
from hessdens.errors import NonFiniteError
from hessdens.linalg.fingerprint import fingerprint, summed
from hessdens.linalg.memory import usual_bytes
from hessdens.linalg.operator import Operator

# Above this number of parameters, trials use one example and one probe.
LARGE_MODEL = 10_000_000
# Timed with this many probes at least, of which a block may have fewer.
PROBES_OF_TRIAL = 8
# Differences of gradients in float32 are right to about 1e-3 for a smooth loss; a wrong derivative is far off.
TOLERANCE_OF_DIFFERENCES = 0.1
# Blocks of work after which a measurement of some 20 blocks pays for itself.
WORK_BEFORE_MEASURING = 40


class CurvatureOperator(Operator):
    """Hessian, Gauss-Newton or Fisher matrix of a mean loss; made by `hessian_operator` and its like.

    Attributes
    ----------
    parameter_names
        The selected parameters, in the order of their entries in a vector.
    modes
        Those that this model allows, of which the plan has one.
    plan
        The `Plan` of the latest product; before the first, what it starts from.
    product_error
        For central differences, the measured relative error of the latest product; else None: exact to rounding.
    total_weight
        Number of examples in the data, or what ``num_examples=`` says: of the latest product; before the first, NaN.
    """

    def __init__(self, engines: Mapping[Mode, Any], problem: Problem, plan: Plan, memory_limit: int | None) -> None:
        self._engines, self._problem = engines, problem
        self._loss = problem.loss.with_loss(with_closed_form(problem.loss.loss_fn))
        self._parameters, self._splits = problem.parameters, problem.splits
        self._first_batch = problem.passes.first_batch
        leader = next(iter(self._parameters.values()))
        self._kinds = {name: (p.numel(), p.dtype, p.device) for name, p in self._parameters.items()}
        self.size = sum(parameter.numel() for parameter in self._parameters.values())
        self.dtype = torch.promote_types(leader.dtype, torch.float32)
        self.device = leader.device
        self.parameter_names = tuple(self._parameters)
        self.product_error: float | None = None
        self.total_weight = float("nan")
        if plan.cuda_graph and self.device.type != "cuda":
            raise ValueError(f"plan.cuda_graph needs a model on a CUDA device; got {self.device}.")
        self._given, self._memory_limit = plan, memory_limit
        with product_settings(tf32=plan.tf32):
            self.modes = self._possible_modes()
        self._memory_models: dict[Mode, MemoryModel] = {}
        self._plans: dict[int, Plan] = {}
        self._work, self._was_halved = 0, False
        self._graphed: tuple[Any, GraphedProducts] | None = None
        self.plan = plan.filled(Plan(self.modes[0]))

    @property
    def parameter_sizes(self) -> dict[str, int]:
        """Number of entries of each selected parameter, in the order of their entries in a vector."""
        return {name: parameter.numel() for name, parameter in self._parameters.items()}

    def origin(self) -> dict[str, str | int | float]:
        """Return model, loss, parameters and data, the last two as checksums. Cost: one read of both."""
        self._look_at_the_model()
        prints = [fingerprint(batch) for batch in self._problem.passes]
        parts = [part for print_ in prints for part in print_]
        state = fingerprint(dict(self._loss.model.named_buffers()))
        return {
            "model": type(self._loss.model).__name__,
            "loss": getattr(self._problem.loss.loss_fn, "__name__", type(self._problem.loss.loss_fn).__name__),
            "parameter names": ", ".join(self.parameter_names),
            "parameters": self.state_checksum(),
            "buffers": summed(state),
            "batches": len(prints),
            "data": summed(parts),
        }

    def loss(self) -> float:
        """Return the mean loss over the data at the parameters of the moment. Cost: one forward pass over the data."""
        self._look_at_the_model()
        total, total_weight = 0.0, 0.0
        with torch.no_grad():
            for batch in self._problem.passes:
                for block in self._blocks(batch):
                    weight = float(self._problem.weight(block))
                    total += weight * float(self._problem.loss.value(block, {}))
                    total_weight += weight
        return total / total_weight

    def state_checksum(self) -> float:
        """Return a checksum of the model's parameters. Cost: one read of them."""
        return summed(fingerprint([p.detach() for p in self._loss.model.parameters()]))

    def _matmat(self, V: Tensor) -> Tensor:
        self._look_at_the_model()
        probes = V.T.contiguous()
        with product_settings(tf32=self._given.tf32):
            self.plan = self._choose_plan(probes)
            while True:
                try:
                    return self._products_of_all(probes).T
                except torch.OutOfMemoryError:
                    self.plan = self._plans[len(probes)] = self._halved()

    def _look_at_the_model(self) -> None:
        """Take the model as it is now; raise if it is no longer one that the operator can serve."""
        check_modules(self._loss.model)
        self._parameters = self._loss.named(self._parameters)
        for name, parameter in self._parameters.items():
            found = (parameter.numel(), parameter.dtype, parameter.device)
            if found != self._kinds[name]:
                raise ValueError(
                    f"The model must stay as it was when the operator was made; {name!r} had (size, dtype, device) "
                    f"{self._kinds[name]} and has {found}. Make a new operator."
                )
        check_autocast(next(iter(self._parameters.values())))

    def _products_of_all(self, probes: Tensor) -> Tensor:
        """Return the products with each row, in one pass over the data."""
        engine = self._engine(self.plan, probes)
        total_weight, checks = 0.0, FiniteChecks()
        for index, batch in enumerate(self._problem.passes):
            check_batch(
                batch, self._loss.model, self.device, has_forward=not self._problem.is_pair, name=f"batch {index}"
            )
            for block in self._blocks(batch):
                weight = float(self._problem.weight(block))
                total_weight += weight
                checks.add(index, engine.add(block, weight))
        if not total_weight > 0:
            raise ValueError(f"num_examples must add up to more than zero over data; got {total_weight}.")
        checks.raise_if_not()
        self.total_weight = total_weight
        total: Tensor = engine.total()
        if self.plan.mode == "central-differences":
            self.product_error = engine.relative_error()
        return total.div_(total_weight).to(self.dtype)

    def _engine(self, plan: Plan, probes: Tensor) -> Any:
        """Return what adds up the products with each row: a new one, or for CUDA graphs the latest one if it fits."""
        assert plan.mode is not None
        make = partial(self._engines[plan.mode], self._loss, self._parameters)
        if not plan.cuda_graph or plan.mode == "central-differences":
            return make(probes, plan.probes_per_block)
        state = (*self._loss.model.parameters(), *self._loss.model.buffers())
        autocast = torch.is_autocast_enabled(self.device.type)
        key = (plan, len(probes), autocast, *((t.data_ptr(), t.dtype, t.shape) for t in state))
        if self._graphed is None or self._graphed[0] != key:
            self._graphed = None  # frees its memory before more is taken
            self._graphed = key, GraphedProducts(make(probes.clone(), plan.probes_per_block))
        else:
            self._graphed[1].load(probes)
        return self._graphed[1]

    def _halved(self) -> Plan:
        """Return the plan with half the block, after the device had no memory for it; the pass starts anew."""
        plan = self.plan
        assert plan.examples_per_block is not None
        assert plan.probes_per_block is not None
        if self._splits and plan.examples_per_block > 1:
            smaller = replace(plan, examples_per_block=plan.examples_per_block // 2)
        elif plan.probes_per_block > 1:
            smaller = replace(plan, probes_per_block=plan.probes_per_block // 2)
        else:
            raise
        if not self._was_halved:
            self._was_halved = True
            warnings.warn(
                f"Out of memory with {plan.examples_per_block} examples and {plan.probes_per_block} probes at once; "
                "going on with half as many. memory_limit= avoids the wasted pass.",
                stacklevel=5,
            )
        self._graphed = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return smaller

    def _blocks(self, batch: Any) -> list[Any]:
        """Cut a batch into blocks of examples of nearly equal size."""
        if not self._splits or self.plan.examples_per_block is None:
            return [batch]
        length = batch_length(batch)
        count = -(-length // self.plan.examples_per_block)
        edges = [length * i // count for i in range(count + 1)]
        return [slice_batch(batch, start, stop) for start, stop in itertools.pairwise(edges)]

    def _possible_modes(self) -> tuple[Mode, ...]:
        """Return the modes that give this model's products, tried on a few examples and checked by one another.

        Some operations have no forward derivative, and that of torch's mean squared error fails (pytorch issue 123996).
        A custom operation may even have a wrong one. Backward passes are the reference; without them, differences are.
        """
        found: dict[Mode, Tensor] = {}
        reason: object = "a custom operation is marked as once differentiable."
        is_plain = self._problem.is_pair and isinstance(self._first_batch[0], Tensor)
        candidates = [mode for mode in self._engines if mode != "central-differences"]
        if not is_plain and "feedforward" in candidates:
            candidates.remove("feedforward")
        if is_differentiable_once_only(self._loss, self._few(), self._parameters):
            candidates = []
        for candidate in candidates:
            try:
                found[candidate] = self._try(candidate)
            except NotFeedforwardError:
                pass
            except (RuntimeError, NotImplementedError) as error:
                reason = error
        finite = {mode: product for mode, product in found.items() if product.isfinite().all()}
        if found and not finite:
            raise NonFiniteError("The second derivative of the loss must be finite; that of batch 0 is not.")
        tolerance = torch.finfo(next(iter(self._parameters.values())).dtype).eps ** 0.5
        reference = finite.get("reverse-over-reverse")
        if reference is None and "central-differences" in self._engines:
            reference, tolerance = self._try("central-differences"), TOLERANCE_OF_DIFFERENCES
        possible: list[Mode] = []
        for mode, product in finite.items():
            if reference is None:
                break
            if float((product - reference).norm()) <= tolerance * float(reference.norm()):
                possible.append(mode)
            else:
                reason = f"its derivatives contradict one another ({mode})."
        if not possible and "central-differences" not in self._engines:
            raise ValueError(f"The loss must be differentiable twice by torch; {self._culprit()} is not: {reason}")
        if not possible:
            warnings.warn(
                "Products are central differences of gradients (see product_error): torch cannot differentiate this "
                f"loss twice, because of {self._culprit()}: {reason}",
                stacklevel=4,
            )
        return self._allowed(possible or ["central-differences"])

    def _culprit(self) -> str:
        with torch.enable_grad():
            return place_without_derivative(self._loss, self._few(), self._parameters, 2)

    def _try(self, mode: Mode) -> Tensor:
        """Return the product of a few examples with one random vector."""
        generator = torch.Generator().manual_seed(0)
        probe = torch.randn(1, self.size, generator=generator, dtype=self.dtype).to(self.device)
        engine = self._engines[mode](self._loss, self._parameters, probe, 1)
        checks = FiniteChecks()
        checks.add(0, engine.add(self._few(), 1.0))
        checks.raise_if_not()
        return engine.total()

    def _few(self) -> Any:
        """Return a few examples."""
        count = 1 if self.size > LARGE_MODEL else 8
        return slice_batch(self._first_batch, 0, count) if self._splits else self._first_batch

    def _allowed(self, possible: list[Mode]) -> tuple[Mode, ...]:
        """Return the modes that are possible and that the given plan allows."""
        wanted = self._given.mode
        if wanted is None:
            return tuple(possible)
        if wanted not in (*possible, "central-differences"):
            raise ValueError(f"This model and loss allow the modes {', '.join(possible)}; got plan.mode={wanted!r}.")
        return (wanted,)

    def _choose_plan(self, probes: Tensor) -> Plan:
        """Return the plan for as many probes, measured once there has been enough work."""
        num_probes = len(probes)
        if num_probes in self._plans:
            return self._plans[num_probes]
        length = batch_length(self._first_batch) if self._splits else 1
        planner = Planner(
            partial(self._trial, probes),
            partial(self._predict, length),
            limit=usual_bytes(self.device) if self._memory_limit is None else self._memory_limit,
            device=self.device.type,
            given=self._given,
            max_examples=length,
            max_probes=num_probes,
        )
        plan = planner.first(self.modes)
        assert plan.examples_per_block is not None
        assert plan.probes_per_block is not None
        blocks = -(-length // plan.examples_per_block) * -(-num_probes // plan.probes_per_block)
        self._work += self._problem.passes.num_batches * blocks
        if self._work >= WORK_BEFORE_MEASURING:
            plan = self._plans[num_probes] = planner.choose(self.modes)
        return plan

    def _trial(self, probes: Tensor, plan: Plan) -> tuple[Callable[[], None], int]:
        """Return what adds the products of a block of examples, with enough probes to show what they share."""
        assert plan.examples_per_block is not None
        assert plan.probes_per_block is not None
        block = slice_batch(self._first_batch, 0, plan.examples_per_block) if self._splits else self._first_batch
        rows = probes[: max(plan.probes_per_block, PROBES_OF_TRIAL)]
        engine = self._engine(plan, rows)

        def run() -> None:
            engine.add(block, 1.0)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)

        return run, len(rows)

    def _predict(self, length: int, mode: Mode, examples: int, probes_per_block: int) -> int:
        """Return the predicted peak memory of a block in bytes."""
        if mode not in self._memory_models:
            probes = (1,) if self.size > LARGE_MODEL else (2, 3)
            few = torch.ones(probes[-1], self.size, dtype=self.dtype, device=self.device)
            self._memory_models[mode] = MemoryModel(
                lambda b, p: peak_memory(lambda: self._trial(few[:p], Plan(mode, b, p))[0]()),
                tuple({1, min(3, length)}),
                probes,
            )
        return self._memory_models[mode](examples, probes_per_block)
