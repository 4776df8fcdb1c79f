"""Products for feedforward networks: one forward and backward pass for all probes, then matrix products.

The R-operator (Pearlmutter 1994) applied to the steps of a `tape.record`, for all probes at once. A value of B examples
and n units has a directional derivative of shape (B, P, n) for P probes, so that every product with a weight, for all
examples and probes, is a single matrix product. The Gauss-Newton matrix leaves out the terms with the gradient.
"""

from collections import Counter
from typing import Any

import torch
from torch import Tensor

from hessdens.curvature.engines.chunk import Chunk, Derivatives, Workspace
from hessdens.curvature.engines.engine import UnsuitableError, check_sums
from hessdens.curvature.engines.loss_module import LossModule, Values
from hessdens.curvature.engines.steps import Linear, Step
from hessdens.curvature.engines.tape import record


class FeedforwardProducts:
    """Sum of the products of each added block with each row of ``probes``, shape (P, N)."""

    error: float | None = None

    def __init__(
        self, loss: LossModule, parameters: Values, probes: Tensor, probes_per_block: int, *, gauss_newton: bool = False
    ) -> None:
        if any(value.ndim == 0 or value.numel() == 0 for value in parameters.values()):
            raise UnsuitableError("a parameter that is no weight or bias")
        self._loss = loss
        self._selected = parameters
        self._gauss_newton = gauss_newton
        self._values = {name: value.detach() for name, value in loss.model.named_parameters()}
        self._workspace = Workspace()
        self._probes_per_block = probes_per_block
        self._chunks = [Chunk(parameters, rows) for rows in probes.split(probes_per_block)]

    def add(self, batch: Any, weight: float | Tensor) -> Tensor:
        """Add ``weight`` times the products of one block of examples; return its `check_sums`."""
        if not self._loss.takes_pairs or not isinstance(batch[0], Tensor):
            raise UnsuitableError("the model is not a function of one tensor")
        inputs, targets = batch
        steps = record(self._loss.model, self._values, inputs)
        outputs = steps[-1].value.detach().requires_grad_()
        with torch.enable_grad():
            value = weight * self._loss.loss_of(outputs, targets)
            (gradient,) = torch.autograd.grad(value, outputs, create_graph=True)
        moves: list[bool] = []
        for step in steps:
            moves.append(step.depends_on(self._selected) or any(moves[source] for source in step.sources))
        shared = _gradients(steps, moves, None if self._gauss_newton else gradient.detach())
        num_uses = Counter(source for step in steps for source in step.sources)
        for chunk in self._chunks:
            derivatives = Derivatives(chunk, self._workspace, moves, num_uses)
            for i, step in enumerate(steps):
                derivatives.tangents[i] = step.tangent(derivatives) if moves[i] else None
            tangent = derivatives.tangents[-1]
            if tangent is not None:
                derivatives.gradients[-1] = _loss_derivative(gradient, outputs, tangent)
                _carry_back(steps, shared, derivatives)
            self._workspace.give(derivatives.tangents)
        inputs = [step.inputs for step in steps if isinstance(step, Linear)]
        return check_sums(value, [*inputs, *(g for g in shared if g is not None), gradient])

    @property
    def structure(self) -> tuple[frozenset[str], ...]:
        """What decides which work there is, besides the block: the parameters in which probes are not zero."""
        return tuple(chunk.moving for chunk in self._chunks)

    def load(self, probes: Tensor) -> None:
        """Start anew with other probes, as many as before, in the same memory."""
        for chunk, rows in zip(self._chunks, probes.split(self._probes_per_block), strict=True):
            chunk.load(rows)

    def total(self) -> Tensor:
        """Return the sum, shape (P, N)."""
        return torch.cat([chunk.total() for chunk in self._chunks])


def _gradients(steps: list[Step], moves: list[bool], at_outputs: Tensor | None) -> list[Tensor | None]:
    """Carry a gradient back from the outputs to each value that depends on the selected parameters."""
    gradients: list[Tensor | None] = [None] * len(steps)
    gradients[-1] = at_outputs
    for i in reversed(range(len(steps))):
        here, sources = gradients[i], steps[i].sources
        if here is not None and any(moves[source] for source in sources):
            for source, part in zip(sources, steps[i].pull_back(here), strict=True):
                if moves[source]:
                    present = gradients[source]
                    gradients[source] = part if present is None else present + part
    return gradients


def _loss_derivative(gradient: Tensor, outputs: Tensor, tangent: Tensor) -> Tensor:
    """Return the directional derivatives of the gradient of the loss at the outputs, shape (B, P, classes)."""
    if not gradient.requires_grad:
        return torch.zeros_like(tangent)
    (products,) = torch.autograd.grad(
        gradient, outputs, tangent.transpose(0, 1), is_grads_batched=True, retain_graph=True
    )
    return products.transpose(0, 1).contiguous()


def _carry_back(steps: list[Step], shared: list[Tensor | None], derivatives: Derivatives) -> None:
    """Carry the derivatives of the gradient back from the outputs, and add up the products in the chunk."""
    for i in reversed(range(len(steps))):
        here, derivatives.gradients[i] = derivatives.gradients[i], None
        if here is not None and derivatives.moves[i]:
            steps[i].carry_back(derivatives, here, shared[i])
            if not derivatives.is_held(here):
                derivatives.workspace.give([here])
