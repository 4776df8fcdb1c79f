"""A spectrum watched during training."""

from hessdens.monitor.history import SpectrumHistory, SpectrumRecord
from hessdens.monitor.loggers import csv_logger
from hessdens.monitor.monitor import SpectrumMonitor

__all__ = ["SpectrumHistory", "SpectrumMonitor", "SpectrumRecord", "csv_logger"]
