"""Spectral moments of the diagonal block of every layer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessdens.curvature.parameters import Selection, matching
from hessdens.estimators.run import Run
from hessdens.linalg.operator import Operator, Wrapped
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
    num_moments, num_probes, seed, distribution, progress
        As in `spectral_moments`, for each layer. Probe i of a layer is the layer's part of probe i.
    layers
        Parameters of each layer by its name, as in the ``parameters`` of `hessian_operator`. Default: the parameters of
        each module make a layer.
    block_size
        Vectors in one multi-vector product; memory is 3 N block_size numbers besides the operator's own.

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
    run = Run(A, num_moments, seed, distribution, block_size, num_probes=num_probes, progress=progress)
    operator = run.operator
    if not operator.parameter_sizes:
        raise TypeError(
            "layer_moments needs an operator that knows its parameters, from hessian_operator or its like; got "
            f"{type(A).__name__}."
        )
    places = _places(operator, layers)
    samples = {name: np.empty((num_probes, num_moments)) for name in places}
    columns = [(i, name) for i in range(num_probes) for name in places]
    with run.bar(len(columns), unit="vector") as bar:
        for start, stop in run.blocks(0, len(columns)):
            chunk = columns[start:stop]
            first, last = chunk[0][0], chunk[-1][0]
            masked = _Masked(operator, [places[name] for _, name in chunk])
            vectors = masked.restricted(run.probes(first, last + 1)[:, [i - first for i, _ in chunk]])
            moments = PowerWalk(vectors, first, masked).moments(num_moments)
            for (i, name), sample in zip(chunk, moments, strict=True):
                samples[name][i] = sample * operator.size / _length(places[name])
            bar.update(stop - start)
    num_products = num_probes * products_per_probe(num_moments)
    return {
        name: Moments.from_samples(samples[name], size=_length(own), num_products=num_products)
        for name, own in places.items()
    }


class _Masked(Wrapped):
    """Column i of a product is that with the diagonal block at ``places[i]``, zero outside."""

    def __init__(self, operator: Operator, places: list[Places]) -> None:
        super().__init__(operator)
        self._places = places

    def restricted(self, V: Tensor) -> Tensor:
        """Return V with each column set to zero outside its places."""
        result = torch.zeros_like(V)
        for column, places in enumerate(self._places):
            for place in places:
                result[place, column] = V[place, column]
        return result

    def _matmat(self, V: Tensor) -> Tensor:
        return self.restricted(self._operator.matmat(V))


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


def _length(places: Places) -> int:
    return sum(place.stop - place.start for place in places)
