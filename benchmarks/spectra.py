"""Test spectra of the accuracy benchmarks: exact eigenvalues of networks at several epochs, and synthetic ones."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from hvp_models import skip_network
from skip_paper.training import train
from torch import nn

from hessdens import as_operator, exact_spectrum, hessian_operator
from hessdens.linalg import Operator

# Width of ten layers: epochs. 4,852 and 14,292 parameters.
EPOCHS = {16: (0, 1, 3), 32: (1,)}
EXAMPLES = 2000


def network_spectra(
    cache: Path | None, widths: tuple[int, ...] = tuple(EPOCHS), epochs: Mapping[int, tuple[int, ...]] = EPOCHS
) -> dict[str, np.ndarray]:
    """Return the exact eigenvalues of networks on CIFAR-100, from ``cache`` where it holds them."""
    known: dict[str, np.ndarray] = {}
    if cache is not None and cache.is_file():
        with np.load(cache) as archive:
            known = {name: archive[name] for name in archive.files}
    spectra = {}
    for width in widths:
        for architecture in ("plain", "residual"):
            names = [f"10x{width} {architecture}, epoch {epoch}" for epoch in epochs[width]]
            if not all(name in known for name in names):
                known |= dict(zip(names, _trained(architecture, width, epochs[width]), strict=True))
            spectra |= {name: known[name] for name in names}
    if cache is not None:
        np.savez(cache, **known)
    return spectra


def _trained(architecture: str, width: int, epochs: tuple[int, ...]) -> list[np.ndarray]:
    case = skip_network(architecture, 10, width, 128, 50_000, 1)
    steps = len(case.inputs) // 500
    pauses = train(case.model, case.inputs, case.targets, measure_at=[e * steps for e in epochs], seed=0)
    spectra = []
    for epoch, _ in zip(epochs, pauses, strict=True):
        case.model.double()
        data = [(case.inputs[:EXAMPLES].double(), case.targets[:EXAMPLES])]
        spectrum = exact_spectrum(hessian_operator(case.model, nn.CrossEntropyLoss(), data))
        case.model.float()
        spectra.append(spectrum.eigenvalues)
        print(f"10x{width} {architecture}, epoch {epoch}: {spectrum}", flush=True)
    return spectra


def synthetic_spectra(size: int = 2000) -> dict[str, np.ndarray]:
    """Return eigenvalues of the kinds that Hessians and random matrices have, and of kinds that are hard."""
    rng = np.random.default_rng(0)
    wishart = np.linalg.eigvalsh(np.cov(rng.standard_normal((size // 4, 500)), rowvar=True))
    semicircle = np.cos(np.pi * (np.arange(size) + 0.5) / size) * np.sqrt(rng.random(size))
    return {
        "Wishart with spikes": np.concatenate([wishart, np.geomspace(10, 100, 5)]),
        "power law": np.arange(1.0, size + 1) ** -1.0,
        "semicircle": semicircle,
        "semicircle with outliers": np.concatenate([semicircle, np.linspace(3, 30, 10)]),
        "highly degenerate": np.concatenate([np.zeros(size - 20), np.linspace(0.5, 5, 20)]),
    }


def diagonal(eigenvalues: np.ndarray) -> Operator:
    """Return the diagonal matrix as an operator."""
    entries = torch.from_numpy(eigenvalues.copy())[:, None]
    return as_operator(lambda V: entries * V, size=len(eigenvalues), dtype=torch.float64)
