"""Samples of a diagonal from probes of ±1 that change places: each is a probe of what all others leave."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.linalg.inner_products import gram
from hessdens.structure.grams import PartGrams

ComplexArray = NDArray[np.complex128]
# A shift and the inverse of W^T (A + z) W; None where plain samples are taken.
Inverse = tuple[complex, ComplexArray] | None
# Fewer probes say too little of which shift is good.
FEWEST_EXCHANGED = 6
# The shift of a probe is chosen by the probes of all other folds.
NUM_FOLDS = 4
# Rows by which a shift is chosen: the heaviest, by the other probes, and as many evenly spread.
CHOICE_ROWS = 256
# A shift is so many times the most negative eigenvalue that probes show: poles lie on the real axis, near these.
ABOVE_NEGATIVE = 3.0


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
    operations. Source: E. Epperly, J. Tropp & R. Webber, XTrace: making the most of every sample in stochastic trace
    estimation (2024), of which this is XNysTrace, for the diagonal.
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
        least = ABOVE_NEGATIVE * max(-float(_eigenvalues(forms, overlaps).min()), 0.0)
        eps = float(torch.finfo(products.dtype).eps)
        shifts: list[complex | None] = []
        for fold in folds:
            others = np.setdiff1d(np.arange(count), fold)
            rows, within = heavy_rows(products[:, others]), np.ix_(others, others)
            W, Y = (V[rows][:, others].double().cpu().numpy() for V in (probes, products))
            shifts.append(_best_shift(W, Y, forms[within], overlaps[within], least, eps))
        return cls(probes, products, forms, overlaps, folds, tuple(shifts))

    def samples(self, rows: slice | Tensor, left_out: int | None = None) -> FloatArray:
        """Return what each probe estimates of some entries of the diagonal, shape (rows, P), or without a probe."""
        kept, forms, overlaps = self._without(left_out)
        W, Y = (V[rows].double().cpu().numpy()[:, kept] for V in (self.probes, self.products))
        samples = np.empty_like(Y)
        for fold, inverse in zip(self.folds, self._inverses(forms, overlaps), strict=True):
            mine = np.isin(kept, fold)
            samples[:, mine] = _samples(W, Y, inverse)[:, mine]
        return samples

    def sums(self, grams: PartGrams, left_out: int | None = None) -> FloatArray:
        """Return the sums of samples over parts, shape (P, L), from inner products within these, or without a probe."""
        kept, forms, overlaps = self._without(left_out)
        WW, WY, YY = (grams[name][:, kept][:, :, kept] for name in ("WW", "WY", "YY"))
        sums = np.empty((len(kept), len(WW)))
        for fold, inverse in zip(self.folds, self._inverses(forms, overlaps), strict=True):
            mine = np.isin(kept, fold)
            sums[mine] = _sums(WW, WY, YY, inverse)[mine]
        return sums

    def vectors(self) -> dict[str, Tensor]:
        """Return the vectors by whose inner products `sums` are made."""
        return {"W": self.probes, "Y": self.products}

    def _without(self, left_out: int | None) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
        """Return the probes that are kept, and their inner products."""
        kept = np.array([i for i in range(len(self.forms)) if i != left_out])
        within = np.ix_(kept, kept)
        return kept, self.forms[within], self.overlaps[within]

    def _inverses(self, forms: FloatArray, overlaps: FloatArray) -> list[Inverse]:
        return [None if z is None else (z, _inverse(forms, overlaps, z)) for z in self.shifts]


def _inverse(forms: FloatArray, overlaps: FloatArray, shift: complex) -> ComplexArray:
    matrix: ComplexArray = forms + np.complex128(shift) * overlaps
    return np.asarray(np.linalg.inv(matrix), dtype=np.complex128)


def _samples(W: FloatArray, Y: FloatArray, inverse: Inverse) -> FloatArray:
    """Return the sample of each probe, a column of W with its product in Y, where all others serve it."""
    if inverse is None:
        return W * Y
    shift, matrix = inverse
    shifted = Y + shift * W
    solved, own = shifted @ matrix, np.diag(matrix)
    known = np.sum(solved * shifted, axis=1, keepdims=True)
    result: FloatArray = (known + solved * (W - solved) / own).real
    return result


def _sums(WW: FloatArray, WY: FloatArray, YY: FloatArray, inverse: Inverse) -> FloatArray:
    """Return the sums of the same over the entries of parts, whose inner products are given, shape (L, P, P)."""
    if inverse is None:
        return np.diagonal(WY, axis1=1, axis2=2).T
    shift, matrix = inverse
    own = np.diag(matrix)
    squares = YY + shift * (WY + WY.transpose(0, 2, 1)) + shift**2 * WW
    solved = matrix @ squares
    known = np.trace(solved, axis1=1, axis2=2)
    quadratic = np.einsum("lij,ji->li", solved, matrix)
    crossed = np.einsum("lij,ji->li", WY + shift * WW, matrix)
    result: FloatArray = (known[:, None] + (crossed - quadratic) / own).real.T
    return result


def _eigenvalues(forms: FloatArray, overlaps: FloatArray) -> FloatArray:
    """Return the eigenvalues of A in the span of the probes."""
    values: FloatArray = np.linalg.eigvals(np.linalg.solve(overlaps, forms)).real
    return values


def _best_shift(
    W: FloatArray, Y: FloatArray, forms: FloatArray, overlaps: FloatArray, least: float, eps: float
) -> complex | None:
    """Return the shift of at least ``least`` whose samples vary least, None for plain samples."""
    largest = max(float(np.abs(_eigenvalues(forms, overlaps)).max()), least)
    if largest == 0:
        return None
    smallest = max(least, eps * largest)
    shifts = 1j * np.geomspace(largest, smallest, 2 + round(np.log10(largest / smallest)))
    best, lowest = None, float((W * Y).var(axis=1).sum())
    for shift in shifts:
        variance = float(_samples(W, Y, (shift, _inverse(forms, overlaps, shift))).var(axis=1).sum())
        if variance < lowest:
            best, lowest = complex(shift), variance
    return best


def heavy_rows(products: Tensor) -> Tensor:
    """Return the rows that are heaviest in some products, and some evenly spread ones."""
    size = len(products)
    if size <= 2 * CHOICE_ROWS:
        return torch.arange(size, device=products.device)
    heavy = torch.linalg.vector_norm(products, dim=1).topk(CHOICE_ROWS).indices
    even = torch.linspace(0, size - 1, CHOICE_ROWS, dtype=torch.float64, device=products.device).long()
    return torch.cat([heavy, even]).unique()
