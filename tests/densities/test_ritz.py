"""Quadratures of Krylov matrices: Gauss rules, single eigenvalues, and atoms of unknown multiplicity."""

import numpy as np
import pytest

from hessdens.densities.ritz import block_quadrature, tridiagonal_quadrature


def test_what_is_left_open_are_ritz_vectors_that_were_not_found_with_their_coupling_and_probes():
    matrix = np.array([[0.0, 0.3, 0.0, 0.0], [0.3, 9.0, 0.2, 0.0], [0.0, 0.2, 8.9, 3.0], [0.0, 0.0, 3.0, 0.0]])
    start = np.array([[1.0, 0.1, 0.0], [0.0, 1.0, 0.0]])
    quadrature, rest = block_quadrature(matrix, 3, start, 50, 1e-15)
    ritz, vectors = np.linalg.eigh(matrix[:3, :3])
    is_rest = ~np.isin(ritz, quadrature.eigenvalues)
    assert 0 < is_rest.sum() < 3
    np.testing.assert_allclose(rest.ritz_values, ritz[is_rest])
    np.testing.assert_allclose(np.abs(rest.coupling), np.abs(matrix[3:, :3] @ vectors)[:, is_rest], atol=1e-15)
    np.testing.assert_allclose(np.abs(rest.probes), np.abs(start @ vectors)[:, is_rest], atol=1e-15)
    assert rest.rounding == 1e-15


def test_jacobi_matrices_of_the_legendre_polynomials_have_gauss_legendre_rules():
    count = 6
    k = np.arange(1, count)
    off_diagonal = np.append(k / np.sqrt(4 * k**2 - 1), 0.0)
    quadrature, spaces = tridiagonal_quadrature(np.zeros((count, 2)), np.stack([off_diagonal] * 2, axis=1), 100, 1e-15)
    abscissae, weights = np.polynomial.legendre.leggauss(count)
    np.testing.assert_allclose(quadrature.abscissae, np.repeat(abscissae, 2), atol=1e-14)
    np.testing.assert_allclose(quadrature.weights.sum(axis=0), np.repeat(weights / 2, 2), rtol=1e-12)
    np.testing.assert_allclose(quadrature.weights.sum(axis=1), 1)
    assert not quadrature.interlaces
    assert not quadrature.atoms.any()
    assert [space.coupling.shape for space in spaces] == [(0, count)] * 2
    np.testing.assert_allclose(spaces[1].probes[0] ** 2, weights / 2, rtol=1e-12)


def test_a_recurrence_that_ends_has_fewer_points():
    diagonal, off_diagonal = np.array([[1.0, 5.0], [2.0, 6.0]]), np.array([[0.5, 0.0], [0.0, 0.0]])
    quadrature, spaces = tridiagonal_quadrature(diagonal, off_diagonal, 10, 1e-15)
    ends = np.linalg.eigvalsh([[1.0, 0.5], [0.5, 2.0]])
    np.testing.assert_allclose(quadrature.abscissae, [*ends, 5.0])
    np.testing.assert_allclose(quadrature.weights[1], [0, 0, 1])
    assert [len(space.coupling) for space in spaces] == [0, 0]


def test_a_recurrence_that_goes_on_is_coupled_to_its_next_vector():
    diagonal, off_diagonal = np.array([[1.0], [2.0]]), np.array([[0.5], [0.7]])
    _, (space,) = tridiagonal_quadrature(diagonal, off_diagonal, 10, 1e-15)
    _, vectors = np.linalg.eigh([[1.0, 0.5], [0.5, 2.0]])
    np.testing.assert_allclose(np.abs(space.coupling), 0.7 * np.abs(vectors[1:]))


def test_a_space_that_is_all_knows_each_eigenvalue():
    """Weights of 1/N each; nothing is left over, so that eigenvalues of unknown multiplicity are atoms."""
    matrix = np.diag([1.0, 2.0, 3.0])
    alone, _ = block_quadrature(matrix, 3, np.full((2, 3), np.sqrt(1 / 3)), 4, 1e-15)
    assert len(alone.eigenvalues) + len(alone.abscissae) == 3
    assert alone.weights.sum(axis=1) + len(alone.eigenvalues) / 4 == pytest.approx([1, 1])


