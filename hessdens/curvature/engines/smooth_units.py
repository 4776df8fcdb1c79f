"""GELU and SiLU with their second derivatives in closed form, where torch's second backward pass is a long chain.

In a transformer that chain is a quarter of a product. Values and derivatives are torch's own to rounding, and to any
order, since a model may differentiate in its forward pass.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.overrides import TorchFunctionMode

from hessdens._torch import may_be_transformed

# torch's constants of the tanh approximation.
SCALE, CUBIC = math.sqrt(2 / math.pi), 0.044715
Derivatives = tuple[Tensor, Tensor]


class SmoothUnits(TorchFunctionMode):
    """While it is active, GELU and SiLU in float32 and float64 are those of this module.

    Functions that torch.func transforms are excepted: there the derivatives of all probes share the chain anyway.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call ``func``, or what stands in for it."""
        kwargs = kwargs or {}
        x = args[0] if args else None
        if func in STAND_INS and isinstance(x, Tensor) and x.dtype in (torch.float32, torch.float64):
            derivatives = STAND_INS[func](*args[1:], **kwargs)
            if derivatives is not None and not may_be_transformed():
                return _Unit.apply(x, func, kwargs, _Derivatives(derivatives))  # type: ignore[no-untyped-call]
        return func(*args, **kwargs)


def _gelu_derivatives(x: Tensor) -> Derivatives:
    density = torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)
    return (1 + torch.erf(x / math.sqrt(2))) / 2 + x * density, density * (2 - x.square())


def _tanh_gelu_derivatives(x: Tensor) -> Derivatives:
    square = x.square()
    t = torch.tanh(SCALE * x * (1 + CUBIC * square))
    inner, rest = SCALE * (1 + 3 * CUBIC * square), 1 - t.square()
    first = (1 + t + x * rest * inner) / 2
    return first, rest * (inner + SCALE * 3 * CUBIC * square - x * t * inner.square())


def _silu_derivatives(x: Tensor) -> Derivatives:
    s = torch.sigmoid(x)
    return s * (1 + x * (1 - s)), s * (1 - s) * (2 + x * (1 - 2 * s))


# From further arguments of a unit to its derivatives, None where it is not stood in for.
STAND_INS: dict[Any, Callable[..., Callable[[Tensor], Derivatives] | None]] = {
    F.gelu: lambda approximate="none": _tanh_gelu_derivatives if approximate == "tanh" else _gelu_derivatives,
    F.silu: lambda inplace=False: None if inplace else _silu_derivatives,
}


@dataclass
class _Derivatives:
    """First and second derivative at the inputs of one use of a unit, computed once for the passes of all probes."""

    function: Callable[[Tensor], Derivatives]
    known: Derivatives | None = None

    def at(self, x: Tensor) -> Derivatives:
        """Return both at ``x``, the same in each call."""
        if torch.is_grad_enabled():  # they may be differentiated further
            return self.function(x)
        self.known = self.known or self.function(x)
        return self.known


class _Unit(torch.autograd.Function):
    """The unit itself; its first derivative is `_Slope`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, func: Any, kwargs: Any, derivatives: _Derivatives) -> Tensor:
        ctx.derivatives = derivatives
        ctx.save_for_backward(x)
        return func(x, **kwargs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        if torch.is_grad_enabled():
            product: Any = _Slope.apply(x, gradient, ctx.derivatives)  # type: ignore[no-untyped-call]
        else:
            product = ctx.derivatives.at(x)[0] * gradient
        return product, None, None, None


class _Slope(torch.autograd.Function):
    """A gradient times the first derivative of the unit at x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gradient: Tensor, derivatives: _Derivatives) -> Tensor:
        ctx.derivatives = derivatives
        ctx.save_for_backward(x, gradient)
        return derivatives.at(x)[0] * gradient

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> Any:
        x, gradient = ctx.saved_tensors
        first, second = ctx.derivatives.at(x)
        return v * gradient * second, v * first, None
