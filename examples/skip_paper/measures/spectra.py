"""The spectrum of one network during training: the paper's moments, and better estimates."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from hessdens import Plan, exact_spectrum, hessian_operator, lanczos_density, spectral_moments
from skip_paper.networks.skip_network import SkipNetwork

# A plan that is measured may differ from run to run, and products with it in the last digit.
PLAN = Plan("feedforward", examples_per_block=500, probes_per_block=8)
Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class SpectrumSpec:
    """How the spectrum is measured.

    Parameters
    ----------
    at
        Training steps after which it is.
    examples
        The Hessian is that of the loss on the first so many training examples.
    probes
        For the four moments, two products each.
    products
        For `lanczos_density`, besides the moments, after the last of these steps; 0 is none.
    exact
        Compute all eigenvalues too, in float64.
    """

    at: tuple[int, ...]
    examples: int
    probes: int = 0
    products: int = 0
    exact: bool = False


def measure_spectrum(
    network: SkipNetwork, inputs: Tensor, targets: Tensor, spec: SpectrumSpec, *, seed: int, last: bool
) -> Arrays:
    """Return ``samples``, moments of each probe, shape (P, 4); ``eigenvalues``; ``degenerate`` and ``negative``.

    The last two, of shape (3,), are the fraction and its 95% interval by `lanczos_density`. What is not asked for is
    absent.

    Raises
    ------
    hessdens.NonFiniteError
        If a product is not finite: the network has diverged.
    """
    x, y = inputs[: spec.examples], targets[: spec.examples]
    operator = hessian_operator(network, nn.CrossEntropyLoss(), [(x, y)], plan=PLAN)
    arrays: Arrays = {}
    if spec.probes:
        moments = spectral_moments(operator, 4, method="skilling", num_probes=spec.probes, seed=seed)
        arrays["samples"] = moments.samples
    if spec.products and last:
        density = lanczos_density(operator, max_products=spec.products, seed=seed)
        arrays["degenerate"] = np.array([density.fraction_degenerate(), *density.degenerate_interval()])
        arrays["negative"] = np.array([density.fraction_negative(), *density.negative_interval()])
    if spec.exact:
        network.double()
        operator = hessian_operator(network, nn.CrossEntropyLoss(), [(x.double(), y)], plan=PLAN)
        arrays["eigenvalues"] = exact_spectrum(operator).eigenvalues
        network.float()  # float32 -> float64 -> float32 changes no bit
    return arrays


def empty_spectrum(spec: SpectrumSpec, size: int) -> Arrays:
    """Return arrays of NaN with the shapes of `measure_spectrum` at all times of ``spec``."""
    shapes: dict[str, tuple[int, ...]] = {}
    if spec.probes:
        shapes["samples"] = (spec.probes, 4)
    if spec.products:
        shapes |= {"degenerate": (3,), "negative": (3,)}
    if spec.exact:
        shapes["eigenvalues"] = (size,)
    return {name: np.full((len(spec.at), *shape), np.nan) for name, shape in shapes.items()}
