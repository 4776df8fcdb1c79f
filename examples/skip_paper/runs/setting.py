"""One experiment at one size under one condition: the runs it needs, and what they measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skip_paper.data.images import Images
from skip_paper.measures.series import Series
from skip_paper.measures.spectra import SpectrumSpec
from skip_paper.networks.skip_network import Architecture
from skip_paper.networks.specification import NetworkSpec
from skip_paper.networks.training import BATCH_SIZE
from skip_paper.runs.conditions import Condition
from skip_paper.runs.designs import Size
from skip_paper.runs.specification import RunSpec
from skip_paper.runs.store import RunStore


@dataclass(frozen=True)
class Setting:
    """One experiment at one size under one condition."""

    size: Size
    condition: Condition
    store: RunStore
    load: Callable[[str], Images]

    @property
    def name(self) -> str:
        """Networks and condition, in short."""
        return f"{self.size.name}, {self.condition.name}"

    @property
    def words(self) -> str:
        """Networks and condition."""
        return f"{self.size.name}, {self.condition.words}"

    def network(self, architecture: Architecture, **options: Any) -> NetworkSpec:
        """Return a network of this size and start."""
        start = {"hidden_start": self.condition.hidden_start, "truncated": self.condition.truncated}
        return NetworkSpec(architecture, self.size.depth, self.size.width, **start, **options)

    def specs(
        self,
        network: NetworkSpec,
        *,
        data: str = "cifar100",
        seeds: Sequence[int] | None = None,
        spectrum: bool = True,
    ) -> list[RunSpec]:
        """Return the runs of one network, one a seed."""
        size, images = self.size, self.load(data)
        examples, steps = self._examples(data), self._steps(data)
        at = _rounded(size.spectrum_epochs, steps)
        measured = SpectrumSpec(at, min(size.spectrum_examples, examples), size.probes, size.products)
        first = RunSpec(
            data=images.fingerprint,
            num_train=examples // 2 if examples < 2 * len(images.train[0]) else None,
            num_components=size.num_components,
            scaling=self.condition.scaling,
            network=network,
            seed=0,
            measure_at=tuple(sorted({*_rounded(size.measured_epochs, steps), *at})),
            spectrum=measured if spectrum and at else None,
        )
        exact = replace(first, spectrum=replace(measured, exact=True)) if first.spectrum else first
        all_seeds = range(size.first_seed, size.first_seed + size.runs)
        return [
            replace(exact if seed - size.first_seed < size.exact_runs else first, seed=seed)
            for seed in (all_seeds if seeds is None else seeds)
        ]

    def distinct(self, names: Sequence[str]) -> list[str]:
        """Return data sets without those that are the same images: one may stand in for several."""
        return list({self.load(name).fingerprint: name for name in reversed(names)}.values())[::-1]

    def series(self, label: str, colour: str, specs: Sequence[RunSpec]) -> Series:
        """Return the finished runs of one kind."""
        found = [arrays for arrays in map(self.store.find, specs) if arrays is not None]
        steps = next(self._steps(data) for data in self.size.data if self.load(data).fingerprint == specs[0].data)
        at = () if specs[0].spectrum is None else specs[0].spectrum.at
        return Series(label, colour, found, np.array(specs[0].measure_at) / steps, np.array(at) / steps)

    def _examples(self, data: str) -> int:
        """Return the number of training examples, with mirror images."""
        return 2 * min(self.size.num_train or 10**9, len(self.load(data).train[0]))

    def _steps(self, data: str) -> int:
        """Return the training steps of an epoch."""
        examples = self._examples(data)
        return examples // min(BATCH_SIZE, examples)


def _rounded(epochs: Sequence[float], steps: int) -> tuple[int, ...]:
    return tuple(sorted({round(steps * epoch) for epoch in epochs}))
