"""Spectral moments of a matrix of many examples from many products with few of them and few products with all."""

import os
from collections.abc import Sequence
from typing import Any

from hessdens._calls import takes_operator, warn_caller
from hessdens._checks import at_least
from hessdens.estimators.run import called_alike
from hessdens.multilevel.estimate import Call, checked_limit
from hessdens.multilevel.quantities import MomentsOfAll
from hessdens.results.data.levels import MultilevelMoments


@takes_operator
def multilevel_moments(
    H: Any,
    num_moments: int = 2,
    *,
    rtol: float | None = None,
    max_products: float | None = None,
    num_examples: Sequence[int] | None = None,
    seed: int = 0,
    block_size: int = 8,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> MultilevelMoments:
    """Estimate spectral moments of all examples at the cost of few products with all, without bias.

    The moments of a matrix H_n of n examples are cheap. What is missing, m_k(H) - m_k(H_n), hardly varies where both
    matrices are multiplied with the same probes, so few probes with all examples tell it. Levels in between have more
    examples and fewer probes, step by step. Directions that dominate with few examples are deflated from all levels:
    products with them give their part exactly.

    Parameters
    ----------
    H
        From `hessian_operator`, `ggn_operator` or `fisher_operator`, or from `hessdens.distributed.share_examples`.
    num_moments
        K. Deflation serves the first two; of more, all probes are plain.
    rtol
        Stop when 95% intervals reach no further than this fraction of the moments of the absolute eigenvalues.
    max_products
        What may be spent, in products with all examples: 20 by default, 1,000 where ``rtol`` is given.
    num_examples
        Of the levels, ascending, without that of all. Default: the levels, the deflation and the numbers of probes that
        cost least by the variances that a few examples show. Their probes do not enter the result.
    seed
        Of examples and probes.
    block_size, checkpoint, progress
        As in `spectral_moments`. Each level has its own folder in ``checkpoint``.

    Returns
    -------
    MultilevelMoments
        Moments with errors and intervals, and how many examples would have been enough.

    Raises
    ------
    ValueError
        If an argument is out of range, the budget too small, or there are too few examples to have levels.
    TypeError
        If ``H`` has no data, such as a sum of operators.
    NonFiniteError
        If a product is not finite.

    Notes
    -----
    Cost: what is asked for, and a pilot of some 450 products with few examples, 4 times the square root of all. Memory:
    besides that of `spectral_moments`, up to 64 vectors, and the examples of all levels but the last. Source: M. B.
    Giles, Multilevel Monte Carlo methods (2015); for deflation, R. A. Meyer and others, Hutch++ (2021).

    Examples
    --------
    >>> import torch
    >>> from hessdens import hessian_operator
    >>> from hessdens.multilevel import multilevel_moments
    >>> x = torch.randn(1_000, 5, generator=torch.Generator().manual_seed(0))
    >>> H = hessian_operator(torch.nn.Linear(5, 1), torch.nn.MSELoss(), [(x, x.sum(dim=1, keepdim=True))])
    >>> moments = multilevel_moments(H, 2, max_products=20)
    >>> bool(abs(moments.trace - 2 * (1 + x.square().sum() / 1_000)) < 4 * moments.trace_error + 1e-4)
    True
    """
    operator = called_alike("multilevel_moments", H, locals(), reals=("max_products",))
    at_least("num_moments", num_moments, 1)
    if rtol is not None and not 0 < rtol < 1:
        raise ValueError(f"rtol must lie between 0 and 1; got {rtol}.")
    limit = checked_limit(max_products, has_accuracy=rtol is not None)
    quantity = MomentsOfAll(num_moments, rtol)
    result, needed = Call(operator, quantity, num_examples, seed, block_size, checkpoint, progress).estimated(limit)
    if needed > limit:
        reached = quantity.excess(result) * (rtol or 0.0)
        warn_caller(
            f"rtol={rtol:g} was not reached: 95% intervals reach {reached:.1e} of the moments, at the cost of "
            f"{result.num_products:.3g} products of max_products={limit:g}. It takes about {needed:.2g}. Of moments "
            "near 0 no relative error can be reached: give max_products alone.",
        )
    return result
