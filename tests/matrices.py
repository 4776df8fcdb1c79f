"""Dense symmetric matrices of the kinds that tests of structure compare with, by name."""

import numpy as np


def rotated(eigenvalues, seed=0):
    """Return a matrix with these eigenvalues and random eigenvectors."""
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.standard_normal((len(eigenvalues), len(eigenvalues)))).Q
    matrix = (vectors * eigenvalues) @ vectors.T
    return (matrix + matrix.T) / 2


def kinds(size=60):
    """Return matrices by name: what they have in common with Hessians differs."""
    rng = np.random.default_rng(1)
    orders = 1.0 + np.arange(size)
    network = np.concatenate([0.02 * rng.standard_normal(size - 6), np.geomspace(0.5, 20, 6)])
    return {
        "decaying": rotated(orders**-1.5),
        "fast decay": rotated(np.exp(-orders / 3)),
        "indefinite": rotated(rng.choice([-1, 1], size) / orders),
        "flat": rotated(rng.standard_normal(size)),
        "network": rotated(network),
        "definite network": rotated(np.abs(network)),
        "diagonal": np.diag(network),
    }
