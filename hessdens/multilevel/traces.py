"""Traces of layers for a matrix of many examples from many products with few of them and few products with all."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hessdens._calls import takes_operator, warn_caller
from hessdens.estimators.run import called_alike
from hessdens.multilevel.estimate import Call, checked_limit
from hessdens.multilevel.quantities import TracesOfAll
from hessdens.results.data.level_traces import MultilevelTraces
from hessdens.structure.accuracy import TraceAccuracy
from hessdens.structure.parts import Parts, Selection


@takes_operator
def multilevel_layer_traces(
    H: Any,
    layers: Mapping[str, Selection] | None = None,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    max_products: float | None = None,
    num_examples: Sequence[int] | None = None,
    seed: int = 0,
    block_size: int = 8,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> MultilevelTraces:
    """Estimate the traces of all layers for all examples at the cost of few products with all, without bias.

    `layer_traces` tells those of a few examples. What more examples change is estimated from few products that share
    their probes, as in `multilevel_moments`, and directions that dominate with few examples are deflated.

    Parameters
    ----------
    H
        From `hessian_operator`, `ggn_operator` or `fisher_operator`, or from `hessdens.distributed.share_examples`.
    layers
        As in `layer_traces`.
    rtol, atol
        Stop when the 95% interval of each layer's trace lies within this relative, or this absolute distance of the
        estimate, whichever is larger. A trace near 0 has no relative accuracy: give ``atol`` too.
    max_products, num_examples, seed, block_size, checkpoint, progress
        As in `multilevel_moments`.

    Returns
    -------
    MultilevelTraces
        Values and standard errors, shape (L,), and how many examples would have been enough for each layer.

    Raises
    ------
    ValueError
        If an argument is out of range, a layer does not exist, the budget is too small, or there are too few examples
        to have levels.
    TypeError
        If ``H`` has no data, such as a sum of operators.
    NonFiniteError
        If a product is not finite.

    Notes
    -----
    Cost: what is asked for, and a pilot of some 450 products with few examples, 4 times the square root of all. Memory:
    that of `layer_traces` or up to 64 vectors, and the examples of all levels but the last. Sources: as
    `multilevel_moments` and `layer_traces`.

    Examples
    --------
    >>> import torch
    >>> from hessdens import hessian_operator
    >>> from hessdens.multilevel import multilevel_layer_traces
    >>> x = torch.randn(1_000, 5, generator=torch.Generator().manual_seed(0))
    >>> model = torch.nn.Sequential(torch.nn.Linear(5, 2), torch.nn.Linear(2, 1))
    >>> H = hessian_operator(model, torch.nn.MSELoss(), [(x, x.sum(dim=1, keepdim=True))])
    >>> multilevel_layer_traces(H, max_products=20).names
    ('0', '1')
    """
    operator = called_alike("multilevel_layer_traces", H, locals(), reals=("max_products",))
    accuracy = TraceAccuracy(rtol, atol, torch.finfo(operator.dtype).eps)
    limit = checked_limit(max_products, has_accuracy=accuracy.is_asked)
    parts = Parts.of(operator, layers, may_overlap=True)
    quantity = TracesOfAll(layers, parts, accuracy)
    result, needed = Call(operator, quantity, num_examples, seed, block_size, checkpoint, progress).estimated(limit)
    if needed > limit:
        spent = f"the cost of {result.num_products:.3g} products of max_products={limit:g}"
        warn_caller(accuracy.message(parts.names, result.values, result.half_widths(), spent, needed))
    return result
