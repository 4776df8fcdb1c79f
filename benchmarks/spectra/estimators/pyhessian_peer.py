"""PyHessian: `density`, with a replacement for a function that torch no longer has, and `trace`."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spectra.answers import Steps, Trace
from spectra.matrix import Matrix
from spectra.registry import estimator

PACKAGE = "pyhessian"


def symmetric_eig(matrix: Tensor, *, eigenvectors: bool) -> tuple[Tensor, Tensor]:
    """Return what torch.eig returned for a symmetric matrix before torch 1.13."""
    assert eigenvectors
    values, vectors = torch.linalg.eigh(matrix)
    return torch.stack([values, torch.zeros_like(values)], dim=1), vectors


@contextmanager
def hessian_of(matrix: Matrix) -> Iterator[Any]:
    """Give PyHessian's object, with our products in place of those of a model."""
    module = importlib.import_module("pyhessian.hessian")
    found = object.__new__(module.hessian)
    found.model, found.device, found.full_dataset = SimpleNamespace(zero_grad=lambda: None), "cpu", False
    found.params, found.gradsH = [torch.zeros(matrix.size, dtype=torch.float64)], None
    original = module.hessian_vector_product
    module.hessian_vector_product = lambda _, __, v: [matrix.tensor(v[0])]
    torch.eig = symmetric_eig
    try:
        yield found
    finally:
        module.hessian_vector_product = original
        del torch.eig


@estimator("PyHessian", "peer", splits=(1, 5), package=PACKAGE)
def density(matrix: Matrix, products: int, seed: int, runs: int) -> Steps:
    torch.manual_seed(seed)
    with hessian_of(matrix) as hessian:
        points, weights = hessian.density(iter=products // runs, n_v=runs)
    return Steps(np.concatenate(points), np.concatenate(weights))


@estimator("PyHessian trace", "peer", gives="moments", package=PACKAGE)
def trace(matrix: Matrix, products: int, seed: int) -> Trace:
    torch.manual_seed(seed)
    with hessian_of(matrix) as hessian:
        samples = hessian.trace(maxIter=products, tol=0)
    return Trace(float(np.mean(samples)) / matrix.size)
