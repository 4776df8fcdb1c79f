"""Cross-entropy with a second derivative in closed form: p * (v - p·v), where torch's own recomputes and keeps more.

For outputs with many classes, as those of language models, that derivative is a large part of a product.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


def with_closed_form(loss_fn: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
    """Return ``loss_fn``, or where it is a plain mean cross-entropy, the same function with the faster derivative."""
    if loss_fn is F.cross_entropy:
        return partial(_cross_entropy, loss_fn, -100)
    if type(loss_fn) is nn.CrossEntropyLoss:
        plain = loss_fn.weight is None and loss_fn.label_smoothing == 0 and loss_fn.reduction == "mean"
        return partial(_cross_entropy, loss_fn, loss_fn.ignore_index) if plain else loss_fn
    return loss_fn


def _cross_entropy(loss_fn: Callable[[Any, Any], Tensor], ignored: int, z: Any, targets: Any) -> Tensor:
    device = targets.device.type if isinstance(targets, Tensor) else "cpu"
    if not _is_usual(z, targets) or torch.is_autocast_enabled(device):
        return loss_fn(z, targets)
    mask = targets != ignored
    weights = (mask.to(z.dtype) / mask.sum()).unsqueeze(1)
    classes = targets.where(mask, 0).unsqueeze(1)
    return _Value.apply(z, classes, weights)  # type: ignore[no-untyped-call]


def _is_usual(z: Any, targets: Any) -> bool:
    """Return whether these are outputs (n, C, ...) in full precision, and a class for each prediction."""
    return (
        isinstance(z, Tensor)
        and isinstance(targets, Tensor)
        and z.dtype in (torch.float32, torch.float64)
        and targets.dtype == torch.int64
        and z.ndim >= 2
        and z.shape[:1] + z.shape[2:] == targets.shape
    )


class _Function(torch.autograd.Function):
    """A function whose derivatives, backward and forward, are computed from its inputs."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)


class _Value(_Function):
    """Sum of -weights * log p(class): outputs (n, C, ...), classes and weights (n, 1, ...)."""

    @staticmethod
    def forward(z: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
        return -(z.log_softmax(dim=1).gather(1, classes) * weights).sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        z, classes, weights = ctx.saved_tensors
        at_outputs: Any = _Gradient.apply(z, z.detach().softmax(dim=1), classes, weights)  # type: ignore[no-untyped-call]
        return gradient * at_outputs, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:
        z, classes, weights = ctx.saved_tensors
        expected = (z.softmax(dim=1) * tangent).sum(dim=1, keepdim=True)
        return ((expected - tangent.gather(1, classes)) * weights).sum()


class _Gradient(_Function):
    """The gradient of the above in the outputs, weights * (p - one-hot); p is given, and no variable of its own."""

    @staticmethod
    def forward(z: Tensor, p: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
        return (p * weights).scatter_add(1, classes, -weights)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        _, p, _, weights = ctx.saved_tensors
        return _curvature(p, weights, gradient), None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:
        _, p, _, weights = ctx.saved_tensors
        return _curvature(p, weights, tangent)


def _curvature(p: Tensor, weights: Tensor, v: Tensor) -> Tensor:
    """Return weights * p * (v - p·v): the matrix is symmetric, so this serves both directions."""
    product = p * v
    return product.sub_(p * product.sum(dim=1, keepdim=True)).mul_(weights)
