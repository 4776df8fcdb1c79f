"""Spectral moments of the diagonal block of every layer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.curvature.parameters import Selection, matching
from hessdens.estimators.run import Run, called_alike
from hessdens.linalg.operator import Combined, Operator
from hessdens.linalg.power_walk import PowerWalk
from hessdens.linalg.probes import Distribution
from hessdens.linalg.walk import products_per_probe
from hessdens.results.moments import Moments

# Where the parameters of a layer stand in a vector.
Places = list[slice]


def layer_moments(
    A: Any,
    num_moments: int = 4,
    *,
    layers: Mapping[str, Selection] | None = None,
    num_probes: int = 32,
    seed: int = 0,
    distribution: Distribution = "gaussian",
    block_size: int = 32,
    progress: bool = False,
) -> dict[str, Moments]:
    """Estimate the moments of each layer's diagonal block of a curvature matrix, as `spectral_moments` does.

    A vector that is zero outside a layer is multiplied by the whole matrix, and the product is set to zero outside the
    layer. This raises the layer's own block to its powers, exactly. The vectors of many layers share a multi-vector
    product, and with it the passes over the data. One vector for several layers at once would be exact only if the
    blocks between them were zero.

    Parameters
    ----------
    A
        From `hessian_operator`, `ggn_operator` or `fisher_operator`; or such an operator shifted or scaled.
    num_moments, num_probes, seed, distribution, block_size, progress
        As in `spectral_moments`, for each layer. Probe i of a layer is the layer's part of probe i; a block has vectors
        of several layers.
    layers
        Parameters of each layer by its name, as in the ``parameters`` of `hessian_operator`. Default: the parameters of
        each module make a layer.

    Returns
    -------
    dict of Moments
        By layer; ``size`` is the number of its parameters.

    Raises
    ------
    ValueError
        If an argument is out of range, or a layer names no parameter of the operator.
    TypeError
        If ``A`` does not know its parameters.

    Notes
    -----
    Cost: P ceil(K/2) products per layer, in one pass over the data per step of each block of vectors.

    Examples
    --------
    >>> import torch
    >>> from hessdens import hessian_operator
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    >>> H = hessian_operator(model, torch.nn.MSELoss(), [(torch.ones(4, 2), torch.zeros(4, 1))])
    >>> {layer: moments.size for layer, moments in layer_moments(H, 2, num_probes=4).items()}
    {'0': 9, '2': 4}
    """
    operator = called_alike("layer_moments", A, locals())
    run = Run(operator, num_moments, seed, distribution, block_size, num_probes=num_probes, progress=progress)
    if not operator.parameter_sizes:
        raise TypeError(
            "layer_moments needs an operator that knows its parameters, from hessian_operator or its like; got "
            f"{type(A).__name__}."
        )
    places = _places(operator, layers)
    own, num_products = list(places.values()), num_probes * products_per_probe(num_moments)
    samples = np.empty((num_probes * len(own), num_moments))
    with run.bar(len(samples), unit="vector") as bar:
        for start, stop in run.blocks(0, len(samples)):
            probes, chosen = divmod(np.arange(start, stop), len(own))
            first, last = int(probes[0]), int(probes[-1])
            vectors = run.probes(first, last + 1)[:, probes - first]
            samples[start:stop] = _moments(operator, [own[i] for i in chosen], vectors, first, num_moments)
            bar.update(stop - start)
    moments = {}
    for i, (name, slices) in enumerate(places.items()):
        size = sum(place.stop - place.start for place in slices)
        rows = samples[i :: len(own)] * operator.size / size
        moments[name] = Moments.from_samples(rows, size=size, num_products=num_products)
    return moments


def _moments(
    operator: Operator, places: list[Places], probes: Tensor, first_probe: int, num_moments: int
) -> FloatArray:
    """Return moments of the diagonal block at ``places[i]`` from column i of ``probes``, shape (P, K), for all i."""

    def restricted(V: Tensor) -> Tensor:
        result = torch.zeros_like(V)
        for column, own in enumerate(places):
            for place in own:
                result[place, column] = V[place, column]
        return result

    blocks = Combined(lambda V: restricted(operator.matmat(V)), operator)
    return PowerWalk(restricted(probes), first_probe, blocks).moments(num_moments)


def _places(operator: Operator, layers: Mapping[str, Selection] | None) -> dict[str, Places]:
    """Return the places in a vector that belong to each layer."""
    sizes = operator.parameter_sizes
    if layers is None:
        modules = dict.fromkeys(name.rpartition(".")[0] for name in sizes)
        layers = {module: [name for name in sizes if name.rpartition(".")[0] == module] for module in modules}
    stops = np.cumsum(list(sizes.values())).tolist()
    place_of = {name: slice(stop - sizes[name], stop) for name, stop in zip(sizes, stops, strict=True)}
    places = {}
    for layer, selection in layers.items():
        chosen = matching(sizes, selection)
        if not chosen:
            raise ValueError(f"layers[{layer!r}] must name parameters of the operator; it names none.")
        places[layer] = [place for name, place in place_of.items() if name in chosen]
    if not places:
        raise ValueError("layers must have at least one layer; got none.")
    return places
