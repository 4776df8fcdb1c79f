"""What a monitor has measured in a training run: one record per measurement, in a file with which a run resumes."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray

from hessdens._checks import LEVEL, PAPER_WINDOW
from hessdens._types import FloatArray, Window
from hessdens.densities.base import NUM_MOMENTS
from hessdens.densities.difference import DensityDifference
from hessdens.densities.lanczos import LanczosDensity
from hessdens.results.files import json_facts
from hessdens.results.saved import Saved
from hessdens.results.storage import pack, take, unpack
from hessdens.results.summaries.text import percent

# Records that a printed history shows at most, the first and the last among them.
PRINTED = 12
# Records of a history: each takes a kilobyte and a millisecond to read, however little it holds.
MOST_RECORDS = 100_000


@dataclass(frozen=True, eq=False)
class SpectrumRecord(Saved):
    """One measurement.

    Parameters
    ----------
    step
        Training steps made before it.
    loss
        Mean loss of the fixed data; NaN or infinite where training has diverged.
    density
        The spectral density; None where products were not finite.
    failure
        Why there is no density; else empty.
    training_seconds, measuring_seconds
        Time of the run until then: in training; and in all measurements, this one included.
    """

    step: int
    loss: float
    density: LanczosDensity | None
    failure: str
    training_seconds: Annotated[float, "amount"]
    measuring_seconds: Annotated[float, "amount"]

    def __post_init__(self) -> None:
        if not (isinstance(self.step, int | np.integer) and self.step >= 0):
            raise ValueError(f"step must be a whole number, not negative; got {self.step!r}.")
        if (self.density is None) != bool(self.failure):
            raise ValueError(f"A record must have either a density or a failure; got failure {self.failure!r}.")

    def numbers(self, window: Window | None = None, level: float = LEVEL) -> dict[str, float]:
        """Return what a logger is given, by name: values, ends of intervals (``_low``, ``_high``), edges, times."""
        names = [*(f"m_{k}" for k in range(1, NUM_MOMENTS + 1)), "degenerate", "negative"]
        rows = np.full((3, len(names)), np.nan)  # values, and lower and upper ends of their intervals
        edges = np.full(2, np.nan)
        density = self.density
        if density is not None:
            fractions = [density.fraction_degenerate(window), density.fraction_negative(window)]
            intervals = [density.degenerate_interval(window, level), density.negative_interval(window, level)]
            rows[0] = *density.moments(NUM_MOMENTS), *fractions
            rows[1:] = np.hstack([density.moments_interval(NUM_MOMENTS, level), np.transpose(intervals)])
            edges = density.nodes()[[0, -1]]
        numbers = {"loss": self.loss}
        for name, (value, low, high) in zip(names, rows.T, strict=True):
            numbers |= {name: value, f"{name}_low": low, f"{name}_high": high}
        numbers |= {"smallest": edges[0], "largest": edges[1]}
        numbers |= {"training_seconds": self.training_seconds, "measuring_seconds": self.measuring_seconds}
        return {name: float(value) for name, value in numbers.items()}


@dataclass(frozen=True, eq=False)
class SpectrumHistory(Saved):
    """The records of a training run, each made with the same probes and data.

    ``history[i]`` is a record by its place, ``history.at(step)`` by its step. Arrays have the records as their last
    axis, and NaN where a record has no density.

    Parameters
    ----------
    identity
        What the records are of: model, loss, parameters, data, probes.
    records
        By ascending step.

    Examples
    --------
    >>> from hessdens import lanczos_density
    >>> density = lanczos_density(np.diag([0.0, 0.1, 2.0, 5.0]), max_products=8)
    >>> records = (SpectrumRecord(0, 2.3, density, "", 0.0, 0.1), SpectrumRecord(100, 0.7, density, "", 9.0, 0.2))
    >>> history = SpectrumHistory({"model": "Net", "size": 4}, records)
    >>> history.steps, history.values("loss")
    (array([  0, 100]), array([2.3, 0.7]))
    >>> history.values("largest")
    array([5., 5.])
    """

    identity: Mapping[str, str | int | float]
    records: tuple[SpectrumRecord, ...] = ()

    def __post_init__(self) -> None:
        steps = [record.step for record in self.records]
        if np.any(np.diff(steps) <= 0):
            raise ValueError(f"records must have ascending steps; got {steps}.")
        if len(steps) > MOST_RECORDS:
            raise ValueError(f"records must be {MOST_RECORDS:,} at most; got {len(steps):,}. Measure less often.")
        sizes: set[Any] = {record.density.size for record in self.records if record.density is not None}
        sizes |= {self.identity["size"]} if "size" in self.identity else set()
        if len(sizes) > 1 or not all(isinstance(size, int) and size > 0 for size in sizes):
            raise ValueError(f"records must be of one operator, whose size identity states; got sizes {sizes}.")

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[SpectrumRecord]:
        return iter(self.records)

    def __getitem__(self, index: int) -> SpectrumRecord:
        return self.records[index]

    def at(self, step: int) -> SpectrumRecord:
        """Return the record of a step; ValueError, naming the nearest, if there is none."""
        for record in self.records:
            if record.step == step:
                return record
        nearest = sorted(self.steps.tolist(), key=lambda other: abs(other - step))[:3]
        raise ValueError(f"step must be one of the {len(self)} that were recorded; got {step}. Near: {nearest}.")

    @property
    def steps(self) -> NDArray[np.int64]:
        """Training steps, shape (n,)."""
        return np.array([record.step for record in self.records], dtype=np.int64)

    def columns(self, window: Window = PAPER_WINDOW, level: float = LEVEL) -> dict[str, FloatArray]:
        """Return all numbers of `SpectrumRecord.numbers` by name, each of every record, shape (n,)."""
        rows = [record.numbers(window, level) for record in self.records]
        return {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else {})}

    def values(self, name: str, *, window: Window = PAPER_WINDOW, level: float = LEVEL) -> FloatArray:
        """Return a number of every record, shape (n,), by its name in `SpectrumRecord.numbers`."""
        return self._rows([name], window, level)[0]

    def interval(self, name: str, *, window: Window = PAPER_WINDOW, level: float = LEVEL) -> FloatArray:
        """Return the interval of a moment or fraction in every record, shape (2, n)."""
        return self._rows([f"{name}_low", f"{name}_high"], window, level)

    def _rows(self, names: list[str], window: Window, level: float) -> FloatArray:
        columns = self.columns(window, level)
        unknown = [name for name in names if name not in columns]
        if columns and unknown:
            raise ValueError(f"name must be one of {', '.join(columns)}; got {unknown[0]!r}.")
        return np.array([columns.get(name, []) for name in names])

    def difference(self, first: int, second: int, *, window: Window = PAPER_WINDOW) -> DensityDifference:
        """Return the changes from step ``first`` to step ``second``, with errors that account for the shared probes.

        ValueError if there is no record of a step, or it has no density.
        """
        densities = []
        for step in (first, second):
            record = self.at(step)
            if record.density is None:
                raise ValueError(f"Both records must have a density; that of step {step} has none: {record.failure}")
            densities.append(record.density)
        before, after = densities
        return before.difference(after, window=window, title=f"from step {first:,} to step {second:,}")

    def until(self, step: int) -> Self:
        """Return the history without the records after a step."""
        return replace(self, records=tuple(record for record in self.records if record.step <= step))

    def __str__(self) -> str:
        if not self.records:
            return "History without records"
        failed = sum(record.density is None for record in self.records)
        last = self.records[-1]
        training, measuring = last.training_seconds, last.measuring_seconds
        lines = [
            f"History of {self.identity.get('size', 0):,} eigenvalues of {self.identity.get('model', 'a model')}: "
            f"{len(self)} records from step {self[0].step:,} to step {last.step:,}"
            f"{f', {failed} without a density' if failed else ''}",
            f"  training {training:.3g} s, measuring {measuring:.3g} s"
            f"{f' ({measuring / training:.1%} of it)' if training > 0 else ''}",
            f"  window {PAPER_WINDOW:g}; in brackets the ends of intervals at {LEVEL:.0%}; smallest: at most this",
            f"{'step':>10} {'loss':>10} {'degenerate':>28} {'negative':>28} {'smallest':>10} {'largest':>10} "
            f"{'m_1':>10} {'m_2':>10}",
        ]
        places = np.unique(np.linspace(0, len(self) - 1, min(PRINTED, len(self))).round().astype(int))
        return "\n".join([*lines, *(_row(self.records[place]) for place in places)])

    def to_arrays(self) -> dict[str, Any]:
        """Return what `from_arrays` reads, for a file: the arrays of all records end to end."""
        rows = [record.to_arrays() for record in self.records]
        return {"identity": json.dumps(dict(self.identity)), "num_records": len(rows), **pack(rows)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], path: str | os.PathLike[str], prefix: str = "") -> Self:
        """Return the history that `to_arrays` was asked of; ValueError, naming the file, if arrays are damaged."""
        head = take(arrays, {"identity": "text", "num_records": "count"}, path)
        packed = {name: array for name, array in arrays.items() if name not in head}
        if head["num_records"] > MOST_RECORDS:
            raise ValueError(f"{path} must hold {MOST_RECORDS:,} records at most; got {head['num_records']:,}.")
        records = tuple(SpectrumRecord.from_arrays(row, path) for row in unpack(packed, head["num_records"], path))
        try:
            return cls(json_facts(head["identity"]), records)
        except ValueError as error:
            raise ValueError(f"{path} is damaged, or no history: {error}") from error

    def _numbers(self, window: Window, level: float) -> dict[str, Any]:
        records = [{"step": r.step, "failure": r.failure, **r.numbers(window, level)} for r in self.records]
        return {"identity": self.identity, "window": window, "level": level, "records": records}


def _row(record: SpectrumRecord) -> str:
    if record.density is None:
        return f"{record.step:>10,} {record.loss:>10.4g}  {record.failure}"
    numbers = record.numbers()
    fractions = " ".join(f"{_with_interval(numbers, name):>28}" for name in ("degenerate", "negative"))
    ends = f"{numbers['smallest']:>10.3g} {numbers['largest']:>10.3g}"
    moments = f"{numbers['m_1']:>10.3e} {numbers['m_2']:>10.3e}"
    return f"{record.step:>10,} {record.loss:>10.4g} {fractions} {ends} {moments}"


def _with_interval(numbers: Mapping[str, float], name: str) -> str:
    value, low, high = (numbers[f"{name}{end}"] for end in ("", "_low", "_high"))
    return f"{percent(value)} ({percent(low)}, {percent(high)})"
