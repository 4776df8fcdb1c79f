"""Chebyshev moments from products with random vectors, two a product."""

import os
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from hessdens.estimators.checkpoint import Checkpoint
from hessdens.linalg.adapt import as_operator
from hessdens.linalg.block_lanczos import BlockLanczos
from hessdens.linalg.chebyshev_walk import ChebyshevWalk, OutsideError, tolerance
from hessdens.linalg.identity import run_identity
from hessdens.linalg.operator import Operator
from hessdens.linalg.probes import Distribution, check_probe_arguments, operator_probes
from hessdens.results.certificates import TOLERANCE, Certificates, versions
from hessdens.results.chebyshev import ChebyshevMoments
from hessdens.results.support import Interval

DEFAULT_PROBES = 8
# For the interval: at most so many products, fewer once both ends are known to this fraction of its length.
MOST_STEPS = 30
END_TOLERANCE = 1e-6
# Lanczos starts from a probe that no estimate reaches, so that the interval is independent of the probes.
START_PROBE = 2**31


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
    are μ_{2k} = 2 v_k·v_k - 1 and μ_{2k+1} = 2 v_k·v_{k+1} - v_0·v_1: two moments a product. They are unbiased, and
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
    seed
        Probe i depends on (seed, i) alone and is that of `spectral_moments`, scaled to length 1.
    distribution
        Of the entries of a probe: "gaussian" or "rademacher".
    block_size
        Probes in one multi-vector product; memory is 4 N block_size numbers beside the operator's own.
    checkpoint
        A folder in which finished work is kept, and found again after a run was killed or when more probes or moments
        are asked for: estimates and the last two vectors of each probe (2 P N numbers). Takes one product more, to
        recognise the operator.
    progress
        Show a progress bar on standard error.

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
    scaled, so the ratio is unbiased; without the scaling, the noise of abs(r)^2 would be in every moment. Inner
    products are summed in float64. An eigenvalue outside the support is seen by growing vectors or by moments that no
    density on the support has (`ChebyshevMoments.toeplitz_eigenvalue`). Source: A. Weiße et al., The kernel
    polynomial method, Reviews of Modern Physics 78 (2006).
    """
    if num_moments < 1:
        raise ValueError(f"num_moments must be at least 1; got {num_moments}.")
    if block_size < 1:
        raise ValueError(f"block_size must be at least 1; got {block_size}.")
    if num_probes is not None and max_products is not None:
        raise ValueError(f"num_probes or max_products may be given, not both; got {num_probes} and {max_products}.")
    check_probe_arguments(2 if num_probes is None else num_probes, seed, distribution)
    given = None if support is None else Interval.of(support)
    start = time.perf_counter()
    operator = as_operator(A)
    cost = (num_moments + 1) // 2
    most_steps = 0 if given is not None else min(MOST_STEPS, operator.size)
    least = 2 * cost + most_steps
    if max_products is not None and max_products < least:
        raise ValueError(
            f"max_products must be at least {least} for {num_moments} moments of 2 probes"
            f"{' and the support' if most_steps else ''}; got {max_products}."
        )
    kept: Checkpoint | None = None
    if checkpoint is not None:
        settings = {
            "seed": seed,
            "distribution": distribution,
            "support": "found" if given is None else repr(tuple(given)),
        }
        kept = Checkpoint(checkpoint, run_identity(operator, function="chebyshev_moments", **settings), operator.team)
    interval, spent = (given, 0) if given is not None else _kept_support(operator, seed, distribution, kept)
    if max_products is not None:
        num_probes = (max_products - spent) // cost
    elif num_probes is None:
        num_probes = DEFAULT_PROBES
    samples = np.empty((num_probes, num_moments))
    defect = float("nan")
    with tqdm(total=num_probes * cost, unit="product", disable=not progress) as bar:
        for first in range(0, num_probes, block_size):
            last = min(first + block_size, num_probes)
            key = f"probes-{first}-{last}"
            arrays = None if kept is None else kept.load(key)
            if arrays is None:
                probes = operator_probes(operator, seed, first, last, distribution)
                walk = ChebyshevWalk(probes, interval, first, operator.team)
            else:
                walk = ChebyshevWalk.from_arrays(arrays, interval, first, operator)
            steps = walk.num_steps
            try:
                samples[first:last] = walk.moments(operator, num_moments)
            except OutsideError as error:
                raise ValueError(_outside(interval, given is None, str(error))) from error
            if kept is not None and walk.num_steps > steps:
                kept.save(key, walk.to_arrays())
            defect = float(np.fmax(defect, walk.asymmetry))
            bar.update((last - first) * cost)
    moments = ChebyshevMoments.from_samples(
        samples, support=interval, size=operator.size, num_products=spent + num_probes * cost
    )
    violation = -moments.toeplitz_eigenvalue() / (num_moments + 1)
    if violation > tolerance(operator):
        raise ValueError(_outside(interval, given is None, f"no density on it has these moments, by {violation:.1e}"))
    certificates = Certificates(
        symmetry=defect,
        threshold=TOLERANCE * torch.finfo(operator.dtype).eps,
        num_products=moments.num_products,
        seconds=time.perf_counter() - start,
        versions=versions(torch=torch.__version__),
    )
    return replace(moments, certificates=certificates)


def _kept_support(
    operator: Operator, seed: int, distribution: Distribution, checkpoint: Checkpoint | None
) -> tuple[Interval, int]:
    """Return what `spectral_support` gives, from the checkpoint where it is there."""
    arrays = None if checkpoint is None else checkpoint.load("interval")
    if arrays is not None:
        return Interval.of(arrays["interval"]), int(arrays["spent"])
    interval, spent = spectral_support(operator, seed=seed, distribution=distribution)
    if checkpoint is not None:
        checkpoint.save("interval", {"interval": list(interval), "spent": spent})
    return interval, spent


def spectral_support(
    operator: Operator, *, seed: int = 0, distribution: Distribution = "gaussian"
) -> tuple[Interval, int]:
    """Return an interval around the spectrum by Lanczos, and its cost: at most min(30, N) products.

    The extreme Ritz values, moved outwards by their residual norms and a hundredth of the length: eigenvalues outside
    are possible, where they have next to no weight in the start vector.
    """
    steps = min(MOST_STEPS, operator.size)
    start = operator_probes(operator, seed, START_PROBE, START_PROBE + 1, distribution)
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


def _outside(interval: Interval, found: bool, sign: str) -> str:
    low, high = interval
    margin = 0.1 * (high - low)
    kind = " found by Lanczos" if found else ""
    return (
        f"support must hold all eigenvalues; got ({low:.6g}, {high:.6g}){kind}, and {sign}. Pass a wider one, "
        f"such as ({low - margin:.6g}, {high + margin:.6g})."
    )
