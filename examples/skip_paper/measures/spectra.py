"""The spectrum of one network during training: the paper's moments, and better estimates."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hessdens import Plan, exact_spectrum, hessian_operator, lanczos_density, spectral_moments
from hessdens.densities import Density, LanczosDensity
from skip_paper.networks.skip_network import SkipNetwork

# A plan that is measured may differ from run to run, and products with it in the last digit.
PLAN = Plan("feedforward", examples_per_block=500, probes_per_block=8)
# Where the distribution function is kept: from 0 both ways, eight points a decade and side.
CDF_POINTS = np.concatenate([-np.geomspace(1e4, 1e-6, 81), [0.0], np.geomspace(1e-6, 1e4, 81)])
# Degenerate without a scale: |λ| < 1e-3 of the largest.
RELATIVE_WINDOW = "0.2%"
Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class SpectrumSpec:
    """How the spectrum is measured.

    Parameters
    ----------
    at
        Training steps after which it is.
    examples
        The Hessian is that of the loss on so many training examples, which the seed of the run draws: what another
        choice would change is in the spread over runs.
    probes
        For the four moments, two products each.
    products
        For `lanczos_density`, besides the moments; 0 is none.
    exact
        Compute all eigenvalues too, in float64.
    """

    at: tuple[int, ...]
    examples: int
    probes: int = 0
    products: int = 0
    exact: bool = False


def measure_spectrum(network: SkipNetwork, inputs: Tensor, targets: Tensor, spec: SpectrumSpec, *, seed: int) -> Arrays:
    """Return what is asked for of one spectrum.

    Returns
    -------
    dict
        ``samples``: moments of each probe, shape (P, 4). ``lanczos ..`` and ``exact ..``: what `summarised` returns of
        each density. ``eigenvalues``, float32: rounding is far below the distance of any of them to a window.

    Raises
    ------
    hessdens.NonFiniteError
        If a product is not finite: the network has diverged.
    """
    drawn = drawn_examples(len(inputs), spec.examples, seed)
    x, y = (part[drawn.to(part.device)] for part in (inputs, targets))
    arrays: Arrays = {}
    operator = hessian_operator(network, nn.CrossEntropyLoss(), [(x, y)], plan=PLAN)
    if spec.probes:
        moments = spectral_moments(operator, 4, method="skilling", num_probes=spec.probes, seed=seed)
        arrays["samples"] = moments.samples
    if spec.products:
        density = lanczos_density(operator, max_products=spec.products, seed=seed)
        arrays |= {f"lanczos {name}": value for name, value in summarised(density).items()}
    if spec.exact:
        network.double()
        operator = hessian_operator(network, nn.CrossEntropyLoss(), [(x.double(), y)], plan=PLAN)
        spectrum = exact_spectrum(operator)
        network.float()  # float32 -> float64 -> float32 changes no bit
        arrays |= {f"exact {name}": value for name, value in summarised(spectrum).items()}
        arrays["eigenvalues"] = spectrum.eigenvalues.astype(np.float32)
    return arrays


def drawn_examples(total: int, count: int, seed: int) -> Tensor:
    """Return which examples the Hessian of a run is of, ascending."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(4,)))
    return torch.from_numpy(np.sort(rng.choice(total, count, replace=False)))


def summarised(density: Density) -> Arrays:
    """Return the numbers of a density that claims are about.

    ``degenerate``, ``negative`` (the paper's window) and ``relative``, the fraction within 1e-3 of the largest absolute
    eigenvalue around 0: the value and the ends of its 95% interval, shape (3,); ``participation``, (Σ|λ|)² / (N Σ λ²),
    shape (); ``extremes``, the lowest and the highest eigenvalue, shape (2,); ``cdf`` at `CDF_POINTS`.
    """
    nodes = density.nodes()
    square = density.expect(np.square)
    return {
        "degenerate": _with_interval(density, "degenerate"),
        "negative": _with_interval(density, "negative"),
        "relative": _with_interval(density, "degenerate", RELATIVE_WINDOW),
        "participation": np.array(density.expect(np.abs) ** 2 / square if square > 0 else np.nan),
        "extremes": nodes[[0, -1]],
        "cdf": np.asarray(density.cdf(CDF_POINTS)),
    }


def _with_interval(density: Density, name: str, window: float | str = 0.2) -> np.ndarray[Any, Any]:
    value = getattr(density, f"fraction_{name}")(window)
    if not isinstance(density, LanczosDensity):
        return np.array([value, value, value])
    return np.array([value, *getattr(density, f"{name}_interval")(window)])


def empty_spectrum(spec: SpectrumSpec, size: int) -> Arrays:
    """Return arrays of NaN with the shapes of `measure_spectrum` at all times of ``spec``."""
    summary = {"degenerate": (3,), "negative": (3,), "relative": (3,), "participation": (), "extremes": (2,)}
    shapes: dict[str, tuple[int, ...]] = {**summary, "cdf": (len(CDF_POINTS),)}
    arrays = {"samples": np.full((len(spec.at), spec.probes, 4), np.nan)} if spec.probes else {}
    for kind, asked in (("lanczos", spec.products), ("exact", spec.exact)):
        if asked:
            arrays |= {f"{kind} {name}": np.full((len(spec.at), *shape), np.nan) for name, shape in shapes.items()}
    if spec.exact:
        arrays["eigenvalues"] = np.full((len(spec.at), size), np.nan, dtype=np.float32)
    return arrays
