"""Products for feedforward networks: one forward and backward pass for all probes, then matrix products.

The R-operator (Pearlmutter 1994) applied to the steps of a `tape.record`, for all probes at once. A value of B examples
and n units has a directional derivative of shape (B, P, n) for P probes, so that every product with a weight, for all
examples and probes, is a single matrix product. The Gauss-Newton matrix leaves out the terms with the gradient.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional as F  # noqa: N812

from hessdens.curvature.engines.engine import check_sums
from hessdens.curvature.engines.linearisation import Linearisation
from hessdens.curvature.engines.loss_module import LossModule
from hessdens.curvature.engines.tape import Linear, Map, Sum, Units, record

Values = Mapping[str, Tensor]


class FeedforwardProducts:
    """Sum of the products of each added block with each row of ``probes``, shape (P, N)."""

    def __init__(
        self,
        loss: LossModule,
        parameters: Values,
        probes: Tensor,
        probes_per_block: int,
        *,
        gauss_newton: bool = False,
    ) -> None:
        self._loss, self._selected, self._gauss_newton = loss, parameters, gauss_newton
        self._values = {name: value.detach() for name, value in loss.model.named_parameters()}
        self._workspace = _Workspace()
        self._probes_per_block = probes_per_block
        self._chunks = [_Chunk(parameters, rows) for rows in probes.split(probes_per_block)]

    def add(self, batch: Any, weight: float) -> Tensor:
        """Add ``weight`` times the products of one block of examples; return its `check_sums`."""
        inputs, targets = batch
        steps = record(self._loss.model, self._values, inputs)
        outputs = steps[-1].value.detach().requires_grad_()
        with torch.enable_grad():
            value = weight * self._loss.loss_fn(outputs, targets)
            (gradient,) = torch.autograd.grad(value, outputs, create_graph=True)
        network = Linearisation(steps, self._values, self._selected, None if self._gauss_newton else gradient.detach())
        for chunk in self._chunks:
            tangents, maps = _forward(network, chunk, self._workspace)
            if tangents[-1] is not None:
                derivative = _loss_derivative(gradient, outputs, tangents[-1])
                _Backward(network, chunk, self._workspace).run(tangents, maps, derivative)
            self._workspace.give(tangents)
        return check_sums(value, [*network.tensors(), gradient])

    @property
    def structure(self) -> tuple[frozenset[str], ...]:
        """What decides which work there is, beside the block: the parameters in which probes are not zero."""
        return tuple(chunk.moving for chunk in self._chunks)

    def load(self, probes: Tensor) -> None:
        """Start anew with other probes, as many as before, in the same memory."""
        for chunk, rows in zip(self._chunks, probes.split(self._probes_per_block), strict=True):
            chunk.load(rows)

    def total(self) -> Tensor:
        """Return the sum, shape (P, N)."""
        return torch.cat([chunk.total() for chunk in self._chunks])


class _Chunk:
    """Some probes, as the matrix products need them, and the sums of their products.

    Parameters in which all of them are zero, as in columns of the identity or in the probes of one layer, take no work.
    """

    def __init__(self, parameters: Values, probes: Tensor) -> None:
        self.num_probes = len(probes)
        self._shapes = {name: value.shape for name, value in parameters.items()}
        # A weight of shape (m, n): as (P m, n), perhaps with a bias of shape (m,) as one more column, and as (m, P n)
        # for products with its transpose.
        self._rows: dict[tuple[str, ...], Tensor] = {}
        self.columns: dict[str, Tensor] = {}
        self.row_sums: dict[str, Tensor] = {}
        self.column_sums: dict[str, Tensor] = {}
        for name, shape in self._shapes.items():
            self.row_sums[name] = probes.new_empty((self.num_probes * shape[0], *shape[1:]))
            if len(shape) == 2:
                column_shape = (shape[0], self.num_probes * shape[1])
                self.columns[name] = probes.new_empty(column_shape)
                self.column_sums[name] = probes.new_empty(column_shape)
        self.load(probes)

    def load(self, probes: Tensor) -> None:
        """Take these probes, and set the sums to zero."""
        pieces = probes.split([shape.numel() for shape in self._shapes.values()], dim=1)
        self._pieces = {
            name: piece.unflatten(1, shape) for (name, shape), piece in zip(self._shapes.items(), pieces, strict=True)
        }
        # In one transfer, since each is a wait for the device.
        moving = torch.stack([piece.any() for piece in self._pieces.values()]).tolist()
        self.moving = frozenset(name for name, moves in zip(self._pieces, moving, strict=True) if moves)
        for name, columns in self.columns.items():
            columns.view(len(columns), self.num_probes, -1).copy_(self._pieces[name].transpose(0, 1))
        for names in self._rows:
            self._fill(names)
        for sums in (*self.row_sums.values(), *self.column_sums.values()):
            sums.zero_()

    def rows(self, *names: str) -> Tensor:
        """Return the rows of a weight, of a bias, or of a weight and a bias next to one another."""
        if names not in self._rows:
            piece = self._pieces[names[0]]
            widths = [] if piece.ndim == 2 else [piece.shape[2] + len(names) - 1]
            self._rows[names] = piece.new_empty((self.num_probes * piece.shape[1], *widths))
            self._fill(names)
        return self._rows[names]

    def _fill(self, names: tuple[str, ...]) -> None:
        piece, rows = self._pieces[names[0]], self._rows[names]
        stacked = rows.unflatten(0, (self.num_probes, -1))
        if len(names) == 1:
            stacked.copy_(piece)
        else:
            stacked[..., :-1].copy_(piece)
            stacked[..., -1].copy_(self._pieces[names[1]])

    def total(self) -> Tensor:
        """Return the sums of the products, shape (P, N)."""
        parts = []
        for name in self._shapes:
            part = self.row_sums[name].view(self.num_probes, -1)
            if name in self.columns:
                columns = self.column_sums[name]
                part = part + columns.view(len(columns), self.num_probes, -1).transpose(0, 1).flatten(start_dim=1)
            parts.append(part)
        return torch.cat(parts, dim=1)


class _Workspace:
    """Tensors to write to again: fresh memory costs more than most operations on it (page faults)."""

    def __init__(self) -> None:
        self._free: dict[tuple[int, ...], list[Tensor]] = {}

    def take(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return a tensor with any content."""
        free = self._free.get(shape)
        return free.pop() if free else like.new_empty(shape)

    def give(self, tensors: list[Tensor | None]) -> None:
        """Take back tensors that nothing refers to any more; the same one may be given several times at once."""
        for tensor in {id(tensor): tensor for tensor in tensors if tensor is not None}.values():
            self._free.setdefault(tuple(tensor.shape), []).append(tensor)


