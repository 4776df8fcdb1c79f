"""A `SpectrumMonitor` as a callback of the trainer of Hugging Face transformers; needs ``transformers``."""

from collections.abc import Callable, Iterable
from typing import Any, Unpack

from torch import Tensor, nn

from hessdens.curvature.containers import on_device_of
from hessdens.monitor.history import SpectrumHistory
from hessdens.monitor.monitor import SpectrumMonitor
from hessdens.monitor.options import MonitorOptions

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise ImportError(
        "hessdens.monitor.hugging_face needs transformers: pip install transformers accelerate."
    ) from error


def model_loss(model: nn.Module, batch: Any) -> tuple[Any, None]:
    """Return the loss that the model computes from a batch with labels, and no targets: a ``forward=``."""
    return model(**batch).loss, None


def own_loss(loss: Tensor, targets: None) -> Tensor:
    """Return the output of the model, which is the loss already: the ``loss_fn`` that goes with `model_loss`."""
    return loss


class SpectrumCallback(TrainerCallback):  # type: ignore[misc]
    """Watch the spectrum of a model while the trainer of transformers trains it.

    Parameters
    ----------
    data
        Batches as the model takes them by keyword, labels included. They are read once, when training starts, and moved
        to the model's device.
    loss_fn, forward
        As `SpectrumMonitor` takes them. Default: the loss that the model returns.
    options
        Other arguments of `SpectrumMonitor`. Where the model's loss is a mean over tokens and examples have different
        numbers of them, ``num_examples`` must count those of a batch.

    Attributes
    ----------
    monitor
        The `SpectrumMonitor`, from the start of training; None before, and on all ranks except the first.

    Notes
    -----
    Steps are the trainer's ``state.global_step``. Only rank 0 measures, a model that it holds whole; the others wait in
    their next collective, whose timeout must be longer than a measurement.
    """

    def __init__(
        self,
        data: Iterable[Any],
        *,
        loss_fn: Callable[[Any, Any], Tensor] = own_loss,
        **options: Unpack[MonitorOptions],
    ) -> None:
        options.setdefault("forward", model_loss)
        self._data, self._loss_fn, self._options = data, loss_fn, options
        self.monitor: SpectrumMonitor | None = None

    @property
    def history(self) -> SpectrumHistory:
        """All records so far."""
        return SpectrumHistory({}) if self.monitor is None else self.monitor.history

    def on_train_begin(self, args: Any, state: Any, control: Any, *, model: nn.Module, **others: Any) -> None:
        """Make the monitor, which measures the model as it is."""
        if state.is_world_process_zero:
            data = on_device_of(model, self._data)
            self.monitor = SpectrumMonitor(model, self._loss_fn, data, start=state.global_step, **self._options)

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Measure, if the monitor decides so."""
        if self.monitor is not None:
            self.monitor(state.global_step)
