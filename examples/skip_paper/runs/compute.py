"""Computes runs: those that differ in their seeds and targets only are trained and measured as one program."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from hessdens import NonFiniteError
from skip_paper.data.images import Examples, Images, prepare
from skip_paper.measures.during_training import measure
from skip_paper.measures.spectra import empty_spectrum, measure_spectrum
from skip_paper.networks.batched_training import BatchedTraining
from skip_paper.networks.specification import NetworkSpec
from skip_paper.networks.stacked import StackedNetworks
from skip_paper.runs.specification import RunSpec
from skip_paper.runs.store import Arrays, RunStore

SECONDS_BETWEEN_STATES = 60.0
# An exact spectrum of N parameters in units of a gradient of an example and parameter, over N cubed.
EXACT_WORK = 0.5
# Hidden units of all networks of a group. On two cores, 20x128 networks gain 1.3 from four at once, and less from
# eight; 10x16 networks gain up to forty. A GPU takes what its memory holds.
UNITS = {"cpu": 640, "cuda": 100 * 128}


class Computer:
    """Computes what is missing in a store, on one device, and knows how fast it is."""

    def __init__(self, store: RunStore, device: torch.device, *, progress: bool = True) -> None:
        self.store, self.device, self.progress = store, device, progress
        self._prepared: dict[tuple[Any, ...], Examples] = {}
        self._units = UNITS[device.type]

    def compute(self, specs: Sequence[RunSpec], images: dict[str, Images], title: str) -> int:
        """Compute the runs that are missing, and wait for those that other processes compute; return how many were.

        ``images`` gives the data set of each fingerprint.
        """
        missing = [spec for spec in dict.fromkeys(specs) if not self.store.has(spec)]
        total, done = sum(map(work, missing)), 0
        with tqdm(
            total=total, desc=title, disable=not self.progress, bar_format="{l_bar}{bar}| {elapsed} < {remaining}"
        ) as bar:
            while missing:
                # Groups come from all runs, not from those that are missing: numbers agree to rounding only for
                # groups of other members, and a killed command shall end with those of an uninterrupted one.
                for group in self._groups(list(dict.fromkeys(specs))):
                    absent = [spec for spec in group if not self.store.has(spec)]
                    with self.store.claimed(absent) as mine:
                        if mine and len(mine) == len(absent):
                            self._compute_group(mine, images[mine[0].data], bar)
                            done += len(mine)
                missing = [spec for spec in missing if not self.store.has(spec)]
                if missing:
                    time.sleep(1.0)  # other processes compute what is left
        return done

    def _groups(self, specs: Sequence[RunSpec]) -> list[list[RunSpec]]:
        """Return runs that can be trained together, few enough for the device, in the order of their first."""
        groups: dict[Any, list[RunSpec]] = {}
        for spec in specs:
            groups.setdefault(_kind(spec), []).append(spec)
        parts = []
        for group in groups.values():
            size = max(1, self._units // group[0].network.width)
            parts += [group[start : start + size] for start in range(0, len(group), size)]
        order = {id(spec): index for index, spec in enumerate(specs)}
        return sorted(parts, key=lambda part: order[id(part[0])])

    def _compute_group(self, specs: list[RunSpec], images: Images, bar: Any) -> None:
        """Compute a group; where the device's memory does not hold it, in halves."""
        try:
            compute_group(specs, self._examples(specs[0], images), images.num_classes, self.device, self.store, bar)
        except torch.cuda.OutOfMemoryError:
            if len(specs) == 1:
                raise MemoryError(
                    f"The device's memory must hold a network of {specs[0].network}; it does not. Use --device cpu."
                ) from None
            torch.cuda.empty_cache()
            half = len(specs) // 2
            self._units = half * specs[0].network.width
            print(f"\nThe device does not hold {len(specs)} networks at once: {half} from here on.", file=sys.stderr)
            for part in (specs[:half], specs[half:]):
                self._compute_group(part, images, bar)

    def _examples(self, spec: RunSpec, images: Images) -> Examples:
        key = (spec.data, spec.scaling, spec.num_train, spec.num_components)
        if key not in self._prepared:
            self._prepared.clear()  # the data set before makes room
            self._prepared[key] = prepare(
                images, scaling=spec.scaling, num_train=spec.num_train, num_components=spec.num_components,
                device=self.device,
            )  # fmt: skip
        return self._prepared[key]


