"""Steps of a feedforward network: how gradients go back through each, and derivatives for many probes both ways."""

import contextlib
from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.func import vjp, vmap
from torch.nn import functional as F  # noqa: N812

from hessdens.curvature.engines.chunk import Derivatives


@dataclass(frozen=True, eq=False)
class Step:
    """One value of the network, and the steps whose values it is made of: none of the network's input, a constant."""

    value: Tensor
    sources: tuple[int, ...] = ()

    def depends_on(self, selected: Container[str | None]) -> bool:
        """Return whether the step has one of these parameters."""
        return False

    def pull_back(self, gradient: Tensor) -> tuple[Tensor, ...]:
        """Return what a gradient at the value is at each source."""
        return ()

    def tangent(self, derivatives: Derivatives) -> Tensor | None:
        """Return the directional derivatives of the value from those of the sources; None where they are 0."""
        return None

    def carry_back(self, derivatives: Derivatives, here: Tensor, gradient: Tensor | None) -> None:
        """Add what derivatives of the gradient at the value are at the sources, and their products.

        ``gradient`` is the one that all probes share; None for the Gauss-Newton matrix, which leaves its terms out.
        """


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(Step):
    """x W^T + b; ``weight`` and ``bias`` are names of parameters, W the value of the first."""

    inputs: Tensor
    matrix: Tensor
    weight: str
    bias: str | None

    def depends_on(self, selected: Container[str | None]) -> bool:
        """Return whether weight or bias are selected."""
        return self.weight in selected or self.bias in selected

    def pull_back(self, gradient: Tensor) -> tuple[Tensor, ...]:
        """Return g W."""
        return (gradient @ self.matrix,)

    def tangent(self, derivatives: Derivatives) -> Tensor | None:
        """Return x V^T + v + R{x} W^T, shape (B, P, m)."""
        chunk, source = derivatives.chunk, derivatives.tangents[self.sources[0]]
        moving_bias = self.bias if self.bias in chunk.moving else None
        weight_moves = self.weight in chunk.moving
        if source is None and not weight_moves and moving_bias is None:
            return None
        shape = (len(self.inputs), chunk.num_probes, len(self.matrix))
        tangent = derivatives.workspace.take(shape, self.inputs)
        flat, rows = tangent.view(len(self.inputs), -1), tangent.view(-1, len(self.matrix))
        # A column of ones next to the inputs saves the pass over the result that adds v, where copying the inputs
        # costs less.
        if weight_moves and moving_bias is not None and 2 * self.inputs.shape[1] < flat.shape[1]:
            torch.mm(F.pad(self.inputs, (0, 1), value=1.0), chunk.rows(self.weight, moving_bias).T, out=flat)
            moving_bias = None
        elif weight_moves:
            torch.mm(self.inputs, chunk.rows(self.weight).T, out=flat)
        if source is not None and weight_moves:
            rows.addmm_(source.flatten(end_dim=1), self.matrix.T)
        elif source is not None:
            torch.mm(source.flatten(end_dim=1), self.matrix.T, out=rows)
        elif not weight_moves:
            tangent.zero_()
        if moving_bias is not None:
            flat += chunk.rows(moving_bias)
        return tangent

    def carry_back(self, derivatives: Derivatives, here: Tensor, gradient: Tensor | None) -> None:
        """Add R{g}^T x + g^T R{x} to the sums of the weight, R{g} to those of the bias, R{g} W + g V at the source."""
        (source,) = self.sources
        chunk, tangent = derivatives.chunk, derivatives.tangents[source]
        width = self.matrix.shape[1]
        flat = here.flatten(start_dim=1)
        if self.bias in chunk.row_sums:
            chunk.row_sums[self.bias] += flat.sum(dim=0)
        if self.weight in chunk.row_sums:
            chunk.row_sums[self.weight].addmm_(flat.T, self.inputs)
            if tangent is not None and gradient is not None:
                chunk.column_sums[self.weight].addmm_(gradient.T, tangent.flatten(start_dim=1))
        if not derivatives.moves[source]:
            return
        present, derivatives.gradients[source] = derivatives.gradients[source], None
        if present is None or derivatives.is_held(present):
            result = derivatives.workspace.take((len(here), chunk.num_probes, width), here)
            torch.mm(here.flatten(end_dim=1), self.matrix, out=result.view(-1, width))
            if present is not None:
                result += present
        else:
            result = present
            result.view(-1, width).addmm_(here.flatten(end_dim=1), self.matrix)
        if self.weight in chunk.moving and gradient is not None:
            result.view(len(here), -1).addmm_(gradient, chunk.columns[self.weight])
        derivatives.gradients[source] = result


