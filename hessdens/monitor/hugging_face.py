"""A `SpectrumMonitor` as a callback of the trainer of Hugging Face transformers; needs ``transformers``."""

from collections.abc import Callable, Iterable
from typing import Any, Unpack

from torch import Tensor, nn

from hessdens.curvature.frameworks.transformers import batches_of, model_loss, own_loss, reading_of
from hessdens.monitor.callback import MonitorCallback, MonitorOptions

try:
    from transformers import TrainerCallback
except ImportError as error:
    message = "hessdens.monitor.hugging_face needs transformers: pip install transformers accelerate."
    raise ImportError(message) from error


class SpectrumCallback(MonitorCallback, TrainerCallback):  # type: ignore[misc]
    """Watch the spectrum of a model while the trainer of transformers trains it: a `MonitorCallback`.

    Parameters
    ----------
    data
        Batches as the model takes them by keyword, labels included. They are read once, when training starts, and moved
        to the model's device.
    loss_fn, forward
        As `SpectrumMonitor` takes them. Default: the loss that the model returns.
    options
        Other arguments of `SpectrumMonitor`. Batches count by the labels that the model's loss is a mean over, as in
        `from_transformers`, unless ``num_examples`` is given. Steps are the trainer's ``state.global_step``.
    """

    def __init__(
        self,
        data: Iterable[Any],
        *,
        loss_fn: Callable[[Any, Any], Tensor] = own_loss,
        **options: Unpack[MonitorOptions],
    ) -> None:
        self._reads_loss = loss_fn is own_loss and "forward" not in options
        options.setdefault("forward", model_loss)
        super().__init__(loss_fn, data, options)

    def on_train_begin(self, args: Any, state: Any, control: Any, *, model: nn.Module, **others: Any) -> None:
        """Make the monitor, which measures the model as it is."""
        if state.is_world_process_zero:
            if self._reads_loss:
                self._read_loss(model)
            self._begin(model, state.global_step)

    def _read_loss(self, model: nn.Module) -> None:
        """Compute the model's loss from its logits, if it is one that is known, so that labels are counted."""
        self._data, have_labels = batches_of(model, self._data)
        reading = reading_of(model, self._data, have_labels=have_labels)
        if reading is not None:
            self._loss_fn = reading.loss_fn
            options: Any = reading.options()
            self._options = {**options, **self._options, "forward": options["forward"]}

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Measure, if the monitor decides so."""
        self._go_on(state.global_step)
