"""Inner products of tall blocks of vectors, summed in float64."""

import math

import torch
from torch import Tensor

# Rows of a block that are converted to float64 at a time: 65,536 rows of 8 probes are 4 MB, which stays in the cache.
ROWS_PER_CHUNK = 65_536


def column_dots(V: Tensor, W: Tensor) -> Tensor:
    """Return the inner products of corresponding columns of V and W, shape (P,), summed in float64."""
    total = torch.zeros(V.shape[1], dtype=torch.float64, device=V.device)
    for start in range(0, len(V), ROWS_PER_CHUNK):
        rows = slice(start, start + ROWS_PER_CHUNK)
        total += (V[rows].double() * W[rows].double()).sum(dim=0)
    return total


def asymmetry(V: Tensor, products: Tensor) -> float:
    """Return the largest difference between v·Aw and w·Av of the columns, over the root mean square of A v.

    ``products`` is A V. NaN for a single column. Cost: N P² operations in the precision of V.
    """
    if V.shape[1] < 2:
        return math.nan
    gram = (V.T @ products).double()
    scale = torch.linalg.vector_norm(products, dtype=torch.float64) / V.shape[1] ** 0.5
    return float((gram - gram.T).abs().max() / scale.clamp_min(torch.finfo(torch.float64).tiny))
