"""The diagonal block of an operator on the entries of a part, against the dense block."""

import numpy as np
import torch

from hessdens import as_operator
from hessdens.structure.block import BlockOperator
from hessdens.structure.parts import Parts, Piece

MATRIX = np.random.default_rng(0).standard_normal((12, 12))
MATRIX += MATRIX.T
A = as_operator(MATRIX)
PIECES = [Piece("w", 2, (2, 4), ((0, 2), (1, 3))), Piece("b", 10, (2,), ((0, 2),))]
ENTRIES = [3, 4, 7, 8, 10, 11]


def test_products_are_those_of_the_dense_block():
    block = BlockOperator(A, PIECES)
    assert (block.size, block.dtype) == (6, A.dtype)
    V = torch.randn(6, 3, dtype=torch.float64)
    torch.testing.assert_close(block @ V, torch.tensor(MATRIX[np.ix_(ENTRIES, ENTRIES)]) @ V)


def test_origin_tells_blocks_apart():
    first, second = BlockOperator(A, PIECES), BlockOperator(A, PIECES[:1])
    assert first.origin() != second.origin()
    assert first.origin() == BlockOperator(A, PIECES).origin()
    assert (first.has_whole_origin, first.state_checksum()) == (A.has_whole_origin, A.state_checksum())
    assert Parts({"p": PIECES}).sizes == (first.size,)
