"""Runs of networks: specified completely, computed once, stored under the hash of their specification."""

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hessdens import NonFiniteError, Plan, exact_spectrum, hessian_operator, spectral_moments
from hessdens.storage import load_npz, save_npz
from skip_paper.data import Examples, Scaling
from skip_paper.networks import Architecture, SkipNetwork
from skip_paper.training import accuracy, train

FORMAT = 1
KIND = "skip_paper run"
# A plan that is measured may differ from run to run, and products with it in the last digit.
PLAN = Plan("feedforward", examples_per_block=500, probes_per_block=8)
Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Condition:
    """What the paper leaves open and its results depend on: pixel scaling and start of the hidden weights."""

    name: str
    scaling: Scaling
    hidden_start: float


CONDITIONS = {c.name: c for c in (Condition("literal", "centred", 1.0), Condition("balanced", "centred", 0.25))}


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides the numbers of one run.

    Parameters
    ----------
    data, num_train, num_components
        Fingerprint of the images, how many are used before mirroring (None: all), and principal components (None: the
        pixels themselves).
    architecture, depth, width, scaling, hidden_start, seed
        The network, its inputs and its start.
    measure_at
        Training steps after which accuracy and spectrum are measured.
    spectrum_examples, num_probes
        First training examples in the Hessian's loss, and probes for the moments.
    exact
        Compute all eigenvalues too, in float64.
    """

    data: str
    num_train: int | None
    num_components: int | None
    architecture: Architecture
    depth: int
    width: int
    scaling: Scaling
    hidden_start: float
    seed: int
    measure_at: tuple[int, ...]
    spectrum_examples: int
    num_probes: int
    exact: bool

    def key(self) -> str:
        """Return the name of the run's file: a hash of the specification and of this program's format."""
        text = json.dumps({**asdict(self), "format": FORMAT}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


class RunStore:
    """A folder of finished runs. Files are whole or absent, so a killed program loses the run in hand only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ValueError(f"The results folder must be writable; {folder} is not: {error.strerror}.") from error

    def find(self, spec: RunSpec) -> Arrays | None:
        """Return the arrays of a finished run, or None. A damaged file counts as absent, with a notice."""
        path = self._path(spec)
        if not path.exists():
            return None
        try:
            return load_npz(path, KIND)
        except ValueError as error:
            print(f"\nRepeating a run, because its file is damaged: {error}", file=sys.stderr)
            return None

    def get(self, spec: RunSpec, compute: Callable[[RunSpec], Arrays]) -> Arrays:
        """Return the arrays of a run, from its file or from ``compute``."""
        found = self.find(spec)
        if found is not None:
            return found
        arrays = compute(spec)
        save_npz(self._path(spec), KIND, arrays)
        return arrays

    def _path(self, spec: RunSpec) -> Path:
        return self.folder / f"{spec.key()}.npz"


def compute_run(spec: RunSpec, examples: Examples, num_classes: int, device: torch.device) -> Arrays:
    """Train one network and measure it at each pause.

    Returns
    -------
    dict
        ``train_accuracy`` and ``test_accuracy``, shape (T,); ``samples``, moments of each probe, shape (T, P, 4);
        ``eigenvalues``, shape (T, N), where they are asked for; ``diverged``, shape (T,): whether a loss, a moment or
        an eigenvalue was not finite, after which the rest is NaN.
    """
    network = SkipNetwork(
        spec.architecture,
        examples.num_inputs,
        num_classes,
        depth=spec.depth,
        width=spec.width,
        seed=spec.seed,
        hidden_start=spec.hidden_start,
    ).to(device)
    inputs, targets = (part.to(device) for part in examples.train)
    test = [part.to(device) for part in examples.test]
    times = len(spec.measure_at)
    size = sum(p.numel() for p in network.parameters()) if spec.exact else 0
    arrays = {
        "train_accuracy": np.full(times, np.nan),
        "test_accuracy": np.full(times, np.nan),
        "samples": np.full((times, spec.num_probes, 4), np.nan),
        "eigenvalues": np.full((times, size), np.nan),
        "diverged": np.ones(times, dtype=bool),
    }
    pauses = train(network, inputs, targets, measure_at=spec.measure_at, seed=spec.seed)
    for index, finite in enumerate(pauses):
        if not finite:
            break
        arrays["train_accuracy"][index] = accuracy(network, inputs, targets)
        arrays["test_accuracy"][index] = accuracy(network, *test)
        batch = (inputs[: spec.spectrum_examples], targets[: spec.spectrum_examples])
        try:
            _measure_spectrum(arrays, index, network, batch, spec)
        except NonFiniteError:
            break
        arrays["diverged"][index] = False
    return arrays


def _measure_spectrum(arrays: Arrays, index: int, network: nn.Module, batch: Any, spec: RunSpec) -> None:
    operator = hessian_operator(network, nn.CrossEntropyLoss(), [batch], plan=PLAN)
    moments = spectral_moments(operator, 4, method="skilling", num_probes=spec.num_probes, seed=spec.seed)
    arrays["samples"][index] = moments.samples
    if spec.exact:
        network.double()
        operator = hessian_operator(network, nn.CrossEntropyLoss(), [(batch[0].double(), batch[1])], plan=PLAN)
        arrays["eigenvalues"][index] = exact_spectrum(operator).eigenvalues
        network.float()  # float32 -> float64 -> float32 changes no bit, and training goes on
