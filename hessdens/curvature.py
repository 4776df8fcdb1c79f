"""Curvature of a loss as an operator on the parameters: exact Hessian-vector products for any model."""

import itertools
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from hessdens.batches import RepeatedPasses, batch_length, slice_batch
from hessdens.differences import DifferenceProducts
from hessdens.feedforward import FeedforwardProducts
from hessdens.memory import MemoryModel, peak_memory
from hessdens.model_checks import LossModule, check_batch, check_loss, check_modules, check_parameters
from hessdens.operators import Operator
from hessdens.parameters import Selection, select_parameters
from hessdens.plan import Mode, Plan, Planner, free_memory
from hessdens.products import GeneralProducts, forward_over_reverse, is_differentiable_once_only, reverse_over_reverse
from hessdens.tape import NotFeedforwardError

Forward = Callable[[nn.Module, Any], tuple[Any, Any]]
ENGINES: dict[Mode, Any] = {
    "feedforward": FeedforwardProducts,
    "forward-over-reverse": partial(GeneralProducts, forward_over_reverse),
    "reverse-over-reverse": partial(GeneralProducts, reverse_over_reverse),
    "central-differences": DifferenceProducts,
}
# Above this number of parameters, trials use one example and one probe.
LARGE_MODEL = 10_000_000
# Differences of gradients in float32 are right to about 1e-3 for a smooth loss; a wrong derivative is far off.
TOLERANCE_OF_DIFFERENCES = 0.1
# Blocks of work after which a measurement of some 20 blocks pays for itself.
WORK_BEFORE_MEASURING = 40


def hessian_operator(
    model: nn.Module,
    loss_fn: Callable[[Any, Any], Tensor],
    data: Iterable[Any],
    *,
    forward: Forward | None = None,
    parameters: Selection = None,
    num_examples: Callable[[Any], float] | None = None,
    split_batches: bool = True,
    plan: Plan | None = None,
    memory_limit: int | None = None,
) -> "HessianOperator":
    """Return the Hessian of the mean loss over ``data`` with respect to the parameters of ``model``.

    The model is left as it is: mode, gradients, buffers and random state do not change. The operator refers to the
    model, so it gives the Hessian at the parameters that the model has when a product is made.

    Parameters
    ----------
    model
        Any module whose operations have forward derivatives, in evaluation mode where it has dropout or batch
        normalisation.
    loss_fn
        ``loss_fn(outputs, targets)`` returns the mean loss over the examples of a batch, a scalar.
    data
        A re-iterable of batches, the same in every pass: a list, or a ``DataLoader`` without shuffling.
    forward
        ``forward(model, batch)`` returns ``(outputs, targets)``. Default: a batch is ``(inputs, targets)`` and the
        outputs are ``model(inputs)``.
    parameters
        Which parameters: names or globs (``"layers.*.weight"``), or a predicate on (name, parameter). Default: all.
        Frozen parameters, and those that the loss of the first batch does not use, are left out; tied ones count once.
    num_examples
        ``num_examples(batch)`` is the weight of a batch in the mean over ``data``: say, its number of unmasked tokens.
        Default: the first dimension of its first tensor.
    split_batches
        Cut batches into blocks of examples, to save memory and time. Switch it off where the loss is not a mean
        over examples, or where the tensors of a batch cannot be cut along their first dimension.
    plan
        How products are made, as far as it is not left to the library: see `Plan`. The library times a few blocks once
        there is enough work for that to pay, so that results of two runs agree to rounding only, unless ``plan`` gives
        all.
    memory_limit
        Bytes that a product may use beside the probes and the model. Default: half of what is free.

    Returns
    -------
    HessianOperator
        ``size`` N is the number of selected parameters, in the order of ``model.named_parameters()``.

    Raises
    ------
    ValueError
        If the data are empty, differ from pass to pass or lie on another device or dtype than the model; if the loss
        is not a scalar, is not a mean, is not finite or is random; if no parameter is left.
    MemoryError
        If a product does not fit into ``memory_limit``, even for one example and probe: raised by the product.
    TypeError
        If ``data`` can be iterated over once only, or is not an iterable of batches.

    Notes
    -----
    Cost of a product: about 3 gradients (forward-over-reverse differentiation), one pass over the data for all probes.
    Source: B. A. Pearlmutter, Fast exact multiplication by the Hessian (1994).
    """
    check_modules(model)
    device = check_parameters(model)
    passes = RepeatedPasses(data)
    weight = num_examples or batch_length
    loss = LossModule(model, loss_fn, forward)
    first = next(iter(passes))
    check_batch(first, model, device, has_forward=forward is not None)
    weight(first)
    check_loss(loss, first, weight, splits=split_batches)
    selected = select_parameters(model, parameters, loss, first)
    is_pair = forward is None
    return HessianOperator(loss, passes, weight, selected, first, is_pair, split_batches, plan or Plan(), memory_limit)


