"""imate: `trace` with its 95% interval. It takes matrices in memory, not products, so small ones only."""

import numpy as np
from scipy.special import ndtri

from spectra.answers import Trace
from spectra.matrix import Matrix
from spectra.registry import estimator

LARGEST = 1000
# The last matrix that was made dense, with its eigenvalues' sum of squares: seeds and budgets share it.
kept: dict[tuple[int, float], np.ndarray] = {}


def dense(matrix: Matrix) -> np.ndarray:
    """Return all entries; its products are not those of the estimate."""
    free = Matrix(matrix.eigenvalues, matrix.size, turned=True)
    key = matrix.size, float(matrix.eigenvalues @ matrix.eigenvalues)
    if key not in kept:
        kept.clear()
        kept[key] = free @ np.eye(matrix.size)
    return kept[key]


@estimator("imate", "peer", gives="moments", package="imate")
def trace(matrix: Matrix, products: int, seed: int) -> Trace:
    import imate

    if matrix.size > LARGEST:
        raise ValueError(f"imate takes matrices in memory: here up to {LARGEST:,} rows.")
    samples = {"min_num_samples": products, "max_num_samples": products, "lanczos_degree": 1, "seed": seed}
    total, facts = imate.trace(dense(matrix), method="slq", num_threads=1, return_info=True, **samples)
    half = facts["error"]["absolute_error"] / float(ndtri(0.975))
    return Trace(float(total) / matrix.size, float(half) / matrix.size)
