"""A `SpectrumMonitor` as a callback of Lightning's trainer; needs ``lightning`` or ``pytorch_lightning``."""

import sys
from collections.abc import Callable, Iterable
from typing import Any, Unpack

from torch import Tensor, nn

from hessdens.monitor.callback import MonitorCallback, MonitorOptions

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
        message = "hessdens.monitor.lightning needs Lightning: pip install lightning (or pytorch-lightning)."
        raise ImportError(message) from error


class SpectrumCallback(MonitorCallback, Callback):  # type: ignore[misc]
    """Watch the spectrum of a module, or of a network in it, while Lightning's trainer fits it: a `MonitorCallback`.

    Parameters
    ----------
    loss_fn, data, options
        As `SpectrumMonitor` takes them. ``data`` are read once, when training starts, and moved to the module's device.
        Steps are the trainer's ``global_step``.
    network
        ``network(module)`` returns what is measured. Default: the module itself, called as ``module(inputs)``.
    """

    def __init__(
        self,
        loss_fn: Callable[[Any, Any], Tensor],
        data: Iterable[Any],
        *,
        network: Callable[[Any], nn.Module] | None = None,
        **options: Unpack[MonitorOptions],
    ) -> None:
        super().__init__(loss_fn, data, options)
        self._network = network

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Make the monitor, which measures the module as it is."""
        if trainer.is_global_zero:
            self._begin(pl_module if self._network is None else self._network(pl_module), trainer.global_step)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Measure, if the monitor decides so."""
        self._go_on(trainer.global_step)
