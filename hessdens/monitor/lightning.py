"""A `SpectrumMonitor` as a callback of Lightning's trainer; needs ``lightning`` or ``pytorch_lightning``."""

import sys
from collections.abc import Callable, Iterable
from typing import Any, Unpack

from torch import Tensor, nn

from hessdens.curvature.containers import on_device_of
from hessdens.monitor.history import SpectrumHistory
from hessdens.monitor.monitor import SpectrumMonitor
from hessdens.monitor.options import MonitorOptions

try:
    # Both may be installed, and a trainer of one takes callbacks of its own only: the one that is in use.
    if "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
        from pytorch_lightning import Callback
    else:
        from lightning.pytorch import Callback
except ImportError:
    try:
        from pytorch_lightning import Callback
    except ImportError as error:
        raise ImportError(
            "hessdens.monitor.lightning needs Lightning: pip install lightning (or pytorch-lightning)."
        ) from error


class SpectrumCallback(Callback):  # type: ignore[misc]
    """Watch the spectrum of a module, or of a network in it, while Lightning's trainer fits it.

    Parameters
    ----------
    loss_fn, data, options
        As `SpectrumMonitor` takes them. ``data`` are read once, when training starts, and moved to the module's device.
    network
        ``network(module)`` returns what is measured. Default: the module itself, called as ``module(inputs)``.

    Attributes
    ----------
    monitor
        The `SpectrumMonitor`, from the start of training; None before, and on all ranks except the first.

    Notes
    -----
    Steps are the trainer's ``global_step``. Only rank 0 measures, a model that it holds whole; the others wait in their
    next collective, whose timeout must be longer than a measurement.
    """

    def __init__(
        self,
        loss_fn: Callable[[Any, Any], Tensor],
        data: Iterable[Any],
        *,
        network: Callable[[Any], nn.Module] | None = None,
        **options: Unpack[MonitorOptions],
    ) -> None:
        super().__init__()
        self._loss_fn, self._data, self._network, self._options = loss_fn, data, network, options
        self.monitor: SpectrumMonitor | None = None

    @property
    def history(self) -> SpectrumHistory:
        """All records so far."""
        return SpectrumHistory({}) if self.monitor is None else self.monitor.history

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Make the monitor, which measures the module as it is."""
        if trainer.is_global_zero:
            model = pl_module if self._network is None else self._network(pl_module)
            data = on_device_of(model, self._data)
            self.monitor = SpectrumMonitor(model, self._loss_fn, data, start=trainer.global_step, **self._options)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Measure, if the monitor decides so."""
        if self.monitor is not None:
            self.monitor(trainer.global_step)
