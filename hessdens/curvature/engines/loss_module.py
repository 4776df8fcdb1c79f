"""A model and its loss as one function of the parameters."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from hessdens.curvature.engines.smooth_units import SmoothUnits
from hessdens.linalg.fingerprint import digest_of, fingerprint
from hessdens.linalg.identity import settings_of

# Parameters, or vectors in their shapes, by name.
Values = Mapping[str, Tensor]
Forward = Callable[[nn.Module, Any], tuple[Any, Any]]


class LossModule(nn.Module):
    """A batch's loss as a function of the parameters of the model inside, for ``torch.func.functional_call``."""

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable[[Any, Any], Tensor],
        forward: Forward | None,
    ) -> None:
        super().__init__()
        self.model = model
        self._loss_fn = (loss_fn,)  # in a tuple, so that parameters of a loss module are not registered here
        self._forward = forward

    def named(self, names: Iterable[str]) -> dict[str, nn.Parameter]:
        """Return the parameters that the model has now under these names."""
        present = dict(self.model.named_parameters())
        for name in names:
            if name not in present:
                raise ValueError(f"The model must keep the parameters of the operator; {name!r} is gone.")
        return {name: present[name] for name in names}

    @property
    def loss_fn(self) -> Callable[[Any, Any], Tensor]:
        """The function of outputs and targets."""
        return self._loss_fn[0]

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

    def outputs(self, batch: Any, parameters: Values) -> tuple[Any, Any]:
        """Return outputs and targets of one batch at these values of some parameters, as a pure function.

        The other parameters are constants. A forward pass may write to buffers: it gets copies, made in here because a
        function that ``torch.func`` transforms may only write to tensors of its own.
        """
        state = {name: parameter.detach() for name, parameter in self.model.named_parameters()}
        state |= {name: buffer.detach().clone() for name, buffer in self.model.named_buffers()}
        state |= parameters
        named = {f"model.{name}": value for name, value in state.items()}
        with SmoothUnits():
            result: Any = functional_call(self, named, (batch,))
        if not (isinstance(result, tuple | list) and len(result) == 2):
            raise TypeError(f"forward(model, batch) must return (outputs, targets); got {type(result).__name__}.")
        return result[0], result[1]

    def value(self, batch: Any, parameters: Values) -> Tensor:
        """Return the loss of one batch at these values of some parameters, as a pure function."""
        return self.loss_fn(*self.outputs(batch, parameters))
