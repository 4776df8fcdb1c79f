"""Samples beside the range of products: and their covariances: against slow twins."""

import numpy as np
import pytest
import torch
from matrices import kinds
from naive import range_diagonals

from hessdens.structure.diagonals.range_finder import (
    RangeFinder,
    lost_directions,
    orthonormal,
    square_left,
)
from hessdens.structure.parts import Parts, Piece

KINDS = kinds(40)
PARTS = Parts({"a": [Piece("", 0, (40,), ((0, 15),))], "b": [Piece("", 0, (40,), ((20, 40),))]})


def range_finder(matrix, probes):
    products = torch.tensor(matrix @ probes)
    basis, upper = orthonormal(products)
    return RangeFinder.of(torch.tensor(probes), products, basis, torch.tensor(matrix) @ basis, upper)


def probes_of(count, seed=0):
    return np.random.default_rng(seed).choice([-1.0, 1.0], (40, count))


@pytest.mark.parametrize("name", KINDS)
def test_samples_are_those_of_the_twin(name):
    probes = probes_of(6)
    found = range_finder(KINDS[name], probes)
    np.testing.assert_allclose(found.samples(slice(None)), range_diagonals(KINDS[name], probes), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", KINDS)
def test_covariances_are_those_of_samples_without_one_probe(name):
    matrix, probes = KINDS[name], probes_of(9)
    found = range_finder(matrix, probes)
    changes = np.zeros((40, 9, 9))
    for j in range(9):
        without = range_diagonals(matrix, np.delete(probes, j, axis=1))
        changes[:, :, j] = range_diagonals(matrix, probes) - np.insert(without, j, 0, axis=1)
        changes[:, j, j] = 0
    expected = np.einsum("nij,nji->n", changes, changes) / 72
    np.testing.assert_allclose(found.covariances(torch.arange(40)), expected, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(found.covariances(torch.tensor([7, 3])), expected[[7, 3]], rtol=1e-6, atol=1e-12)
    of_parts = np.stack([changes[:15].sum(axis=0), changes[20:].sum(axis=0)])
    expected = np.einsum("nij,nji->n", of_parts, of_parts) / 72
    np.testing.assert_allclose(found.covariances_of_sums(PARTS), expected, rtol=1e-5, atol=1e-11)


def test_no_covariances_of_few_probes_and_of_a_known_range():
    low_rank = np.outer(np.arange(40.0), np.arange(40.0))
    for matrix, count in ((KINDS["indefinite"], 7), (low_rank, 9)):
        found = range_finder(matrix, probes_of(count))
        assert found.covariances(torch.arange(4)).tolist() == [0.0] * 4
        assert found.covariances_of_sums(PARTS).tolist() == [0.0] * 2


def test_lost_directions_are_orthogonal_to_all_other_products():
    upper = np.triu(np.random.default_rng(0).standard_normal((5, 5)))
    products = lost_directions(upper).T @ upper
    np.testing.assert_allclose(products - np.diag(np.diag(products)), 0, atol=1e-12)


def test_what_products_have_outside_of_others():
    products = np.random.default_rng(0).standard_normal((40, 5)) * [1, 1e-3, 1, 1, 1e3]
    products[:, 3] = products[:, 0] + 1e-9 * products[:, 3]  # almost dependent

    def square(i, *lost):
        others = np.linalg.qr(np.delete(products, [i, *lost], axis=1)).Q
        return np.sum((products[:, i] - others @ (others.T @ products[:, i])) ** 2)

    without_one = np.mean([square(i) for i in range(5)])
    without_two = np.mean([square(i, j) for i in range(5) for j in range(5) if i != j])
    upper = np.linalg.qr(products).R
    assert square_left(upper) == pytest.approx((without_one * without_two) ** 0.5)


def test_dependent_products_have_fewer_directions():
    low_rank = np.outer(np.arange(40.0), np.arange(40.0))
    products = low_rank @ probes_of(3)
    basis, upper = orthonormal(torch.tensor(products))
    assert basis.shape == (40, 1)
    np.testing.assert_allclose(basis.numpy() @ upper, products, atol=1e-10)
    assert orthonormal(torch.zeros(40, 3))[0].shape == (40, 0)


@pytest.mark.parametrize("name", ["indefinite", "fast decay"])
def test_a_basis_is_extended_to_that_of_all_products(name):
    products = torch.tensor(KINDS[name] @ probes_of(9))
    basis, upper = orthonormal(products[:, :4])
    columns, whole = orthonormal(products[:, 4:], basis, upper)
    extended = torch.cat([basis, columns], dim=1)
    np.testing.assert_allclose(extended.T @ extended, np.eye(9), atol=1e-12)
    np.testing.assert_allclose(extended @ torch.tensor(whole), products, atol=1e-10)
    assert not np.tril(whole, -1)[:, :4].any()


def test_products_within_a_basis_add_nothing_to_it():
    low_rank = np.outer(np.arange(40.0), np.arange(40.0)) - np.outer(np.ones(40), np.ones(40))
    products = torch.tensor(low_rank @ probes_of(5))
    basis, upper = orthonormal(products[:, :2])
    columns, whole = orthonormal(products[:, 2:], basis, upper)
    assert columns.shape == (40, 0)
    np.testing.assert_allclose(basis.numpy() @ whole, products, atol=1e-9)
    columns, whole = orthonormal(torch.tensor(low_rank @ probes_of(3)), torch.empty(40, 0), np.empty((0, 2)))
    assert (columns.shape, whole.shape) == ((40, 2), (2, 5))


def test_samples_are_exact_where_the_range_is_known():
    matrix = np.outer(np.arange(40.0), np.arange(40.0)) - np.outer(np.ones(40), np.ones(40))
    found = range_finder(matrix, probes_of(5))
    assert found.dependent
    np.testing.assert_allclose(found.samples(slice(None)), np.diag(matrix)[:, None] + np.zeros(5), atol=1e-9)
