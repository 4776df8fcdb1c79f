"""The diagonal of a matrix from products with random vectors."""

import os
from typing import Any

import numpy as np
import torch

from hessdens._calls import takes_operator
from hessdens._checks import whole_at_least
from hessdens._types import FloatArray
from hessdens.estimators.exact import dense_matrix
from hessdens.estimators.run import Run, called_alike, check_memory
from hessdens.linalg.operator import Operator
from hessdens.results.structure.diagonal import Diagonal
from hessdens.structure.diagonals.sampling import blocks_of_products, diagonal_samples, fits_memory
from hessdens.structure.parts import WHOLE, Parts, Piece

# Products where no budget is given.
DIAGONAL_PRODUCTS = 64
# Two probes, for a standard error, and a basis of their products.
FEWEST_PRODUCTS = 4


@takes_operator
def diagonal(
    A: Any,
    *,
    max_products: int = DIAGONAL_PRODUCTS,
    seed: int = 0,
    block_size: int = 8,
    low_memory: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Diagonal:
    """Estimate the diagonal of ``A``, without bias, with a standard error for each entry.

    For a probe w of ±1, the entries of w * A w have the diagonal as their mean. What varies is the part of A outside of
    the diagonal, so most of that is taken away first: each probe serves, in turn, as a sample of what an approximation
    by all others leaves. That approximation is made of the products of the probes alone, or of those and as many with
    an orthonormal basis of them, whichever promises smaller errors after half of the budget. Where N products are
    allowed, the diagonal is exact. So it is for a small layer alone: that of an operator with ``parameters=`` this
    layer, for as many products as it has parameters.

    Parameters
    ----------
    A
        An operator of hessdens or anything that `as_operator` takes.
    max_products
        Products that may be spent, at least 4.
    seed, block_size, checkpoint, progress
        As in `spectral_moments`.
    low_memory
        Keep sums alone: the mean of w * A w over probes w of ±1, as Hutchinson and Bekas, Kokiopoulou & Saad (2007)
        have it. Taken automatically where memory is short.

    Returns
    -------
    Diagonal
        Values and standard errors, shape (N,).

    Raises
    ------
    ValueError
        If an argument is out of range, or vectors are sharded over processes.
    NonFiniteError
        If a product is not finite.

    Notes
    -----
    Cost: ``max_products`` products, or N if that is less; memory: 2.5 N max_products numbers, with ``low_memory`` N
    (2 block_size + 4). Sources: E. Epperly, J. Tropp & R. Webber, XTrace: making the most of every sample in stochastic
    trace estimation (2024), whose XDiag this improves on for symmetric matrices; {doc}`structure`.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdens.structure import diagonal
    >>> matrix = np.outer(np.arange(100), np.arange(100)) / 100
    >>> found = diagonal(matrix, max_products=20)
    >>> bool(np.allclose(found.values, np.diag(matrix)))
    True
    """
    operator = called_alike("diagonal", A, locals())
    settings: dict[str, str | int] = {"function": "diagonal"}
    run = Run(operator, 1, seed, "rademacher", block_size, checkpoint=checkpoint, settings=settings, progress=progress)
    check_whole(operator, "diagonal")
    whole_at_least("max_products", max_products, FEWEST_PRODUCTS)
    check_memory(operator, 4 * 8 * operator.size, torch.device("cpu"), f"A diagonal of {operator.size:,} entries", "")
    if operator.size <= max_products:
        exact = dense_matrix(run).diagonal().cpu().numpy()
        return _result(run, exact, np.zeros_like(exact), 0.0, operator.size)
    if low_memory or not fits_memory(run, max_products):
        return _by_sums(run, max_products)
    with run.bar(max_products) as bar:
        found = diagonal_samples(run, max_products, bar)
    values, errors = np.empty(operator.size), np.empty(operator.size)
    for rows, samples in found.chunks():
        values[rows] = samples.mean(axis=1)
        errors[rows] = samples.std(axis=1, ddof=1)
    errors *= found.entry_scale() / np.sqrt(found.count)
    whole = found.sums(Parts({WHOLE: [Piece(WHOLE, 0, (operator.size,), ((0, operator.size),))]}))
    return _result(run, values, errors, float(whole.std(ddof=1)) / found.count**0.5, found.num_products, found.count)


def check_whole(operator: Operator, what: str) -> None:
    """Raise ValueError where each process holds a part of every vector."""
    if operator.team.is_sharded:
        raise ValueError(f"{what} needs whole vectors; those of this operator are sharded over processes.")


def _by_sums(run: Run, count: int) -> Diagonal:
    """Return the mean of w * A w, by running means of it and of squared deviations (Welford)."""
    operator = run.operator
    mean = torch.zeros(operator.size, dtype=torch.float64, device=operator.device)
    squares, traces = torch.zeros_like(mean), np.empty(count)
    with run.bar(count) as bar:
        for start, V, W in blocks_of_products(run, 0, count, bar):
            for index, (v, w) in enumerate(zip(V.T, W.T, strict=True), start):
                sample = (v * w).double()
                traces[index] = float(sample.sum())
                change = sample - mean
                mean.add_(change, alpha=1 / (index + 1))
                squares.addcmul_(change, sample - mean)
    errors = (squares / (count - 1) / count).sqrt().cpu().numpy()
    return _result(run, mean.cpu().numpy(), errors, float(traces.std(ddof=1)) / count**0.5, count, count)


def _result(
    run: Run, values: FloatArray, errors: FloatArray, trace_error: float, num_products: int, num_probes: int = 0
) -> Diagonal:
    sizes = run.operator.parameter_sizes or {WHOLE: run.operator.size}
    certificates = run.certificates(num_products, symmetry=run.asymmetry)
    places = tuple(sizes), tuple(sizes.values())
    return Diagonal(values, errors, *places, trace_error, num_products, num_probes, certificates)
