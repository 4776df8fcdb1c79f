"""Which Ritz pairs are wanted, and harmonic ones near a value."""

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles

from hessdens.eigenvectors.selection import checked_which, named, order_of, ritz_pairs

VALUES = np.array([-3.0, -1.0, 0.5, 2.0, 2.5])


@pytest.mark.parametrize(
    ("which", "first"),
    [
        ("largest", [2.5, 2.0, 0.5]),
        ("smallest", [-3.0, -1.0, 0.5]),
        ("both", [2.5, -3.0, 2.0, -1.0, 0.5]),
        ("magnitude", [-3.0, 2.5, 2.0]),
        (0.4, [0.5, -1.0, 2.0]),
    ],
)
def test_most_wanted_come_first(which, first):
    order = order_of(VALUES, which)
    assert sorted(order) == list(range(5)), "each once"
    assert VALUES[order][: len(first)].tolist() == first


@pytest.mark.parametrize("values", [np.zeros(5), np.array([1.0, 1.0, 0.0, 0.0]), np.array([2.0, 1.0, 1.0])])
@pytest.mark.parametrize("which", ["largest", "smallest", "both", "magnitude", 0.5])
def test_equal_values_come_once_each(values, which):
    assert sorted(order_of(values, which)) == list(range(len(values)))


def test_which_is_an_end_or_a_finite_number():
    assert checked_which("both") == "both"
    assert checked_which(2) == 2.0
    assert named(checked_which(0.25)) == "near 0.25"
    rule = "which must be one of largest, smallest, both, magnitude, or a number; got "
    with pytest.raises(ValueError, match=f"{rule}'best'.$"):
        checked_which("best")
    for name, same in [("LA", "largest"), ("SA", "smallest"), ("LM", "magnitude"), ("BE", "both")]:
        with pytest.raises(ValueError, match=f"{rule}'{name}'. Write which='{same}'."):
            checked_which(name)
    for bad in (None, [1.0, 2.0], 1j):
        with pytest.raises(TypeError, match=rule):
            checked_which(bad)
    assert checked_which(torch.tensor(0.25)) == 0.25
    for bad in (np.inf, np.nan, True):
        with pytest.raises(ValueError, match="which must be a finite number"):
            checked_which(bad)


def krylov(matrix, steps, seed=0):
    """Return an orthonormal Krylov basis, as columns, by the slow way, and the matrix in it."""
    vector = np.random.default_rng(seed).standard_normal(len(matrix))
    powers = [vector]
    for _ in range(steps):
        powers.append(matrix @ np.linalg.qr(np.stack(powers, axis=1))[0][:, -1])
    basis = np.linalg.qr(np.stack(powers, axis=1))[0]
    return basis, basis.T @ matrix @ basis


@pytest.mark.parametrize("which", ["largest", "both", 0.31, 0.0])
def test_pairs_and_what_follows_them_hold_what_the_matrix_maps_them_to(which):
    """Otherwise a restart would forget a part of the matrix, and its residuals would be wrong."""
    matrix = np.diag(np.linspace(-1, 1, 60))
    basis, inside = krylov(matrix, 12)
    inside[-1, -1] = 0.0  # as BlockLanczos has it: the last vector has not been multiplied
    pairs = ritz_pairs(inside, 12, which, 5)
    count = 12 if isinstance(which, str) else 5
    assert pairs.coordinates.shape == (13, count)
    kept, following = pairs.coordinates[:, :5], pairs.following
    both = np.concatenate([kept, following], axis=1)
    np.testing.assert_allclose(both.T @ both, np.eye(6), atol=1e-10)
    vectors = basis @ kept
    residuals = matrix @ vectors - vectors * pairs.values[:5]
    np.testing.assert_allclose(residuals, basis @ pairs.residuals[:, :5], atol=1e-10)
    images = matrix @ vectors
    np.testing.assert_allclose(images, basis @ both @ (both.T @ (basis.T @ images)), atol=1e-10)


def test_harmonic_pairs_do_not_mistake_a_mean_of_far_eigenvalues_for_one_nearby():
    """A Ritz value at 0 need not have any eigenvalue near; the harmonic pair nearest to 0 is then far."""
    matrix = np.diag(np.concatenate([np.linspace(-1, -0.9, 30), np.linspace(0.9, 1, 30)]))
    _, inside = krylov(matrix, 3)
    inside[-1, -1] = 0.0
    plain, harmonic = (ritz_pairs(inside, 3, which, 1) for which in ("magnitude", 0.0))
    assert np.abs(plain.values).min() < 0.7, "what the plain way would take"
    assert abs(harmonic.values[0]) > 0.8


def test_of_a_whole_space_harmonic_pairs_are_eigenpairs_though_the_value_is_one():
    matrix = np.diag([1.0, 2.0, 3.0, 4.0])
    pairs = ritz_pairs(matrix, 4, 2.0, 2)
    assert pairs.following.shape == (4, 0)
    np.testing.assert_allclose(pairs.values[0], 2.0, atol=1e-12)
    assert subspace_angles(pairs.coordinates[:, :1], np.eye(4)[:, 1:2])[0] < 1e-7
    np.testing.assert_allclose(pairs.residuals, 0, atol=1e-12)
