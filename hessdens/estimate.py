"""Spectral moments from products with random vectors (Skilling 1989)."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from hessdens.errors import NonFiniteError
from hessdens.moments import Moments
from hessdens.operators import Operator, as_operator
from hessdens.probes import Distribution, check_probe_arguments, probe_block

# Rows of a block that are converted to float64 at a time: 65,536 rows of 8 probes are 4 MB, which stays in the cache.
ROWS_PER_CHUNK = 65_536


def spectral_moments(
    A: Any,
    num_moments: int = 4,
    *,
    num_probes: int = 32,
    seed: int = 0,
    distribution: Distribution = "gaussian",
    block_size: int = 8,
    progress: bool = False,
) -> Moments:
    r"""Estimate the first moments m_k = (1/N) tr(A^k) of the spectral density of ``A``.

    For each probe r with E[r r^T] = I, v_0 = r, v_k = A v_{k-1}, and the unbiased estimates are
    m_{2k} = v_k·v_k / N and m_{2k-1} = v_{k-1}·v_k / N: two moments a product.

    Parameters
    ----------
    A
        An operator of hessdens or anything that `as_operator` takes.
    num_moments
        K, the number of moments.
    num_probes
        P, the number of random vectors, at least 2. Standard errors fall as 1/sqrt(P).
    seed
        Probe i depends on (seed, i) alone: more probes extend fewer, whatever the device or ``block_size``.
    distribution
        Of the entries of a probe: "gaussian" (the paper's) or "rademacher" (±1, which knows the trace of a diagonal
        matrix exactly and never has a larger variance for m_1).
    block_size
        Probes in one multi-vector product; memory is 3 N block_size numbers beside the operator's own.
    progress
        Show a progress bar on standard error.

    Returns
    -------
    Moments
        Values and standard errors, shape (K,), and samples, shape (P, K).

    Raises
    ------
    ValueError
        If an argument is out of range.
    NonFiniteError
        If a product is not finite, or a moment overflows float64.

    Notes
    -----
    Cost: P ceil(K/2) products. Inner products are summed in float64 whatever the dtype of ``A``. The vectors v_k are
    kept within range by factors that are powers of two, which change no bit of the result. Source: J. Skilling, The
    eigenvalues of mega-dimensional matrices (1989); Orhan & Pitkow (2018), note 3, equations 2-4.
    """
    if num_moments < 1:
        raise ValueError(f"num_moments must be at least 1; got {num_moments}.")
    if block_size < 1:
        raise ValueError(f"block_size must be at least 1; got {block_size}.")
    check_probe_arguments(num_probes, seed, distribution)
    operator = as_operator(A)
    samples = np.empty((num_probes, num_moments))
    with tqdm(total=num_probes, unit="probe", disable=not progress) as bar:
        for start in range(0, num_probes, block_size):
            stop = min(start + block_size, num_probes)
            # Handed over without a name, so that a probe is freed once its first product is made.
            samples[start:stop] = block_samples(
                operator,
                probe_block(
                    seed,
                    start,
                    stop,
                    operator.size,
                    distribution=distribution,
                    dtype=operator.dtype,
                    device=operator.device,
                ),
                num_moments,
                start,
            )
            bar.update(stop - start)
    return Moments.from_samples(samples, size=operator.size, num_matvecs=num_probes * ((num_moments + 1) // 2))


def block_samples(operator: Operator, probes: Tensor, num_moments: int, first_probe: int) -> np.ndarray[Any, Any]:
    """Return the moment estimates of each column of ``probes``, shape (P, K)."""
    samples = np.empty((probes.shape[1], num_moments))
    last = (num_moments + 1) // 2
    exponents = torch.zeros(probes.shape[1], dtype=torch.float64, device=probes.device)
    previous = probes
    del probes  # large vectors are freed as soon as they have served
    for step in range(1, last + 1):
        current = operator.matmat(previous)
        cross, square = column_dots(previous, current), column_dots(current, current)
        if not torch.isfinite(square).all():
            bad = first_probe + int(torch.nonzero(~torch.isfinite(square))[0])
            raise NonFiniteError(f"Products must be finite; product {step} of probe {bad} is not (overflow or NaN).")
        # previous = 2^-exponents v_{k-1}, and current is scaled by the same factor.
        samples[:, 2 * step - 2] = _scaled(cross, 2 * exponents) / operator.size
        if 2 * step <= num_moments:
            samples[:, 2 * step - 1] = _scaled(square, 2 * exponents) / operator.size
        if step == last:
            break
        shift = torch.where(square > 0, torch.floor(torch.log2(square.clamp_min(1e-300)) / 2), 0.0)
        previous = current
        del current
        previous = _times_power(previous, -shift)
        exponents += shift
    if not np.isfinite(samples).all():
        order = int(np.nonzero(~np.isfinite(samples))[1][0]) + 1
        raise NonFiniteError(
            f"Moments must be within the range of float64; m_{order} overflows. "
            "Scale the operator or ask for fewer moments."
        )
    return samples


def _times_power(V: Tensor, exponents: Tensor) -> Tensor:
    """Return each column of V times 2^exponent, in two steps because 2^exponent alone may overflow."""
    half = torch.floor(exponents / 2)
    first, second = (torch.exp2(part).to(V.dtype) for part in (half, exponents - half))
    return (V * first).mul_(second)


def _scaled(values: Tensor, exponents: Tensor) -> np.ndarray[Any, Any]:
    """Return values * 2^exponents as a NumPy array; an overflow becomes infinity."""
    with np.errstate(over="ignore"):
        result: np.ndarray[Any, Any] = np.ldexp(values.cpu().numpy(), exponents.cpu().numpy().astype(np.int64))
    return result


def column_dots(V: Tensor, W: Tensor) -> Tensor:
    """Return the inner products of corresponding columns of V and W, shape (P,), summed in float64."""
    total = torch.zeros(V.shape[1], dtype=torch.float64, device=V.device)
    for start in range(0, len(V), ROWS_PER_CHUNK):
        rows = slice(start, start + ROWS_PER_CHUNK)
        total += (V[rows].double() * W[rows].double()).sum(dim=0)
    return total
