"""Samples of a diagonal from probes of ±1 that change places: each is a probe of what all others leave."""

from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.linalg.inner_products import gram, row_lengths
from hessdens.structure.diagonals.grams import PartGrams, part_grams
from hessdens.structure.parts import Parts

ComplexArray = NDArray[np.complex128]
# A shift and the inverse of W^T (A + z) W; None where plain samples are taken.
Inverse = tuple[complex, ComplexArray] | None
Rows = TypeVar("Rows", Tensor, FloatArray)
# Fewer probes say too little of which shift is good.
FEWEST_EXCHANGED = 4
# The shift of a probe is chosen by the probes of all other folds.
NUM_FOLDS = 4
# Rows by which a shift is chosen: the heaviest, by the other probes, and as many evenly spread.
CHOICE_ROWS = 256
# Entries of a matrix of pairs of probes for each of some rows: 16 MB, in a few copies.
MOST_CHANGES = 2**20
# Poles lie on the real axis, between eigenvalues of both signs that probes show. A shift is at least so many times the
# largest eigenvalue of one sign, of that sign for which it is smaller. So samples of -A are those of A, times -1.
ABOVE_WEAKER_SIGN = 3.0


@dataclass(frozen=True)
class Exchange:
    """P probes of ±1 and their products with a matrix A, and the shifts that serve them.

    ``probes`` and ``products`` have shape (N, P); ``forms`` is W^T A W and ``overlaps`` W^T W. ``shifts`` has that of
    each of the ``folds`` of the probes; None where plain samples vary less.

    Notes
    -----
    With W the other probes the approximation of A is the real part of (A + z) W (W^T (A + z) W)^{-1} W^T (A + z) - z
    for an imaginary shift z, as in `hessdens.results.exchange`. The sample of a probe w is the diagonal of that, and
    w * (what is left of A w), entry by entry: unbiased if z does not depend on w, whatever it is. So each fold of the
    probes has a shift that the other folds choose, by the variance of their own samples. All probes have a say in how
    small shifts may be: a single number, whose effect on the mean is far below its error.

    Leaving a probe out changes the inverse for all together by a matrix of rank one, so that all samples take N P²
    operations.

    Samples depend on one another. Let x_i be that of probe i, and x_ij the same without probe j. Given all other
    probes, the mean over w_i is right for x_i and x_ij, and w_j is unknown to x_ij. So the covariance of x_i and x_j is
    the mean of (x_i - x_ij) (x_j - x_ji), what each probe changes in the sample of the other, if shifts are fixed.

    Source: E. Epperly, J. Tropp & R. Webber, XTrace: making the most of every sample in stochastic trace estimation
    (2024), of which this is XNysTrace, for the diagonal.
    """

    probes: Tensor
    products: Tensor
    forms: FloatArray
    overlaps: FloatArray
    folds: tuple[NDArray[np.int64], ...]
    shifts: tuple[complex | None, ...]

    @classmethod
    def of(cls, probes: Tensor, products: Tensor) -> Self:
        """Choose the shifts. Cost: N P operations, and no products."""
        count = probes.shape[1]
        forms, overlaps = gram(probes, products), gram(probes, probes)
        forms = (forms + forms.T) / 2
        if count < FEWEST_EXCHANGED:
            return cls(probes, products, forms, overlaps, (np.arange(count),), (None,))
        folds = tuple(np.arange(first, count, NUM_FOLDS) for first in range(NUM_FOLDS))
        least = ABOVE_WEAKER_SIGN * _largest_of_weaker_sign(_eigenvalues(forms, overlaps))
        eps = float(torch.finfo(products.dtype).eps)
        shifts: list[complex | None] = []
        for fold in folds:
            others = np.setdiff1d(np.arange(count), fold)
            rows, within = heavy_rows(products[:, others]), np.ix_(others, others)
            W, Y = (V[rows][:, others].double().cpu().numpy() for V in (probes, products))
            shifts.append(_best_shift(W, Y, forms[within], overlaps[within], least, eps))
        return cls(probes, products, forms, overlaps, folds, tuple(shifts))

    def samples(self, rows: slice | Tensor) -> FloatArray:
        """Return what each probe estimates of some entries of the diagonal, shape (rows, P)."""
        W, Y = (V[rows].double().cpu().numpy() for V in (self.probes, self.products))
        samples = np.empty_like(Y)
        for fold, inverse in self._inverses():
            samples[:, fold] = (W * Y if inverse is None else _samples(W, Y, *inverse))[:, fold]
        return samples

    def covariances(self, rows: Tensor) -> FloatArray:
        """Return the mean covariance of two samples of some entries, shape (rows,), estimated without bias."""
        W, Y = (V[rows].double().cpu().numpy() for V in (self.probes, self.products))
        count = W.shape[1]
        changes = np.zeros((len(W), count, count))
        for fold, inverse in self._inverses():
            if inverse is not None:
                changes[:, fold] = _changes_of_entries(W, Y, *inverse, fold)
        return mean_product(changes)

    def covariances_of_sums(self, parts: Parts) -> FloatArray:
        """Return the same of sums over parts, shape (L,)."""
        grams = part_grams(parts, {"W": self.probes, "Y": self.products})
        changes = np.zeros_like(grams["WW"])
        for fold, inverse in self._inverses():
            if inverse is not None:
                crossed = (grams["WY"] + inverse[0] * grams["WW"]) @ inverse[1]
                inner = inverse[1] @ _squares(grams, inverse[0]) @ inverse[1]
                changes[:, fold] = _changes(crossed[:, fold], inner[:, fold], _own(inner), inverse[1], fold)
        return mean_product(changes)

    def _inverses(self) -> list[tuple[NDArray[np.int64], Inverse]]:
        """Return each fold of the probes with what serves it."""
        inverses = [None if z is None else (z, _inverse(self.forms, self.overlaps, z)) for z in self.shifts]
        return list(zip(self.folds, inverses, strict=True))