class HessianOperator(Operator):
    """Hessian of a mean loss; see `hessian_operator`.

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
    """

    def __init__(
        self,
        loss: LossModule,
        passes: RepeatedPasses,
        weight: Callable[[Any], float],
        parameters: dict[str, nn.Parameter],
        first_batch: Any,
        is_pair: bool,
        splits: bool,
        plan: Plan,
        memory_limit: int | None,
    ) -> None:
        self._loss, self._passes, self._weight, self._parameters = loss, passes, weight, parameters
        self._first_batch, self._is_pair, self._splits = first_batch, is_pair, splits
        leader = next(iter(parameters.values()))
        self.size = sum(parameter.numel() for parameter in parameters.values())
        self.dtype, self.device = leader.dtype, leader.device
        self.parameter_names = tuple(parameters)
        self.product_error: float | None = None
        self._given, self._memory_limit = plan, memory_limit
        with sdpa_kernel(SDPBackend.MATH):  # the only attention that torch can differentiate twice
            self.modes = self._possible_modes()
        self._memory_models: dict[Mode, MemoryModel] = {}
        self._plans: dict[int, Plan] = {}
        self._work = 0
        self.plan = plan.filled(Plan(self.modes[0]))

    def _matmat(self, V: Tensor) -> Tensor:
        probes = V.T.contiguous()
        with sdpa_kernel(SDPBackend.MATH):
            return self._products_of_all(probes).T

    def _products_of_all(self, probes: Tensor) -> Tensor:
        """Return the products with each row, in one pass over the data."""
        self.plan = self._choose_plan(probes)
        mode, probes_per_block = self.plan.mode, self.plan.probes_per_block
        assert mode is not None
        engine = ENGINES[mode](self._loss, self._parameters, probes, probes_per_block)
        total_weight = 0.0
        for index, batch in enumerate(self._passes):
            check_batch(batch, self._loss.model, self.device, has_forward=True, name=f"batch {index}")
            for block in self._blocks(batch):
                weight = float(self._weight(block))
                total_weight += weight
                engine.add(block, weight, index)
        if not total_weight > 0:
            raise ValueError(f"num_examples must add up to more than zero over data; got {total_weight}.")
        if mode == "central-differences":
            self.product_error = engine.relative_error()
        total: Tensor = engine.total()
        return total.div_(total_weight)

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
        reason: object = "A custom operation is marked as once differentiable."
        is_plain = self._is_pair and isinstance(self._first_batch[0], Tensor)
        candidates: list[Mode] = ["forward-over-reverse", "reverse-over-reverse"]
        if is_plain:
            candidates.insert(0, "feedforward")
        if is_differentiable_once_only(partial(self._loss.value, self._few()), self._parameters):
            candidates = []
        for mode in candidates:
            try:
                found[mode] = self._try(mode)
            except (RuntimeError, NotImplementedError, NotFeedforwardError) as error:
                reason = error
        tolerance = torch.finfo(self.dtype).eps ** 0.5
        if "reverse-over-reverse" in found:
            reference = found["reverse-over-reverse"]
        else:
            reference, tolerance = self._try("central-differences"), TOLERANCE_OF_DIFFERENCES
        possible: list[Mode] = [
            mode
            for mode, product in found.items()
            if float((product - reference).norm()) <= tolerance * float(reference.norm())
        ]
        if not possible:
            warnings.warn(
                "Products are central differences of gradients (see product_error): torch cannot differentiate this "
                f"loss twice. {reason}",
                stacklevel=4,
            )
        return self._allowed(possible or ["central-differences"])

    def _try(self, mode: Mode) -> Tensor:
        """Return the product of a few examples with one random vector."""
        generator = torch.Generator().manual_seed(0)
        probe = torch.randn(1, self.size, generator=generator, dtype=self.dtype).to(self.device)
        return self._products(mode, self._few(), probe)

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

    def _products(self, mode: Mode, block: Any, probes: Tensor) -> Tensor:
        """Return the products of one block with rows."""
        engine = ENGINES[mode](self._loss, self._parameters, probes, len(probes))
        engine.add(block, 1.0, 0)
        total: Tensor = engine.total()
        return total

    def _choose_plan(self, probes: Tensor) -> Plan:
        """Return the plan for as many probes, measured once there has been enough work."""
        num_probes = len(probes)
        if num_probes in self._plans:
            return self._plans[num_probes]
        length = batch_length(self._first_batch) if self._splits else 1
        planner = Planner(
            partial(self._trial, probes),
            partial(self._predict, length),
            limit=free_memory(self.device) if self._memory_limit is None else self._memory_limit,
            device=self.device.type,
            given=self._given,
            max_examples=length,
            max_probes=num_probes,
        )
        plan = planner.start(self.modes[0])
        assert plan.examples_per_block is not None
        assert plan.probes_per_block is not None
        blocks = -(-length // plan.examples_per_block) * -(-num_probes // plan.probes_per_block)
        self._work += len(self._passes) * blocks
        if self._work >= WORK_BEFORE_MEASURING:
            plan = self._plans[num_probes] = planner.choose(self.modes)
        return plan

    def _trial(self, probes: Tensor, mode: Mode, examples: int, num_probes: int) -> Tensor:
        block = slice_batch(self._first_batch, 0, examples) if self._splits else self._first_batch
        return self._products(mode, block, probes[:num_probes])

    def _predict(self, length: int, mode: Mode, examples: int, num_probes: int) -> int:
        """Return the predicted peak memory of a block in bytes."""
        if mode not in self._memory_models:
            probes = (1,) if self.size > LARGE_MODEL else (2, 3)
            few = torch.zeros(probes[-1], self.size, dtype=self.dtype, device=self.device)
            self._memory_models[mode] = MemoryModel(
                lambda b, p: peak_memory(lambda: self._trial(few, mode, b, p)), tuple({1, min(3, length)}), probes
            )
        return self._memory_models[mode](examples, num_probes)
