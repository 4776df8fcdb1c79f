"""Keyword arguments that a monitor and its callbacks hand on."""

import os
from collections.abc import Callable, Sequence

from hessdens.curvature.plan import Plan
from hessdens.curvature.problem import ProblemOptions
from hessdens.monitor.loggers import Logger


class OperatorOptions(ProblemOptions, total=False):
    """Keyword arguments of `hessian_operator`."""

    plan: Plan | None
    memory_limit: int | None


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
