"""Weights that resolve what one probe does, and average what all do."""

import numpy as np
import pytest

from hessdens.densities.krylov import Krylov
from hessdens.densities.matching import added_by_others, matched_rows
from hessdens.densities.quadrature import Quadrature


def drawn(num_probes, num_points, seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.chisquare(1, (num_probes, num_points)) * np.linspace(1, 1e-3, num_points)
    return np.sort(rng.standard_normal(num_points)), weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(20))
def test_moments_are_those_of_each_probe_and_means_are_not_negative(seed):
    points, weights = drawn(4, 60, seed)
    rows = matched_rows(points, weights, 8)
    powers = points[:, None] ** np.arange(12)
    np.testing.assert_allclose(rows @ powers[:, :8], weights @ powers[:, :8], rtol=1e-9, atol=1e-9)
    assert np.abs((rows - weights) @ powers[:, 8:]).max() > 1e-3
    assert (rows.mean(axis=0) >= -1e-15).all()
    assert 0 < np.count_nonzero(rows.mean(axis=0) < 1e-14) < 30, "of some points nothing is left"


def test_the_change_is_least_where_no_weight_becomes_negative():
    points, weights = drawn(3, 40)
    weights[0] = 0.9 * weights.mean(axis=0) + 0.1 * weights[0]
    weights[0] /= weights[0].sum()
    means = weights.mean(axis=0)
    changed = matched_rows(points, weights, 6).mean(axis=0)
    assert (changed > 0).all()
    # The change over the means is a polynomial of degree 5: other changes of these moments are larger.
    fit = np.polynomial.Polynomial.fit(points, (changed - weights[0]) / means, 5, w=np.sqrt(means))
    np.testing.assert_allclose(fit(points), (changed - weights[0]) / means, rtol=1e-7, atol=1e-9)


def test_equal_probes_stay_as_they_are():
    points, weights = drawn(1, 30)
    np.testing.assert_allclose(matched_rows(points, np.tile(weights, (3, 1)), 10), np.tile(weights, (3, 1)), atol=1e-14)


def test_points_without_weight_get_none_and_few_points_are_left_alone():
    points, weights = drawn(3, 12)
    empty = np.zeros((3, 1))
    padded = matched_rows(np.append(points, 9.0), np.hstack([weights, empty]), 4)
    np.testing.assert_array_equal(padded[:, -1], 0)
    np.testing.assert_allclose(padded[:, :-1], matched_rows(points, weights, 4))
    assert matched_rows(points, weights, 12) is weights
    nothing = np.zeros((3, 5))
    assert matched_rows(points[:5], nothing, 2) is nothing


def test_others_add_the_difference_of_the_mean_and_of_the_first_probe():
    points, none = np.array([1.0, 2.0, 3.0]), np.empty(0)
    weights, x = np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]), np.array([-np.inf, 1.0, 2.0, 3.0, np.inf])
    quadrature = Quadrature(none, none, points, weights, np.zeros(3, dtype=bool), 10, interlaces=True)
    first = Krylov(points, np.ones((1, 3)), np.sqrt(weights[:1]), 1e-15)
    both = Krylov(points, np.ones((1, 3)), np.sqrt(weights), 1e-15)
    np.testing.assert_allclose(
        added_by_others((first,), quadrature, x), [[0, 0, 0.2, 0, 0], [0, 0.1, 0.2, 0.1, 0]], atol=1e-15
    )
    np.testing.assert_array_equal(added_by_others((both,), quadrature, x), 0)
    nothing = Krylov(points, np.ones((1, 3)), np.zeros((1, 3)), 1e-15)
    np.testing.assert_array_equal(added_by_others((nothing,), quadrature, x), 0)
