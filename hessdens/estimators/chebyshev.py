"""Chebyshev moments from products with random vectors, two per product."""

import os
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from hessdens._calls import takes_operator
from hessdens.estimators.budget import check_products
from hessdens.estimators.run import Run, called_alike
from hessdens.linalg.block_lanczos import BlockLanczos
from hessdens.linalg.chebyshev_walk import ChebyshevWalk, OutsideError, tolerance
from hessdens.linalg.operator import Operator
from hessdens.linalg.probes import Distribution
from hessdens.linalg.walk import products_per_probe
from hessdens.results.chebyshev import ChebyshevMoments
from hessdens.results.support import Interval

PROBES_OF_CHEBYSHEV = 8
# Products for the support, at most.
MOST_STEPS = 30
# The support is found once both ends are known to this fraction of its length.
END_TOLERANCE = 1e-6
# Lanczos starts from a probe that no estimate reaches, so that the support is independent of the probes.
START_PROBE = 2**31


@takes_operator
def chebyshev_moments(
    A: Any,
    num_moments: int = 64,
    *,
    support: Interval | tuple[float, float] | None = None,
    num_probes: int | None = None,
    max_products: int | None = None,
    seed: int = 0,
    distribution: Distribution = "gaussian",
    block_size: int = 8,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> ChebyshevMoments:
    r"""Estimate the first Chebyshev moments μ_k = (1/N) tr T_k((A - c) / h) of the spectral density of ``A``.

    For each probe u of length 1, v_k = T_k u follows from v_{k+1} = 2 ((A - c) / h) v_k - v_{k-1}, and the estimates
    are μ_{2k} = 2 v_k·v_k - 1 and μ_{2k+1} = 2 v_k·v_{k+1} - v_0·v_1: two moments per product. They are unbiased, and
    those of one probe are the moments of a probability measure, its own spectral measure.

    Parameters
    ----------
    A
        An operator of hessdens or anything that `as_operator` takes.
    num_moments
        K, the number of moments. A density made of them resolves π h / K.
    support
        (c - h, c + h), which must hold all eigenvalues. Default: found by at most 30 steps of Lanczos.
    num_probes
        P, at least 2. Default: 8, or as many as ``max_products`` pays.
    max_products
        Instead of ``num_probes``: products that may be spent, those for the support included.
    seed, distribution, block_size, checkpoint, progress
        As in `spectral_moments`, with the same probes, scaled to length 1. Memory is 4 N block_size numbers; on disk
        are the last two vectors of each probe, 2 P N numbers, and products for the support.

    Returns
    -------
    ChebyshevMoments
        Values and standard errors, shape (K,), samples, shape (P, K), and the support.

    Raises
    ------
    ValueError
        If an argument is out of range, or an eigenvalue that matters lies outside the support.
    NonFiniteError
        If a product is not finite.

    Notes
    -----
    Cost: P ceil(K/2) products, and up to min(30, N) for the support. Gaussian probes are uniform on the sphere once
    scaled, so the ratio is unbiased; unscaled, the noise of abs(r)^2 would be in every moment. An eigenvalue outside
    the support shows in growing vectors, or in moments that no density on it has. Source: A. Weiße et al., The kernel
    polynomial method, Reviews of Modern Physics 78 (2006).

    Examples
    --------
    >>> import numpy as np
    >>> A = np.diag([1.0, 2.0])  # (0.5 + 1) / 2 and (T_2(0.5) + T_2(1)) / 2
    >>> chebyshev_moments(A, 2, support=(-2, 2), distribution="rademacher").values
    array([0.75, 0.25])
    """
    operator = called_alike("chebyshev_moments", A, locals())
    ends = None if support is None else Interval.of(support)
    fewest = 2 * products_per_probe(num_moments) + (0 if ends else min(MOST_STEPS, operator.size))
    check_products(num_moments, num_probes, max_products, fewest, f"of 2 probes{'' if ends else ' and the support'}")
    count = PROBES_OF_CHEBYSHEV if num_probes is None else num_probes
    settings = {"function": "chebyshev_moments", "support": repr(tuple(ends)) if ends else "found"}
    probes = num_moments, seed, distribution, block_size
    run = Run(operator, *probes, num_probes=count, checkpoint=checkpoint, settings=settings, progress=progress)
    interval, spent = (ends, 0) if ends else spectral_support(run.recorded, run.probes(START_PROBE, START_PROBE + 1))
    if max_products is not None:
        count = (max_products - spent) // products_per_probe(num_moments)
    num_products = count * products_per_probe(num_moments)
    walk_from = partial(ChebyshevWalk, operator=operator, support=interval)
    try:
        with run.bar(spent + num_products) as bar:
            bar.update(spent)
            samples = run.samples(0, count, walk_from, ChebyshevWalk.layout(), bar)
        moments = ChebyshevMoments.from_samples(
            samples, support=interval, size=operator.size, num_products=spent + num_products
        )
        violation = -moments.toeplitz_eigenvalue() / (num_moments + 1)
        if violation > tolerance(operator):
            raise OutsideError(f"no density on it has these moments, by {violation:.1e}")
    except OutsideError as error:
        (low, high), kind = interval, "" if ends else " found by Lanczos"
        margin = 0.1 * (high - low)
        raise ValueError(
            f"support must hold all eigenvalues; got ({low:.6g}, {high:.6g}){kind}, and {error}. Pass a wider one, "
            f"such as ({low - margin:.6g}, {high + margin:.6g})."
        ) from error
    return replace(moments, certificates=run.certificates(spent + num_products, symmetry=run.asymmetry))


def spectral_support(operator: Operator, start: Tensor) -> tuple[Interval, int]:
    """Return an interval around the spectrum by Lanczos, and its cost: at most min(30, N) products.

    It begins with ``start``, shape (N, 1). The extreme Ritz values are moved outwards by their residual norms and by a
    hundredth of the length. Eigenvalues outside are possible, where they have next to no weight in the start vector.
    """
    steps = min(MOST_STEPS, operator.size)
    lanczos = BlockLanczos(operator, start.T, steps)
    low = high = 0.0
    for step in range(1, steps + 1):
        lanczos.step()
        matrix = lanczos.matrix()
        ritz, vectors = np.linalg.eigh(matrix[:step, :step])
        residuals = np.zeros(2)
        if not lanczos.is_invariant:
            residuals = abs(matrix[step, step - 1]) * np.abs(vectors[-1, [0, -1]])
        low, high = float(ritz[0] - residuals[0]), float(ritz[-1] + residuals[1])
        if lanczos.is_invariant or residuals.max() <= END_TOLERANCE * (ritz[-1] - ritz[0]):
            break
    return Interval.around(low, high, tolerance(operator)), lanczos.num_products
