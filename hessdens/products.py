"""Products of one block of examples with the Hessian or the Gauss-Newton matrix, for any model and loss."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value, jvp, vjp, vmap
from torch.utils._pytree import tree_leaves, tree_map

from hessdens.loss_module import LossModule
from hessdens.model_checks import FiniteChecks

Values = Mapping[str, Tensor]
Result = tuple[Values, Values, Tensor]
# (loss, batch, values, tangents) -> products with each tangent, gradient (in any form) and loss.
Product = Callable[[LossModule, Any, Values, Values], Result]


def forward_over_reverse(loss: LossModule, batch: Any, values: Values, tangents: Values) -> Result:
    """Return Hessian products: the directional derivative of the gradient."""
    function = partial(loss.value, batch)

    def product(tangent: Values) -> Result:
        outputs: Any = jvp(grad_and_value(function), (values,), (tangent,))
        (gradient, value), (derivative, _) = outputs
        return derivative, gradient, value

    out_dims: Any = (0, None, None)  # gradient and loss are the same for every probe
    result: Result = vmap(product, out_dims=out_dims)(tangents)
    return result


def reverse_over_reverse(loss: LossModule, batch: Any, values: Values, tangents: Values) -> Result:
    """Return Hessian products by a backward pass through the gradient, whose forward part all probes share."""
    leaves = {name: value.detach().requires_grad_() for name, value in values.items()}
    with torch.enable_grad():
        value = loss.value(batch, leaves)
        gradient = torch.autograd.grad(value, list(leaves.values()), create_graph=True)
    # A gradient that does not depend on the parameters has no product.
    pairs = [(g, t) for g, t in zip(gradient, tangents.values(), strict=True) if g.requires_grad]
    products = _backward_each(pairs, list(leaves.values()), len(next(iter(tangents.values()))))
    found = dict(zip(leaves, products, strict=True))
    return found, dict(zip(leaves, (g.detach() for g in gradient), strict=True)), value.detach()


def _backward_each(pairs: list[tuple[Tensor, Tensor]], leaves: list[Tensor], num_probes: int) -> list[Tensor]:
    """Return the derivative of each gradient·tangents in ``pairs`` with respect to ``leaves``, for every probe."""
    if not pairs:
        return [leaf.new_zeros(num_probes, *leaf.shape) for leaf in leaves]
    gradients, tangents = zip(*pairs, strict=True)
    backward = partial(torch.autograd.grad, gradients, leaves, retain_graph=True, allow_unused=True)
    columns: list[Tensor | None]
    try:
        columns = list(backward(tangents, is_grads_batched=True))
    except RuntimeError:  # a custom operation without a batching rule
        rows = [backward([tangent[i] for tangent in tangents]) for i in range(num_probes)]
        columns = [None if column[0] is None else torch.stack(column) for column in zip(*rows, strict=True)]
    return [
        leaf.new_zeros(num_probes, *leaf.shape) if column is None else column
        for leaf, column in zip(leaves, columns, strict=True)
    ]


def gauss_newton_forward(loss: LossModule, batch: Any, values: Values, tangents: Values) -> Result:
    """Return products with J^T B J: J the Jacobian of the outputs, B the Hessian of the loss in the outputs."""
    network = _Outputs(loss, batch)
    pulled: Any = vjp(network, values)
    outputs, pull = pulled
    return _gauss_newton(network, tangents, outputs, pull, lambda t: jvp(network, (values,), (t,))[1])


def gauss_newton_reverse(loss: LossModule, batch: Any, values: Values, tangents: Values) -> Result:
    """Return the same without forward derivatives: J v is the derivative of J^T u with respect to u."""
    network = _Outputs(loss, batch)
    pulled: Any = vjp(network, values)
    outputs, pull = pulled
    transposed: Any = vjp(lambda u: pull(u)[0], tree_map(torch.zeros_like, outputs))
    _, push = transposed
    return _gauss_newton(network, tangents, outputs, pull, lambda t: push(t)[0])


class _Outputs:
    """The outputs of one batch as a function of the parameters; it keeps the targets, which do not depend on them."""

    def __init__(self, loss: LossModule, batch: Any) -> None:
        self._loss, self._batch = loss, batch
        self._targets: Any = None

    def __call__(self, values: Values) -> Any:
        outputs, self._targets = self._loss.outputs(self._batch, values)
        return outputs

    def loss(self, outputs: Any) -> Tensor:
        """Return the loss of these outputs."""
        return self._loss.loss_fn(outputs, self._targets)


def _gauss_newton(
    network: _Outputs, tangents: Values, outputs: Any, pull: Callable[[Any], Any], push: Callable[[Values], Any]
) -> Result:
    # By a backward pass, because torch's mean squared error has no forward derivative of its gradient.
    bent: Any = vjp(grad_and_value(network.loss), outputs, has_aux=True)
    gradient, bend, value = bent
    products: Values = vmap(lambda tangent: pull(bend(push(tangent))[0])[0])(tangents)
    return products, {str(i): leaf for i, leaf in enumerate(tree_leaves(gradient))}, value


class GeneralProducts:
    """Sum of the products of each added block with each row of ``probes``, shape (P, N).

    Parameters in half precision have their products summed in float64.
    """

    def __init__(
        self, product: Product, loss: LossModule, parameters: Values, probes: Tensor, probes_per_block: int
    ) -> None:
        self._product, self._loss = product, loss
        self._values = {name: value.detach() for name, value in parameters.items()}
        self._sizes = [value.numel() for value in self._values.values()]
        self._probes, self._probes_per_block = probes, probes_per_block
        is_half = next(iter(self._values.values())).itemsize < probes.itemsize
        self._total = torch.zeros_like(probes, dtype=torch.float64 if is_half else probes.dtype)
        self._checks = FiniteChecks()

    def add(self, batch: Any, weight: float, index: int) -> None:
        """Add ``weight`` times the products of one block of examples of batch ``index``."""
        for start in range(0, len(self._probes), self._probes_per_block):
            rows = slice(start, start + self._probes_per_block)
            pieces = torch.split(self._probes[rows], self._sizes, dim=1)
            tangents = {
                name: piece.to(value.dtype).reshape(-1, *value.shape)
                for (name, value), piece in zip(self._values.items(), pieces, strict=True)
            }
            products, gradient, value = self._product(self._loss, batch, self._values, tangents)
            self._checks.add(index, value, gradient.values())
            totals = torch.split(self._total[rows], self._sizes, dim=1)
            for name, total in zip(self._values, totals, strict=True):
                total.add_(products[name].flatten(start_dim=1), alpha=weight)

    def total(self) -> Tensor:
        """Return the sum, shape (P, N); ValueError if a loss or gradient is not finite."""
        self._checks.raise_if_not()
        return self._total
