"""Products of one mode, confirmed by differences of gradients, which know nothing of second derivatives."""

import math
from typing import Any

import torch
from torch import Tensor

from hessdens.curvature.containers import flattened, tensors_of
from hessdens.curvature.engines.differences import DifferenceProducts, shifted, step_along
from hessdens.curvature.engines.loss_module import LossModule, Values

# A second derivative that is right differs from differences by less, besides their own error; other dtypes are coarse.
CONFIRMED_WITHIN = {torch.float64: 1e-4, torch.float32: 1e-2}
COARSE = 0.5
# The slope of the loss along a vector, by its gradient and by differences.
SLOPE_WITHIN = 1e-3
# Of the whole product: entries of one parameter that are smaller are compared to this.
SMALLEST_PART = 1e-3


def confirmed(
    products: Tensor, loss: LossModule, values: Values, batch: Any, vectors: Tensor, functions: tuple[str, ...]
) -> str:
    """Return how Hessian products with ``vectors`` agree with differences for the first; nothing where they do not.

    Where they do not, and the gradient is not that of the loss either because parts of it were detached, the matrix is
    that of the loss that autograd sees. Cost: 2 gradients of the batch; on disagreement, at least 4 more.

    Raises
    ------
    ValueError
        If the gradient is not that of the loss because of a custom function, such as gradient reversal.
    """
    product, sizes = products[0].double(), [value.numel() for value in values.values()]
    try:
        engine = DifferenceProducts(loss, values, vectors, 1)
        quotient = engine.quotient(batch, vectors[0]).double()
        if (apart := _apart(product, quotient, sizes)) <= _within(loss, values, batch):
            return f"{apart:.1g} from differences of gradients in {_shortly(engine.precision)}"
        found = engine.difference(batch, vectors[0])
    except (RuntimeError, NotImplementedError) as error:
        return f"not compared with differences of gradients, which failed: {error}"
    apart = _apart(product, found.product.double(), sizes, float(found.error))
    if math.isnan(apart):
        return "not compared with differences of gradients, which are not finite"
    if apart <= _within(loss, values, batch):
        return f"{apart:.1g} besides their error from central differences in {_shortly(engine.precision)}"
    if found.is_of_the_loss(SLOPE_WITHIN):
        return ""
    if functions:
        raise ValueError(
            f"The gradient must be the derivative of the loss; differences of the loss contradict it"
            f"{in_brackets(functions)}. Give such functions their own derivative; gradient reversal and the like have "
            "no Hessian."
        )
    return "not compared with differences of the loss, parts of which are detached"


def gauss_newton_confirmed(
    products: Tensor, loss: LossModule, values: Values, batch: Any, vectors: Tensor, functions: tuple[str, ...]
) -> str:
    """Return how Gauss-Newton products agree with differences of the loss's gradient at the outputs; nothing if not.

    Only custom functions are doubted; losses with constants made from the outputs are right as they are.
    """
    if not functions:
        return "of operations of torch alone"
    vector = vectors[0].to(next(iter(values.values())).dtype)
    step = step_along(values, vector, vector.dtype)

    def at(size: float) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        outputs, targets = loss.outputs(batch, shifted(values, vector, size))
        parts, rebuilt = flattened(outputs)
        points = [part.detach().requires_grad_() for part in parts]
        value = loss.loss_fn(rebuilt(points), targets)
        return value.detach(), list(torch.autograd.grad(value, points, materialize_grads=True)), points

    leaves = {name: value.detach().requires_grad_() for name, value in values.items()}
    with torch.enable_grad():
        ahead, behind = at(step), at(-step)
        bends = [(a - b) / (2 * step) for a, b in zip(ahead[1], behind[1], strict=True)]
        parts = flattened(loss.outputs(batch, leaves)[0])[0]
        pulled = torch.stack([(part * bend).sum() for part, bend in zip(parts, bends, strict=True)]).sum()
        found = torch.autograd.grad(pulled, list(leaves.values()), allow_unused=True, materialize_grads=True)
    other = torch.cat([part.flatten() for part in found]).double()
    if (apart := _apart(products[0].double(), other, [len(other)])) <= 10 * _within(loss, values, batch):
        return f"{apart:.1g} from differences of gradients at the outputs"
    rises, steps = float(ahead[0] - behind[0]), zip(ahead[1], behind[1], ahead[2], behind[2], strict=True)
    slope = sum(float(((a + b) / 2 * (y - z)).detach().sum()) for a, b, y, z in steps)
    is_detached = abs(slope - rises) > 10 * SLOPE_WITHIN * max(abs(slope), abs(rises))
    return "not compared with differences of the loss, parts of which are detached" if is_detached else ""


def _apart(first: Tensor, second: Tensor, sizes: list[int], error: float = 0.0) -> float:
    """Return the largest relative difference, besides an error, of parts of two vectors; NaN where one is not finite.

    Entries that are nearly rounding are compared to the whole.
    """
    least = SMALLEST_PART * float(torch.maximum(first.norm(), second.norm()))
    shares = [0.0]
    for a, b in zip(first.split(sizes), second.split(sizes), strict=True):
        longest = max(float(torch.maximum(a.norm(), b.norm())), least)
        shares.append((float((a - b).norm()) - error) / longest if longest > 0 else 0.0)
    return max(shares) if all(map(math.isfinite, shares)) else math.nan


def _within(loss: LossModule, values: Values, batch: Any) -> float:
    """Return how near products are to differences where they are right, by the roughest numbers in use."""
    if torch.is_autocast_enabled(next(iter(values.values())).device.type):
        return COARSE
    tensors = [*loss.model.parameters(), *loss.model.buffers(), *tensors_of(batch)]
    dtypes = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    return max((CONFIRMED_WITHIN.get(dtype, COARSE) for dtype in dtypes), default=COARSE)


def _shortly(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def in_brackets(functions: tuple[str, ...]) -> str:
    """Return the names of custom functions for a message, if there are any."""
    return f" (custom functions: {', '.join(functions)})" if functions else ""
