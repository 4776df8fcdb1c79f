"""Curvature of a loss as an operator on the parameters: exact Hessian-vector products for any model."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, jvp, vmap

from hessdens.batches import RepeatedPasses, batch_length, slice_batch
from hessdens.model_checks import LossModule, check_batch, check_loss, check_modules, check_parameters
from hessdens.operators import Operator
from hessdens.parameters import Selection, select_parameters

Forward = Callable[[nn.Module, Any], tuple[Any, Any]]


def hessian_operator(
    model: nn.Module,
    loss_fn: Callable[[Any, Any], Tensor],
    data: Iterable[Any],
    *,
    forward: Forward | None = None,
    parameters: Selection = None,
    num_examples: Callable[[Any], float] | None = None,
    split_batches: bool = True,
    examples_per_block: int = 500,
    probes_per_block: int = 8,
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
        Cut batches into blocks of at most ``examples_per_block`` examples. Switch it off where the loss is not a mean
        over examples, or where the tensors of a batch cannot be cut along their first dimension.
    examples_per_block, probes_per_block
        The largest piece that is worked on at once. Memory is about that of ``probes_per_block + 2`` backward passes
        over ``examples_per_block`` examples.

    Returns
    -------
    HessianOperator
        ``size`` N is the number of selected parameters, in the order of ``model.named_parameters()``.

    Raises
    ------
    ValueError
        If the data are empty, differ from pass to pass or lie on another device or dtype than the model; if the loss
        is not a scalar, is not a mean, is not finite or is random; if no parameter is left.
    TypeError
        If ``data`` can be iterated over once only, or is not an iterable of batches.

    Notes
    -----
    Cost of a product: about 3 gradients (forward-over-reverse differentiation), one pass over the data for all probes.
    Source: B. A. Pearlmutter, Fast exact multiplication by the Hessian (1994).
    """
    if examples_per_block < 1 or probes_per_block < 1:
        raise ValueError(
            "examples_per_block and probes_per_block must be at least 1; got "
            f"{examples_per_block} and {probes_per_block}."
        )
    check_modules(model)
    device = check_parameters(model)
    passes = RepeatedPasses(data)
    weight = num_examples or batch_length
    loss = LossModule(model, loss_fn, forward)
    first = next(iter(passes))
    check_batch(first, model, device, has_forward=forward is not None)
    check_loss(loss, first, weight, splits=split_batches)
    selected = select_parameters(model, parameters, loss, first)
    blocks = (examples_per_block if split_batches else None, probes_per_block)
    return HessianOperator(loss, passes, weight, selected, *blocks)


class HessianOperator(Operator):
    """Hessian of a mean loss; see `hessian_operator`.

    Attributes
    ----------
    parameter_names
        The selected parameters, in the order of their entries in a vector.
    """

    def __init__(
        self,
        loss: LossModule,
        passes: RepeatedPasses,
        weight: Callable[[Any], float],
        parameters: dict[str, nn.Parameter],
        examples_per_block: int | None,
        probes_per_block: int,
    ) -> None:
        self._loss, self._passes, self._weight, self._parameters = loss, passes, weight, parameters
        self._examples_per_block, self._probes_per_block = examples_per_block, probes_per_block
        self._sizes = [parameter.numel() for parameter in parameters.values()]
        first = next(iter(parameters.values()))
        self.size, self.dtype, self.device = sum(self._sizes), first.dtype, first.device
        self.parameter_names = tuple(parameters)

    def _matmat(self, V: Tensor) -> Tensor:
        probes = V.T.contiguous()
        total = torch.zeros_like(probes)
        total_weight = 0.0
        for index, batch in enumerate(self._passes):
            check_batch(batch, self._loss.model, self.device, has_forward=True, name=f"batch {index}")
            for block in self._blocks(batch):
                weight = float(self._weight(block))
                total_weight += weight
                for start in range(0, len(probes), self._probes_per_block):
                    rows = slice(start, start + self._probes_per_block)
                    total[rows] += weight * self._block_product(block, probes[rows], index)
        if not total_weight > 0:
            raise ValueError(f"num_examples must add up to more than zero over data; got {total_weight}.")
        return (total / total_weight).T.contiguous()

    def _blocks(self, batch: Any) -> list[Any]:
        """Cut a batch into blocks of examples of nearly equal size."""
        if self._examples_per_block is None:
            return [batch]
        length = batch_length(batch)
        count = -(-length // self._examples_per_block)
        edges = [length * i // count for i in range(count + 1)]
        return [slice_batch(batch, start, stop) for start, stop in itertools.pairwise(edges)]

    def _block_product(self, batch: Any, probes: Tensor, index: int) -> Tensor:
        """Return the products of one block of examples with each row of ``probes``, shape (P, N)."""
        values = {name: parameter.detach() for name, parameter in self._parameters.items()}
        constants = self._loss.constants(leave_out=values)

        def loss(variables: dict[str, Tensor]) -> Tensor:
            result: Tensor = functional_call(self._loss, {**constants, **self._loss.prefixed(variables)}, (batch,))
            return result

        def product(tangents: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
            outputs: Any = jvp(grad_and_value(loss), (values,), (tangents,))
            (gradient, value), (derivative, _) = outputs
            return self._flatten(derivative), self._flatten(gradient).sum(), value

        pieces = torch.split(probes, self._sizes, dim=1)
        tangents = {
            name: piece.reshape(-1, *value.shape) for (name, value), piece in zip(values.items(), pieces, strict=True)
        }
        out_dims: Any = (0, None, None)  # gradient and loss are the same for every probe
        products, gradient_sum, value = vmap(product, out_dims=out_dims)(tangents)
        if not torch.isfinite(value + gradient_sum):
            what = "gradient" if torch.isfinite(value) else "loss"
            raise ValueError(f"The loss and its gradient must be finite; the {what} of batch {index} is not.")
        result: Tensor = products
        return result

    def _flatten(self, values: dict[str, Tensor]) -> Tensor:
        return torch.cat([values[name].reshape(-1) for name in self._parameters])
