"""What would run, and how long it takes at the throughput measured on this device."""

import time
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import torch

from skip_paper.measures.during_training import measure
from skip_paper.networks.batched_training import EAGER_STEPS, BatchedTraining
from skip_paper.networks.stacked import StackedNetworks
from skip_paper.runs.compute import UNITS, num_parameters, spectrum_work, step_work
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec

STEPS = 3
EIGENVALUES = 1_000
# Of which the images of a batch are taken: too many for any cache, as those of a training set are.
EXAMPLES = 20_000


def project(experiments: list[tuple[str, Setting, ModuleType]], device: torch.device) -> None:
    """Print the runs of each experiment, those that are missing, and the time for these."""
    clock = _Clock(device)
    total = 0.0
    counted: set[str] = set()
    print(f"{'experiment':<13}{'networks':<10}{'condition':<12}{'runs':>6}{'missing':>9}{'minutes':>9}")
    for name, setting, module in experiments:
        specs = list(dict.fromkeys(module.runs(setting)))
        missing = [s for s in specs if not setting.store.has(s) and s.key() not in counted]
        counted |= {s.key() for s in missing}
        seconds = sum(clock.seconds(spec) for spec in missing)
        total += seconds
        row = f"{name:<13}{setting.size.name:<10}{setting.condition.name:<12}{len(specs):>6}{len(missing):>9}"
        print(f"{row}{seconds / 60:>9.1f}", flush=True)
    print(f"In all {total / 60:.1f} minutes on {clock.device}, and some for reading data and for drawing.")


class _Clock:
    """Measures each kind of network once: seconds of a training step and of what is measured, of one in a group."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._rates: dict[Any, tuple[float, float]] = {}
        self._eigenvalues: float | None = None

    def seconds(self, spec: RunSpec) -> float:
        """Return the expected time of a run."""
        key = (spec.network.architecture, spec.network.depth, spec.network.width, spec.num_components)
        if key not in self._rates:
            self._rates[key] = self._measure(spec)
        step, look = self._rates[key]
        seconds = spec.measure_at[-1] * step + len(spec.measure_at) * look
        if spec.spectrum is not None:
            size = num_parameters(spec)
            moments = spectrum_work(replace(spec, spectrum=replace(spec.spectrum, exact=False)), size)
            seconds += len(spec.spectrum.at) * moments * step / step_work(spec)
            if spec.spectrum.exact:
                # The Hessian takes less time than its eigenvalues.
                seconds += len(spec.spectrum.at) * 1.5 * self._eigenvalue_seconds() * (size / EIGENVALUES) ** 3
        return seconds

    def _measure(self, spec: RunSpec) -> tuple[float, float]:
        count = max(1, UNITS[self.device.type] // spec.network.width)
        inputs = torch.randn(EXAMPLES, spec.num_components or 3072, device=self.device)
        targets = torch.randint(20, (EXAMPLES,), device=self.device)
        networks = [spec.network.build(inputs.shape[1], 20, seed).to(self.device) for seed in range(count)]
        training = BatchedTraining(StackedNetworks(networks), inputs, targets, seeds=range(count))
        training.run(EAGER_STEPS + 1)
        step = self._timed(lambda: training.run(EAGER_STEPS + 1 + STEPS)) / STEPS / count
        examples = (inputs, targets)
        return step, self._timed(lambda: measure(training.networks, examples, examples)) / count

    def _timed(self, work: Callable[[], object]) -> float:
        self._wait()
        start = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - start

    def _eigenvalue_seconds(self) -> float:
        if self._eigenvalues is None:
            matrix = torch.randn(EIGENVALUES, EIGENVALUES, dtype=torch.float64, device=self.device)
            torch.linalg.eigvalsh(matrix)  # loads libraries
            self._eigenvalues = self._timed(lambda: torch.linalg.eigvalsh(matrix + matrix.mT))
        return self._eigenvalues

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
