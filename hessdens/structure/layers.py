"""Spectral moments and densities of the diagonal block of every layer."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from hessdens._calls import takes_operator
from hessdens._types import FloatArray
from hessdens.densities.lanczos import LanczosDensity
from hessdens.estimators.budget import PROBES_OF_MOMENTS
from hessdens.estimators.checkpoint import folder_within
from hessdens.estimators.lanczos import lanczos_density
from hessdens.estimators.moments import Method, spectral_moments
from hessdens.estimators.run import Run, called_alike
from hessdens.linalg.operator import Combined, Operator
from hessdens.linalg.power_walk import PowerWalk
from hessdens.linalg.probes import Distribution
from hessdens.linalg.walk import products_per_probe
from hessdens.results.moments import Moments
from hessdens.structure.block import BlockOperator
from hessdens.structure.diagonal import check_whole
from hessdens.structure.parts import Parts, Selection, check_parameters


@takes_operator
def layer_moments(
    A: Any,
    num_moments: int = 4,
    *,
    layers: Mapping[str, Selection] | None = None,
    method: Method = "deflated",
    max_products: int | None = None,
    num_probes: int | None = None,
    rtol: float | None = None,
    seed: int = 0,
    distribution: Distribution = "gaussian",
    block_size: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> dict[str, Moments]:
    """Estimate the moments of each layer's diagonal block of a curvature matrix, as `spectral_moments` does.

    A vector that is zero outside a layer is multiplied by the whole matrix, and the product is set to zero outside the
    layer. This raises the layer's own block to its powers, exactly. One vector for several layers at once would be
    exact only if the blocks between them were zero; for traces alone, `layer_traces` takes such vectors.

    Parameters
    ----------
    A
        From `hessian_operator`, `ggn_operator` or `fisher_operator`; or such an operator shifted or scaled.
    num_moments, max_products, num_probes, rtol, seed, distribution, checkpoint, progress
        As in `spectral_moments`, for each layer: a layer of fewer parameters than products is exact.
    layers
        What each layer has, by its name: names and globs of parameters, or slices of them (`attention_parts`). Default:
        the parameters of each module make a layer. Layers may overlap.
    method
        "deflated": one layer after the other, with the outliers of each treated exactly. "skilling": probe i of a layer
        is its part of probe i. Vectors of many layers share a product with several vectors, and with it the passes over
        the data.
    block_size
        Vectors in one multi-vector product. Default: 8, with "skilling" 32.

    Returns
    -------
    dict of Moments
        By layer; ``size`` is the number of its parameters.

    Raises
    ------
    ValueError
        If an argument is out of range, a layer does not exist, or vectors are sharded over processes.
    TypeError
        If ``A`` does not know its parameters.

    Notes
    -----
    Cost: ``max_products`` products per layer, by default those of 32 probes.

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
    check_parameters(operator, "layer_moments")
    check_whole(operator, "layer_moments")
    parts = Parts.of(operator, layers, may_overlap=True)
    settings: dict[str, str | int] = {"function": "layer_moments", "method": method}
    kind: Any = {"seed": seed, "distribution": distribution, "progress": progress}
    run = Run(operator, num_moments, seed, distribution, checkpoint=checkpoint, settings=settings)  # whose folder it is
    if method == "skilling" and rtol is None:
        count = (
            max_products // products_per_probe(num_moments)
            if max_products is not None
            else num_probes or PROBES_OF_MOMENTS
        )
        width = 32 if block_size is None else block_size
        return _together(run.recorded, parts, num_moments, count, width, kind)
    budget: Any = {
        "max_products": max_products,
        "num_probes": num_probes,
        "rtol": rtol,
        "block_size": 8 if block_size is None else block_size,
    }
    return {
        name: spectral_moments(
            block, num_moments, method=method, checkpoint=folder_within(checkpoint, name), **budget, **kind
        )
        for name, block in _blocks(operator, parts)
    }


@takes_operator
def block_densities(
    A: Any,
    parts: Mapping[str, Selection] | None = None,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
    **options: Any,
) -> dict[str, LanczosDensity]:
    """Estimate the spectral density of each diagonal block.

    Parameters
    ----------
    A, parts
        As in `block_norms`; parts may overlap.
    checkpoint
        A folder for finished work, with one for each part in it.
    progress
        Show a bar on standard error for each part.
    options
        Those of `lanczos_density`, for each part: ``max_products``, ``num_steps``, ``num_probes``, ``seed``.

    Returns
    -------
    dict of LanczosDensity
        By part.

    Notes
    -----
    Cost: ``max_products`` products for each part, in vectors of the whole operator; the rest of the memory is that of
    vectors of a part.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdens.structure import block_densities
    >>> densities = block_densities(np.diag([1.0, 2.0, 0.0, 0.0]), {"a": slice(0, 2), "b": slice(2, 4)}, max_products=8)
    >>> {name: density.eigenvalues_found.round(6).tolist() for name, density in densities.items()}
    {'a': [1.0, 2.0], 'b': []}
    """
    operator = called_alike("block_densities", A, {**locals(), "options": sorted(options.items())})
    check_whole(operator, "block_densities")
    blocks = _blocks(operator, Parts.of(operator, parts, may_overlap=True))
    seed = int(options.get("seed", 0))
    Run(operator, seed=seed, checkpoint=checkpoint, settings={"function": "block_densities"})  # whose folder it is
    return {
        name: lanczos_density(block, checkpoint=folder_within(checkpoint, name), progress=progress, **options)
        for name, block in blocks
    }


def _blocks(operator: Operator, parts: Parts) -> Iterator[tuple[str, BlockOperator]]:
    """Yield each part's name and diagonal block."""
    for name, pieces in zip(parts.names, parts.pieces, strict=True):
        block = BlockOperator(operator, pieces)
        block.name = f"{operator.name}'s block {name}" if operator.name else f"block {name}"
        yield name, block


def _together(
    operator: Operator, parts: Parts, num_moments: int, num_probes: int, block_size: int, kind: dict[str, Any]
) -> dict[str, Moments]:
    """Return moments by Skilling's estimator, from products that layers share."""
    run = Run(operator, num_moments, block_size=block_size, num_probes=num_probes, **kind)
    count, num_products = len(parts.names), num_probes * products_per_probe(num_moments)
    samples = np.empty((num_probes * count, num_moments))
    with run.bar(len(samples), unit="vector") as bar:
        for start, stop in run.blocks(0, len(samples)):
            probes, chosen = divmod(np.arange(start, stop), count)
            first, last = int(probes[0]), int(probes[-1])
            vectors = run.probes(first, last + 1)[:, probes - first]
            samples[start:stop] = _moments(operator, parts, chosen.tolist(), vectors, first, num_moments)
            bar.update(stop - start)
    moments = {}
    for i, (name, size) in enumerate(zip(parts.names, parts.sizes, strict=True)):
        rows = samples[i::count] * operator.size / size
        moments[name] = Moments.from_samples(rows, size=size, num_products=num_products)
    return moments


def _moments(
    operator: Operator, parts: Parts, chosen: list[int], probes: Tensor, first_probe: int, num_moments: int
) -> FloatArray:
    """Return moments of the block of part ``chosen[i]`` from column i of ``probes``, shape (P, K), for all i."""
    blocks = Combined(lambda V: parts.restricted(operator.matmat(V), chosen), operator)
    return PowerWalk(parts.restricted(probes, chosen), first_probe, blocks).moments(num_moments)