@dataclass(frozen=True, eq=False, kw_only=True)
class Units(Step):
    """f(z), entry by entry."""

    inputs: Tensor
    function: Callable[[Tensor], Tensor]
    is_piecewise_linear: bool

    @cached_property
    def slopes(self) -> tuple[Tensor, Tensor | None]:
        """First and second derivative at the inputs; the second is None where it is 0."""
        leaf = self.inputs.detach().requires_grad_()
        with torch.enable_grad():
            (first,) = torch.autograd.grad(self.function(leaf).sum(), leaf, create_graph=not self.is_piecewise_linear)
            if not first.requires_grad:
                return first, None
            (second,) = torch.autograd.grad(first.sum(), leaf)
        return first.detach(), second

    def pull_back(self, gradient: Tensor) -> tuple[Tensor, ...]:
        """Return g f'(z)."""
        return (gradient * self.slopes[0],)

    def tangent(self, derivatives: Derivatives) -> Tensor | None:
        """Return R{z} f'(z)."""
        (source,), (first, second) = self.sources, self.slopes
        moved = derivatives.tangents[source]
        if moved is None:
            return None
        # Nothing else needs the derivative before piecewise linear units: the product takes its place.
        is_free = derivatives.num_uses[source] == 1 and second is None
        out = moved if is_free else derivatives.workspace.take(moved.shape, moved)
        return torch.mul(moved, first.unsqueeze(1), out=out)

    def carry_back(self, derivatives: Derivatives, here: Tensor, gradient: Tensor | None) -> None:
        """Add R{g} f'(z) + g f''(z) R{z}."""
        (source,), (first, second) = self.sources, self.slopes
        tangent = derivatives.tangents[source]
        out = derivatives.workspace.take(here.shape, here) if derivatives.is_held(here) else here
        result = torch.mul(here, first.unsqueeze(1), out=out)
        if second is not None and gradient is not None and tangent is not None:
            result.addcmul_((gradient * second).unsqueeze(1), tangent)
        derivatives.add(source, result)


@dataclass(frozen=True, eq=False, kw_only=True)
class Sum(Step):
    """Sum of the sources times ``factors``; constants are left out."""

    factors: tuple[float, ...]

    def pull_back(self, gradient: Tensor) -> tuple[Tensor, ...]:
        """Return g times the factors."""
        return tuple(gradient if factor == 1 else factor * gradient for factor in self.factors)

    def tangent(self, derivatives: Derivatives) -> Tensor | None:
        """Return the sum of the derivatives."""
        pairs = zip(self.sources, self.factors, strict=True)
        terms = [(factor, t) for source, factor in pairs if (t := derivatives.tangents[source]) is not None]
        if not terms:
            return None
        (factor, first), *others = terms
        out = derivatives.workspace.take(first.shape, first)
        if factor == 1 and others:
            torch.add(first, others[0][1], alpha=others[0][0], out=out)
            others = others[1:]
        else:
            torch.mul(first, factor, out=out)
        for other, term in others:
            out.add_(term, alpha=other)
        return out

    def carry_back(self, derivatives: Derivatives, here: Tensor, gradient: Tensor | None) -> None:
        """Add R{g} times the factors."""
        for source, factor in zip(self.sources, self.factors, strict=True):
            if derivatives.moves[source]:
                derivatives.add(source, here, factor)


@dataclass(frozen=True, eq=False, kw_only=True)
class Map(Step):
    """A fixed linear map of each example: scaling, reshaping, product with a constant matrix."""

    inputs: Tensor
    function: Callable[[Tensor], Tensor]

    def pull_back(self, gradient: Tensor) -> tuple[Tensor, ...]:
        """Return the transpose of the map at g."""
        transposed: Callable[[Tensor], tuple[Tensor, ...]] = vjp(self.function, self.inputs)[1]
        return transposed(gradient)

    def tangent(self, derivatives: Derivatives) -> Tensor | None:
        """Return the map of the derivatives for all probes, as if they were further examples."""
        source = derivatives.tangents[self.sources[0]]
        if source is None:
            return None
        _, rows = derivatives.graphs[self] = self._graph(source)
        # A reshape refers to the memory of the source, which will be written to again.
        return rows.detach().clone(memory_format=torch.contiguous_format).unflatten(0, source.shape[:2])

    def carry_back(self, derivatives: Derivatives, here: Tensor, gradient: Tensor | None) -> None:
        """Add the transpose of the map at R{g}."""
        if self not in derivatives.graphs:  # no derivative has gone through it on the way forward
            derivatives.graphs[self] = self._graph(self.inputs.new_zeros((*here.shape[:2], *self.inputs.shape[1:])))
        leaf, rows = derivatives.graphs[self]
        (result,) = torch.autograd.grad(rows, leaf, here.flatten(end_dim=1))
        result = result.clone(memory_format=torch.contiguous_format).unflatten(0, here.shape[:2])
        derivatives.add(self.sources[0], result)

    def _graph(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Return derivatives of shape (B, P, ...) as rows, and the map of each row."""
        leaf = source.flatten(end_dim=1).detach().requires_grad_()
        with torch.enable_grad():
            with contextlib.suppress(RuntimeError):  # the map may have the number of examples in it
                rows = self.function(leaf)
                if len(rows) == len(leaf):
                    return leaf, rows
            by_probe = vmap(self.function, in_dims=1, out_dims=1)
            return leaf, by_probe(leaf.unflatten(0, source.shape[:2])).flatten(end_dim=1)
