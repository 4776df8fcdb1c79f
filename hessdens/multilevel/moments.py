"""Spectral moments of a matrix of many examples from many products with few of them and few products with all."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hessdens._checks import at_least
from hessdens.estimators.budget import moment_scales
from hessdens.estimators.run import called_alike
from hessdens.multilevel.coupling import Setting
from hessdens.multilevel.examples import Examples, Source
from hessdens.multilevel.levels import Levels, pilot
from hessdens.multilevel.plan import (
    FEWEST_PROBES,
    FIRST_SHARE,
    MARGIN,
    TINY,
    LevelPlan,
    Variances,
    candidates,
    costs,
    plan_for_accuracy,
    plan_for_budget,
)
from hessdens.results.data.levels import MultilevelMoments

# In products with all examples: what is spent by default, and at most for an accuracy.
DEFAULT_PRODUCTS = 20.0
MOST_PRODUCTS = 1_000.0
# The fewest examples of a level that is chosen: this many times the square root of all.
FEWEST = 4.0
NO_ACCURACY = 1e9
# Standard errors may exceed what is asked for by so much.
SHORT_OF_ACCURACY = 1.1


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
        Stop when standard errors are this fraction of the moments of the absolute eigenvalues.
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
    Cost: what is asked for, and a pilot of some 500 products with few examples, 4 times the square root of all. Memory:
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
    operator = called_alike("multilevel_moments", H, locals())
    limit = _limit(num_moments, rtol, max_products)
    at_least("seed", seed, 0)
    examples = Examples(operator, seed)
    choices = _choices(examples.total) if num_examples is None else [examples.levels(num_examples)]
    folder = None if checkpoint is None else Path(checkpoint)
    with tqdm(unit="product", disable=not progress) as bar:
        result, needed = estimated(Setting(num_moments, seed, block_size, folder, bar), examples, choices, rtol, limit)
    if needed > limit:
        warnings.warn(
            f"rtol={rtol:g} was not reached: standard errors are {relative_error(result):.1e} of the moments, at the "
            f"cost of {result.num_products:.3g} products of max_products={limit:g}. It takes about {needed:.2g}. Of "
            "moments near 0 no relative error can be reached: give max_products alone.",
            stacklevel=2,
        )
    return result


def estimated(
    setting: Setting, examples: Source, choices: list[tuple[int, ...]], rtol: float | None, limit: float
) -> tuple[MultilevelMoments, float]:
    """Return moments from the best of some levels, and what their accuracy takes in products, or 0 if it is reached."""
    variances, basis = pilot(setting, examples, choices[0][0])
    plan = _plan(setting, variances, choices, rtol, limit)
    foreseen = np.sqrt(variances.of_levels(plan.num_examples, plan.rank)) * variances.scales
    spread = np.zeros_like(foreseen) if rtol is None else foreseen
    levels = Levels(setting, examples, plan, basis[: plan.rank], spread)
    first, known = levels.first(rtol, limit), levels.deflated()
    drawn, counts = np.zeros(len(plan.probes), dtype=int), np.array(plan.probes)
    while True:
        result = MultilevelMoments((first, *levels.changes(drawn, counts, known)), plan.num_examples)
        short = 0.0 if rtol is None else relative_error(result) / rtol
        drawn = drawn + counts
        counts = np.ceil(MARGIN * short**2 * counts).astype(int)
        needed = result.num_products + setting.per_probe * float(counts @ costs(plan.num_examples))
        if short <= SHORT_OF_ACCURACY or needed > limit:
            return result, needed if short > SHORT_OF_ACCURACY else 0.0


def _limit(num_moments: int, rtol: float | None, max_products: float | None) -> float:
    """Return the products that may be spent; ValueError if arguments are out of range."""
    at_least("num_moments", num_moments, 1)
    if rtol is not None and not 0 < rtol < 1:
        raise ValueError(f"rtol must lie between 0 and 1; got {rtol}.")
    if max_products is None:
        return DEFAULT_PRODUCTS if rtol is None else MOST_PRODUCTS
    if not 0 < max_products < np.inf:
        raise ValueError(f"max_products must be positive and finite; got {max_products}.")
    return float(max_products)


def _choices(total: int) -> list[tuple[int, ...]]:
    """Return levels to choose from, the smallest one first."""
    fewest = round(FEWEST * total**0.5)
    if 2 * fewest > total:
        raise ValueError(
            f"The data must have at least {round(4 * FEWEST**2)} examples for levels of fewer; they have {total:,}. "
            "Use spectral_moments, or give num_examples."
        )
    return sorted(candidates(fewest, total))


def _plan(
    setting: Setting, variances: Variances, choices: list[tuple[int, ...]], rtol: float | None, limit: float
) -> LevelPlan:
    """Return the cheapest plan for an accuracy where the budget allows it, or else the best one of the budget."""
    if rtol is not None:
        plan = plan_for_accuracy(variances, choices, rtol, setting.per_probe)
        if plan.work <= (1 - FIRST_SHARE) * limit:
            return plan
    best = plan_for_budget(variances, choices, limit, setting.per_probe)
    if best is None:
        least = plan_for_accuracy(variances, choices, NO_ACCURACY, setting.per_probe).work
        raise ValueError(
            f"max_products must be at least {np.ceil(10 * least / (1 - FIRST_SHARE)) / 10:g}, for {FEWEST_PROBES} "
            f"probes with all examples; got {limit:g}."
        )
    return best


def relative_error(result: MultilevelMoments) -> float:
    """Return the largest standard error in units of the moments of the absolute eigenvalues."""
    return float(np.max(result.standard_errors / np.maximum(moment_scales(result.values), TINY)))
