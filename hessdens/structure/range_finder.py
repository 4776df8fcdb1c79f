"""Samples of a diagonal from probes of ±1, whose own products are multiplied once more: XDiag on both sides."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.linalg.inner_products import gram, thin_qr


@dataclass(frozen=True)
class RangeFinder:
    """P probes W of ±1 with their products Y = A W = Q R, and Z = A Q.

    All four have shape (N, P). ``upper`` is R, ``inner`` is Q^T A Q, and ``along`` is Q^T W. Where the products are
    ``dependent``, Q has fewer columns: its span is the whole range of A, and probes need not be left out.

    Notes
    -----
    Without a probe w the span is that of Q except for one direction, u = Q s. With the projection on it, Q_i Q_i^T,
    what is left of A is (1 - Q_i Q_i^T) A (1 - Q_i Q_i^T). The sample of w is the diagonal of all else, which A Q gives
    exactly, and w * (what is left times w). Source: E. Epperly, J. Tropp & R. Webber, XTrace: making the most of every
    sample in stochastic trace estimation (2024), section 4, where A is not symmetric and what is left is (1 - Q_i
    Q_i^T) A; that varies more.
    """

    probes: Tensor
    products: Tensor
    basis: Tensor
    further: Tensor
    upper: FloatArray
    inner: FloatArray
    along: FloatArray
    dependent: bool

    @classmethod
    def of(cls, probes: Tensor, products: Tensor, basis: Tensor, further: Tensor, upper: FloatArray) -> Self:
        """Take what the formulas need from inner products."""
        inner, along = gram(basis, further), gram(basis, probes)
        dependent = basis.shape[1] < probes.shape[1]
        return cls(probes, products, basis, further, upper, (inner + inner.T) / 2, along, dependent)

    def samples(self, rows: slice | Tensor) -> FloatArray:
        """Return what each probe estimates of some entries of the diagonal, shape (rows, P)."""
        vectors = (self.probes, self.products, self.basis, self.further)
        W, Y, Q, Z = (V[rows].double().cpu().numpy() for V in vectors)
        R, T = self.upper, self.inner
        S = np.zeros_like(R) if self.dependent else lost_directions(R)
        whole = np.sum(Q * (2 * Z - Q @ T), axis=1, keepdims=True)
        U, outside = Q @ S, Z @ S - Q @ (T @ S)
        known = whole - 2 * U * outside - np.sum(S * (T @ S), axis=0) * U**2
        along = _without(self.along, S)
        left = Y - Z @ along - Q @ _without(R - T @ along, S)
        result: FloatArray = known + W * left
        return result


def _without(C: FloatArray, S: FloatArray) -> FloatArray:
    """Return each column of C without its part along the same column of S."""
    result: FloatArray = C - S * np.sum(S * C, axis=0)
    return result


def lost_directions(upper: FloatArray) -> FloatArray:
    """Return the unit vector, in the basis, that each probe alone brings in: it is orthogonal to other columns of R."""
    directions = np.linalg.inv(upper).T
    result: FloatArray = directions / np.linalg.norm(directions, axis=0)
    return result


def orthonormal(products: Tensor) -> tuple[Tensor, FloatArray]:
    """Return a basis Q of some products and R with Q R; of fewer columns where they are dependent to rounding."""
    basis, upper = thin_qr(products)
    factors = upper.double().cpu().numpy()
    left, lengths, _ = np.linalg.svd(factors)
    rank = int(np.count_nonzero(lengths > len(lengths) * torch.finfo(products.dtype).eps * lengths[0]))
    if rank == products.shape[1]:
        return basis, factors
    return basis @ torch.from_numpy(left[:, :rank]).to(basis), left[:, :rank].T @ factors
