"""What all probes share in the products of a feedforward network: slopes of units and the gradient at each value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import vjp

from hessdens.curvature.engines.tape import Linear, Map, Step, Sum, Units

Values = Mapping[str, Tensor]


@dataclass(frozen=True)
class Slopes:
    """First and second derivative of units at their inputs; the second is None where it is 0."""

    first: Tensor
    second: Tensor | None


class Linearisation:
    """Steps with what all probes share: derivatives of units, pull-backs of maps, and the gradient at each value.

    Without a ``gradient`` at the outputs there are none at the values either.
    """

    def __init__(self, steps: list[Step], values: Values, selected: Values, gradient: Tensor | None) -> None:
        self.steps, self.values = steps, values
        self.slopes: dict[int, Slopes] = {}
        self._pulls: dict[int, Callable[[Tensor], tuple[Tensor, ...]]] = {}
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
                self._pulls[i] = vjp(step.function, steps[step.sources[0]].value)[1]
        self.gradients: list[Tensor | None] = [None] * len(steps)
        if gradient is not None:
            self._backward(gradient)

    def tensors(self) -> list[Tensor]:
        """Return all values and gradients."""
        return [step.value for step in self.steps] + [g for g in self.gradients if g is not None]

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
                self._accumulate(step.sources[0], self._pulls[i](here)[0])
            elif isinstance(step, Sum):
                for source, factor in zip(step.sources, step.factors, strict=True):
                    if self.moves[source]:
                        self._accumulate(source, here if factor == 1 else factor * here)

    def _accumulate(self, i: int, gradient: Tensor) -> None:
        before = self.gradients[i]
        self.gradients[i] = gradient if before is None else before + gradient


def _slopes(step: Units, inputs: Tensor) -> Slopes:
    leaf = inputs.detach().requires_grad_()
    with torch.enable_grad():
        (first,) = torch.autograd.grad(step.function(leaf).sum(), leaf, create_graph=not step.is_piecewise_linear)
        if step.is_piecewise_linear or not first.requires_grad:
            return Slopes(first.detach(), None)
        (second,) = torch.autograd.grad(first.sum(), leaf)
    return Slopes(first.detach(), second)
