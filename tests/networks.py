"""Eigenvalues like those of a trained network, and operators that have them."""

import numpy as np
import torch

from hessdens import as_operator

RNG = np.random.default_rng(3)
# Like a trained network's: a bulk, a tail to the right, some outliers.
NETWORK = np.concatenate(
    [0.01 * RNG.standard_normal(900), 0.1 * RNG.standard_exponential(80), np.geomspace(0.5, 20, 20)]
)


def diagonal(eigenvalues, dtype=torch.float64):
    entries = torch.tensor(eigenvalues, dtype=dtype)[:, None]
    return as_operator(lambda V: entries * V, size=len(eigenvalues), dtype=dtype)
