"""What a rule compares: one number a run, from series of measurements."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from skip_paper.verdicts.evidence import with_diverged

Array = NDArray[np.float64]
FRACTIONS = ("degenerate", "negative", "relative", "participation")


class Measured(Protocol):
    """Finished runs of one kind: `skip_paper.measures.series.Series`."""

    @property
    def label(self) -> str:
        """The kind of network."""

    def has(self, name: str) -> bool:
        """Return whether a quantity was measured."""

    def source(self, name: str) -> str:
        """Return where a fraction is from: "exact", "lanczos" or "mixture"."""

    def epochs(self, name: str) -> NDArray[Any]:
        """Return the epochs of a quantity."""

    def values(self, name: str) -> Array:
        """Return a quantity, shape (runs, times), the mean over layers."""

    def ends(self, name: str) -> Array:
        """Return the ends of the intervals of a fraction, shape (runs, times, 2)."""

    def by_layer(self, name: str) -> Array:
        """Return a quantity of layers, shape (runs, times, layers)."""

    def of_runs(self, name: str) -> Array:
        """Return the mean over the epochs after the start, shape (runs,)."""


Group = Mapping[str, Measured]


@dataclass(frozen=True)
class Scene:
    """What a figure's runs have in common: in words, the number of classes, and of parameters of a network."""

    condition: str
    classes: int
    parameters: int


@dataclass(frozen=True)
class Quantity:
    """One number a run.

    Parameters
    ----------
    name
        As it was measured; fractions come from the best source that all runs have.
    when
        "mean": over the epochs after the start; "start": before training; "first" and "last": at the first and the last
        time after it, and "fall" the first less the last; or epochs, of which the mean is taken.
    layer
        "mean" over layers, "first", "second"; "decay": last over first layer; "slope": rise per layer.
    scale
        Factor: 100 for percentage points.
    log
        Take the logarithm to base 10.
    """

    name: str
    when: Literal["mean", "start", "first", "last", "fall"] | tuple[float, ...] = "mean"
    layer: Literal["mean", "first", "second", "decay", "slope"] = "mean"
    scale: float = 1.0
    log: bool = False

    def is_in(self, series: Measured) -> bool:
        """Return whether all runs of a series have it."""
        return series.has(self.name) and len(self._times(series)) > 0

    def of(self, series: Measured) -> Array:
        """Return it, shape (runs,); NaN for a run that diverged."""
        if self.when == "mean" and self.layer == "mean" and not self.log:
            return self.scale * series.of_runs(self.name)
        values = series.values(self.name) if self.layer == "mean" else self._of_layer(series.by_layer(self.name))
        if self.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.log10(values)
        used = values[:, self._times(series)]
        result: Array = self.scale * (used[:, 0] - used[:, -1] if self.when == "fall" else used.mean(axis=1))
        return result

    def ends(self, series: Measured) -> Array:
        """Return between what its mean over runs lies, by the intervals of a fraction: shape (2,)."""
        low, high = np.moveaxis(series.ends(self.name)[:, self._times(series)], 2, 0)
        if self.when == "fall":
            low, high = low[:, :1] - high[:, -1:], high[:, :1] - low[:, -1:]
        result: Array = self.scale * np.array([np.nanmean(low), np.nanmean(high)])
        return result

    def _of_layer(self, values: Array) -> Array:
        if self.layer == "decay":
            with np.errstate(divide="ignore", invalid="ignore"):
                return values[:, :, -1] / values[:, :, 0]
        if self.layer == "slope":
            place = np.arange(values.shape[2]) - (values.shape[2] - 1) / 2
            return values @ place / (place @ place)
        return values[:, :, {"first": 0, "second": 1}[self.layer]]

    def _times(self, series: Measured) -> NDArray[np.intp]:
        epochs = np.asarray(series.epochs(self.name))
        after = np.flatnonzero(epochs >= 1)
        if self.when == "mean":
            return after if len(after) else np.arange(len(epochs))
        if self.when == "start":
            return np.flatnonzero(epochs == 0)
        if isinstance(self.when, tuple):
            return np.flatnonzero(np.isin(epochs, self.when))
        if self.when == "fall":
            return after[[0, -1]] if len(after) > 1 else after[:0]
        return after[:1] if self.when == "first" else after[-1:]


def worst(quantity: Quantity, scene: Scene) -> float:
    """Return what counts for a run that diverged: chance for an accuracy, NaN where nothing can be said."""
    return quantity.scale / scene.classes if quantity.name.endswith("accuracy") else math.nan


def complete(quantity: Quantity, series: Measured, scene: Scene) -> tuple[Array, int]:
    """Return a quantity with runs that diverged at their worst, and how many are still without a number."""
    values = with_diverged(quantity.of(series), worst(quantity, scene))
    return values, int((~np.isfinite(values)).sum())


def missing(quantity: Quantity, labels: Sequence[str], group: Group) -> str:
    """Return which kinds or measurements a rule lacks, in words; "" where none."""
    absent = [label for label in labels if label not in group or not quantity.is_in(group[label])]
    return f"not measured: {quantity.name.replace('_', ' ')} of {', '.join(absent)}" if absent else ""
