"""Fixed matrices that skip connections multiply with: dense orthogonal ones, and less orthogonal ones."""

import numpy as np
import torch
from torch import Tensor


def skip_matrices(generator: torch.Generator, count: int, width: int, distinct: int) -> Tensor:
    """Return ``count`` random orthonormal sets of ``distinct`` columns, shape (count, width, distinct).

    The skip matrix Q repeats each set width / distinct times, side by side.
    """
    if not 1 <= distinct <= width or width % distinct:
        raise ValueError(
            f"num_skip_vectors must divide width={width}; got {distinct}. Choose another width or number of vectors."
        )
    return _orthogonal(generator, count, width)[:, :, :distinct].to(torch.get_default_dtype()).contiguous()


def correlated_matrices(generator: torch.Generator, count: int, width: int, tau: float) -> Tensor:
    """Return matrices with eigenvalues on the unit circle and correlated eigenvectors, shape (count, width, width).

    S = Q diag(exp(-tau (i - 1))) Q^T with Q random orthogonal, R = D^{-1/2} S D^{-1/2} with D = diag(S), R = T T^T
    (Cholesky), and the matrix is T O T^{-1} with O another random orthogonal matrix: the paper's T U L U^{-1} T^{-1},
    where O = U L U^{-1}. tau = 0 gives O.

    Notes
    -----
    Source: Orhan & Pitkow (2018), note 6.
    """
    if not tau >= 0:
        raise ValueError(f"skip_correlation must be at least 0; got {tau}.")
    q, o = _orthogonal(generator, count, width), _orthogonal(generator, count, width)
    covariance = (q * torch.exp(-tau * torch.arange(width, dtype=torch.float64))) @ q.mT
    deviations = torch.diagonal(covariance, dim1=-2, dim2=-1).sqrt()
    t = torch.linalg.cholesky(covariance / deviations.unsqueeze(-1) / deviations.unsqueeze(-2))
    matrices = torch.linalg.solve_triangular(t, t @ o, upper=False, left=False)
    return matrices.to(torch.get_default_dtype()).contiguous()


def generator_of(seed: int, *, stream: int) -> torch.Generator:
    """Return a generator for one purpose (weights, skips) of a seed, independent of every other."""
    state = np.random.SeedSequence(seed, spawn_key=(stream,)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def _orthogonal(generator: torch.Generator, count: int, width: int) -> Tensor:
    """Return random orthogonal matrices, uniform over the group, shape (count, width, width), float64."""
    # QR with a positive diagonal of R gives matrices that are uniform over the orthogonal group (Mezzadri 2007).
    q, r = torch.linalg.qr(torch.randn(count, width, width, generator=generator, dtype=torch.float64))
    return q * torch.sign(torch.diagonal(r, dim1=-2, dim2=-1)).unsqueeze(-2)
