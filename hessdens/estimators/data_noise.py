"""Errors of moments that come from the data: how much they would change with other mini-batches of the same kind."""

from collections.abc import Sequence, Sized
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from hessdens._calls import takes_operator
from hessdens._types import FloatArray
from hessdens.estimators.run import Run, called_alike
from hessdens.linalg.adapt import kind_of
from hessdens.linalg.inner_products import column_dots, raise_if_not_finite
from hessdens.linalg.operator import Operator
from hessdens.linalg.power_walk import check_range
from hessdens.linalg.probes import Distribution
from hessdens.linalg.walk import products_per_probe
from hessdens.results.data.noise import DataNoise


@takes_operator
def data_noise(
    operators: Sequence[Any],
    num_moments: int = 4,
    *,
    weights: ArrayLike | None = None,
    num_probes: int = 32,
    seed: int = 0,
    distribution: Distribution = "gaussian",
    block_size: int = 8,
    progress: bool = False,
) -> DataNoise:
    """Tell the noise of the data in moments from that of the probes.

    Parameters
    ----------
    operators
        A_1..A_G, G >= 2: operators of independent mini-batches, each the mean over its own examples, such as
        ``[hessian_operator(model, loss, [batch]) for batch in batches]``.
    weights
        Shape (G,), positive, such as numbers of examples; they are divided by their sum. Default: all equal.
    num_moments, num_probes, seed, distribution, block_size, progress
        K, P and what else `spectral_moments` takes, with method="skilling" and the same probes. Memory is (G + 3) N
        block_size numbers.

    Raises
    ------
    ValueError
        If an argument is out of range, or operators differ in size, dtype or device.
    NonFiniteError
        If a product is not finite.

    Notes
    -----
    Cost: P ceil(K/2) products with each A_g: as many passes over the data as Skilling's moments of their mean A take.

    The infinitesimal jackknife: dm_k / dw_g = (k/N) tr A^{k-1} (A_g - A), the influence of batch g. With v_j = A^j r it
    is estimated by (k/N) v_i·A_g v_j, i + j = k - 1, from the products that make v_{j+1}. The variance of m_k is
    G/(G-1) Σ_g w_g² influence_g². Squares of noisy influences would be too large on average; products of the influences
    of different probes are not. Moments of order two and more also have a bias, since the noise of A adds to its
    eigenvalues. It falls as 1/G and is not in the errors. Source: Efron, The jackknife, the bootstrap and other
    resampling plans (1982), chapter 6.

    Examples
    --------
    >>> import numpy as np
    >>> noise = data_noise([np.diag([1.0, 2.0]), np.diag([1.0, 4.0])], 1, distribution="rademacher")
    >>> noise.values, noise.data_errors  # means of 1.5 and 2.5
    (array([2.]), array([0.5]))
    """
    if not isinstance(operators, Sized):
        raise TypeError(
            f"operators must be a list with one for each batch; got {kind_of(operators)}. Write "
            "[hessian_operator(model, loss_fn, [batch]) for batch in data]."
        )
    arguments = {**locals(), "number of operators": len(operators)}
    members = [called_alike("data_noise", operator, arguments) for operator in operators]
    shares, count = _checked_shares(members, weights), len(members)
    run = Run(members[0], num_moments, seed, distribution, block_size, num_probes=num_probes, progress=progress)
    num_products = num_probes * products_per_probe(num_moments) * count
    samples = np.empty((num_probes, num_moments))
    influences = np.empty((num_probes, count, num_moments))
    with run.bar(num_products) as bar:
        for start, stop in run.blocks(0, num_probes):
            samples[start:stop], influences[start:stop] = _samples_and_influences(
                members, shares, run.probes(start, stop), num_moments, start, bar
            )
    check_range(samples)
    influences -= np.tensordot(influences, shares, axes=(1, 0))[:, None, :]
    # Products of different probes: the square of the sum without the squares of each.
    pairs = influences.sum(axis=0) ** 2 - np.sum(influences**2, axis=0)
    squares = pairs / (num_probes * (num_probes - 1))
    variance = count / (count - 1) * shares**2 @ squares
    probe_errors, data_errors = samples.std(axis=0, ddof=1) / np.sqrt(num_probes), np.sqrt(np.maximum(variance, 0.0))
    values, size = samples.mean(axis=0), members[0].size
    return DataNoise(values, probe_errors, data_errors, size, count, num_probes, num_products)


def _checked_shares(operators: list[Operator], weights: ArrayLike | None) -> FloatArray:
    """Return weights that sum to 1, shape (G,)."""
    if len(operators) < 2:
        raise ValueError(f"operators must be at least 2, of a batch each; got {len(operators)}.")
    for index, operator in enumerate(operators):
        for name in ("size", "dtype", "device"):
            first, other = getattr(operators[0], name), getattr(operator, name)
            if first != other:
                raise ValueError(f"operators must have the same {name}; got {first} and, at position {index}, {other}.")
    shares = np.ones(len(operators)) if weights is None else np.array(weights, dtype=np.float64)
    if shares.shape != (len(operators),):
        raise ValueError(f"weights must have shape ({len(operators)},), one per operator; got {shares.shape}.")
    if not (np.isfinite(shares).all() and (shares > 0).all()):
        raise ValueError(f"weights must be positive and finite; got {shares.tolist()}.")
    return shares / shares.sum()


def _samples_and_influences(
    operators: list[Operator], shares: FloatArray, probes: Tensor, num_moments: int, first_probe: int, bar: Any
) -> tuple[FloatArray, FloatArray]:
    """Return moment estimates of each column of ``probes``, (P, K), and influences of each operator, (P, G, K)."""
    influences = np.empty((probes.shape[1], len(operators), num_moments))
    vectors, leader = probes, operators[0]
    for step in range(1, products_per_probe(num_moments) + 1):
        products, total = [], torch.zeros_like(probes)
        for index, (operator, share) in enumerate(zip(operators, shares, strict=True)):
            products.append(operator.matmat(vectors))
            raise_if_not_finite(products[-1], f"product {step} of probe {{}} with operator {index}", first_probe)
            total.add_(products[-1], alpha=float(share))
            bar.update(probes.shape[1])
        for side, order in ((vectors, 2 * step - 1), (total, 2 * step)):
            if order <= num_moments:
                dots = torch.stack([column_dots(side, product, leader.team) for product in products], dim=1)
                influences[:, :, order - 1] = order * dots.cpu().numpy() / leader.size
        vectors = total
    # Summed over batches, an influence is k times the moment.
    return np.tensordot(influences, shares, axes=(1, 0)) / np.arange(1, num_moments + 1), influences
