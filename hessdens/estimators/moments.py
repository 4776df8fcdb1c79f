"""Spectral moments from products with random vectors (Skilling 1989), beside a dominant eigenspace treated exactly."""

import os
import time
import warnings
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from hessdens._types import FloatArray
from hessdens.estimators.checkpoint import Checkpoint, Recorded
from hessdens.estimators.deflation import Deflated, Deflation, deflate, not_deflated, without
from hessdens.linalg.adapt import as_operator
from hessdens.linalg.identity import digest, run_identity
from hessdens.linalg.operator import Operator
from hessdens.linalg.power_walk import Walk, check_range, half
from hessdens.linalg.probes import Distribution, check_probe_arguments, operator_probes
from hessdens.results.certificates import TOLERANCE, Certificates, versions
from hessdens.results.moments import Moments

Method = Literal["deflated", "skilling"]
DEFAULT_PROBES = 32
# For a standard error; and for two steps of a Krylov block of two before that.
FEWEST_PROBES = {"skilling": 2, "deflated": 4}
# With rtol: the limit, probes that say how many are needed (beside outliers more, since they vary more), and the margin
# for their own noise. Above SHORT times the accuracy asked for, there is a warning.
MOST_PRODUCTS, PILOT, MARGIN, SHORT = 10_000, {"skilling": 20, "deflated": 6}, 1.3, 1.5


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
    m_{2k-1} = v_{k-1}·v_k / N: two moments a product. A few outlying eigenvalues carry most of their variance.

    "deflated": some products make a Krylov basis Q of the dominant eigenspace. With B = (1 - Q Q^T) A (1 - Q Q^T), the
    same products give tr A^k - tr B^k exactly, and the rest serves for probes of B. The split is chosen from the first
    steps, by how fast tr B^{2k} falls; probes are independent of it.

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
        Stop when standard errors are this share of the moments of the absolute eigenvalues; ``max_products`` (default
        10,000) is then a limit, with a warning where it is reached first. A pilot sample of 6 probes (20 with
        "skilling") says how many are needed, and does not enter the result: stopping on a running mean would bias it.
    seed
        Probe i depends on (seed, i) alone: with "skilling", more probes extend fewer, whatever the device or
        ``block_size``.
    distribution
        Of the entries of a probe: "gaussian" (the paper's) or "rademacher" (±1, which knows the trace of a diagonal
        matrix exactly and, with "skilling", never has a larger variance for m_1).
    block_size
        Probes in one multi-vector product; memory is 3 N block_size numbers beside the operator's own.
    checkpoint
        A folder in which finished work is kept, and found again after a run was killed or when more probes or moments
        are asked for: the last product and the estimates of each probe (P N numbers), and the products that make a
        basis. Takes one product more, to recognise the operator.
    progress
        Show a progress bar on standard error.

    Returns
    -------
    Moments
        Values and standard errors, shape (K,), samples, shape (P, K), and certificates. With a basis, standard errors
        have a term for the rounding of products.

    Raises
    ------
    ValueError
        If an argument is out of range, or the checkpoint one of another run.
    NonFiniteError
        If a product is not finite, or a moment overflows float64.

    Notes
    -----
    Cost: P ceil(K/2) products, or ``max_products`` at most. "deflated" keeps its basis, up to max_products vectors, or
    fewer where memory is short. Inner products are summed in float64 whatever the dtype of ``A``. The vectors v_k are
    kept within range by factors that are powers of two, which change no bit of the result. Source: J. Skilling, The
    eigenvalues of mega-dimensional matrices (1989); Orhan & Pitkow (2018), note 3, equations 2-4; for "deflated", T.
    Chen and E. Hallman, Krylov-aware stochastic trace estimation (2023).
    """
    if num_moments < 1:
        raise ValueError(f"num_moments must be at least 1; got {num_moments}.")
    if block_size < 1:
        raise ValueError(f"block_size must be at least 1; got {block_size}.")
    check_probe_arguments(2, seed, distribution)
    max_products = _checked_budget(method, max_products, num_probes, num_moments, rtol)
    start = time.perf_counter()
    operator = as_operator(A)
    kept: Checkpoint | None = None
    if checkpoint is not None:
        settings = {"method": method, "seed": seed, "distribution": distribution}
        kept = Checkpoint(checkpoint, run_identity(operator, function="spectral_moments", **settings), operator.team)
    draws = _Draws(operator, num_moments, seed, distribution, block_size, kept)
    cost, pilot_size = half(num_moments), 0 if rtol is None else PILOT[method]
    with tqdm(total=max_products, unit="product", disable=not progress) as bar:
        if method == "skilling":
            found = not_deflated(operator, num_moments)
        else:
            recorded = operator if kept is None else Recorded(operator, kept)
            budget = max_products - pilot_size * cost
            found = deflate(recorded, num_moments, budget, seed, distribution, bar.update, rtol)
        if len(found.basis) == operator.size:
            samples, spent = np.tile(found.known / operator.size, (2, 1)), found.num_products
        else:
            first, count = found.num_start, (max_products - found.num_products) // cost
            if rtol is not None:
                pilot = draws.samples(first, first + pilot_size, bar, found)
                first, count = first + pilot_size, _count_for(pilot, rtol, count - pilot_size)
            samples = draws.samples(first, first + count, bar, found)
            spent = found.num_products + (first + count - found.num_start) * cost
    if rtol is None:
        samples = np.concatenate([(found.samples + found.known) / operator.size, samples])
    check_range(samples)
    moments = Moments.from_samples(samples, size=operator.size, num_products=spent, num_deflated=len(found.basis))
    certificates = Certificates(
        symmetry=float(np.fmax(draws.asymmetry, found.symmetry)),
        orthogonality=found.orthogonality,
        threshold=TOLERANCE * torch.finfo(operator.dtype).eps,
        num_products=spent,
        seconds=time.perf_counter() - start,
        versions=versions(torch=torch.__version__),
    )
    errors = np.hypot(moments.standard_errors, found.rounding / operator.size)
    moments = replace(moments, standard_errors=errors, certificates=certificates)
    if rtol is not None:
        _warn_if_short(moments, rtol, max_products)
    return moments


def _count_for(pilot: FloatArray, rtol: float, most: int) -> int:
    """Return the probes after which standard errors should be ``rtol`` of the scale of the moments."""
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.nan_to_num(pilot.var(axis=0, ddof=1) / (rtol * _scales(pilot.mean(axis=0))) ** 2, posinf=most)
    return int(min(max(len(pilot), np.ceil(MARGIN * needed.max())), most))


def _scales(values: FloatArray) -> FloatArray:
    """Return lower bounds of the moments of the absolute eigenvalues, from those of the eigenvalues, shape (K,)."""
    scales = np.abs(values)
    for k in range(1, len(values), 2):  # values[k] is m_{k+1}, of even order
        if k + 1 < len(values):
            scales[k + 1] = max(scales[k + 1], scales[k] ** ((k + 2) / (k + 1)))  # Jensen
    if len(values) >= 4 and scales[3] > 0:
        scales[0] = max(scales[0], scales[1] ** 1.5 / scales[3] ** 0.5)  # Hölder
    return scales


def _warn_if_short(moments: Moments, rtol: float, max_products: int) -> None:
    reached = moments.standard_errors / np.maximum(_scales(moments.values), np.finfo(np.float64).tiny)
    if reached.max() > SHORT * rtol:
        worst = int(reached.argmax()) + 1
        warnings.warn(
            f"rtol={rtol:g} was not reached: m_{worst} has a relative standard error of {reached.max():.1e} after "
            f"{moments.num_products:,} products of max_products={max_products:,}.",
            stacklevel=3,
        )


def _checked_budget(
    method: str, max_products: int | None, num_probes: int | None, num_moments: int, rtol: float | None
) -> int:
    """Return the products that may be spent."""
    if rtol is not None:
        if not 0 < rtol < 1:
            raise ValueError(f"rtol must lie between 0 and 1; got {rtol}.")
        if num_probes is not None:
            raise ValueError(f"num_probes or rtol may be given, not both; got {num_probes} and {rtol}.")
        max_products = MOST_PRODUCTS if max_products is None else max_products
    if method not in FEWEST_PROBES:
        raise ValueError(f"method must be one of {', '.join(FEWEST_PROBES)}; got {method!r}.")
    if max_products is not None and num_probes is not None:
        raise ValueError(
            f"max_products or num_probes may be given, not both; got {max_products} and {num_probes}. A probe takes "
            f"{half(num_moments)} products."
        )
    fewest = FEWEST_PROBES[method] + (0 if rtol is None else PILOT[method])
    if max_products is None:
        num_probes = DEFAULT_PROBES if num_probes is None else num_probes
        if num_probes < fewest:
            raise ValueError(f"num_probes must be at least {fewest} for method={method!r}; got {num_probes}.")
        return num_probes * half(num_moments)
    least = fewest * half(num_moments)
    if max_products < least:
        raise ValueError(
            f"max_products must be at least {least} for {num_moments} moments by method={method!r}"
            f"{'' if rtol is None else ' with rtol'}; got {max_products}."
        )
    return max_products


class _Draws:
    """Moment estimates of an operator from probes, block by block; ``asymmetry`` is the largest of all."""

    def __init__(
        self,
        operator: Operator,
        num_moments: int,
        seed: int,
        distribution: Distribution,
        block_size: int,
        checkpoint: Checkpoint | None,
    ) -> None:
        self._operator, self._num_moments, self._block_size = operator, num_moments, block_size
        self._seed, self._distribution, self._checkpoint = seed, distribution, checkpoint
        self.asymmetry = float("nan")

    def samples(self, first: int, last: int, bar: Any, found: Deflation) -> FloatArray:
        """Return estimates from probes ``first`` to ``last - 1``, shape (P, K), beside what deflation gives."""
        samples = np.empty((last - first, self._num_moments))
        basis = found.basis if len(found.basis) else None
        operator = self._operator if basis is None else Deflated(self._operator, basis)
        basis_name = "all" if basis is None else digest(basis.cpu().numpy())
        for start in range(first, last, self._block_size):
            stop = min(start + self._block_size, last)
            walk = self._walk(operator, start, stop, basis, f"probes-{start}-{stop}-{basis_name}")
            samples[start - first : stop - first] = walk.moments(operator, self._num_moments)
            self.asymmetry = float(np.fmax(self.asymmetry, walk.asymmetry))
            bar.update((stop - start) * half(self._num_moments))
        return samples + found.known / self._operator.size

    def _walk(self, operator: Operator, start: int, stop: int, basis: Tensor | None, key: str) -> Walk:
        """Return a walk from these probes, which has gone far enough where there is a checkpoint."""
        kept = None if self._checkpoint is None else self._checkpoint.load(key)
        if kept is not None:
            walk = Walk.from_arrays(kept, start, operator)
        else:
            # Handed over without a name, so that probes are freed once their first product is made.
            walk = Walk(self._probes(start, stop, basis), start, operator)
        if self._checkpoint is not None and walk.samples.shape[1] < self._num_moments:
            walk.moments(operator, self._num_moments)
            self._checkpoint.save(key, walk.to_arrays())
        return walk

    def _probes(self, start: int, stop: int, basis: Tensor | None) -> Tensor:
        probes = operator_probes(self._operator, self._seed, start, stop, self._distribution)
        return probes if basis is None else without(probes, basis, self._operator.team)
