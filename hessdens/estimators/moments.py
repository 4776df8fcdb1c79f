"""Spectral moments from products with random vectors (Skilling 1989); a dominant eigenspace is treated exactly."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np

from hessdens._calls import takes_operator
from hessdens._types import FloatArray
from hessdens.estimators.budget import Budget
from hessdens.estimators.deflation import Deflation, deflate, not_deflated, remaining_samples
from hessdens.estimators.run import Run, called_alike
from hessdens.linalg.power_walk import PowerWalk, check_range
from hessdens.linalg.probes import Distribution
from hessdens.results.moments import Moments

Method = Literal["deflated", "skilling"]


@takes_operator
def spectral_moments(
    A: Any,
    num_moments: int = 4,
    *,
    method: Method = "deflated",
    max_products: int | None = None,
    num_probes: int | None = None,
    rtol: float | None = None,
    seed: int = 0,
    distribution: Distribution = "gaussian",
    block_size: int = 8,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Moments:
    r"""Estimate the first moments m_k = (1/N) tr(A^k) of the spectral density of ``A``, without bias.

    "skilling": for each probe r with E[r r^T] = I, v_0 = r, v_k = A v_{k-1}, the estimates are m_{2k} = v_k·v_k / N and
    m_{2k-1} = v_{k-1}·v_k / N: two moments per product. A few outlying eigenvalues carry most of their variance.

    "deflated": some products make a Krylov basis Q of the dominant eigenspace. With B = (1 - Q Q^T) A (1 - Q Q^T), the
    same products give tr A^k - tr B^k exactly. All other products serve for probes of B, orthogonal to Q and to one
    another and of length sqrt(N - rank Q). For m_1 they change places: each is a probe of what all others leave
    (`hessdens.results.exchange`), which needs no products, and no semidefinite matrix. The split is chosen from the
    first steps, by what further ones and probes promise; probes are independent of it.

    Parameters
    ----------
    A
        An operator of hessdens or anything that `as_operator` takes.
    num_moments
        K, the number of moments.
    method
        "deflated", better by orders of magnitude for the same products where there are outliers, or "skilling", the
        estimator of Orhan & Pitkow (2018).
    max_products
        Products that may be spent: at least 2 ceil(K/2) with "skilling", 4 ceil(K/2) with "deflated". Default: those of
        32 probes.
    num_probes
        Instead of ``max_products``: P, the number of random vectors of "skilling"; "deflated" spends as many products
        as these take. Standard errors fall as 1/sqrt(P).
    rtol
        Stop when intervals of 95%, two standard errors to each side, reach no further than this fraction of the moments
        of the absolute eigenvalues. ``max_products`` (default 10,000) is then a limit, with a warning where it is
        reached first. The Krylov space says how many probes are needed ("skilling": a pilot of 20). Where they are too
        few after all, they say how many others are, and do not enter the result: stopping on a running mean would bias
        it.
    seed
        Probe i depends on (seed, i) alone: with "skilling", more probes extend fewer, whatever the device or
        ``block_size``.
    distribution
        Of the entries of a probe: "gaussian" (the paper's) or, with "skilling", "rademacher" (±1, which knows the trace
        of a diagonal matrix exactly and never has a larger variance for m_1).
    block_size
        Probes in one multi-vector product; memory is 3 N block_size numbers besides the operator's own and those of
        "deflated".
    checkpoint
        A folder in which finished work is kept: with "skilling" the last product and the estimates of each probe (P N
        numbers), with "deflated" all products. A run that was killed goes on from there, and with "skilling" one with
        more probes or moments extends it. To recognise the run takes one read of parameters and data and one product
        more, or two where ``A`` is a function. Another last bit of a weight or of the data is another run, which is
        refused.
    progress
        Show a progress bar on standard error.

    Returns
    -------
    Moments
        Values and standard errors, shape (K,), samples, shape (P, K), and certificates. With a basis, standard errors
        have a term for the rounding of products, and the samples of m_1 depend on one another: their spread is scaled
        to give the standard error of their mean.

    Raises
    ------
    ValueError
        If an argument is out of range, or the checkpoint one of another run.
    NonFiniteError
        If a product is not finite, or a moment overflows float64.

    Notes
    -----
    Cost: P ceil(K/2) products, or ``max_products`` at most. "deflated" keeps its basis and its probes and their first
    products, up to 2 max_products vectors, or fewer where memory is short. Inner products are summed in float64
    whatever the dtype of ``A``. The vectors v_k are kept within range by factors that are powers of two, which change
    no bit of the result. Source: J. Skilling, The eigenvalues of mega-dimensional matrices (1989); Orhan & Pitkow
    (2018), note 3, equations 2-4; for "deflated", T. Chen and E. Hallman, Krylov-aware stochastic trace estimation
    (2023); E. Epperly, J. Tropp and R. Webber, XTrace (2024).

    Examples
    --------
    >>> import numpy as np
    >>> moments = spectral_moments(np.diag([*np.zeros(97), 3.0, 4.0, 9.0]), 2, max_products=20)
    >>> moments.values.round(6)  # exact, since a Krylov space holds all outliers
    array([0.16, 1.06])
    """
    operator = called_alike("spectral_moments", A, locals())
    budget = Budget.of_moments(method, num_moments, max_products, num_probes, rtol)
    settings = {"function": "spectral_moments", "method": method}
    probes = num_moments, seed, distribution, block_size
    run = Run(operator, *probes, checkpoint=checkpoint, settings=settings, progress=progress)
    if method == "deflated" and distribution != "gaussian":
        raise ValueError(
            f"distribution must be 'gaussian' for method='deflated', whose probes are turned into a subspace; got "
            f"{distribution!r}. Take it with method='skilling'."
        )
    with run.bar(budget.max_products, is_limit=rtol is not None) as bar:
        deflation = deflate(run, budget, bar) if method == "deflated" else not_deflated(run.operator, num_moments)
        samples, num_products = _draw(run, budget, deflation, bar)
    check_range(samples)
    size, num_deflated = run.operator.size, len(deflation.basis)
    moments = Moments.from_samples(samples, size=size, num_products=num_products, num_deflated=num_deflated)
    symmetry = float(np.fmax(run.asymmetry, deflation.symmetry))
    moments = replace(
        moments,
        standard_errors=np.hypot(moments.standard_errors, deflation.rounding / size),
        certificates=run.certificates(num_products, symmetry=symmetry, orthogonality=deflation.orthogonality),
        known=deflation.known / size,
    )
    budget.warn_if_short(moments)
    return moments


def _draw(run: Run, budget: Budget, deflation: Deflation, bar: Any) -> tuple[FloatArray, int]:
    """Return estimates of m_1..m_K from each probe, shape (P, K), and all products spent."""
    size, num_deflated = run.operator.size, len(deflation.basis)
    if num_deflated == size:
        return np.tile(deflation.known / size, (2, 1)), deflation.num_products
    drawn, most = 0, budget.num_probes(deflation.num_products)

    def draw(count: int) -> FloatArray:
        nonlocal drawn
        first = deflation.num_start + drawn
        if num_deflated:  # orthonormal probes: as many as dimensions are left know all of them
            samples = remaining_samples(run, budget, deflation, first, first + min(count, size - num_deflated), bar)
        else:
            walk_from = partial(PowerWalk, operator=run.operator)
            samples = run.samples(first, first + count, walk_from, PowerWalk.layout(), bar)
        drawn += len(samples)
        return samples

    if budget.rtol is None:
        run.check_samples(most)
        samples = draw(most)
    else:
        samples = _accurate(budget, deflation, draw, most, size)
    if len(samples) == 1:  # of the one dimension that was left, exact
        samples = np.repeat(samples, 2, axis=0)
    return samples, deflation.num_products + drawn * budget.per_probe


def _accurate(
    budget: Budget, deflation: Deflation, draw: Callable[[int], FloatArray], most: int, size: int
) -> FloatArray:
    """Return samples, of at most so many probes in all, whose standard errors are those asked for if that pays for it.

    The Krylov space says how many probes the first round takes, or else a pilot; each round says the same of the next,
    and does not enter it. One that the budget cuts shorter than the round before is added to that.
    """
    forecast = deflation.forecast
    samples = draw(budget.pilot if forecast is None else budget.first_probes(forecast, most))
    most -= len(samples)
    is_pilot = forecast is None
    while not deflation.leaves_rounding(samples, size) and (is_pilot or not budget.is_reached(samples)) and most > 0:
        exponents = None if forecast is None else forecast.exponents(len(samples))
        count = budget.enough_probes(samples, most, exponents)
        further = draw(count)
        most -= count
        samples = further if is_pilot or count >= len(samples) else np.concatenate([samples, further])
        is_pilot = False
    return samples