def _inverse(forms: FloatArray, overlaps: FloatArray, shift: complex) -> ComplexArray:
    matrix: ComplexArray = forms + np.complex128(shift) * overlaps
    return np.asarray(np.linalg.inv(matrix), dtype=np.complex128)


def _samples(W: FloatArray, Y: FloatArray, shift: complex, matrix: ComplexArray) -> FloatArray:
    """Return the sample of each probe, a column of W with its product in Y, where all others serve it."""
    shifted = Y + shift * W
    solved, own = shifted @ matrix, np.diag(matrix)
    known = np.sum(solved * shifted, axis=1, keepdims=True)
    result: FloatArray = (known + solved * (W - solved) / own).real
    return result


def _changes_of_entries(
    W: FloatArray, Y: FloatArray, shift: complex, matrix: ComplexArray, chosen: NDArray[np.int64]
) -> FloatArray:
    """Return by how much probe j changes the sample of a chosen one, shape (rows, chosen, P)."""
    solved = (Y + shift * W) @ matrix
    crossed, inner = (V[:, chosen, None] * solved[:, None] for V in (W, solved))
    return _changes(crossed, inner, solved**2, matrix, chosen)


def _changes(
    crossed: ComplexArray, inner: ComplexArray, squares: ComplexArray, matrix: ComplexArray, chosen: NDArray[np.int64]
) -> FloatArray:
    """Return the same of K entries or sums, shape (K, chosen, P).

    With S = (A + z) W M, where M is ``matrix``, ``crossed`` has the products of chosen columns of W with those of S,
    ``inner`` those of chosen columns of S with these, and ``squares`` those of all columns of S with themselves.
    """
    own, places = np.diag(matrix), np.arange(len(chosen))
    ratio = matrix[chosen] / own
    left = (crossed - inner)[:, places, chosen]
    left_without = left[:, :, None] - ratio * (crossed - 2 * inner + ratio * squares[:, None])
    own_without = own[chosen, None] - ratio * matrix[chosen]
    own_without[places, chosen] = 1.0
    changes: FloatArray = (
        (left / own[chosen])[:, :, None] + (squares / own)[:, None] - left_without / own_without
    ).real
    changes[:, places, chosen] = 0.0
    return changes


def _own(matrices: ComplexArray) -> ComplexArray:
    return np.diagonal(matrices, axis1=-2, axis2=-1)


def mean_product(changes: FloatArray) -> FloatArray:
    """Return the mean over all pairs of what each of both changes in the sample of the other, shape (K,)."""
    count = changes.shape[1]
    result: FloatArray = np.einsum("kij,kji->k", changes, changes) / (count * (count - 1))
    return result


def _squares(grams: PartGrams, shift: complex) -> ComplexArray:
    """Return the inner products of (A + z) W with itself within parts."""
    crossed = grams["WY"] + grams["WY"].transpose(0, 2, 1)
    result: ComplexArray = grams["YY"] + np.complex128(shift) * crossed + shift**2 * grams["WW"]
    return result


def _eigenvalues(forms: FloatArray, overlaps: FloatArray) -> FloatArray:
    """Return the eigenvalues of A in the span of the probes."""
    values: FloatArray = np.linalg.eigvals(np.linalg.solve(overlaps, forms)).real
    return values


def _largest_of_weaker_sign(eigenvalues: FloatArray) -> float:
    """Return the smaller one of the largest positive value and of the largest negative one, 0 if a sign is missing."""
    return max(min(float(eigenvalues.max()), -float(eigenvalues.min())), 0.0)


def _best_shift(
    W: FloatArray, Y: FloatArray, forms: FloatArray, overlaps: FloatArray, least: float, eps: float
) -> complex | None:
    """Return the shift of at least ``least`` whose samples vary least, None where the mean of plain ones errs less."""
    largest = max(float(np.abs(_eigenvalues(forms, overlaps)).max()), least)
    if largest == 0:
        return None
    smallest = max(least, eps * largest)
    shifts = 1j * np.geomspace(largest, smallest, 2 + round(np.log10(largest / smallest)))
    inverses = [(complex(shift), _inverse(forms, overlaps, shift)) for shift in shifts]
    variances = [float(_samples(W, Y, *inverse).var(axis=1, ddof=1).sum()) for inverse in inverses]
    best = inverses[int(np.argmin(variances))]
    W, Y = (thinned(V, W.shape[1]) for V in (W, Y))
    covariance = max(float(mean_product(_changes_of_entries(W, Y, *best, np.arange(W.shape[1]))).sum()), 0.0)
    variance = float(_samples(W, Y, *best).var(axis=1, ddof=1).sum()) + W.shape[1] * covariance
    return best[0] if variance < float((W * Y).var(axis=1, ddof=1).sum()) else None


def heavy_rows(products: Tensor) -> Tensor:
    """Return the rows that are heaviest in some products, and some evenly spread ones."""
    size = len(products)
    if size <= 2 * CHOICE_ROWS:
        return torch.arange(size, device=products.device)
    heavy = row_lengths(products).topk(CHOICE_ROWS).indices
    even = torch.linspace(0, size - 1, CHOICE_ROWS, dtype=torch.float64, device=products.device).long()
    return torch.cat([heavy, even]).unique()


def thinned(rows: Rows, num_probes: int) -> Rows:
    """Return as many rows, evenly spread, as there is room for what all pairs of probes change in them."""
    few: Rows = rows[:: max(1, -(-len(rows) * num_probes**2 // MOST_CHANGES))]
    return few
