"""Hessian products of feedforward networks: one forward and backward pass for all probes, then matrix products.

The R-operator (Pearlmutter 1994) applied to the steps of a `tape.record`, for all probes at once. A value of B examples
and n units has a directional derivative of shape (B, P, n) for P probes, so that every product with a weight, for all
examples and probes, is a single matrix product.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import vjp, vmap

from hessdens.model_checks import LossModule, check_finite
from hessdens.tape import Linear, Map, Step, Sum, Units, record

Values = Mapping[str, Tensor]


class FeedforwardProducts:
    """Sum of the products of each added block with each row of ``probes``, shape (P, N)."""

    def __init__(self, loss: LossModule, parameters: Values, probes: Tensor, probes_per_block: int) -> None:
        self._loss, self._selected = loss, parameters
        self._values = {name: value.detach() for name, value in loss.model.named_parameters()}
        self._chunks = [_Chunk(parameters, rows) for rows in probes.split(probes_per_block)]

    def add(self, batch: Any, weight: float, index: int) -> None:
        """Add ``weight`` times the products of one block of examples of batch ``index``."""
        inputs, targets = batch
        steps = record(self._loss.model, self._values, inputs)
        outputs = steps[-1].value.detach().requires_grad_()
        with torch.enable_grad():
            value = weight * self._loss.loss_fn(outputs, targets)
            (gradient,) = torch.autograd.grad(value, outputs, create_graph=True)
        network = _Linearisation(steps, self._values, self._selected, gradient.detach())
        check_finite(value, network.checksum(), index)
        for chunk in self._chunks:
            tangents = _forward(network, chunk)
            derivative = _loss_derivative(gradient, outputs, tangents[-1])
            _backward(network, chunk, tangents, derivative)

    def total(self) -> Tensor:
        """Return the sum, shape (P, N)."""
        return torch.cat([chunk.total() for chunk in self._chunks])


class _Chunk:
    """Some probes, as the matrix products need them, and the sums of their products."""

    def __init__(self, parameters: Values, probes: Tensor) -> None:
        self.num_probes = len(probes)
        self._names = list(parameters)
        pieces = probes.split([value.numel() for value in parameters.values()], dim=1)
        # A weight of shape (m, n): as (P m, n), and as (m, P n) for products with its transpose.
        self.rows: dict[str, Tensor] = {}
        self.columns: dict[str, Tensor] = {}
        self.row_sums: dict[str, Tensor] = {}
        self.column_sums: dict[str, Tensor] = {}
        for (name, value), piece in zip(parameters.items(), pieces, strict=True):
            stacked = piece.reshape(self.num_probes, *value.shape)
            self.rows[name] = stacked.flatten(end_dim=1).contiguous()
            self.row_sums[name] = torch.zeros_like(self.rows[name])
            if value.ndim == 2:
                self.columns[name] = stacked.transpose(0, 1).flatten(start_dim=1).contiguous()
                self.column_sums[name] = torch.zeros_like(self.columns[name])

    def total(self) -> Tensor:
        """Return the sums of the products, shape (P, N)."""
        parts = []
        for name in self._names:
            part = self.row_sums[name].view(self.num_probes, -1)
            if name in self.columns:
                columns = self.column_sums[name]
                part = part + columns.view(len(columns), self.num_probes, -1).transpose(0, 1).flatten(start_dim=1)
            parts.append(part)
        return torch.cat(parts, dim=1)


@dataclass(frozen=True)
class _Slopes:
    """First and second derivative of units at their inputs; the second is None where it is 0."""

    first: Tensor
    second: Tensor | None


class _Linearisation:
    """Steps with what all probes share: derivatives of units, pull-backs of maps, and the gradient at each value."""

    def __init__(self, steps: list[Step], values: Values, selected: Values, gradient: Tensor) -> None:
        self.steps, self.values = steps, values
        self.slopes: dict[int, _Slopes] = {}
        self.pulls: dict[int, Any] = {}
        self.num_uses = [0] * len(steps)
        self.moves = [False] * len(steps)  # whether a value depends on the selected parameters
        for i, step in enumerate(steps):
            for source in step.sources:
                self.num_uses[source] += 1
            self.moves[i] = any(self.moves[source] for source in step.sources)
            if isinstance(step, Linear):
                self.moves[i] |= step.weight in selected or step.bias in selected
            elif self.moves[i] and isinstance(step, Units):
                self.slopes[i] = _slopes(step, steps[step.sources[0]].value)
            elif self.moves[i] and isinstance(step, Map):
                self.pulls[i] = vjp(step.function, steps[step.sources[0]].value)[1]
        self.gradients: list[Tensor | None] = [None] * len(steps)
        self._backward(gradient)

    def checksum(self) -> Tensor:
        """Return a number that is finite if all values and gradients are."""
        tensors = [step.value for step in self.steps] + [g for g in self.gradients if g is not None]
        return torch.stack([tensor.sum() for tensor in tensors]).sum()

    def _backward(self, gradient: Tensor) -> None:
        """Fill in the gradient at each value that depends on the selected parameters."""
        self.gradients[-1] = gradient
        for i in reversed(range(len(self.steps))):
            step, here = self.steps[i], self.gradients[i]
            if here is None or not self.moves[i]:
                continue
            if isinstance(step, Linear):
                if self.moves[step.sources[0]]:
                    self._accumulate(step.sources[0], here @ self.values[step.weight])
            elif isinstance(step, Units):
                self._accumulate(step.sources[0], here * self.slopes[i].first)
            elif isinstance(step, Map):
                self._accumulate(step.sources[0], self.pulls[i](here)[0])
            elif isinstance(step, Sum):
                for source, sign in signed_sources(step):
                    if self.moves[source]:
                        self._accumulate(source, here if sign > 0 else -here)

    def _accumulate(self, i: int, gradient: Tensor) -> None:
        before = self.gradients[i]
        self.gradients[i] = gradient if before is None else before + gradient


def signed_sources(step: Sum) -> list[tuple[int, int]]:
    """Return the sources of a sum with their signs."""
    return [*((source, 1) for source in step.sources[:-1]), (step.sources[-1], step.sign)]


def _slopes(step: Units, inputs: Tensor) -> _Slopes:
    leaf = inputs.detach().requires_grad_()
    with torch.enable_grad():
        (first,) = torch.autograd.grad(step.function(leaf).sum(), leaf, create_graph=not step.is_piecewise_linear)
        if step.is_piecewise_linear or not first.requires_grad:
            return _Slopes(first.detach(), None)
        (second,) = torch.autograd.grad(first.sum(), leaf)
    return _Slopes(first.detach(), second)


def _forward(network: _Linearisation, chunk: _Chunk) -> list[Tensor | None]:
    """Return the directional derivatives of each value, shape (B, P, n); None where they are 0."""
    tangents: list[Tensor | None] = [None] * len(network.steps)
    for i, step in enumerate(network.steps):
        if not network.moves[i]:
            continue
        if isinstance(step, Linear):
            tangents[i] = _linear_tangent(network, chunk, step, tangents[step.sources[0]])
        elif isinstance(step, Sum):
            terms = [(sign, t) for source, sign in signed_sources(step) if (t := tangents[source]) is not None]
            total = terms[0][1] if terms[0][0] > 0 else -terms[0][1]
            for sign, term in terms[1:]:
                total = torch.add(total, term, alpha=sign)
            tangents[i] = total
        else:
            source = tangents[step.sources[0]]
            assert source is not None
            if isinstance(step, Units):
                slopes = network.slopes[i]
                # The derivative before piecewise linear units serves nothing else: the product takes its place.
                reusable = slopes.second is None and network.num_uses[step.sources[0]] == 1
                if reusable and isinstance(network.steps[step.sources[0]], Linear):
                    tangents[i] = source.mul_(slopes.first.unsqueeze(1))
                else:
                    tangents[i] = source * slopes.first.unsqueeze(1)
            elif isinstance(step, Map):
                tangents[i] = vmap(step.function, in_dims=1, out_dims=1)(source)
    return tangents


def _linear_tangent(network: _Linearisation, chunk: _Chunk, step: Linear, source: Tensor | None) -> Tensor:
    """Return x V^T + v + R{x} W^T."""
    inputs, weight = network.steps[step.sources[0]].value, network.values[step.weight]
    shape = (len(inputs), chunk.num_probes, len(weight))
    bias = chunk.rows.get(step.bias or "")
    rows = chunk.rows.get(step.weight)
    if rows is not None:
        tangent = inputs @ rows.T if bias is None else torch.addmm(bias, inputs, rows.T)
    elif bias is not None:
        tangent = bias.expand(len(inputs), -1).contiguous()
    else:
        assert source is not None
        return (source.flatten(end_dim=1) @ weight.T).view(shape)
    if source is not None:
        tangent.view(-1, len(weight)).addmm_(source.flatten(end_dim=1), weight.T)
    return tangent.view(shape)


def _loss_derivative(gradient: Tensor, outputs: Tensor, tangent: Tensor | None) -> Tensor:
    """Return the directional derivatives of the gradient of the loss at the outputs, shape (B, P, classes)."""
    assert tangent is not None
    if not gradient.requires_grad:
        return torch.zeros_like(tangent)
    (products,) = torch.autograd.grad(
        gradient, outputs, tangent.transpose(0, 1), is_grads_batched=True, retain_graph=True
    )
    return products.transpose(0, 1).contiguous()


def _backward(network: _Linearisation, chunk: _Chunk, tangents: list[Tensor | None], derivative: Tensor) -> None:
    """Carry the derivatives of the gradient back through the network; add up those of the weights."""
    gradients: list[Tensor | None] = [None] * len(network.steps)
    gradients[-1] = derivative
    for i in reversed(range(len(network.steps))):
        step, here, shared = network.steps[i], gradients[i], network.gradients[i]
        gradients[i] = None
        if here is None or shared is None or not network.moves[i]:
            continue
        if isinstance(step, Linear):
            _add_weight_products(network, chunk, step, tangents[step.sources[0]], here, shared)
            source = step.sources[0]
            if network.moves[source]:
                gradients[source] = _linear_gradient(network, chunk, step, here, shared, gradients[source])
        elif isinstance(step, Sum):
            for source, sign in signed_sources(step):
                if network.moves[source]:
                    _accumulate(gradients, source, here if sign > 0 else -here)
        elif isinstance(step, Units):
            slopes = network.slopes[i]
            result = here * slopes.first.unsqueeze(1)
            if slopes.second is not None:
                before = tangents[step.sources[0]]
                assert before is not None
                result.addcmul_((shared * slopes.second).unsqueeze(1), before)
            _accumulate(gradients, step.sources[0], result)
        elif isinstance(step, Map):
            (result,) = vmap(network.pulls[i], in_dims=1, out_dims=1)(here)
            _accumulate(gradients, step.sources[0], result)


def _accumulate(gradients: list[Tensor | None], i: int, gradient: Tensor) -> None:
    before = gradients[i]
    gradients[i] = gradient if before is None else before + gradient


def _add_weight_products(
    network: _Linearisation, chunk: _Chunk, step: Linear, tangent: Tensor | None, here: Tensor, shared: Tensor
) -> None:
    """Add R{g}^T x + g^T R{x} to the sums of the weight, and R{g} to those of the bias."""
    inputs = network.steps[step.sources[0]].value
    flat = here.flatten(start_dim=1)
    if step.bias in chunk.row_sums:
        chunk.row_sums[step.bias] += flat.sum(dim=0)
    if step.weight in chunk.row_sums:
        chunk.row_sums[step.weight].addmm_(flat.T, inputs)
        if tangent is not None:
            chunk.column_sums[step.weight].addmm_(shared.T, tangent.flatten(start_dim=1))


def _linear_gradient(
    network: _Linearisation, chunk: _Chunk, step: Linear, here: Tensor, shared: Tensor, before: Tensor | None
) -> Tensor:
    """Return R{g} W + g V, plus what is there before, shape (B, P, n)."""
    weight = network.values[step.weight]
    rows = here.flatten(end_dim=1)
    result = rows @ weight if before is None else torch.addmm(before.flatten(end_dim=1), rows, weight)
    columns = chunk.columns.get(step.weight)
    if columns is not None:
        result.view(len(here), -1).addmm_(shared, columns)
    return result.view(len(here), chunk.num_probes, -1)