def _forward(
    network: Linearisation, chunk: _Chunk, workspace: _Workspace
) -> tuple[list[Tensor | None], dict[int, "_MappedRows"]]:
    """Return the directional derivatives of each value, shape (B, P, n), None where they are 0; and the maps."""
    tangents: list[Tensor | None] = [None] * len(network.steps)
    maps: dict[int, _MappedRows] = {}
    for i, step in enumerate(network.steps):
        if not network.moves[i]:
            continue
        if isinstance(step, Linear):
            tangents[i] = _linear_tangent(network, chunk, workspace, step, tangents[step.sources[0]])
        elif isinstance(step, Sum):
            tangents[i] = _sum_tangent(workspace, step, tangents)
        elif (source := tangents[step.sources[0]]) is not None:
            if isinstance(step, Units):
                # The derivative before piecewise linear units serves nothing else: the product takes its place.
                alone = network.num_uses[step.sources[0]] == 1 and network.slopes[i].second is None
                reused = alone and isinstance(network.steps[step.sources[0]], Linear)
                out = source if reused else workspace.take(tuple(source.shape), source)
                tangents[i] = torch.mul(source, network.slopes[i].first.unsqueeze(1), out=out)
            elif isinstance(step, Map):
                maps[i] = _MappedRows(step, source)
                tangents[i] = maps[i].result
    return tangents, maps


