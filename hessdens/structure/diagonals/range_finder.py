"""Samples of a diagonal from probes of ±1, whose own products are multiplied once more: XDiag on both sides."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.linalg.inner_products import gram, thin_qr
from hessdens.structure.diagonals.exchange import mean_product
from hessdens.structure.diagonals.grams import part_grams
from hessdens.structure.parts import Parts

# Without two of fewer probes a range is far less than with them, so that covariances would be noise; they are small.
FEWEST_PAIRED = 8


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

    Without two probes, two directions leave the span. So it is known what each probe changes in the sample of another,
    and from that the covariance of samples (`Exchange`).
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

    def covariances(self, rows: Tensor) -> FloatArray:
        """Return the mean covariance of two samples of some entries, shape (rows,), as `Exchange` estimates it."""
        W, Q, Z = (V[rows].double().cpu().numpy() for V in (self.probes, self.basis, self.further))
        if not self._shows_covariances:
            return np.zeros(len(W))
        dual = _dual(self.upper)
        U, outside = Q @ dual, (Z - Q @ self.inner) @ dual
        pairs = ((U, U), (U, outside), (W, U), (W, outside))
        return mean_product(self._changes(*(first[:, :, None] * second[:, None] for first, second in pairs)))

    def covariances_of_sums(self, parts: Parts) -> FloatArray:
        """Return the same of sums over parts, shape (L,)."""
        if not self._shows_covariances:
            return np.zeros(len(parts.names))
        grams = part_grams(parts, {"W": self.probes, "Q": self.basis, "Z": self.further})
        dual = _dual(self.upper)
        UU, WU = dual.T @ grams["QQ"] @ dual, grams["WQ"] @ dual
        U_outside = dual.T @ (grams["QZ"] - grams["QQ"] @ self.inner) @ dual
        W_outside = (grams["WZ"] - grams["WQ"] @ self.inner) @ dual
        return mean_product(self._changes(UU, U_outside, WU, W_outside))

    @property
    def _shows_covariances(self) -> bool:
        return not self.dependent and self.probes.shape[1] >= FEWEST_PAIRED

    def _changes(self, UU: FloatArray, U_outside: FloatArray, WU: FloatArray, W_outside: FloatArray) -> FloatArray:
        """Return by how much probe j changes the sample of i, shape (K, P, P), of K entries or sums.

        With D as in `_dual`, U = Q D and (Z - Q T) D have these products with one another and with W, shape (K, P, P).
        """
        dual = _dual(self.upper)
        lengths, inner, along, bent = (
            dual.T @ M for M in (dual, self.inner @ dual, self.along, self.inner @ self.along)
        )
        count = len(lengths)

        def known(lost: NDArray[np.int64]) -> FloatArray:
            """Return the sample of the first probe of each set without all in it, less what no set changes."""
            first, a, b = lost[..., :1], lost[..., :, None], lost[..., None, :]
            inverse = np.linalg.inv(lengths[a, b])
            of_outside = inverse @ along[lost, first][..., None]
            left = (lost == first)[..., None] - bent[lost, first][..., None] + inner[a, b] @ of_outside
            of_basis = inverse @ left
            of_entries = 2 * inverse * U_outside[:, a, b] + (inverse @ inner[a, b] @ inverse) * UU[:, a, b]
            of_probe = of_outside[..., 0] * W_outside[:, first, lost] + of_basis[..., 0] * WU[:, first, lost]
            result: FloatArray = of_probe.sum(axis=-1) - of_entries.sum(axis=(-1, -2))
            return result

        alone, others = known(np.arange(count)[:, None]), ~np.eye(count, dtype=bool)
        changes = np.zeros_like(UU)
        pairs = np.argwhere(others)
        changes[:, others] = alone[:, pairs[:, 0]] - known(pairs)
        return changes


def _without(C: FloatArray, S: FloatArray) -> FloatArray:
    """Return each column of C without its part along the same column of S."""
    result: FloatArray = C - S * np.sum(S * C, axis=0)
    return result


def _dual(upper: FloatArray) -> FloatArray:
    """Return D with D^T R = 1: column i is orthogonal to all products but that of probe i."""
    return np.asarray(np.linalg.inv(upper).T, dtype=np.float64)


def lost_directions(upper: FloatArray) -> FloatArray:
    """Return the unit vector, in the basis, that each probe alone brings in: it is orthogonal to other columns of R."""
    directions = _dual(upper)
    result: FloatArray = directions / np.linalg.norm(directions, axis=0)
    return result


def square_left(upper: FloatArray) -> float:
    """Return what products have outside of the span of others: the mean squared length of what a basis would leave.

    It is the geometric mean of that outside of all others, and of all others except one. The first is small by chance
    where products are almost dependent, with about the root of its size as probability: then a basis misses a direction
    that no probe shows, and leaves the second.
    """
    dual = _dual(upper)
    without_one, without_two = float(np.mean(1 / np.sum(dual**2, axis=0))), []
    for lost, unit in enumerate(lost_directions(upper).T):
        others = np.delete(dual, lost, axis=1)
        outside = others - np.outer(unit, unit @ others)
        without_two.append(float(np.mean(1 / np.sum(outside**2, axis=0))))
    return float(np.sqrt(without_one * np.mean(without_two)))


def orthonormal(
    products: Tensor, basis: Tensor | None = None, upper: FloatArray | None = None
) -> tuple[Tensor, FloatArray]:
    """Return the columns of a basis Q of some products, and R with Q R; fewer where these are dependent to rounding.

    With ``basis`` and ``upper`` of other products, before these: the columns that it lacks, and R of all products.
    """
    upper = np.empty((0, 0)) if upper is None else upper
    if basis is None or not basis.shape[1]:
        columns, factors = thin_qr(products)
        whole = factors.double().cpu().numpy()
        inner = np.empty((0, products.shape[1]))
    else:  # twice, for what rounding leaves
        along = basis.T @ products
        columns, factors = thin_qr(products - basis @ along)
        more = basis.T @ columns
        columns, again = thin_qr(columns - basis @ more)
        whole = (again @ factors).double().cpu().numpy()
        inner = (along + more @ factors).double().cpu().numpy()
    left, lengths, _ = np.linalg.svd(whole)
    largest = max([*lengths, np.linalg.norm(upper, 2) if upper.size else 0.0])
    rank = int(np.count_nonzero(lengths > products.shape[1] * torch.finfo(products.dtype).eps * largest))
    if rank < products.shape[1]:
        columns = columns @ torch.from_numpy(left[:, :rank]).to(columns)
        whole = left[:, :rank].T @ whole
    return columns, np.block([[upper, inner], [np.zeros((len(whole), upper.shape[1])), whole]])
