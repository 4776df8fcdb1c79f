"""What the callbacks of all trainers share: a monitor, made when training starts, on the first rank."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from hessdens.curvature.containers import on_device_of
from hessdens.monitor.history import SpectrumHistory
from hessdens.monitor.loggers import Logger
from hessdens.monitor.monitor import OperatorOptions, SpectrumMonitor


class MonitorOptions(OperatorOptions, total=False):
    """Keyword arguments of `SpectrumMonitor` that callbacks hand on: all except ``start``."""

    max_products: int
    num_probes: int | None
    low_memory: bool
    seed: int
    every: int | None
    overhead: float | None
    window: float
    loggers: Sequence[Logger]
    history: str | os.PathLike[str] | None
    clock: Callable[[], float]


class MonitorCallback:
    """Watch the spectrum of a model while a trainer trains it.

    Only rank 0 measures, a model that it holds whole. The others wait in their next collective, whose timeout must be
    longer than a measurement.

    Attributes
    ----------
    monitor
        The `SpectrumMonitor`, from the start of training; None before, and on all ranks except the first.
    """

    def __init__(self, loss_fn: Callable[[Any, Any], Tensor], data: Iterable[Any], options: MonitorOptions) -> None:
        super().__init__()
        self._loss_fn = loss_fn
        self._data = data
        self._options = options
        self.monitor: SpectrumMonitor | None = None

    @property
    def history(self) -> SpectrumHistory:
        """All records so far."""
        return SpectrumHistory({}) if self.monitor is None else self.monitor.history

    def _begin(self, model: nn.Module, step: int) -> None:
        """Make the monitor, which measures the model as it is."""
        data = on_device_of(model, self._data)
        self.monitor = SpectrumMonitor(model, self._loss_fn, data, start=step, **self._options)

    def _go_on(self, step: int) -> None:
        """Measure, if there is a monitor and it decides so."""
        if self.monitor is not None:
            self.monitor(step)
