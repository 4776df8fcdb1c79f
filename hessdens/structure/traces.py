"""The traces of all layers from products that they share."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from hessdens._checks import at_least
from hessdens._types import FloatArray
from hessdens.estimators.exact import dense_matrix
from hessdens.estimators.run import Run, called_alike
from hessdens.results.structure.traces import LayerTraces
from hessdens.structure.diagonal import DIAGONAL_PRODUCTS, FEWEST_PRODUCTS, check_whole
from hessdens.structure.parts import Parts, Selection
from hessdens.structure.sampling import blocks_of_products, diagonal_samples, fits_memory


def layer_traces(
    A: Any,
    layers: Mapping[str, Selection] | None = None,
    *,
    max_products: int = DIAGONAL_PRODUCTS,
    seed: int = 0,
    block_size: int = 8,
    low_memory: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> LayerTraces:
    """Estimate the traces of the diagonal blocks of all layers at once, without bias, as quantisation needs them.

    For a probe v of ±1, the sum of v * A v over the entries of a layer has the layer's trace as its mean: all layers
    share each product. What `diagonal` does makes these sums vary less. `layer_moments` takes products for each layer
    alone, and gives higher moments too.

    Parameters
    ----------
    A
        From `hessian_operator`, `ggn_operator` or `fisher_operator`, or anything that `as_operator` takes.
    layers
        What each layer has, by its name: names and globs of parameters, or slices of them (`attention_parts`). Default:
        the parameters of each module make a layer. Layers may overlap.
    max_products, seed, block_size, checkpoint, progress
        As in `diagonal`.
    low_memory
        Keep nothing but the sums: plain samples, whose standard errors are larger where there are outliers. Taken
        automatically where memory is short.

    Returns
    -------
    LayerTraces
        Values and standard errors, shape (L,).

    Raises
    ------
    ValueError
        If an argument is out of range, a layer does not exist, or vectors are sharded over processes.
    NonFiniteError
        If a product is not finite.

    Notes
    -----
    Cost: ``max_products`` products for all layers together; memory: as `diagonal`, with ``low_memory`` 2 N block_size
    numbers. Where N products are allowed, traces are exact. Sources: as `diagonal`; Z. Dong and others, HAWQ-V2 (2020),
    for the use.

    Examples
    --------
    >>> import torch
    >>> from hessdens import hessian_operator
    >>> from hessdens.structure import layer_traces
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    >>> H = hessian_operator(model, torch.nn.MSELoss(), [(torch.ones(4, 2), torch.zeros(4, 1))])
    >>> layer_traces(H, max_products=12).names
    ('0', '2')
    """
    operator = called_alike("layer_traces", A, locals())
    settings: dict[str, str | int] = {"function": "layer_traces"}
    run = Run(operator, 1, seed, "rademacher", block_size, checkpoint=checkpoint, settings=settings, progress=progress)
    check_whole(operator, "layer_traces")
    at_least("max_products", max_products, FEWEST_PRODUCTS)
    parts = Parts.of(operator, layers, may_overlap=True)
    if operator.size <= max_products:
        exact = parts.sums(dense_matrix(run).diagonal()[:, None]).numpy()[:, 0]
        samples, spent = np.stack([exact, exact]), operator.size
    else:
        with run.bar(max_products) as bar:
            is_short = low_memory or not fits_memory(run, max_products)
            if is_short:
                samples, spent = _plain_samples(run, parts, max_products, bar), max_products
            else:
                found = diagonal_samples(run, max_products, bar)
                samples, spent = found.sums(parts), found.num_products
    certificates = run.certificates(spent, symmetry=run.asymmetry)
    errors = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    return LayerTraces(samples.mean(axis=0), errors, samples, parts.names, parts.sizes, spent, certificates)


def _plain_samples(run: Run, parts: Parts, count: int, bar: Any) -> FloatArray:
    samples = np.empty((count, len(parts.names)))
    for start, V, W in blocks_of_products(run, 0, count, bar):
        samples[start : start + V.shape[1]] = parts.sums(V * W).T.numpy()
    return samples
