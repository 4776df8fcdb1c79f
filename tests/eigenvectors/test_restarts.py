"""Restarts: the basis stays orthonormal, its coefficients are those of the matrix, and spaces that end go on."""

import numpy as np
import pytest
import torch

from hessdens import as_operator
from hessdens.eigenvectors.restarts import RestartedLanczos
from hessdens.linalg.probes import operator_probes
from hessdens.testing import rotated


def restarted(matrix, which="largest", width=1, num_wanted=3, num_vectors=12, num_kept=6, dtype=torch.float64):
    operator = as_operator(torch.as_tensor(matrix, dtype=dtype))

    def new_block(index):
        return operator_probes(operator, 0, index * width, (index + 1) * width, "gaussian")

    return RestartedLanczos(operator, new_block, which, num_wanted, num_vectors, num_kept)


def assert_is_of(walk, matrix, atol):
    """Check basis and coefficients against the matrix, and residuals of pairs against those of their vectors."""
    space = walk.space
    basis = space.basis(space.num_steps + 1).double().numpy()
    known = space.num_products
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=atol)
    inside = basis[:known] @ matrix @ basis[:known].T
    np.testing.assert_allclose(space.matrix()[:known, :known], inside, atol=atol)
    vectors = space.combinations(walk.pairs.coordinates).double().numpy()
    residuals = np.linalg.norm(vectors @ matrix - walk.pairs.values[:, None] * vectors, axis=1)
    assert (residuals <= np.linalg.norm(walk.pairs.residuals, axis=0) + walk.slack() + atol).all()


@pytest.mark.parametrize("which", ["largest", "smallest", "both", "magnitude", 0.3])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_coefficients_stay_those_of_the_matrix(which, width):
    matrix = rotated(np.linspace(-1, 2, 50) ** 3, np.random.default_rng(1))
    walk = restarted(matrix, which, width, num_vectors=14)
    for _ in range(40):
        walk.step()
        assert_is_of(walk, matrix, 1e-12)
    assert walk.num_products == 40 * width
    assert walk.num_passes == 40
    assert walk.space.num_products <= 14 + 2 * width


def test_float32_stays_within_its_floor_over_many_restarts():
    eigenvalues = np.concatenate([[1e3, -3e2, 50.0], np.linspace(-1, 1, 200)])
    matrix = rotated(eigenvalues, np.random.default_rng(2))
    walk = restarted(matrix, "magnitude", 2, dtype=torch.float32)
    for _ in range(150):
        walk.step()
    assert_is_of(walk, matrix.astype(np.float32).astype(np.float64), 3e-3)
    assert walk.floor < 1e-2
    np.testing.assert_allclose(walk.pairs.values[:3], [1e3, -3e2, 50.0], atol=walk.floor)


@pytest.mark.parametrize("width", [1, 2])
def test_a_space_that_has_ended_goes_on_until_copies_are_found(width):
    eigenvalues = np.array([5.0] * 4 + [2.0] * 3 + [0.0] * 23)
    matrix = rotated(eigenvalues, np.random.default_rng(3))
    walk = restarted(matrix, width=width, num_wanted=6, num_kept=8)
    seen = False
    for _ in range(30):
        walk.step()
        assert_is_of(walk, matrix, 1e-12)
        seen = walk.has_seen_all
        if walk.space.is_invariant and seen:
            break
        assert not (seen and len(walk.pairs.values) < 6)
    assert seen
    np.testing.assert_allclose(walk.pairs.values[:6], [5, 5, 5, 5, 2, 2], atol=1e-12)


def test_a_new_block_in_the_complement_leaves_residuals_that_are_counted():
    """What is kept has not converged: its residuals lie outside of the new space, and must not be forgotten."""
    matrix = rotated(np.linspace(-1, 1, 40), np.random.default_rng(4))
    walk = restarted(matrix)
    for _ in range(8):
        walk.step()
    walk._renew()
    for _ in range(4):
        walk.space.step()
        walk._look()
        assert_is_of(walk, matrix, 1e-12)
    assert walk.slack()[0] > 1e-3


