"""Products of one block of examples with the Hessian or the Gauss-Newton matrix, for any model and loss."""

import contextlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value, jvp, vjp, vmap

from hessdens.curvature.containers import flattened
from hessdens.curvature.engines.engine import check_sums
from hessdens.curvature.engines.loss_module import LossModule, Values, dense, gradients

# Products with each tangent (leading dimension: probes), gradient (in any form) and loss.
Result = tuple[Values, Values, Tensor]
Product = Callable[[Values], Result]
# (loss, batch, values) -> a function of tangents; what does not depend on them is computed once.
Prepare = Callable[[LossModule, Any, Values], Product]


def forward_over_reverse(loss: LossModule, batch: Any, values: Values) -> Product:
    """Return Hessian products as directional derivatives of the gradient."""
    _compile_forward_rules()
    gradient_and_value = grad_and_value(partial(loss.value, batch))

    def one(tangent: Values) -> Result:
        outputs: Any = jvp(gradient_and_value, (values,), (tangent,))
        (gradient, value), (derivative, _) = outputs
        return derivative, gradient, value

    out_dims: Any = (0, None, None)  # gradient and loss are the same for every probe
    return _batched(one, out_dims)


def reverse_over_reverse(loss: LossModule, batch: Any, values: Values) -> Product:
    """Return Hessian products as backward passes through the gradient, which is computed once for all probes."""
    leaves = {name: value.detach().requires_grad_() for name, value in values.items()}

    def differentiated() -> tuple[Tensor, list[Tensor]]:
        value = loss.value(batch, leaves)
        return value, gradients(value, list(leaves.values()), create_graph=True)

    with torch.enable_grad():
        value, gradient = loss.with_values(leaves, differentiated)  # a checkpoint computes it anew, on the way back
    detached = dict(zip(leaves, (g.detach() for g in gradient), strict=True))

    def product(tangents: Values) -> Result:
        pairs = _with_graph(gradient, tangents.values())
        back = partial(backward_each, pairs, list(leaves.values()), _count(tangents))
        products = loss.with_values(leaves, back)
        return dict(zip(leaves, products, strict=True)), detached, value.detach()

    return product


