"""The split of products between a deflated space and probes: what is expected, and what is chosen from it."""

import numpy as np
import pytest
import torch
from networks import NETWORK, diagonal

from hessdens.densities.bounds import masses
from hessdens.estimators import count_split
from hessdens.estimators.count_split import best_split, deflated_by, is_whole
from hessdens.linalg.block_lanczos import BlockLanczos


def space_of(eigenvalues, num_steps):
    start = torch.randn(1, len(eigenvalues), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    space = BlockLanczos(diagonal(eigenvalues), start, num_steps)
    while space.num_steps < num_steps and not space.is_invariant:
        space.step()
    return space


def test_expected_counts_are_those_of_the_spectrum():
    deflated = deflated_by(space_of(NETWORK, 40), len(NETWORK), 1000)
    assert deflated.counts.sum() == pytest.approx(len(NETWORK))
    assert (np.diff(deflated.points) > 0).all()
    assert (deflated.counts[deflated.found] == 1).all()
    found = deflated.points[deflated.found]
    assert len(found) >= 15
    assert np.abs(NETWORK[:, None] - found).min(axis=0).max() < 1e-3
    outside = deflated.counts[np.abs(deflated.points) >= 0.1].sum()
    assert outside == pytest.approx(np.count_nonzero(np.abs(NETWORK) >= 0.1), rel=0.3)
    expected = np.zeros(40)
    expected[-1] = np.abs(deflated.coupling).max()
    np.testing.assert_allclose(np.abs(deflated.coupling), expected, atol=1e-12 * expected[-1])


def test_points_stand_for_one_eigenvalue_each_where_there_is_room():
    ritz, counts = np.array([-1.0, 0.0, 0.1, 5.0]), np.array([1.0, 500.0, 40.0, 1.2])
    points, places = count_split._spread(ritz, counts, 100_000)
    assert np.bincount(places).tolist() == [1, 500, 40, 1]
    assert points[[0, -1]].tolist() == [-1.0, 5.0]
    middle = points[places == 1]
    assert -0.05 < middle.min() < -0.0495, "no further than the nearer neighbour lets them, where a gap is wide"
    assert 0.0495 < middle.max() < 0.05
    assert (np.diff(points) > 0).all()
    assert np.bincount(count_split._spread(ritz, counts, 80)[1]).tolist() == [1, 20, 20, 1]


def test_recurrence_of_masses_is_that_of_lanczos():
    points, weights = np.linspace(-1, 1, 30), np.random.default_rng(0).random(30)
    jacobi, basis = count_split._lanczos(points, weights, 12)
    np.testing.assert_allclose(basis @ basis.T, np.eye(12), atol=1e-12)
    tridiagonal = (
        np.diag(jacobi.diagonal) + np.diag(jacobi.off_diagonal[:-1], 1) + np.diag(jacobi.off_diagonal[:-1], -1)
    )
    np.testing.assert_allclose(basis @ (points * basis).T, tridiagonal, atol=1e-12)
    left, with_edge = masses(jacobi, np.array([0.3]))
    assert left[0] <= weights[points < 0.3].sum() / weights.sum() <= with_edge[0]
    assert len(count_split._lanczos(np.array([1.0, 2.0]), np.ones(2), 9)[0].diagonal) == 2


def test_space_is_whole_where_more_steps_add_rounding():
    eigenvalues = np.repeat([1.0, -1.0], [700, 300])
    assert is_whole(space_of(eigenvalues, 2))
    assert not is_whole(space_of(eigenvalues, 1))
    assert not is_whole(space_of(NETWORK, 20))


@pytest.mark.parametrize("max_products", [5, 30, 120])
def test_all_products_are_spent_where_there_is_use_for_them(max_products):
    deflated = deflated_by(space_of(NETWORK, 3), len(NETWORK), max_products)
    split = best_split(deflated, max_products, 0.1, 0.01, whole=False)
    assert split.num_deflated >= 3
    assert split.num_probes >= 1
    spent = split.num_deflated + split.num_probes * split.num_steps
    assert max_products - split.num_probes < spent <= max_products


def test_dense_spectra_take_more_steps_than_outliers():
    semicircle = np.cos(np.pi * (np.arange(1000) + 0.5) / 1000) * np.sqrt(np.random.default_rng(0).random(1000))
    outliers = np.concatenate([np.linspace(-0.02, 0.02, 980), np.linspace(0.5, 9, 20)])
    dense, sparse = (
        best_split(deflated_by(space_of(values, 40), 1000, 150), 150, 0.1, 0.01, whole=False)
        for values in (semicircle, outliers)
    )
    assert dense.num_steps > 2 * sparse.num_steps


def test_a_gap_beside_many_eigenvalues_is_not_taken_to_be_full():
    """Else deflation would seem to leave what is not there, and all products would go to a single probe."""
    eigenvalues = np.concatenate([np.linspace(-0.02, 0.02, 5_000), np.geomspace(0.3, 30, 60)])
    deflated = deflated_by(space_of(eigenvalues, 40), len(eigenvalues), 150)
    between = deflated.counts[(deflated.points > 0.05) & (deflated.points < 0.25)]
    assert between.sum() < 5
    split = best_split(deflated, 150, 0.1, 0.01, whole=False)
    assert split.num_deflated > 60


def test_no_more_probes_than_give_exact_counts():
    eigenvalues = np.concatenate([np.zeros(997), [5.0, 1.0, -0.3]])
    space = space_of(eigenvalues, 9)
    split = best_split(deflated_by(space, 1000, 200), 200, 0.1, 0.01, whole=True)
    assert split.num_deflated == 4
    assert split.num_probes * split.num_steps <= 60, "of 196: an outlier may be there twice"
