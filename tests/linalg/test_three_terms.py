"""The three-term recurrence: Jacobi matrices of each start vector, and their end."""

import numpy as np
import pytest
import torch
from naive import lanczos_quadrature

from hessdens import NonFiniteError, as_operator
from hessdens.linalg.three_terms import ThreeTermLanczos


def start_rows(width, size):
    return torch.randn(width, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def grown(operator, start, steps):
    space = ThreeTermLanczos(operator, start, steps)
    while space.num_steps < steps and not space.is_invariant:
        space.step()
    return space


def jacobi(space, column, steps):
    off_diagonal = space.off_diagonal[: steps - 1, column]
    return np.diag(space.diagonal[:steps, column]) + np.diag(off_diagonal, 1) + np.diag(off_diagonal, -1)


def test_jacobi_matrices_give_the_gauss_quadrature_of_each_start_vector():
    eigenvalues = np.linspace(-1, 4, 60)
    start = start_rows(3, 60)
    space = grown(as_operator(np.diag(eigenvalues)), start, 7)
    for column, probe in enumerate(start.numpy()):
        nodes, weights = lanczos_quadrature(eigenvalues, probe, 7)
        found, vectors = np.linalg.eigh(jacobi(space, column, 7))
        np.testing.assert_allclose(found, nodes, atol=1e-9)
        np.testing.assert_allclose(vectors[0] ** 2, weights, atol=1e-9)
    assert (space.num_steps, space.num_products) == (7, 21)
    assert space.symmetry_defect() < 1e-12
    assert np.isnan(space.orthogonality_defect())


def test_recurrences_end_one_by_one():
    """A start vector in an eigenspace ends at once, one in two of them after two steps; products are counted so."""
    eigenvalues = torch.repeat_interleave(torch.tensor([1.0, 3.0], dtype=torch.float64), 5)
    start = torch.ones(2, 10, dtype=torch.float64)
    start[0, 5:] = 0
    space = grown(as_operator(torch.diag(eigenvalues)), start, 6)
    assert space.is_invariant
    assert (space.num_steps, space.num_products) == (2, 3)
    assert space.diagonal.shape == (6, 2)
    np.testing.assert_allclose(space.off_diagonal, [[0, 1], *[[0, 0]] * 5], atol=1e-14)
    np.testing.assert_allclose(np.linalg.eigvalsh(jacobi(space, 1, 2)), [1, 3])


def test_products_that_are_not_symmetric():
    skew = torch.triu(0.01 * torch.ones(30, 30, dtype=torch.float64), 1)
    matrix = torch.diag(torch.linspace(-1, 2, 30, dtype=torch.float64)) + skew - skew.T
    space = grown(as_operator(matrix, check_symmetric=False), start_rows(2, 30), 5)
    assert space.symmetry_defect() > 1e-3


def test_products_that_are_not_finite():
    operator = as_operator(lambda V: V * torch.inf, size=3, check_symmetric=False)
    with pytest.raises(NonFiniteError, match="that of probe 0 in Lanczos step 1 is not"):
        grown(operator, start_rows(2, 3), 3)


def test_symmetry_defect_is_relative_to_the_longest_product():
    """v·Aw and w·Av of the first two vectors, the unit vectors, are 3 and 3.03; no product is longer than that."""
    matrix = torch.tensor([[0.0, 3.0, 0.0], [3.03, 0.0, 1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    for unit in (1e-9, 1.0, 1e9):
        operator = as_operator(unit * matrix, check_symmetric=False)
        space = grown(operator, torch.eye(3, dtype=torch.float64)[:1], 2)
        assert space.symmetry_defect() == pytest.approx(0.03 / 10**0.5, rel=1e-9)
        np.testing.assert_allclose(space.off_diagonal[:, 0], [3.03 * unit, unit], rtol=1e-9)