class _MappedRows:
    """A map applied to the derivatives for all probes, as if they were further examples, and its transpose."""

    def __init__(self, step: Map, source: Tensor) -> None:
        shape = source.shape[:2]
        self._leaf = source.flatten(end_dim=1).detach().requires_grad_()
        with torch.enable_grad():
            self._rows = _map_rows(step, self._leaf, shape)
        # A reshape refers to the memory of the source, which will be written to again.
        self.result = self._rows.detach().clone(memory_format=torch.contiguous_format).unflatten(0, shape)

    def transposed(self, gradient: Tensor) -> Tensor:
        """Return the transpose of the map applied to a derivative of shape (B, P, ...)."""
        result: Tensor = torch.autograd.grad(self._rows, self._leaf, gradient.flatten(end_dim=1))[0]
        return result.clone(memory_format=torch.contiguous_format).unflatten(0, gradient.shape[:2])


def _map_rows(step: Map, rows: Tensor, shape: torch.Size) -> Tensor:
    """Return the map of each row, of which there are ``shape`` (B, P)."""
    try:
        result: Tensor = step.function(rows)
        if len(result) == len(rows):
            return result
    except RuntimeError:  # it has the number of examples in it
        pass
    mapped: Tensor = vmap(step.function, in_dims=1, out_dims=1)(rows.unflatten(0, shape))
    return mapped.flatten(end_dim=1)


def _sum_tangent(workspace: _Workspace, step: Sum, tangents: list[Tensor | None]) -> Tensor | None:
    pairs = zip(step.sources, step.factors, strict=True)
    terms = [(factor, t) for source, factor in pairs if (t := tangents[source]) is not None]
    if not terms:
        return None
    (factor, first), *others = terms
    out = workspace.take(tuple(first.shape), first)
    if factor == 1 and others:
        torch.add(first, others[0][1], alpha=others[0][0], out=out)
        others = others[1:]
    else:
        torch.mul(first, factor, out=out)
    for other, term in others:
        out.add_(term, alpha=other)
    return out


def _linear_tangent(
    network: Linearisation, chunk: _Chunk, workspace: _Workspace, step: Linear, source: Tensor | None
) -> Tensor | None:
    """Return x V^T + v + R{x} W^T, shape (B, P, m), or None where it is 0."""
    inputs, weight = network.steps[step.sources[0]].value, network.values[step.weight]
    weight_moves, bias_moves = step.weight in chunk.moving, step.bias in chunk.moving
    if source is None and not weight_moves and not bias_moves:
        return None
    tangent = workspace.take((len(inputs), chunk.num_probes, len(weight)), inputs)
    flat, rows = tangent.view(len(inputs), -1), tangent.view(-1, len(weight))
    # A one beside the inputs saves the pass over the result that adds v, where copying the inputs costs less.
    joined = weight_moves and bias_moves and 2 * inputs.shape[1] < flat.shape[1]
    if joined:
        assert step.bias is not None
        torch.mm(F.pad(inputs, (0, 1), value=1.0), chunk.rows(step.weight, step.bias).T, out=flat)
    elif weight_moves:
        torch.mm(inputs, chunk.rows(step.weight).T, out=flat)
    if source is not None and weight_moves:
        rows.addmm_(source.flatten(end_dim=1), weight.T)
    elif source is not None:
        torch.mm(source.flatten(end_dim=1), weight.T, out=rows)
    elif not weight_moves:
        tangent.zero_()
    if bias_moves and not joined:
        assert step.bias is not None
        flat += chunk.rows(step.bias)
    return tangent


def _loss_derivative(gradient: Tensor, outputs: Tensor, tangent: Tensor) -> Tensor:
    """Return the directional derivatives of the gradient of the loss at the outputs, shape (B, P, classes)."""
    if not gradient.requires_grad:
        return torch.zeros_like(tangent)
    (products,) = torch.autograd.grad(
        gradient, outputs, tangent.transpose(0, 1), is_grads_batched=True, retain_graph=True
    )
    return products.transpose(0, 1).contiguous()


