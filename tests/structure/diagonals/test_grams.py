"""Inner products within parts, against dense ones."""

import numpy as np
import torch

from hessdens.structure.diagonals.grams import part_grams, sum_of
from hessdens.structure.parts import Parts, Piece


def test_inner_products_within_boxes():
    rng = np.random.default_rng(0)
    V, W = rng.standard_normal((2, 20, 3))
    boxes = [Piece("w", 2, (3, 4), ((0, 3), (1, 3))), Piece("b", 14, (6,), ((0, 6),))]
    parts = Parts({"mixed": boxes, "rest": [Piece("c", 0, (2,), ((0, 2),))]})
    entries = [*(2 + 4 * i + j for i in range(3) for j in (1, 2)), *range(14, 20)]
    grams = part_grams(parts, {"V": torch.tensor(V), "W": torch.tensor(W)})
    assert list(grams) == ["VV", "VW", "WW"]
    np.testing.assert_allclose(grams["VW"][0], V[entries].T @ W[entries])
    np.testing.assert_allclose(grams["WW"][1], W[:2].T @ W[:2])


def test_sum_of_arrays():
    np.testing.assert_array_equal(sum_of([np.ones(2), np.arange(2.0)]), [1.0, 2.0])
