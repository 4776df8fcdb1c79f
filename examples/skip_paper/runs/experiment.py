"""What the experiments on trained networks share: their setting, their runs, and series of measurements."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skip_paper.data.images import Images, Scaling
from skip_paper.measures.fits import Fractions, describe_fits, fit_fractions, mean_and_error
from skip_paper.measures.spectra import SpectrumSpec
from skip_paper.networks.skip_network import NetworkSpec
from skip_paper.networks.training import BATCH_SIZE
from skip_paper.runs.presets import Size
from skip_paper.runs.store import Arrays, RunSpec, RunStore
from skip_paper.verdicts.claims import Verdict

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Condition:
    """What the paper leaves open and its results depend on: pixel scaling and start of the hidden weights."""

    name: str
    scaling: Scaling
    hidden_start: float

    @property
    def words(self) -> str:
        """The condition in words."""
        return f"{self.name} (pixels {self.scaling}, hidden start × {self.hidden_start:g})"


CONDITIONS = {c.name: c for c in (Condition("literal", "centred", 1.0), Condition("balanced", "centred", 0.25))}


@dataclass(frozen=True)
class Setting:
    """One experiment at one size under one condition."""

    size: Size
    condition: Condition
    store: RunStore
    load: Callable[[str], Images]

    def specs(
        self,
        network: NetworkSpec,
        *,
        data: str = "cifar100",
        seeds: Sequence[int] | None = None,
        spectrum: bool = True,
        exact: bool = False,
        num_components: int | None = None,
    ) -> list[RunSpec]:
        """Return the runs of one network, one a seed."""
        size, images = self.size, self.load(data)
        total = len(images.train[0])
        num_train = None if size.num_train is None or size.num_train >= total else size.num_train
        examples = 2 * (num_train or total)
        steps = examples // min(BATCH_SIZE, examples)
        at = tuple(round(steps * epoch) for epoch in size.spectrum_epochs)
        measured = SpectrumSpec(at, min(size.spectrum_examples, examples), size.probes, size.products, exact)
        return [
            RunSpec(
                data=images.fingerprint(),
                num_train=num_train,
                num_components=num_components,
                scaling=self.condition.scaling,
                network=network,
                seed=seed,
                measure_at=tuple(sorted({steps * epoch for epoch in range(size.epochs + 1)} | set(at))),
                spectrum=measured if spectrum and at else None,
            )
            for seed in (range(size.runs) if seeds is None else seeds)
        ]

    def distinct(self, names: Sequence[str]) -> list[str]:
        """Return data sets without those that are the same images: one may stand in for several."""
        return list({self.load(name).fingerprint(): name for name in reversed(names)}.values())[::-1]

    def series(self, label: str, colour: str, specs: Sequence[RunSpec]) -> "Series":
        """Return the finished runs of one kind."""
        found = [arrays for arrays in map(self.store.find, specs) if arrays is not None]
        return Series(label, colour, found, np.array(self.size.spectrum_epochs))


@dataclass(frozen=True)
class Series:
    """Finished runs of one kind, drawn as one curve."""

    label: str
    colour: str
    runs: list[Arrays]
    spectrum_epochs: NDArray[Any] = field(repr=False)

    @cached_property
    def fits(self) -> Fractions:
        """The paper's fits, arrays of shape (runs, times of spectra)."""
        return fit_fractions(np.array([run["samples"] for run in self.runs]))

    @cached_property
    def exact(self) -> dict[str, Array]:
        """Fractions of exact eigenvalues outside the window of width 0.2 and left of it, shape (runs, times)."""
        values = np.array([run["eigenvalues"] for run in self.runs])
        lost = ~np.isfinite(values).all(axis=2)
        degenerate = (np.abs(values) < 0.1).mean(axis=2)
        negative = (values <= -0.1).mean(axis=2)
        return {"degenerate": np.where(lost, np.nan, degenerate), "negative": np.where(lost, np.nan, negative)}

    def epochs(self, name: str) -> NDArray[Any]:
        """Return the epochs of a quantity."""
        return self.spectrum_epochs if name in SPECTRAL else np.arange(self.values(name).shape[1])

    def values(self, name: str) -> Array:
        """Return a quantity, shape (runs, times) or more; fractions are exact ones where they are known."""
        if name in ("degenerate", "negative"):
            if "eigenvalues" in self.runs[0]:
                return self.exact[name]
            result: Array = getattr(self.fits, name)
            return result
        if name.startswith("lanczos "):
            return np.array([run[name.removeprefix("lanczos ")][:, 0] for run in self.runs])
        return np.array([run[name] for run in self.runs])

    def of_runs(self, name: str) -> Array:
        """Return the mean of a quantity of each run over the epochs after the start, shape (runs,).

        A run that has diverged at any time has none.
        """
        values, epochs = self.values(name), self.epochs(name)
        used = values[:, epochs >= 1] if (epochs >= 1).any() else values
        if name.startswith("lanczos "):
            used = used[:, -1:]
        return used.mean(axis=1)

    @property
    def diverged(self) -> int:
        """Runs that have diverged."""
        return sum(bool(run["diverged"].any()) for run in self.runs)

    def summary(self, names: Sequence[str]) -> dict[str, Any]:
        """Return counts, and mean and standard error of quantities at each time."""
        result: dict[str, Any] = {"runs": len(self.runs), "diverged": self.diverged}
        if self.runs and "samples" in self.runs[0] and "eigenvalues" not in self.runs[0]:
            result["fits"] = describe_fits(self.fits.fits)
        for name in names:
            mean, error = mean_and_error(self.values(name))
            result[name] = {
                "epochs": self.epochs(name).tolist(), "mean": listed(mean), "standard_error": listed(error)
            }  # fmt: skip
        return result