def compute_group(
    specs: Sequence[RunSpec],
    examples: Examples,
    num_classes: int,
    device: torch.device,
    store: RunStore,
    bar: Any = None,
) -> None:
    """Train runs of one kind together and store each with its measurements.

    The arrays of a run: those of `measures.measure`, with a first axis of times; those of `spectra.measure_spectrum`,
    likewise for the times of the spectrum; and ``diverged``, shape (T,): whether a loss, a weight or a product was not
    finite, after which the rest is NaN.
    """
    first = specs[0]
    networks = [spec.network.build(examples.num_inputs, num_classes, spec.seed).to(device) for spec in specs]
    size = sum(p.numel() for p in networks[0].parameters())
    training = BatchedTraining(
        StackedNetworks(networks),
        *examples.train,
        seeds=[spec.seed for spec in specs],
        penalties=[s.network.penalty(s.seed) for s in specs] if any(s.network.bias_strength for s in specs) else None,
    )
    results, begin = _resume(specs, training, store, size, bar)
    saved = time.monotonic()
    for index in range(begin, len(first.measure_at)):
        _advance(training, first.measure_at[index], bar, len(specs) * step_work(first))
        cheap = measure(training.networks, examples.train, examples.test)
        training.networks.hand_out(networks)
        for position, spec in enumerate(specs):
            finite = bool(training.finite[position]) and not results[position]["diverged"].any()
            values = {name: array[position] for name, array in cheap.items()}
            try:
                _record(results[position], index, values, spec, networks[position], examples, finite)
            except NonFiniteError:
                results[position]["diverged"][index:] = True
            if bar is not None and spec.spectrum is not None and spec.measure_at[index] in spec.spectrum.at:
                bar.update(spectrum_work(spec, size))
        if time.monotonic() - saved > SECONDS_BETWEEN_STATES and index + 1 < len(first.measure_at):
            _save_states(specs, training, results, index + 1, store)
            saved = time.monotonic()
    # First all as unfinished runs without a step to go: a kill between two runs leaves no part of a group to train.
    _save_states(specs, training, results, len(first.measure_at), store)
    for spec, arrays in zip(specs, results, strict=True):
        store.save(spec, arrays)


def _advance(training: BatchedTraining, steps: int, bar: Any, work_of_step: float) -> None:
    while training.steps < steps:
        before = training.steps
        training.run(min(steps, before + 10))
        if bar is not None:
            bar.update((training.steps - before) * work_of_step)


def _record(
    arrays: Arrays, index: int, values: Arrays, spec: RunSpec, network: Any, examples: Examples, finite: bool
) -> None:
    """Enter the measurements of one run at one time; a run that has diverged gets none."""
    for name, value in values.items():
        if name not in arrays:
            arrays[name] = np.full((len(spec.measure_at), *np.shape(value)), np.nan)
    if not finite or not all(bool(torch.isfinite(p).all()) for p in network.parameters()):
        arrays["diverged"][index:] = True
        return
    for name, value in values.items():
        arrays[name][index] = value
    if spec.spectrum is not None and spec.measure_at[index] in spec.spectrum.at:
        position = spec.spectrum.at.index(spec.measure_at[index])
        found = measure_spectrum(network.eval(), *examples.train, spec.spectrum, seed=spec.seed)
        for name, value in found.items():
            arrays[name][position] = value


def _resume(
    specs: Sequence[RunSpec], training: BatchedTraining, store: RunStore, size: int, bar: Any
) -> tuple[list[Arrays], int]:
    """Return the arrays of the runs so far and the position of the next measurement."""
    partial = [store.find_partial(spec) for spec in specs]
    found = [p for p in partial if p is not None]
    if len(found) == len(specs) and len({int(p["next"]) for p in found}) == 1:
        states = [{k[6:]: v for k, v in p.items() if k.startswith("state ")} for p in found]
        training.restore(states)
        if bar is not None:
            bar.update(training.steps * len(specs) * step_work(specs[0]))
        return [{k[7:]: v for k, v in p.items() if k.startswith("result ")} for p in found], int(found[0]["next"])
    empty = [
        {"diverged": np.zeros(len(spec.measure_at), dtype=bool)}
        | (empty_spectrum(spec.spectrum, size) if spec.spectrum is not None else {})
        for spec in specs
    ]
    return empty, 0


def _save_states(
    specs: Sequence[RunSpec], training: BatchedTraining, results: list[Arrays], following: int, store: RunStore
) -> None:
    for spec, state, arrays in zip(specs, training.state(), results, strict=True):
        content = {f"state {k}": v for k, v in state.items()} | {f"result {k}": v for k, v in arrays.items()}
        store.save_partial(spec, {**content, "next": np.array(following)})


def _kind(spec: RunSpec) -> RunSpec:
    """Return what runs of one group share: all but seed and targets of biases."""
    plain: NetworkSpec = replace(
        spec.network, bias_mean=0.0, bias_scale=0.0, bias_strength=0.0, malicious=False, hidden_start=1.0,
        truncated=False, skip_correlation=None if spec.network.skip_correlation is None else 0.0,
    )  # fmt: skip
    return replace(spec, network=plain, seed=0)


def work(spec: RunSpec) -> float:
    """Return what a run costs, in example-gradients x parameters: `projection` says how long one takes."""
    size = num_parameters(spec)
    measured = len(spec.spectrum.at) * spectrum_work(spec, size) if spec.spectrum is not None else 0.0
    return spec.measure_at[-1] * step_work(spec) + measured


def step_work(spec: RunSpec) -> float:
    """Return the cost of one training step of a run: products with weights, and about 1,500 a unit for all else."""
    hyper = 1.5 if spec.network.architecture == "hyper-residual" else 1.0
    return 500 * hyper * (num_parameters(spec) + 1_500 * spec.network.depth)


def spectrum_work(spec: RunSpec, size: int) -> float:
    """Return the cost of one measurement of a spectrum; a product costs about a gradient."""
    assert spec.spectrum is not None
    products = 2 * spec.spectrum.probes + spec.spectrum.products
    exact = EXACT_WORK * size**3 if spec.spectrum.exact else 0.0
    return spec.spectrum.examples * products * (size + 1_500.0 * spec.network.depth) + exact


def num_parameters(spec: RunSpec) -> int:
    """Return about the number of parameters of a run's network."""
    width = spec.network.width
    return (spec.num_components or 3072) * width + (spec.network.depth - 1) * width**2 + 20 * width