def krylov_matrix(ritz, residuals):
    """Return the matrix of a space with these Ritz values, at which so much of the products leaves the space."""
    return np.block([[np.diag(ritz), np.diag(residuals)], [np.diag(residuals), np.zeros((len(ritz),) * 2)]])


@pytest.mark.parametrize("residuals", [[0.05, 0.06], [0.06, 0.0015], [0.0015, 0.06]])
def test_ritz_values_nearer_than_their_residuals_are_one_atom(residuals):
    """As wide as residuals squared over the distance to the next allow, and as many as there are probes."""
    matrix = krylov_matrix([0.0, 0.004, 1.0], [*residuals, 0.0])
    quadrature, _ = block_quadrature(matrix, 3, np.array([[0.6, 0.8], [2.0, 0.0]]), 10, 1e-9)
    assert quadrature.eigenvalues == pytest.approx([1.0])
    assert quadrature.abscissae == pytest.approx([0.002])
    assert quadrature.atoms.tolist() == [True]
    np.testing.assert_allclose(quadrature.weights, [[0.9], [0.9]])
    assert quadrature.interlaces


@pytest.mark.parametrize(
    ("ritz", "residuals"),
    [
        ([0.0, 0.02, 1.0], [0.05, 0.05, 0.0]),  # wider than 2 residual² / distance: a band
        ([0.0, 0.004, 0.1], [0.05, 0.05, 0.0]),  # the next is not far enough
        ([-0.1, 0.0, 0.004], [0.0, 0.05, 0.05]),
        ([0.0, 0.12, 1.0], [0.05, 0.05, 0.0]),  # told apart, but not known
    ],
)
def test_ritz_values_that_are_no_eigenvalue_are_points(ritz, residuals):
    quadrature, _ = block_quadrature(krylov_matrix(ritz, residuals), 3, np.eye(2), 10, 1e-9)
    known = np.array(residuals) == 0
    assert quadrature.eigenvalues == pytest.approx(np.array(ritz)[known])
    assert quadrature.abscissae == pytest.approx(np.array(ritz)[~known])
    assert not quadrature.atoms.any()


def test_rounding_alone_parts_equal_eigenvalues():
    """Of products with an error of 1e-6, two Ritz values that differ by five of it are one eigenvalue, by 50 two."""
    for apart, points in ((5e-6, 1), (50e-6, 2)):
        matrix = krylov_matrix([0.0, apart, 1.0], [2e-5, 2e-5, 0.0])
        quadrature, _ = block_quadrature(matrix, 3, np.eye(2), 10, 1e-6)
        assert len(quadrature.abscissae) == points
        assert quadrature.residuals == pytest.approx([1e-6])


@pytest.mark.parametrize(("weight", "known"), [(3.0, True), (300.0, False)])
def test_too_much_weight_is_more_than_one_eigenvalue(weight, known):
    start = np.sqrt(np.array([[weight, 1.0], [weight, 2.0]]))
    quadrature, _ = block_quadrature(krylov_matrix([1.0, 2.0, 3.0], [0.0, 0.9, 0.9]), 3, start, 10, 1e-9)
    assert quadrature.eigenvalues.tolist() == ([1.0] if known else [])
    assert quadrature.atoms.tolist() == ([] if known else [True]) + [False, False]


def test_weights_are_scaled_for_each_probe():
    start = np.array([[1.0, 2.0], [0.0, 0.0]])  # the second probe sees neither
    quadrature, _ = block_quadrature(krylov_matrix([1.0, 2.0], [0.9, 0.9]), 2, start, 10, 1e-9)
    np.testing.assert_allclose(quadrature.weights, [[0.2, 0.8]] * 2)


def test_one_probe_knows_no_multiplicity():
    quadrature, _ = block_quadrature(krylov_matrix([1.0, 4.0], [0.0, 0.5]), 2, np.array([[0.6, 0.8]]), 10, 1e-9)
    assert len(quadrature.eigenvalues) == 0
    assert quadrature.atoms.tolist() == [True, True]
