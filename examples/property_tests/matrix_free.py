"""A project that knows nothing of hessdens: a trace by random vectors and Lanczos' recurrence, in NumPy."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Product = Callable[[FloatArray], FloatArray]


def trace_samples(product: Product, size: int, num_samples: int, rng: np.random.Generator) -> FloatArray:
    """Return unbiased estimates of the trace, shape (num_samples,): z·Az for random signs z (Hutchinson 1989)."""
    signs = rng.choice([-1.0, 1.0], size=(num_samples, size))
    return np.array([z @ product(z) for z in signs])


def tridiagonal(product: Product, start: FloatArray, num_steps: int) -> tuple[FloatArray, FloatArray]:
    """Return diagonal and off-diagonal of Lanczos' matrix; shorter where the space of ``start`` is exhausted."""
    basis, diagonal, off_diagonal = [start / np.linalg.norm(start)], [], []
    scale = 0.0
    while True:
        vector = product(basis[-1])
        scale = max(scale, float(np.linalg.norm(vector)))
        diagonal.append(float(vector @ basis[-1]))
        for _ in range(2):  # once loses orthogonality
            vector = vector - np.array(basis).T @ (np.array(basis) @ vector)
        length = float(np.linalg.norm(vector))
        if len(diagonal) == num_steps or length <= 1e-12 * scale:
            return np.array(diagonal), np.array(off_diagonal)
        off_diagonal.append(length)
        basis.append(vector / length)
