"""Samples beside the range of products: against their slow twin."""

import numpy as np
import pytest
import torch
from matrices import kinds
from naive import range_diagonals

from hessdens.structure.range_finder import RangeFinder, lost_directions, orthonormal

KINDS = kinds(40)


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


def test_lost_directions_are_orthogonal_to_all_other_products():
    upper = np.triu(np.random.default_rng(0).standard_normal((5, 5)))
    products = lost_directions(upper).T @ upper
    np.testing.assert_allclose(products - np.diag(np.diag(products)), 0, atol=1e-12)


def test_dependent_products_have_fewer_directions():
    low_rank = np.outer(np.arange(40.0), np.arange(40.0))
    products = low_rank @ probes_of(3)
    basis, upper = orthonormal(torch.tensor(products))
    assert basis.shape == (40, 1)
    np.testing.assert_allclose(basis.numpy() @ upper, products, atol=1e-10)
    assert orthonormal(torch.zeros(40, 3))[0].shape == (40, 0)


def test_samples_are_exact_where_the_range_is_known():
    matrix = np.outer(np.arange(40.0), np.arange(40.0)) - np.outer(np.ones(40), np.ones(40))
    found = range_finder(matrix, probes_of(5))
    assert found.dependent
    np.testing.assert_allclose(found.samples(slice(None)), np.diag(matrix)[:, None] + np.zeros(5), atol=1e-9)
