"""The spectrum of a network in training: measured again and again with the same probes and data, within a budget."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from hessdens._calls import takes_model, warn_caller
from hessdens._checks import PAPER_WINDOW, at_least, half_window
from hessdens.curvature import Plan, hessian_operator
from hessdens.curvature.problem import ProblemOptions
from hessdens.curvature.settings import TURN, Undisturbed
from hessdens.errors import NonFiniteError
from hessdens.estimators import lanczos_density
from hessdens.linalg.identity import Identity, differences, facts_of
from hessdens.monitor.history import SpectrumHistory, SpectrumRecord
from hessdens.monitor.loggers import Logger
from hessdens.monitor.overhead import OverheadBudget

# Two probes and four steps, which know four moments.
FEWEST_PRODUCTS = 8
# Facts of an operator that training changes, or may change by a schedule.
CHANGED_BY_TRAINING = ("parameters", "buffers", "settings of the model", "settings of the loss")


class OperatorOptions(ProblemOptions, total=False):
    """Keyword arguments of `hessian_operator`."""

    plan: Plan | None
    memory_limit: int | None


class SpectrumMonitor:
    """Measure the Hessian's spectrum during training, within a budget of time.

    Call `step` after each training step, or the monitor itself with the number of steps made. It decides whether to
    measure. The first measurement is made at once, of the model as it is. All measurements take the same probes and
    data, so that most of the error of a change between two steps cancels (`SpectrumHistory.difference`). Training is
    the same to the last bit as without: modes, gradients, buffers, random state and optimizer do not change.

    Parameters
    ----------
    model
        The network in training, on one device. It is measured in evaluation mode.
    loss_fn, data
        As `hessian_operator` takes them. ``data`` stay the same for the whole run: take a fixed part of the training
        examples. A measurement takes about as long as 3 ``max_products`` gradients of them.
    max_products, num_probes, low_memory, seed
        As `lanczos_density` takes them: at least 8 products.
    every
        Measure after multiples of so many steps only. Default: after any.
    overhead
        Time of all measurements, at most, as a fraction of that of training. One is made only if this will hold even
        when it takes twice as long as the longest so far. So a run that is shorter than three measurements over this
        fraction has a single record. None: no limit; ``every`` is needed.
    window
        Size of the window around 0 that counts as degenerate, for the loggers.
    loggers
        Called as ``logger(step, numbers)`` after each measurement, numbers by name (`SpectrumRecord.numbers`). If one
        raises, the monitor warns once; training goes on.
    history
        File in which all records are kept, written anew after each. If it exists it must be of the same model, loss,
        data and probes, and goes on; its records after ``start`` are dropped.
    start
        Training steps made already, where training goes on from a checkpoint.
    clock
        Returns seconds from any start.
    problem
        Keyword arguments of `hessian_operator`, such as ``forward``, ``parameters`` or ``num_examples``.

    Attributes
    ----------
    history
        The `SpectrumHistory` so far.
    stopped
        Why the monitor measures no more, after an error that it has warned of; else empty.

    Raises
    ------
    ValueError
        If an argument is out of range; if the file holds another history, or one with later steps where ``start`` is 0;
        and whatever `hessian_operator` and the first measurement raise. Later errors stop the monitor, not training.

    Notes
    -----
    Where products are not finite there is a record without a density, and the monitor goes on. A model whose parameters
    are replaced by others of another shape has no spectrum to compare: the monitor warns and stops. It keeps to the
    parameters that were trainable when it was made. If some are frozen or unfrozen later, it warns once.

    Examples
    --------
    >>> model, data = nn.Linear(4, 1), [(torch.eye(4), torch.zeros(4, 1))]
    >>> monitor = SpectrumMonitor(model, nn.MSELoss(), data, max_products=8, every=10, overhead=None)
    >>> for _ in range(20):
    ...     record = monitor.step()  # after optimizer.step()
    >>> monitor.history.steps
    array([ 0, 10, 20])
    """

    @takes_model
    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable[[Any, Any], Tensor],
        data: Iterable[Any],
        *,
        max_products: int = 50,
        num_probes: int | None = None,
        low_memory: bool = False,
        seed: int = 0,
        every: int | None = None,
        overhead: float | None = 0.05,
        window: float = PAPER_WINDOW,
        loggers: Sequence[Logger] = (),
        history: str | os.PathLike[str] | None = None,
        start: int = 0,
        clock: Callable[[], float] = time.perf_counter,
        **problem: Unpack[OperatorOptions],
    ) -> None:
        at_least("max_products", max_products, FEWEST_PRODUCTS)
        at_least("start", start, 0)
        half_window(window)
        _check(every, overhead, loggers)
        self._budget = OverheadBudget(overhead, clock)
        self._every = every
        self._window = window
        self._loggers = tuple(loggers)
        self._num_steps_made = start
        self.stopped = ""
        self._model = model
        self._path = None if history is None else Path(history)
        self._warned: set[object] = set()
        sampling: dict[str, Any] = {"max_products": max_products, "num_probes": num_probes}
        sampling |= {"low_memory": low_memory, "seed": seed}
        with self._budget.measuring():
            with TURN, Undisturbed(model, loss_fn), evaluation_mode(model):
                self._operator = hessian_operator(model, loss_fn, data, **problem)
                facts = facts_of(self._operator)
            self._density = partial(lanczos_density, self._operator, **sampling)
            facts = {name: value for name, value in facts.items() if name not in CHANGED_BY_TRAINING}
            identity = facts | sampling | {"num_probes": num_probes or "default"}
            self.history = _history_in(self._path, identity, start)
        self._trainable = _trainable(model)
        if self.history:
            spent = [record.measuring_seconds for record in self.history]
            self._budget.go_on_from(self.history[-1].training_seconds, spent)
        else:
            self.measure()

    @property
    def overhead(self) -> float:
        """Time of all measurements so far as a fraction of that of training so far; infinite before any."""
        trained = self._budget.trained()
        return self._budget.spent() / trained if trained > 0 else float("inf")

    def step(self) -> SpectrumRecord | None:
        """Count one more training step, and return a record if it was measured."""
        return self(self._num_steps_made + 1)

    def __call__(self, step: int) -> SpectrumRecord | None:
        """Say how many training steps have been made, and return a record if the spectrum was measured.

        ValueError if ``step`` is less than before.
        """
        if step < self._num_steps_made:
            back = f"step must not go back; got {step} after {self._num_steps_made}."
            raise ValueError(f"{back} Make a new monitor with start={step} to go on from there.")
        self._num_steps_made = step
        is_due = self._every is None or step % self._every == 0
        if self.stopped or self._is_measured() or not is_due or not self._budget.allows_another():
            return None
        return self.measure()

    def measure(self) -> SpectrumRecord | None:
        """Measure now, whatever the budget, which pays for it later; never twice at one step.

        If that fails, the first measurement raises; a later one warns, stops the monitor and returns None.
        """
        if self._is_measured():
            return self.history[-1]
        if self._operator.device.type == "cuda":
            torch.cuda.synchronize(self._operator.device)  # work that is still queued is training
        with self._budget.measuring():
            try:
                record = self._record()
                numbers = record.numbers(self._window)
            except Exception as error:  # no error of a measurement may end the training that is watched
                if not self.history:
                    raise
                self.stopped = f"{type(error).__name__}: {error}"
                self._warn_once("stopped", f"The monitor stops at step {self._num_steps_made}. {self.stopped}")
                return None
            self.history = SpectrumHistory(self.history.identity, (*self.history.records, record))
            self._write(record.step, numbers)
        return record

    def _is_measured(self) -> bool:
        return bool(self.history) and self.history[-1].step == self._num_steps_made

    def _record(self) -> SpectrumRecord:
        changed = sorted(name for name, flag in _trainable(self._model) if (name, not flag) in self._trainable)
        if changed:
            names = ", ".join(changed[:3]) + (", ..." if len(changed) > 3 else "")
            frozen = f"Parameters were frozen or unfrozen since the monitor was made ({names})."
            consequence = "It goes on with those it began with, so that records can be compared."
            self._warn_once("trainable", f"{frozen} {consequence}")
        density, failure = None, ""
        with TURN, Undisturbed(self._model), evaluation_mode(self._model):
            try:
                density = self._density()
            except NonFiniteError as error:
                failure = str(error)
            loss = self._operator.loss()
        training, measuring = self._budget.training, self._budget.spent()
        return SpectrumRecord(self._num_steps_made, loss, density, failure, training, measuring)

    def _write(self, step: int, numbers: dict[str, float]) -> None:
        """Save the history and call the loggers; what fails is tried again next time, after one warning."""
        if self._path is not None:
            try:
                self.history.save(self._path)
            except OSError as error:
                self._warn_once("history", f"The history could not be saved to {self._path}: {error}")
        for index, logger in enumerate(self._loggers):
            try:
                logger(step, numbers)
            except Exception as error:  # a full disk, a lost network: no reason to end training
                name = getattr(logger, "__qualname__", type(logger).__name__)
                self._warn_once(index, f"Logger {index} ({name}) failed: {type(error).__name__}: {error}")

    def _warn_once(self, key: object, message: str) -> None:
        if key not in self._warned:
            self._warned.add(key)
            warn_caller(message)


def _check(every: int | None, overhead: float | None, loggers: Sequence[Logger]) -> None:
    if every is None and overhead is None:
        raise ValueError("every or overhead must be given; got None for both, which would measure at every step.")
    if every is not None:
        at_least("every", every, 1)
    if overhead is not None and not 0 < overhead < float("inf"):
        raise ValueError(f"overhead must be positive and finite, a share of training time; got {overhead}.")
    for logger in loggers:
        if not callable(logger):
            raise TypeError(f"Loggers must be callable as logger(step, numbers); got {type(logger).__name__}.")


def _history_in(path: Path | None, identity: Identity, start: int) -> SpectrumHistory:
    """Return the history in a file until ``start``, or an empty one."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    if path is None or not path.exists():
        return SpectrumHistory(identity)
    history = SpectrumHistory.load(path)
    changes = differences(history.identity, identity)
    if changes:
        rule = "history must be of the same model, loss, data and probes"
        raise ValueError(f"{rule}; in {path} {'; '.join(changes)}. Give another file, or make the run the same.")
    if start == 0 and history and history[-1].step > 0:
        raise ValueError(
            f"A training run that starts anew needs a new history; {path} has records up to step {history[-1].step}. "
            "Give another file or remove that one; or, where training goes on from a checkpoint, pass start= its step."
        )
    return history.until(start)


def _trainable(model: nn.Module) -> set[tuple[str, bool]]:
    return {(name, parameter.requires_grad) for name, parameter in model.named_parameters()}


@contextlib.contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put every module in evaluation mode, and back as each was.

    Only the flags are set: a model may override ``eval()`` to do more (some adapters merge their weights).
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes:
            module.training = mode
