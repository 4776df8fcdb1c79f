"""Noise of probes and resolution of steps: closed forms of the jackknife, and intervals of normal quantiles."""

import numpy as np
import pytest
from scipy import stats

from hessdens.densities.jackknife import SUBSPACE, Jackknife, interval_of, without_one
from hessdens.densities.quadrature import Quadrature

RNG = np.random.default_rng(0)
SAMPLES = RNG.standard_normal((7, 3))


def means(samples, earlier=(), unresolved=0.0):
    return Jackknife(samples.mean(axis=0), without_one(samples), list(earlier), np.full(samples.shape[1], unresolved))


def test_without_one():
    np.testing.assert_allclose(without_one(SAMPLES)[2], np.delete(SAMPLES, 2, axis=0).mean(axis=0))


def test_noise_of_a_mean_is_its_standard_error():
    expected = SUBSPACE * SAMPLES.std(axis=0, ddof=1) / np.sqrt(7)
    np.testing.assert_allclose(means(SAMPLES).noise(), expected)
    np.testing.assert_array_equal(means(SAMPLES).resolution(), 0)


def test_resolution_is_the_change_over_steps_and_the_mass_that_is_not_resolved():
    numbers = means(SAMPLES, [SAMPLES.mean(axis=0) + 3, SAMPLES.mean(axis=0) - 4])
    np.testing.assert_allclose(numbers.resolution(), np.sqrt((9 + 16) / 2))
    np.testing.assert_allclose(means(SAMPLES, unresolved=0.6).resolution(), 0.6 / np.sqrt(12))


def test_changes_are_paired():
    first, second = means(SAMPLES, [SAMPLES.mean(axis=0)], 0.3), means(SAMPLES + 5, [SAMPLES.mean(axis=0) + 5], 0.4)
    change = second.minus(first)
    np.testing.assert_allclose(change.values, 5)
    np.testing.assert_allclose(change.noise(), 0, atol=1e-14)
    np.testing.assert_allclose(change.unresolved, 0.5)
    np.testing.assert_allclose(means(SAMPLES).minus(first).earlier, [np.zeros(3)], atol=1e-15)
    np.testing.assert_allclose(second.minus(means(SAMPLES)).earlier, [np.full(3, 5.0)])


def test_intervals_are_those_of_student_and_of_the_normal_distribution():
    zero, one = np.zeros(1), np.ones(1)
    assert interval_of(zero, one, zero, 4, 0.9)[1, 0] == pytest.approx(stats.t.ppf(0.95, 3))
    assert interval_of(one, zero, 2 * one, 4, 0.9)[0, 0] == pytest.approx(1 - 2 * stats.norm.ppf(0.95))
    np.testing.assert_allclose(means(SAMPLES).interval(0.5).mean(axis=0), SAMPLES.mean(axis=0), rtol=1e-13)
    with pytest.raises(ValueError, match="level must lie between 0 and 1; got 1"):
        means(SAMPLES).interval(1)


def test_numbers_of_quadratures():
    none, points = np.empty(0), np.array([0.0, 1.0])

    def quadrature(weights):
        return Quadrature(none, none, points, np.array(weights), points > 2, 0 * points, 10, interlaces=False)

    latest, before = quadrature([[0.5, 0.5], [0.3, 0.7], [0.1, 0.9]]), quadrature([[1.0, 0.0]] * 3)
    numbers = Jackknife.of(lambda rule, weights: weights @ rule.abscissae[:, None], (latest, before), np.zeros(1))
    np.testing.assert_allclose(numbers.values, [0.7])
    np.testing.assert_allclose(numbers.left_out[:, 0], [0.8, 0.7, 0.6])
    np.testing.assert_allclose(numbers.earlier, [[0.0]])
