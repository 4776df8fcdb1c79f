"""A symmetric matrix with known eigenvalues. It counts its products, and refuses more than the budget."""

import numpy as np
import torch
from scipy.fft import dct, idct
from torch import Tensor

from hessdens import as_operator
from hessdens.linalg import Operator


def diagonal(eigenvalues: np.ndarray) -> Operator:
    """Return the diagonal matrix as an operator."""
    entries = torch.from_numpy(eigenvalues.copy())[:, None]
    return as_operator(lambda V: entries * V, size=len(eigenvalues), dtype=torch.float64)


class Matrix:
    """A symmetric matrix to be estimated with ``budget`` products at most.

    Parameters
    ----------
    eigenvalues
        Shape (N,).
    turned
        Whether eigenvectors are cosines with random signs instead of unit vectors: probes of ±1 know a diagonal matrix
        exactly. For Gaussian probes every basis is the same, and the diagonal one costs nothing.

    Examples
    --------
    >>> matrix = Matrix(np.array([1.0, 2.0]), budget=2)
    >>> matrix @ np.eye(2)
    array([[1., 0.],
           [0., 2.]])
    >>> matrix.products
    2
    """

    def __init__(self, eigenvalues: np.ndarray, budget: int, *, turned: bool = False) -> None:
        self.size, self.budget, self.products = len(eigenvalues), budget, 0
        self.support = float(eigenvalues.min()), float(eigenvalues.max())
        self.eigenvalues = eigenvalues
        self._signs = np.random.default_rng(0).choice([-1.0, 1.0], (self.size, 1)) if turned else None

    def __matmul__(self, V: np.ndarray) -> np.ndarray:
        columns = V.reshape(self.size, -1)
        self.products += columns.shape[1]
        if self.products > self.budget:
            raise RuntimeError(f"An estimator must take {self.budget} products at most; it asks for {self.products}.")
        if self._signs is None:
            product = self.eigenvalues[:, None] * columns
        else:
            turned = self.eigenvalues[:, None] * dct(self._signs * columns, axis=0, norm="ortho")
            product = self._signs * idct(turned, axis=0, norm="ortho")
        return product.reshape(V.shape)

    def tensor(self, V: Tensor) -> Tensor:
        """Return the product with a tensor of torch."""
        return torch.from_numpy(self @ V.detach().numpy())

    def operator(self) -> Operator:
        """Return the matrix as an operator of hessdens."""
        return as_operator(self.tensor, size=self.size, dtype=torch.float64, check_symmetric=False)