def _with_graph(gradients: Sequence[Tensor], vectors: Iterable[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Return pairs of both, without gradients that depend on nothing, whose derivative is zero."""
    return [(g, vector) for g, vector in zip(gradients, vectors, strict=False) if g.requires_grad]


def backward_each(pairs: list[tuple[Tensor, Tensor]], leaves: list[Tensor], num_probes: int) -> list[Tensor]:
    """Return the derivative of each gradient·tangents in ``pairs`` with respect to ``leaves``, for every probe."""
    if not pairs:
        return [leaf.new_zeros(num_probes, *leaf.shape) for leaf in leaves]
    gradients, tangents = zip(*pairs, strict=True)
    backward = partial(torch.autograd.grad, gradients, leaves, retain_graph=True, allow_unused=True)
    columns: list[Tensor | None] = []
    if num_probes > 1:
        with contextlib.suppress(RuntimeError):  # a custom operation without a batching rule
            columns = list(backward(tangents, is_grads_batched=True))
    if not columns:
        rows = [backward([tangent[i] for tangent in tangents]) for i in range(num_probes)]
        columns = [None if column[0] is None else torch.stack(column) for column in zip(*rows, strict=True)]
    return [
        leaf.new_zeros(num_probes, *leaf.shape) if column is None else dense(column)
        for leaf, column in zip(leaves, columns, strict=True)
    ]


def gauss_newton_forward(loss: LossModule, batch: Any, values: Values) -> Product:
    """Return products with J^T B J: J the Jacobian of the outputs, B the Hessian of the loss in the outputs."""
    _compile_forward_rules()
    network = _Outputs(loss, batch)
    pulled: Any = vjp(network, values)
    outputs, pull = pulled
    return _gauss_newton(network, outputs, pull, lambda t: jvp(network, (values,), (t,))[1])


def gauss_newton_reverse(loss: LossModule, batch: Any, values: Values) -> Product:
    """Return the same by backward passes alone: J v is the derivative of J^T u with respect to u."""
    leaves = {name: value.detach().requires_grad_() for name, value in values.items()}
    product = loss.with_values(leaves, partial(_gauss_newton_reverse, loss, batch, leaves))
    return lambda tangents: loss.with_values(leaves, partial(product, tangents))


def _gauss_newton_reverse(loss: LossModule, batch: Any, leaves: Values) -> Product:
    inputs = list(leaves.values())
    with torch.enable_grad():
        outputs, targets = loss.outputs(batch, leaves)
        parts, rebuilt = flattened(outputs)
        points = [part.detach().requires_grad_() for part in parts]
        value = loss.loss_of(rebuilt(points), targets)
        gradient = torch.autograd.grad(value, points, create_graph=True, materialize_grads=True)
        places = [i for i, part in enumerate(parts) if part.requires_grad]
        moving = [parts[i] for i in places]
        # J^T u is linear in u, and some operations have no finite derivative at zero.
        u = [torch.ones_like(part).requires_grad_() for part in moving]
        pulled = (
            torch.autograd.grad(moving, inputs, u, create_graph=True, allow_unused=True, materialize_grads=True)
            if moving
            else []
        )
    checked = {str(i): g.detach() for i, g in enumerate(gradient)}

    def product(tangents: Values) -> Result:
        count = _count(tangents)
        pushed = backward_each(_with_graph(pulled, tangents.values()), u, count)
        bent = backward_each(_with_graph([gradient[i] for i in places], pushed), [points[i] for i in places], count)
        products = backward_each(_with_graph(moving, bent), inputs, count)
        return dict(zip(leaves, products, strict=True)), checked, value.detach()

    return product


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
        return self._loss.loss_of(outputs, self._targets)


def _gauss_newton(
    network: _Outputs, outputs: Any, pull: Callable[[Any], Any], push: Callable[[Values], Any]
) -> Product:
    # By a backward pass, because torch's mean squared error has no forward derivative of its gradient.
    bent: Any = vjp(grad_and_value(network.loss), outputs, has_aux=True)
    gradient, bend, value = bent
    checked = {str(i): leaf for i, leaf in enumerate(flattened(gradient)[0])}
    batched = _batched(lambda tangent: pull(bend(push(tangent))[0])[0], 0)
    return lambda tangents: (batched(tangents), checked, value)


@cache
def _compile_forward_rules() -> None:
    """Use forward mode once: torch then compiles its rules, and warns of torch.jit.script, which no user called."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        jvp(torch.neg, (torch.zeros(()),), (torch.zeros(()),))


def _batched(one: Callable[[Values], Any], out_dims: Any) -> Callable[[Values], Any]:
    """Return ``one`` for a leading dimension of probes; a single probe spares the batched kernels, which are slower."""

    def several(tangents: Values) -> Any:
        if _count(tangents) > 1:
            return vmap(one, out_dims=out_dims, randomness="same")(tangents)
        result = one({name: tangent[0] for name, tangent in tangents.items()})
        if isinstance(result, tuple):
            return ({name: entry.unsqueeze(0) for name, entry in result[0].items()}, *result[1:])
        return {name: entry.unsqueeze(0) for name, entry in result.items()}

    return several


def _count(tangents: Values) -> int:
    return len(next(iter(tangents.values())))


class GeneralProducts:
    """Sum of the products of each added block with each row of ``probes``, shape (P, N).

    Parameters in half precision have their products summed in float64.
    """

    def __init__(
        self, prepare: Prepare, loss: LossModule, parameters: Values, probes: Tensor, probes_per_block: int
    ) -> None:
        self._prepare, self._loss = prepare, loss
        self._values = {name: value.detach() for name, value in parameters.items()}
        self._sizes = [value.numel() for value in self._values.values()]
        self._probes, self._probes_per_block = probes, probes_per_block
        is_half = next(iter(self._values.values())).itemsize < probes.itemsize
        self._total = torch.zeros_like(probes, dtype=torch.float64 if is_half else probes.dtype)

    error: float | None = None
    structure = ()

    def add(self, batch: Any, weight: float | Tensor) -> Tensor:
        """Add ``weight`` times the products of one block of examples; return its `check_sums`."""
        product = self._prepare(self._loss, batch, self._values)
        for start in range(0, len(self._probes), self._probes_per_block):
            rows = slice(start, start + self._probes_per_block)
            pieces = torch.split(self._probes[rows], self._sizes, dim=1)
            tangents = {
                name: piece.to(value.dtype)
                .reshape(len(piece), *value.shape)
                .clone(memory_format=torch.contiguous_format)
                for (name, value), piece in zip(self._values.items(), pieces, strict=True)
            }
            products, gradient, value = product(tangents)
            totals = torch.split(self._total[rows], self._sizes, dim=1)
            for name, total in zip(self._values, totals, strict=True):
                entry = products[name].detach().reshape(total.shape)
                # A weight on the device must not be waited for.
                total.addcmul_(entry, weight) if isinstance(weight, Tensor) else total.add_(entry, alpha=weight)
        return check_sums(value, gradient.values())

    def load(self, probes: Tensor) -> None:
        """Start anew with other probes, as many as before, in the same memory."""
        self._probes.copy_(probes)
        self._total.zero_()

    def total(self) -> Tensor:
        """Return the sum, shape (P, N)."""
        return self._total
