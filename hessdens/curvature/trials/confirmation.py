"""Products of one mode, confirmed by differences of gradients, which know nothing of second derivatives."""

import math
from typing import Any

import torch
from torch import Tensor

from hessdens.curvature.containers import tensors_of
from hessdens.curvature.engines.differences import DifferenceProducts
from hessdens.curvature.engines.loss_module import LossModule, Values

# A second derivative that is right differs from differences by less, besides their own error; other dtypes are coarse.
CONFIRMED_WITHIN = {torch.float64: 1e-4, torch.float32: 1e-2}
COARSE = 0.5
# Of the whole product: entries of one parameter that are smaller are compared to this.
SMALLEST_PART = 1e-3


def confirmed(
    products: Tensor,
    loss: LossModule,
    values: Values,
    batch: Any,
    vectors: Tensor,
    functions: tuple[str, ...],
    *,
    gauss_newton: bool = False,
) -> str:
    """Return how products with ``vectors`` agree with differences for the first; nothing where they do not.

    Of Gauss-Newton products only custom functions are doubted. Cost: 2 gradients of the batch; on disagreement, at
    least 4 more.

    Raises
    ------
    ValueError
        Of custom functions: if the gradient is not that of the loss, as for gradient reversal, or there are no
        differences.
    """
    if gauss_newton and not functions:
        return "of operations of torch alone"
    product, sizes = products[0].double(), [value.numel() for value in values.values()]
    try:
        engine = DifferenceProducts(loss, values, vectors, 1, gauss_newton=gauss_newton)
        quotient = engine.quotient(batch, vectors[0]).double()
        if (apart := _apart(product, quotient, sizes)) <= _within(loss, values, batch):
            return f"{apart:.1g} from differences of gradients in {_shortly(engine.precision)}"
        found = engine.difference(batch, vectors[0])
    except (RuntimeError, NotImplementedError, ValueError) as error:
        if functions:
            raise ValueError(
                "Second derivatives of custom functions must be confirmed by differences of gradients, which failed"
                f"{in_brackets(functions)}: {error}"
            ) from error
        return f"not compared with differences of gradients, which failed: {error}"
    apart = _apart(product, found.product.double(), sizes, float(found.error))
    if apart <= _within(loss, values, batch):
        return f"{apart:.1g} besides their error from central differences in {_shortly(engine.precision)}"
    if found.is_of_the_loss():
        return ""
    if functions:
        raise ValueError(
            f"The gradient must be the derivative of the loss; differences of the loss contradict it"
            f"{in_brackets(functions)}. Give such functions their own derivative; gradient reversal and the like have "
            "no Hessian."
        )
    return "not compared with differences of gradients, which are not those of the loss"


def _apart(first: Tensor, second: Tensor, sizes: list[int], error: float = 0.0) -> float:
    """Return the largest relative difference, besides an error, of parts of two vectors; NaN where one is not finite.

    Entries that are nearly rounding are compared to the whole.
    """
    least = SMALLEST_PART * float(torch.maximum(first.norm(), second.norm()))
    shares = [0.0]
    for a, b in zip(first.split(sizes), second.split(sizes), strict=True):
        longest = max(float(torch.maximum(a.norm(), b.norm())), least)
        shares.append(0.0 if longest == 0 else (float((a - b).norm()) - error) / longest)
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
