"""The exact spectrum of a small operator: dense matrix from products, then eigenvalues in float64."""

from typing import Any

import torch
from torch import Tensor

from hessdens._calls import takes_operator
from hessdens.densities.spectrum import Spectrum
from hessdens.errors import NonFiniteError
from hessdens.estimators.run import Run, called_alike, check_memory
from hessdens.linalg.memory import readable_bytes
from hessdens.linalg.operator import Operator

# Peak of the eigenvalue solver in units of the N x N float64 matrix: the matrix and the solver's copy, and on CUDA as
# much workspace again.
MATRICES_AT_PEAK = {"cpu": 2.1, "cuda": 3.1}
# Rows and columns of a matrix that are made symmetric at a time.
TILE = 2048


@takes_operator
def exact_spectrum(A: Any, *, max_size: int = 20_000, block_size: int = 64, progress: bool = False) -> Spectrum:
    """Return all eigenvalues of ``A``, from its dense matrix.

    Parameters
    ----------
    A
        An operator of hessdens or anything that `as_operator` takes.
    max_size
        The largest N that is accepted, against calls that would take days.
    block_size, progress
        As in `spectral_moments`, of columns of the identity instead of probes.

    Raises
    ------
    ValueError
        If N is above ``max_size``, or a product is not finite.
    MemoryError
        If the matrix and the solver's workspace do not fit into the free memory; the message says how much they need.

    Notes
    -----
    Cost: N products, then about 4/3 N^3 floating-point operations; memory: about 2.1 N^2 float64 numbers. The matrix is
    symmetrised, (H + H^T) / 2, and solved in float64 on the operator's device.

    Examples
    --------
    >>> import numpy as np
    >>> exact_spectrum(np.array([[2.0, 1.0], [1.0, 2.0]])).eigenvalues
    array([1., 3.])
    """
    operator = called_alike("exact_spectrum", A, locals())
    run = Run(operator, block_size=block_size, progress=progress)
    if operator.team.is_sharded:
        raise ValueError(
            "exact_spectrum needs whole vectors; those of this operator are sharded over processes. Use "
            "lanczos_density."
        )
    check_size(operator, max_size)
    matrix = dense_matrix(run)
    if not torch.isfinite(matrix).all():
        raise NonFiniteError("The operator must have finite entries; its matrix holds values that are not.")
    return Spectrum(torch.linalg.eigvalsh(matrix).cpu().numpy(), operator.name)


def dense_matrix(run: Run) -> Tensor:
    """Return (A + A^T) / 2 as an (N, N) float64 tensor on the operator's device. Cost: N products."""
    operator, size = run.operator, run.operator.size
    matrix = torch.empty(size, size, dtype=torch.float64, device=operator.device)
    with run.bar(size, unit="column") as bar:
        for start, stop in run.blocks(0, size):
            unit = torch.zeros(size, stop - start, dtype=operator.dtype, device=operator.device)
            unit[torch.arange(start, stop), torch.arange(stop - start)] = 1
            matrix[start:stop] = operator.matmat(unit).T
            bar.update(stop - start)
    for i in range(0, size, TILE):  # tile by tile, without a second matrix
        for j in range(i, size, TILE):
            upper, lower = matrix[i : i + TILE, j : j + TILE], matrix[j : j + TILE, i : i + TILE]
            mean = (upper + lower.T) / 2
            upper.copy_(mean)
            lower.copy_(mean.T)
    return matrix


def check_size(operator: Operator, max_size: int) -> None:
    """Raise unless the matrix and the solver's workspace fit."""
    needed = MATRICES_AT_PEAK.get(operator.device.type, MATRICES_AT_PEAK["cpu"]) * 8 * operator.size**2
    amount = f"about {readable_bytes(needed)}"
    if operator.size > max_size:
        raise ValueError(
            f"exact_spectrum takes operators of size max_size={max_size:,} at most; got {operator.size:,}, which needs "
            f"{amount} of memory. Use spectral_moments, or raise max_size."
        )
    what, advice = (
        f"exact_spectrum of {operator.size:,} eigenvalues",
        "Use spectral_moments, or a machine with more memory.",
    )
    check_memory(operator, needed, operator.device, what, advice)