@pytest.mark.parametrize("which", ["largest", "both", "magnitude"])
def test_only_directions_that_open_pairs_need_are_multiplied(which):
    """Coefficients stay those of the matrix; once all but one pair have converged, single vectors are multiplied."""
    matrix = rotated(np.concatenate([np.linspace(-1, 1, 80), [3.0, 4.0, -5.0]]), np.random.default_rng(5))
    walk, whole = (restarted(matrix, which, 2, num_wanted=4, num_vectors=20, num_kept=10) for _ in range(2))
    while not walk.has_found(1e-6):
        walk.step(1e-6)
        assert_is_of(walk, matrix, 1e-12)
    while not whole.has_found(1e-6):
        whole.step()
    assert walk.num_products < whole.num_products == 2 * whole.num_passes
    assert walk.num_products > walk.num_passes
    np.testing.assert_allclose(walk.pairs.values[:4], whole.pairs.values[:4], atol=1e-9)


def test_residuals_say_which_directions_are_needed_once_nothing_beyond_is_likely():
    matrix = rotated(np.concatenate([np.linspace(-1, 1, 80), [3.0, 4.0, -5.0]]), np.random.default_rng(6))
    walk = restarted(matrix, "largest", 3, num_wanted=2, num_vectors=30)
    while not walk.num_passes or not walk.excludes_others(1e-3):
        assert walk._directions(1e-3) is None
        walk.step(1e-3)
    assert walk.num_products == 3 * walk.num_passes
    residuals = walk.pairs.residuals[walk.space.num_products :, :2]
    directions = walk._directions(1e-3)
    assert directions.shape[1] < 3, "of two pairs there are two residuals at most"
    np.testing.assert_allclose(directions.T @ directions, np.eye(directions.shape[1]), atol=1e-12)
    left = residuals - directions @ (directions.T @ residuals)
    assert np.linalg.norm(left, 2) <= 0.1 * np.linalg.norm(residuals, 2)
    interior = restarted(matrix, 0.3, 3)
    interior.step()
    assert interior._directions(1e-3) is None


def test_both_ends_are_excluded_where_both_are_wanted():
    """The upper end stands alone here, and the lower one is dense."""
    matrix = rotated(np.concatenate([np.linspace(-1, 0, 80), [5.0]]), np.random.default_rng(7))
    states = []
    for which, wanted in (("largest", 2), ("both", 1), ("both", 2)):
        walk = restarted(matrix, which, 2, num_wanted=wanted, num_vectors=30)
        while not walk.num_passes or not walk.excludes_others(1e-2):
            walk.step()
        states.append(walk.num_passes)
    assert states[0] == states[1] < states[2]


def test_the_end_of_a_restarted_space_is_no_end_of_the_spectrum():
    """What a restart forgets is not known, though the space that is kept is mapped to itself."""
    eigenvalues = np.concatenate([np.linspace(-3, -1, 40), [1.0, 5.0, 6.0]])
    walk = restarted(np.diag(eigenvalues), num_vectors=8, num_kept=2, num_wanted=1)
    for _ in range(9):
        walk.step()
    walk.space._offsets[-1] = walk.space._offsets[-2]
    assert walk.space.is_invariant
    assert walk.pairs.values.min() > -3, "the lowest are forgotten"
    low, high = walk.enclosure()
    assert low <= -3
    assert high >= 6


def test_of_a_whole_space_both_ends_are_known_though_few_pairs_near_a_value_are():
    eigenvalues = np.linspace(-1, 1, 30)
    walk = restarted(np.diag(eigenvalues), 0.3, num_wanted=2, num_vectors=40, num_kept=5)
    while not walk.is_whole:
        walk.step()
    np.testing.assert_allclose(walk.enclosure(), [-1, 1], atol=1e-10)
