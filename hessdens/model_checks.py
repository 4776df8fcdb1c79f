"""What a model, its loss and its data must satisfy before the first product, each with a message of its own."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hessdens.batches import batch_length, map_tensors, slice_batch, tensors_of


class LossModule(nn.Module):
    """A batch's loss as a function of the parameters of the model inside, for ``torch.func.functional_call``."""

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable[[Any, Any], Tensor],
        forward: Callable[[nn.Module, Any], tuple[Any, Any]] | None,
    ) -> None:
        super().__init__()
        self.model = model
        self._loss_fn = (loss_fn,)  # in a tuple, so that parameters of a loss module are not registered here
        self._forward = forward

    @property
    def loss_fn(self) -> Callable[[Any, Any], Tensor]:
        """The function of outputs and targets."""
        return self._loss_fn[0]

    @property
    def reduction(self) -> str:
        """The loss function's own word on its reduction, or an empty string."""
        return str(getattr(self.loss_fn, "reduction", ""))

    def forward(self, batch: Any) -> tuple[Any, Any]:
        """Return outputs and targets of one batch."""
        if self._forward is not None:
            return self._forward(self.model, batch)
        inputs, targets = batch
        return self.model(inputs), targets

    def outputs(self, batch: Any, parameters: Mapping[str, Tensor]) -> tuple[Any, Any]:
        """Return outputs and targets of one batch at these values of some parameters, as a pure function.

        The other parameters are constants. A forward pass may write to buffers: it gets copies, made in here because a
        function that ``torch.func`` transforms may only write to tensors of its own.
        """
        state = {name: parameter.detach() for name, parameter in self.model.named_parameters()}
        state |= {name: buffer.detach().clone() for name, buffer in self.model.named_buffers()}
        state |= parameters
        named = {f"model.{name}": value for name, value in state.items()}
        result: tuple[Any, Any] = functional_call(self, named, (batch,))
        return result

    def value(self, batch: Any, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of one batch at these values of some parameters, as a pure function."""
        return self.loss_fn(*self.outputs(batch, parameters))


def check_modules(model: nn.Module) -> None:
    """Raise ValueError if a module would make the loss random or dependent on the other examples of a batch."""
    for name, module in model.named_modules():
        kind = type(module).__name__
        if not module.training:
            continue
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            raise ValueError(f"The loss must not be random; {kind} {name!r} is in training mode. Call model.eval().")
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise ValueError(
                f"The loss of an example must not depend on its batch; {kind} {name!r} is in training mode. "
                "Call model.eval()."
            )


def check_parameters(model: nn.Module) -> torch.device:
    """Return the one device of all parameters and buffers; ValueError if there are several, or no parameter at all."""
    devices = {str(p.device): name for name, p in [*model.named_buffers(), *model.named_parameters()]}
    if len(devices) > 1:
        found = ", ".join(f"{device} ({name})" for device, name in devices.items())
        raise ValueError(f"The model must be on one device; got {found}. Move it with model.to(device).")
    for parameter in model.parameters():
        return parameter.device
    raise ValueError("The operator needs at least one trainable parameter; the model has no parameters.")


def check_batch(
    batch: Any, model: nn.Module, device: torch.device, *, has_forward: bool, name: str = "the first batch"
) -> None:
    """Raise if a batch is not a pair (unless ``forward=`` is given), or its device or dtype is not the model's."""
    if not has_forward and not (isinstance(batch, tuple | list) and len(batch) == 2):
        raise TypeError(
            f"A batch must be a pair (inputs, targets); got {type(batch).__name__}. "
            "Pass [(inputs, targets)] for a single batch, or forward= for other batches."
        )
    for tensor in tensors_of(batch):
        if tensor.device != device:
            raise ValueError(
                f"The data must be on the model's device, {device}; {name} has a tensor on {tensor.device}. "
                "Move the data or the model."
            )
    if has_forward:
        return
    dtype = next(p.dtype for p in model.parameters())
    for tensor in tensors_of(batch[0]):
        if tensor.is_floating_point() and tensor.dtype != dtype:
            raise ValueError(
                f"Inputs must have the model's dtype, {dtype}; got {tensor.dtype} in {name}. "
                "Convert the data, or the model with model.to(dtype)."
            )


def check_loss(loss: LossModule, batch: Any, weight: Callable[[Any], float], *, splits: bool) -> None:
    """Raise ValueError unless the loss of ``batch`` is a finite, repeatable scalar and a mean over examples.

    A mean is told from a sum by its values on the two halves of the batch, since a loss need not say what it is.
    """
    if loss.reduction in ("sum", "none"):
        raise ValueError(_mean_message(f"its reduction is {loss.reduction!r}"))
    value = _evaluate(loss, batch)
    again = _evaluate(loss, batch)
    if not torch.isfinite(value):
        raise ValueError(f"The loss and its gradient must be finite; the loss of batch 0 is {float(value)}.")
    if not torch.equal(value, again):
        raise ValueError(
            f"The loss must not be random; the same batch gave {float(value)!r} and then {float(again)!r}. "
            "Switch off dropout and other noise, for instance with model.eval()."
        )
    if tensors_of(batch) and (splits or weight is batch_length):
        _check_mean(loss, batch, weight, value, splits)


def _evaluate(loss: LossModule, batch: Any) -> Tensor:
    with torch.no_grad():
        value = loss.value(batch, {})
    if not isinstance(value, Tensor) or value.numel() != 1 or value.ndim != 0:
        received = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"The loss must be a scalar, the mean over the examples of a batch; got {received}.")
    return value.double()


def _check_mean(loss: LossModule, batch: Any, weight: Callable[[Any], float], whole: Tensor, splits: bool) -> None:
    length = batch_length(batch)
    if length == 1:
        batch = map_tensors(lambda t: torch.cat([t, t]) if t.ndim > 0 and len(t) == 1 else t, batch)
        whole, length = _evaluate(loss, batch), 2
    halves = [slice_batch(batch, 0, length // 2), slice_batch(batch, length // 2, length)]
    values = torch.stack([_evaluate(loss, half) for half in halves])
    weights = values.new_tensor([float(weight(half)) for half in halves])
    tolerance = torch.finfo(next(loss.model.parameters()).dtype).eps ** 0.5 * values.abs().max()
    if (values.sum() - whole).abs() <= tolerance < whole.abs():
        raise ValueError(
            _mean_message("the losses of two halves of a batch add up to that of the whole, as a sum's do")
        )
    if splits and not ((weights * values).sum() / weights.sum() - whole).abs() <= tolerance:
        raise ValueError(
            _mean_message(
                "the losses of two halves of a batch, weighted by numbers of examples, do not give that of the whole"
            )
            + " If it is a mean with other weights pass num_examples=; if batches must not be cut, split_batches=False."
        )


def check_finite(value: Tensor, checksum: Tensor, index: int) -> None:
    """Raise ValueError naming the batch unless the loss and a sum over its gradient are finite."""
    if not torch.isfinite(value + checksum):
        what = "gradient" if torch.isfinite(value) else "loss"
        raise ValueError(f"The loss and its gradient must be finite; the {what} of batch {index} is not.")


def _mean_message(reason: str) -> str:
    return f"loss_fn must return the mean over the examples of a batch (reduction='mean'); {reason}."
