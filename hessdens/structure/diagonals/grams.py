"""Inner products of vectors within parts: what sums over the entries of a part are made of."""

from collections.abc import Mapping
from itertools import combinations_with_replacement

import numpy as np
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.linalg.inner_products import gram
from hessdens.structure.parts import Parts

# By the names of both: "WY" has the inner products of W and Y within each part, shape (parts, P, P).
PartGrams = Mapping[str, FloatArray]


def part_grams(parts: Parts, vectors: Mapping[str, Tensor]) -> PartGrams:
    """Return the inner products, in float64, of all pairs of vectors, each of shape (N, P), within each part."""
    grams = {}
    for first, second in combinations_with_replacement(vectors, 2):
        V, W = vectors[first], vectors[second]
        grams[first + second] = np.stack(
            [sum_of(gram(_rows(piece.of(V)), _rows(piece.of(W))) for piece in boxes) for boxes in parts.pieces]
        )
    return grams


def sum_of(matrices: object) -> FloatArray:
    """Return the sum of arrays."""
    total: FloatArray = np.sum(list(matrices), axis=0)  # type: ignore[call-overload]
    return total


def _rows(box: Tensor) -> Tensor:
    return box.flatten(end_dim=-2)