class _Backward:
    """Carries the derivatives of the gradient, shape (B, P, n), back through the network."""

    def __init__(self, network: Linearisation, chunk: _Chunk, workspace: _Workspace) -> None:
        self._network, self._chunk, self._workspace = network, chunk, workspace
        self._gradients: list[Tensor | None] = [None] * len(network.steps)

    def run(self, tangents: list[Tensor | None], maps: dict[int, _MappedRows], derivative: Tensor) -> None:
        """Start from the derivative at the outputs; add up the products with the weights in the chunk."""
        network = self._network
        self._gradients[-1] = derivative
        for i in reversed(range(len(network.steps))):
            step, here, shared = network.steps[i], self._gradients[i], network.gradients[i]
            self._gradients[i] = None
            if here is None or not network.moves[i]:
                continue
            if isinstance(step, Linear):
                self._add_weight_products(step, tangents[step.sources[0]], here, shared)
                if network.moves[step.sources[0]]:
                    self._linear(step, here, shared)
            elif isinstance(step, Units):
                self._units(i, step, tangents[step.sources[0]], here, shared)
            elif isinstance(step, Map):
                self._add(step.sources[0], (maps.get(i) or self._unused_map(step)).transposed(here))
            elif isinstance(step, Sum):
                for source, factor in zip(step.sources, step.factors, strict=True):
                    if network.moves[source]:
                        self._add(source, here, factor)
            if not self._is_held(here):
                self._workspace.give([here])

    def _unused_map(self, step: Map) -> _MappedRows:
        """Return a map that no derivative has gone through on the way forward."""
        value = self._network.steps[step.sources[0]].value
        return _MappedRows(step, value.new_zeros(len(value), self._chunk.num_probes, *value.shape[1:]))

    def _is_held(self, tensor: Tensor) -> bool:
        return any(other is tensor for other in self._gradients)

    def _add(self, i: int, gradient: Tensor, factor: float = 1.0) -> None:
        """Add ``factor`` times a derivative to that at value i, in place where no other value has the same tensor."""
        before, self._gradients[i] = self._gradients[i], None
        if before is None and factor == 1:
            self._gradients[i] = gradient
        elif before is None:
            out = self._workspace.take(tuple(gradient.shape), gradient)
            self._gradients[i] = torch.mul(gradient, factor, out=out)
        elif self._is_held(before) or before is gradient:
            self._gradients[i] = torch.add(before, gradient, alpha=factor)
        else:
            self._gradients[i] = before.add_(gradient, alpha=factor)

    def _units(self, i: int, step: Units, tangent: Tensor | None, here: Tensor, shared: Tensor | None) -> None:
        slopes = self._network.slopes[i]
        out = self._workspace.take(tuple(here.shape), here) if self._is_held(here) else here
        result = torch.mul(here, slopes.first.unsqueeze(1), out=out)
        if slopes.second is not None and shared is not None and tangent is not None:
            result.addcmul_((shared * slopes.second).unsqueeze(1), tangent)
        self._add(step.sources[0], result)

    def _add_weight_products(self, step: Linear, tangent: Tensor | None, here: Tensor, shared: Tensor | None) -> None:
        """Add R{g}^T x + g^T R{x} to the sums of the weight, and R{g} to those of the bias."""
        chunk, inputs = self._chunk, self._network.steps[step.sources[0]].value
        flat = here.flatten(start_dim=1)
        if step.bias in chunk.row_sums:
            chunk.row_sums[step.bias] += flat.sum(dim=0)
        if step.weight in chunk.row_sums:
            chunk.row_sums[step.weight].addmm_(flat.T, inputs)
            if tangent is not None and shared is not None:
                chunk.column_sums[step.weight].addmm_(shared.T, tangent.flatten(start_dim=1))

    def _linear(self, step: Linear, here: Tensor, shared: Tensor | None) -> None:
        """Add R{g} W + g V to the derivative at the input of a layer."""
        weight, source = self._network.values[step.weight], step.sources[0]
        before, self._gradients[source] = self._gradients[source], None
        if before is None or self._is_held(before):
            shape = (len(here), self._chunk.num_probes, weight.shape[1])
            result = self._workspace.take(shape, here)
            torch.mm(here.flatten(end_dim=1), weight, out=result.view(-1, weight.shape[1]))
            if before is not None:
                result += before
        else:
            result = before
            result.view(-1, weight.shape[1]).addmm_(here.flatten(end_dim=1), weight)
        if step.weight in self._chunk.moving and shared is not None:
            result.view(len(here), -1).addmm_(shared, self._chunk.columns[step.weight])
        self._gradients[source] = result
