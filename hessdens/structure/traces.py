"""The traces of all layers from products that they share."""

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from hessdens._calls import takes_operator, warn_caller
from hessdens._checks import whole_at_least
from hessdens.estimators.exact import dense_matrix
from hessdens.estimators.run import Run, called_alike
from hessdens.results.structure.traces import LayerTraces
from hessdens.structure.accuracy import TraceAccuracy, half_widths
from hessdens.structure.diagonal import DIAGONAL_PRODUCTS, FEWEST_PRODUCTS, check_whole
from hessdens.structure.diagonals.growth import FIRST_LOOK, PlainSums, Sums, sums_to_accuracy
from hessdens.structure.diagonals.sampling import diagonal_samples, fits_memory
from hessdens.structure.parts import Parts, Selection

# The limit where an accuracy is asked for, unless another one is given.
MOST_PRODUCTS = 1_000


@takes_operator
def layer_traces(
    A: Any,
    layers: Mapping[str, Selection] | None = None,
    *,
    max_products: int | None = None,
    rtol: float | None = None,
    atol: float | None = None,
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
    max_products
        Products that may be spent, at least 4. Default: 64, and 1,000 where an accuracy is given.
    rtol, atol
        Stop as soon as the 95% interval of each layer's trace lies within this relative, or this absolute distance of
        the estimate, whichever is larger, even with the upper limit of its width. ``max_products`` is then a limit,
        with a warning where it is reached first. A trace near 0 has no relative accuracy: give ``atol`` too.
    seed, block_size, checkpoint, progress
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
    numbers. Where N products are allowed, traces are exact; for one small layer, `diagonal` says how. With an accuracy:
    the products that it takes, in steps of a fifth, or N more where these make traces exact; and 4 N numbers for each
    of them, at most 200 or those that fit. Sources: as `diagonal`; Z. Dong and others, HAWQ-V2 (2020), for the use.

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
    accuracy = TraceAccuracy(rtol, atol, torch.finfo(operator.dtype).eps)
    if max_products is None:
        max_products = MOST_PRODUCTS if accuracy.is_asked else DIAGONAL_PRODUCTS
    whole_at_least("max_products", max_products, FEWEST_PRODUCTS)
    parts = Parts.of(operator, layers, may_overlap=True)
    if accuracy.is_asked:
        found = _accurate(run, parts, accuracy, max_products, low_memory)
    elif operator.size <= max_products:
        found = _exact(run, parts)
    else:
        with run.bar(max_products) as bar:
            if low_memory or not fits_memory(run, max_products):
                plain = PlainSums(run, parts, bar)
                plain.grow(max_products)
                found = Sums(plain.samples, max_products)
            else:
                shared = diagonal_samples(run, max_products, bar)
                found = Sums(shared.sums(parts), shared.num_products)
    if found.excess > 1:
        spent = f"{found.num_products:,} products of max_products={max_products:,}"
        needed = min(found.needed, found.num_products + operator.size)
        warn_caller(accuracy.message(parts.names, *half_widths(found.samples), spent, needed))
    certificates = run.certificates(found.num_products, symmetry=run.asymmetry)
    return LayerTraces.from_samples(found.samples, parts.names, parts.sizes, found.num_products, certificates)


def _accurate(run: Run, parts: Parts, accuracy: TraceAccuracy, max_products: int, low_memory: bool) -> Sums:
    """Return sums of an accuracy, those of as many products as are allowed, or exact ones where these pay for them."""
    size = run.operator.size
    is_affordable = size <= max_products
    most = min(size, max_products - size) if is_affordable else max_products
    if most < FIRST_LOOK and is_affordable:
        return _exact(run, parts)
    with run.bar(most, is_limit=True) as bar:
        worth = size if is_affordable else math.inf
        found = sums_to_accuracy(run, parts, accuracy, most, low_memory, bar, worth=worth)
    is_enough = found.excess <= 1 or not is_affordable
    return found if is_enough else _exact(run, parts, spent=found.num_products)


def _exact(run: Run, parts: Parts, spent: int = 0) -> Sums:
    """Return the sums of the diagonal of the dense matrix, after so many products."""
    exact = parts.sums(dense_matrix(run).diagonal()[:, None]).numpy()[:, 0]
    return Sums(np.stack([exact, exact]), spent + run.operator.size)
