"""Trains a finished run again, and compares: how much differs, and how much of it rounding explains."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from skip_paper.data.images import Images
from skip_paper.measures.spectra import SpectrumSpec
from skip_paper.networks.specification import NetworkSpec
from skip_paper.runs.compute import Computer
from skip_paper.runs.finished import BY_LAYER, MANTISSA, FinishedRuns, compact, differences
from skip_paper.runs.specification import RunSpec
from skip_paper.runs.store import Arrays, RunStore

# A difference is put down to rounding where it is below so many times what another grouping of networks changes.
TIMES_ROUNDING = 10.0
KEPT = {True: 2.0**-MANTISSA, False: 2.0**-23}  # relative, by layer or not


@dataclass(frozen=True)
class Check:
    """What came of one run.

    Parameters
    ----------
    spec
        The run.
    finished
        Largest differences of each measurement between the finished run and the one trained now, over its size.
    rounding
        The same between two trainings now: alone, and together with another network.
    """

    spec: RunSpec
    finished: dict[str, float]
    rounding: dict[str, float]

    def is_explained(self, name: str) -> bool:
        """Return whether rounding explains a difference."""
        return self.finished[name] <= max(TIMES_ROUNDING * self.rounding[name], 2 * KEPT[name in BY_LAYER])

    def __str__(self) -> str:
        lines = [
            f"{self.spec.network}, seed {self.spec.seed}, {self.spec.measure_at[-1]} steps",
            f"{'measurement':24s} {'finished':>10s} {'rounding':>10s}   (largest difference over the largest value)",
        ]
        for name, size in self.finished.items():
            word = "explained by rounding" if self.is_explained(name) else "NOT explained by rounding"
            lines.append(f"{name:24s} {size:10.1e} {self.rounding[name]:10.1e}   {word}")
        return "\n".join(lines)


def check(runs: FinishedRuns, number: int, load: Callable[[str], Images], device: torch.device) -> Check:
    """Train the finished run of this number, in the order of keys, twice, and compare; ``load`` gives a data set."""
    keys = sorted(runs.runs)
    if not 0 <= number < len(keys):
        raise ValueError(f"--check must be a number of a finished run, 0 to {len(keys) - 1}; got {number}.")
    spec, finished = specification_of(dict(runs.specifications[keys[number]])), dict(runs.runs[keys[number]])
    images = load(next(name for name, facts in runs.images.items() if facts.fingerprint == spec.data))
    if images.fingerprint != spec.data:
        raise ValueError(
            f"The images must be those of the run, whose fingerprint is {spec.data}; got {images.title}, "
            f"{images.fingerprint}. Name their folder with --data."
        )
    alone = _train([spec], images, device)
    together = _train([spec, replace(spec, seed=spec.seed + 1)], images, device)
    return Check(spec, differences(finished, compact(alone)), differences(compact(alone), compact(together)))


def specification_of(values: dict[str, Any]) -> RunSpec:
    """Return a specification from its plain values, as a file of finished runs has them."""
    spectrum = values["spectrum"]
    return RunSpec(
        **{
            **values,
            "network": NetworkSpec(**values["network"]),
            "measure_at": tuple(values["measure_at"]),
            "spectrum": None if spectrum is None else SpectrumSpec(**{**spectrum, "at": tuple(spectrum["at"])}),
        }
    )


def _train(specs: list[RunSpec], images: Images, device: torch.device) -> Arrays:
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore(Path(folder))
        Computer(store, device).compute(specs, {images.fingerprint: images}, "check")
        found = store.find(specs[0])
    assert found is not None
    return found
