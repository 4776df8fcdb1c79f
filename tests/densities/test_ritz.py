"""Quadratures of Krylov matrices: Gauss rules, single eigenvalues, and atoms of unknown multiplicity."""

import numpy as np
import pytest

from hessdens.densities.ritz import block_quadrature, tridiagonal_quadrature


def test_radii_are_residuals_of_atoms():
    matrix = np.array([[0.0, 0.3, 0.0], [0.3, 9.0, 0.2], [0.0, 0.2, 7.0]])  # of which two vectors have been multiplied
    quadrature = block_quadrature(matrix, 2, np.eye(2), 50, 1e-15)
    ritz, vectors = np.linalg.eigh(matrix[:2, :2])
    np.testing.assert_allclose(quadrature.abscissae, ritz)
    assert quadrature.atoms.all()
    np.testing.assert_allclose(quadrature.radii, np.abs(matrix[2, :2] @ vectors), atol=1e-14)


def test_jacobi_matrices_of_the_legendre_polynomials_have_gauss_legendre_rules():
    count = 6
    k = np.arange(1, count)
    off_diagonal = np.append(k / np.sqrt(4 * k**2 - 1), 0.0)
    quadrature = tridiagonal_quadrature(np.zeros((count, 2)), np.stack([off_diagonal] * 2, axis=1), 100)
    abscissae, weights = np.polynomial.legendre.leggauss(count)
    np.testing.assert_allclose(quadrature.abscissae, np.repeat(abscissae, 2), atol=1e-14)
    np.testing.assert_allclose(quadrature.weights.sum(axis=0), np.repeat(weights / 2, 2), rtol=1e-12)
    np.testing.assert_allclose(quadrature.weights.sum(axis=1), 1)
    assert not quadrature.interlaces
    assert not quadrature.atoms.any()


def test_a_recurrence_that_ends_has_fewer_points():
    diagonal, off_diagonal = np.array([[1.0, 5.0], [2.0, 6.0]]), np.array([[0.5, 0.0], [0.0, 0.0]])
    quadrature = tridiagonal_quadrature(diagonal, off_diagonal, 10)
    ends = np.linalg.eigvalsh([[1.0, 0.5], [0.5, 2.0]])
    np.testing.assert_allclose(quadrature.abscissae, [*ends, 5.0])
    np.testing.assert_allclose(quadrature.weights[1], [0, 0, 1])


def test_a_space_that_is_all_knows_each_eigenvalue():
    """Weights of 1/N each; nothing is left over, so that eigenvalues of unknown multiplicity are atoms."""
    matrix = np.diag([1.0, 2.0, 3.0])
    alone = block_quadrature(matrix, 3, np.full((2, 3), np.sqrt(1 / 3)), 4, 1e-15)
    assert len(alone.eigenvalues) + len(alone.abscissae) == 3
    assert alone.weights.sum(axis=1) + len(alone.eigenvalues) / 4 == pytest.approx([1, 1])
