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

Block = list[slice]


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

    A vector that is zero outside a layer is multiplied by the whole matrix, and what the product has outside the layer
    is set to zero: so the layer's own block is raised to its powers, exactly. The vectors of many layers share a
    product, and with it the passes over data and network. One vector for several layers at once would be exact only if
    the blocks between them were zero.

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
        Vectors in one multi-vector product; memory is 3 N block_size numbers beside the operator's own.

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
    Cost: P ceil(K/2) products a layer, in as many passes over the data as vectors make blocks.
    """
    run = Run(A, num_moments, seed, distribution, block_size, num_probes=num_probes, progress=progress)
    operator = run.operator
    if not operator.parameter_sizes:
        raise TypeError(
            "layer_moments needs an operator that knows its parameters, from hessian_operator or its like; got "
            f"{type(A).__name__}."
        )
    blocks = _blocks(operator, layers)
    samples = {name: np.empty((num_probes, num_moments)) for name in blocks}
    columns = [(i, name) for i in range(num_probes) for name in blocks]
    with run.bar(len(columns), unit="vector") as bar:
        for start, stop in run.blocks(0, len(columns)):
            chunk = columns[start:stop]
            first, last = chunk[0][0], chunk[-1][0]
            masked = _Masked(operator, [blocks[name] for _, name in chunk])
            vectors = masked.restricted(run.probes(first, last + 1)[:, [i - first for i, _ in chunk]])
            moments = PowerWalk(vectors, first, masked).moments(num_moments)
            for (i, name), sample in zip(chunk, moments, strict=True):
                samples[name][i] = sample * operator.size / _length(blocks[name])
            bar.update(stop - start)
    num_products = num_probes * products_per_probe(num_moments)
    return {
        name: Moments.from_samples(samples[name], size=_length(block), num_products=num_products)
        for name, block in blocks.items()
    }


class _Masked(Wrapped):
    """Column i of a product is that with the diagonal block ``blocks[i]``, zero outside."""

    def __init__(self, operator: Operator, blocks: list[Block]) -> None:
        super().__init__(operator)
        self._blocks = blocks

    def restricted(self, V: Tensor) -> Tensor:
        """Return V with each column set to zero outside its block."""
        result = torch.zeros_like(V)
        for column, block in enumerate(self._blocks):
            for rows in block:
                result[rows, column] = V[rows, column]
        return result

    def _matmat(self, V: Tensor) -> Tensor:
        return self.restricted(self._operator.matmat(V))


def _blocks(operator: Operator, layers: Mapping[str, Selection] | None) -> dict[str, Block]:
    """Return the places in a vector that belong to each layer."""
    sizes = operator.parameter_sizes
    if layers is None:
        modules = dict.fromkeys(name.rpartition(".")[0] for name in sizes)
        layers = {module: [name for name in sizes if name.rpartition(".")[0] == module] for module in modules}
    stops = np.cumsum(list(sizes.values())).tolist()
    places = {name: slice(stop - sizes[name], stop) for name, stop in zip(sizes, stops, strict=True)}
    blocks = {}
    for layer, selection in layers.items():
        chosen = matching(sizes, selection)
        if not chosen:
            raise ValueError(f"layers[{layer!r}] must name parameters of the operator; it names none.")
        blocks[layer] = [place for name, place in places.items() if name in chosen]
    if not blocks:
        raise ValueError("layers must have at least one layer; got none.")
    return blocks


def _length(block: Block) -> int:
    return sum(rows.stop - rows.start for rows in block)
