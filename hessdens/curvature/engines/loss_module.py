"""A model and its loss as one function of the parameters."""

import contextlib
import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

from hessdens._torch import as_written, dispatched
from hessdens.curvature.containers import flattened, map_tensors, shielded, tensors_of
from hessdens.curvature.engines.replacement import Result, is_of_the_model, with_values
from hessdens.curvature.engines.smooth_units import SmoothUnits
from hessdens.linalg.fingerprint import digest_of, fingerprint
from hessdens.linalg.identity import settings_of

# Parameters, or vectors in their shapes, by name.
Values = Mapping[str, Tensor]
Forward = Callable[[nn.Module, Any], tuple[Any, Any]]
NARROW = {torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex32}


class LossModule:
    """A batch's loss as a function of the parameters of the model inside. Of what is compiled, the original counts."""

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable[[Any, Any], Tensor],
        forward: Forward | None,
    ) -> None:
        self.model: nn.Module = as_written(model)
        self.loss_fn: Callable[[Any, Any], Tensor] = as_written(loss_fn)
        self._forward = forward

    def named(self, names: Iterable[str]) -> dict[str, nn.Parameter]:
        """Return the parameters that the model has now under these names."""
        present = dict(self.model.named_parameters())
        return {name: present[name] for name in names}

    @property
    def takes_pairs(self) -> bool:
        """Whether a batch is a pair of inputs and targets, and the outputs are those of the model at the inputs."""
        return self._forward is None

    @property
    def name(self) -> str:
        """What the loss function is called."""
        return str(getattr(self.loss_fn, "__name__", type(self.loss_fn).__name__))

    def facts(self, parameter_names: Iterable[str]) -> dict[str, str]:
        """Return what model, loss and parameters are called, and digests of the settings of the first two."""
        # The text of a model says how its layers were made; places in memory are others in each process.
        layers = re.sub(r" at 0x\w+", "", repr(self.model))
        return {
            "model": type(self.model).__name__,
            "settings of the model": digest_of(fingerprint(layers)),
            "loss": self.name,
            "settings of the loss": digest_of(fingerprint(settings_of([self.loss_fn, self._forward]))),
            "parameter names": ", ".join(parameter_names),
        }

    @property
    def reduction(self) -> str:
        """What the loss function says of its reduction, or an empty string."""
        return str(getattr(self.loss_fn, "reduction", ""))

    def with_loss(self, loss_fn: Callable[[Any, Any], Tensor], forward: Forward | None = None) -> "LossModule":
        """Return the same model with another loss, and another forward pass if one is given."""
        return LossModule(self.model, loss_fn, forward or self._forward)

    def forward(self, batch: Any) -> tuple[Any, Any]:
        """Return outputs and targets of one batch."""
        if self._forward is not None:
            return self._forward(self.model, batch)
        inputs, targets = batch
        return self.model(inputs), targets

    def loss_of(self, outputs: Any, targets: Any) -> Tensor:
        """Return the loss of outputs, as a pure function: running statistics of the loss function stay as they are."""
        criterion = self.loss_fn
        if not isinstance(criterion, nn.Module) or next(criterion.buffers(), None) is None:
            return criterion(outputs, targets)
        return with_values(criterion, dict(criterion.named_parameters()), partial(criterion, outputs, targets))

    def with_values(self, parameters: Values, function: Callable[[], Result]) -> Result:
        """Return ``function()`` while the model has these values of some parameters: see `replacement.with_values`."""
        return with_values(self.model, parameters, function)

    def outputs(self, batch: Any, parameters: Values) -> tuple[Any, Any]:
        """Return outputs and targets of one batch at these values of some parameters, as a pure function."""
        return self.with_values(parameters, partial(self._pair, batch))

    def value(self, batch: Any, parameters: Values) -> Tensor:
        """Return the loss of one batch at these values, as a pure function; ``loss_fn`` may read the parameters too."""
        return self.with_values(parameters, lambda: self.loss_of(*self._pair(batch)))

    def gradient(
        self,
        batch: Any,
        parameters: Values,
        *,
        wide: bool = False,
        watch: bool = False,
        forward: contextlib.AbstractContextManager[Any] | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the loss and its gradient in these parameters, with all floating tensors in float64 if ``wide``.

        Values that require a gradient are the leaves themselves. With ``watch``, TypeError if an intermediate result is
        not in float64, or nothing can be seen of it. ``forward`` is the context of the forward pass.
        """
        watching = dispatched(_in_double) if watch else contextlib.nullcontext()
        if watching is None:
            raise TypeError("Intermediate results cannot be seen.")

        def backward(batch: Any, leaves: Values) -> tuple[Tensor, list[Tensor]]:
            with watching:
                with forward or contextlib.nullcontext():
                    value = self.loss_of(*self._pair(batch))
                return value.detach(), gradients(value, list(leaves.values()))

        return self._with_leaves(batch, parameters, backward, wide=wide)

    def pulled_gradient(
        self,
        batch: Any,
        parameters: Values,
        moved: Values,
        *,
        wide: bool = False,
        forward: contextlib.AbstractContextManager[Any] | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the loss at moved parameters, and J^T u: u its gradient in the outputs there, J the Jacobian here."""

        def at_outputs(batch: Any, _: Values) -> tuple[Tensor, Sequence[Tensor]]:
            with forward or contextlib.nullcontext():
                outputs, targets = self._pair(batch)
            parts, rebuilt = flattened(outputs)
            points = [part.detach().requires_grad_() for part in parts]
            with forward or contextlib.nullcontext():
                value = self.loss_of(rebuilt(points), targets)
            return value.detach(), torch.autograd.grad(value, points, materialize_grads=True)

        value, slopes = self._with_leaves(batch, moved, at_outputs, wide=wide)

        def pulled(batch: Any, leaves: Values) -> list[Tensor]:
            pairs = zip(flattened(self._pair(batch)[0])[0], slopes, strict=True)
            return gradients(torch.stack([(part * slope).sum() for part, slope in pairs]).sum(), list(leaves.values()))

        return value, self._with_leaves(batch, parameters, pulled, wide=wide)

    def _with_leaves(
        self, batch: Any, parameters: Values, function: Callable[[Any, Values], Result], *, wide: bool
    ) -> Result:
        """Return ``function(batch, leaves)`` while the model has leaves of these values, all in float64 if ``wide``."""
        leaves = {
            name: value if value.requires_grad else value.detach().requires_grad_()
            for name, value in parameters.items()
        }
        with torch.enable_grad():
            if not wide:
                return self.with_values(leaves, partial(function, batch, leaves))
            run = partial(function, map_tensors(widened, batch), leaves)
            criterion = self.loss_fn if isinstance(self.loss_fn, nn.Module) else nn.Module()
            with torch.autocast(next(iter(leaves.values())).device.type, enabled=False):
                wide_leaves = _wide_state(self.model, leaves) | leaves
                return with_values(criterion, _wide_state(criterion), lambda: self.with_values(wide_leaves, run))

    def with_origins(self, batch: Any, leaves: Values) -> tuple[Tensor, list[Any]]:
        """Return the loss of a batch, and the nodes of the graph that made the outputs."""

        def run() -> tuple[Tensor, list[Any]]:
            outputs, targets = self._pair(batch)
            tensors = tensors_of(flattened(outputs)[0])
            origins = [get_gradient_edge(tensor).node for tensor in tensors if tensor.requires_grad]
            return self.loss_of(outputs, targets), origins

        return self.with_values(leaves, run)

    def _pair(self, batch: Any) -> tuple[Any, Any]:
        with SmoothUnits():
            result: Any = self.forward(shielded(batch))
        if not (isinstance(result, tuple | list) and len(result) == 2):
            raise TypeError(f"forward(model, batch) must return (outputs, targets); got {type(result).__name__}.")
        return result[0], result[1]


def without_graph(function: Callable[[], Result]) -> Result:
    """Return ``function()`` without a graph, or with one where it asks for that: to take derivatives, set hooks."""
    try:
        with torch.no_grad():
            return function()
    except RuntimeError as error:
        if not is_of_the_model(error):
            raise
    with torch.enable_grad():
        return function()


def gradients(value: Tensor, leaves: Sequence[Tensor], *, create_graph: bool = False) -> list[Tensor]:
    """Return the gradient in each leaf: zero where the value does not depend on it, dense where torch has it sparse."""
    if not value.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    parts = torch.autograd.grad(value, leaves, create_graph=create_graph, materialize_grads=True)
    return [dense(part) for part in parts]


def dense(gradient: Tensor) -> Tensor:
    """Return a gradient as a tensor that is stored in full, as those of embeddings may not be."""
    return gradient if gradient.layout == torch.strided else gradient.to_dense()


def widened(tensor: Tensor) -> Tensor:
    """Return floating-point and complex numbers in double precision."""
    is_rounded = tensor.is_floating_point() or tensor.is_complex()
    return tensor.to(torch.promote_types(tensor.dtype, torch.float64)) if is_rounded else tensor


def _wide_state(module: nn.Module, known: Container[str] = ()) -> dict[str, Tensor]:
    """Return parameters and buffers in float64, those not whose values are known."""
    state = [*module.named_parameters(), *module.named_buffers()]
    return {name: widened(tensor.detach()).clone() for name, tensor in state if name not in known}


def _in_double(func: Any, args: Any, kwargs: Any) -> Any:
    """Return the result of an operation; TypeError if it is in less than float64."""
    result = func(*args, **kwargs)
    for tensor in result if isinstance(result, tuple | list) else (result,):
        # Tensors without dimensions do not decide the dtype of others.
        if isinstance(tensor, Tensor) and tensor.dtype in NARROW and tensor.ndim > 0:
            raise TypeError("not in float64")
    return result
