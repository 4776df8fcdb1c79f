"""Inner products in float64 of blocks in any precision, what is not finite, and factorisations over processes."""

import math

import numpy as np
import pytest
import torch

from hessdens import NonFiniteError
from hessdens.linalg import inner_products
from hessdens.linalg.inner_products import asymmetry, column_dots, gram, raise_if_not_finite, row_lengths, thin_qr
from hessdens.linalg.team import Team

GENERATOR = torch.Generator().manual_seed(0)
V, W = (torch.randn(50, 3, generator=GENERATOR) for _ in range(2))


class Half(Team):
    """Two processes with half of the rows each, seen from one; the other's part is known here."""

    is_sharded = True

    def __init__(self, other):
        self.other = other

    def sum(self, part):
        return part + self.other


@pytest.mark.parametrize("rows", [7, 50, 65_536])
def test_dots_are_summed_in_double_precision(rows, monkeypatch):
    monkeypatch.setattr(inner_products, "ROWS_PER_CHUNK", rows)
    expected = (V.double() * W.double()).sum(dim=0)
    torch.testing.assert_close(column_dots(V, W), expected, rtol=1e-14, atol=1e-14)
    assert column_dots(V, W).dtype == torch.float64
    np.testing.assert_allclose(gram(V, W), V.double().T @ W.double(), rtol=1e-14, atol=1e-14)


def test_sums_over_processes():
    torch.testing.assert_close(column_dots(V[:20], W[:20], Half(column_dots(V[20:], W[20:]))), column_dots(V, W))
    other = torch.from_numpy(gram(V[20:], W[20:]))
    np.testing.assert_allclose(gram(V[:20], W[:20], Half(other)), gram(V, W), rtol=1e-13)
    lengths = row_lengths(V.T[:, :20], Half(row_lengths(V.T[:, 20:]).square()))
    torch.testing.assert_close(lengths, row_lengths(V.T))
    torch.testing.assert_close(row_lengths(V.T), V.double().norm(dim=0))


def test_asymmetry_is_relative_to_products():
    matrix = torch.randn(50, 50, generator=GENERATOR)
    symmetric = matrix + matrix.T
    assert asymmetry(V, symmetric @ V) < 1e-5
    gram = V.T @ matrix @ V
    expected = float((gram - gram.T).abs().max()) / (float((matrix @ V).norm()) / math.sqrt(3))
    assert asymmetry(V, matrix @ V) == pytest.approx(expected, rel=1e-4)
    assert asymmetry(1e3 * V, 1e3 * (matrix @ V)) == pytest.approx(1e3 * expected, rel=1e-4)
    assert math.isnan(asymmetry(V[:, :1], W[:, :1]))
    assert asymmetry(V, torch.zeros_like(V)) == 0
    # As a part of a matrix of a larger norm, and of a smaller one.
    lengths = float((matrix @ V).norm() / V.norm())
    assert asymmetry(V, matrix @ V, norm=7 * lengths) == pytest.approx(expected / 7, rel=1e-4)
    assert asymmetry(V, matrix @ V, norm=0.5 * lengths) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("values", [[1.0, math.inf, math.nan], [[1.0, 2.0, 3.0], [1.0, math.nan, 3.0]]])
def test_the_first_product_that_is_not_finite_is_named(values):
    with pytest.raises(NonFiniteError, match=r"^Products must be finite; product 7 of probe 11 is not \(overflow or"):
        raise_if_not_finite(torch.tensor(values), "product 7 of probe {}", 10)
    raise_if_not_finite(torch.zeros(2, 3), "product 7 of probe {}")


class Parts(Team):
    """The first of two processes, of which the other one's rows are known."""

    is_sharded = True

    def __init__(self, other):
        self.other = other

    def gather(self, part):
        return [part, torch.linalg.qr(self.other).R], 0


@pytest.mark.parametrize("rows", [1, 20])
def test_factorisation_of_parts_is_that_of_the_whole(rows):
    V = torch.randn(30, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    q, r = thin_qr(V[:rows], Parts(V[rows:]))
    torch.testing.assert_close(q @ r, V[:rows], rtol=0, atol=1e-13)
    torch.testing.assert_close(r.T @ r, V.T @ V, rtol=1e-13, atol=1e-13)