SPECTRAL = ("degenerate", "negative", "lanczos degenerate", "lanczos negative")


def listed(values: Any) -> Any:
    """Return an array as nested lists, None where it is not finite: JSON has no NaN."""
    values = np.asarray(values)
    if values.ndim == 0:
        return float(values) if np.isfinite(values) else None
    return [listed(value) for value in values]


@dataclass(frozen=True)
class Outcome:
    """What an experiment has shown: numbers for its JSON file, verdicts of each condition ("" without), a caption."""

    numbers: dict[str, Any]
    verdicts: dict[str, list[Verdict]]
    caption: str
    diverged: int = 0


def outcome(all_series: dict[str, list[Series]], verdicts: dict[str, list[Verdict]], names: Sequence[str],
            caption: str) -> Outcome:  # fmt: skip
    """Return the outcome of an experiment from its series of each condition."""
    numbers = {
        condition: {s.label: s.summary([n for n in names if _has(s, n)]) for s in group}
        for condition, group in all_series.items()
    }
    return Outcome(numbers, verdicts, caption, sum(s.diverged for group in all_series.values() for s in group))


def _has(series: Series, name: str) -> bool:
    if not series.runs:
        return False
    run = series.runs[0]
    if name in ("degenerate", "negative"):
        return "samples" in run or "eigenvalues" in run
    return name.removeprefix("lanczos ") in run


def caption_of(setting: Setting, data: Sequence[str] = ("cifar100",)) -> str:
    """Return data, runs and sizes in words."""
    size = setting.size
    titles = " and ".join(dict.fromkeys(setting.load(name).title for name in data))
    count = 2 * min(size.num_train or 10**9, len(setting.load(data[0]).train[0]))
    words = f"{titles}; {size.depth}x{size.width} networks, {count:,} images with mirrors; {size.runs} runs each"
    if size.chosen:
        words = words.replace("runs each", f"runs, best and worst {size.chosen}")
    if size.spectrum_epochs:
        words += f"; spectra of {min(size.spectrum_examples, count):,} examples"
        words += f", {size.probes} probes" if size.probes else ", exact"
    return f"{words}; bars: standard errors over runs"


def early(series: Series) -> int:
    """Return the position of epoch 3, or the last before it, among the times of spectra."""
    return int(np.searchsorted(series.spectrum_epochs, 3.5) - 1)


def as_dicts(verdicts: dict[str, list[Verdict]]) -> dict[str, Any]:
    """Return verdicts for JSON."""
    return {
        condition: [
            {k: listed(v) if isinstance(v, float) else v for k, v in asdict(verdict).items()} for verdict in group
        ]
        for condition, group in verdicts.items()
    }
