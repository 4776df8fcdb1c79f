"""Finished runs of one kind as arrays over runs and epochs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skip_paper.measures.fits import Fractions, describe_fits, fit_fractions, mean_and_error

Array = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]
# What a spectrum is asked for, and where the answer is from: best first.
OF_SPECTRA = ("degenerate", "negative", "relative", "participation")
SOURCES = ("exact", "lanczos", "mixture")


@dataclass(frozen=True)
class Series:
    """Finished runs of one kind, drawn as one curve.

    ``measured_epochs`` and ``spectrum_epochs`` are those of the two kinds of measurements.
    """

    label: str
    colour: str
    runs: list[Arrays]
    measured_epochs: NDArray[Any] = field(repr=False)
    spectrum_epochs: NDArray[Any] = field(repr=False)

    @cached_property
    def fits(self) -> Fractions:
        """The paper's fits, arrays of shape (runs, times of spectra)."""
        return fit_fractions(np.array([run["samples"] for run in self.runs]))

    def source(self, name: str) -> str:
        """Return where numbers of the spectrum are from: exact eigenvalues of all runs, `lanczos_density`, the fit."""
        return next((s for s in SOURCES[:2] if self.has(f"{s} {name}")), SOURCES[2])

    def has(self, name: str) -> bool:
        """Return whether all runs have measured a quantity."""
        if name in OF_SPECTRA:
            return any(self.has(f"{source} {name}") for source in SOURCES)
        if name in ("mixture degenerate", "mixture negative"):
            name = "samples"
        return bool(self.runs) and all(name in run for run in self.runs)

    def epochs(self, name: str) -> NDArray[Any]:
        """Return the epochs of a quantity."""
        return self.spectrum_epochs if name.split()[-1] in (*OF_SPECTRA, "extremes", "cdf") else self.measured_epochs

    def values(self, name: str) -> Array:
        """Return a quantity, shape (runs, times): of quantities by layer the mean over layers.

        Numbers of the spectrum may be preceded by their source, "exact", "lanczos" or "mixture"; else it is the best.
        """
        if name in OF_SPECTRA:
            name = f"{self.source(name)} {name}"
        if name.startswith("mixture "):
            result: Array = getattr(self.fits, name.removeprefix("mixture "))
            return result
        found = np.array([run[name] for run in self.runs], dtype=np.float64)
        if found.ndim == 2:
            return found
        return found[:, :, 0] if name.startswith(SOURCES) else found.mean(axis=2)

    def ends(self, name: str) -> Array:
        """Return the ends of the intervals of a fraction, shape (runs, times, 2): those of `lanczos_density`.

        They hold what its steps leave open, which does not average out over runs. Of other sources: the value itself.
        """
        if self.source(name) != "lanczos":
            return np.repeat(self.values(name)[:, :, None], 2, axis=2)
        return np.array([run[f"lanczos {name}"][:, 1:] for run in self.runs], dtype=np.float64)

    def by_layer(self, name: str) -> Array:
        """Return a quantity of layers, shape (runs, times, layers)."""
        return np.array([run[name] for run in self.runs], dtype=np.float64)

    def of_runs(self, name: str) -> Array:
        """Return the mean of a quantity of each run over the epochs after the start, shape (runs,).

        A measurement stands for the epochs since the one before it; a spectrum for itself. A run that has diverged at
        any time has none.
        """
        values, epochs = self.values(name), self.epochs(name)
        used = epochs >= 1 if (epochs >= 1).any() else np.ones(len(epochs), dtype=bool)
        lengths = np.diff(epochs[used], prepend=0.0) if name.split()[-1] not in OF_SPECTRA else np.ones(used.sum())
        weights = lengths / lengths.sum() if lengths.sum() > 0 else np.full(len(lengths), 1 / len(lengths))
        return values[:, used] @ weights

    @property
    def diverged(self) -> int:
        """Runs that have diverged."""
        return sum(bool(run["diverged"].any()) for run in self.runs)

    def summary(self, names: Sequence[str]) -> dict[str, Any]:
        """Return counts, and mean and standard error of quantities at each time."""
        result: dict[str, Any] = {"runs": len(self.runs), "diverged": self.diverged}
        if self.has("samples"):
            result["fits"] = describe_fits(self.fits.fits)
        for name in names:
            if self.has(name):
                mean, error = mean_and_error(self.values(name))
                result[name] = {
                    "epochs": self.epochs(name).tolist(), "mean": listed(mean), "standard_error": listed(error)
                }  # fmt: skip
        return result


def listed(values: Any) -> Any:
    """Return an array as nested lists, None where it is not finite: JSON has no NaN."""
    values = np.asarray(values)
    if values.ndim == 0:
        return float(values) if np.isfinite(values) else None
    return [listed(value) for value in values]


def early(series: Series) -> int:
    """Return the position of epoch 3, or the last before it, among the times of spectra."""
    return int(np.searchsorted(series.spectrum_epochs, 3.5) - 1)
