"""Intervals for means of skewed samples: limits in closed form, order, and coverage."""

import numpy as np
import pytest
from scipy import stats

from hessdens.results.intervals import count_interval, skewed_interval, skewed_quantiles


def statistics(samples):
    samples = np.asarray(samples, dtype=float)
    return samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(len(samples)), samples


@pytest.mark.parametrize("num_samples", [2, 4, 30])
def test_symmetric_samples_have_students_interval(num_samples):
    samples = np.tile([[-1.0, -3.0], [1.0, 7.0]], (num_samples // 2, 1))
    mean, error, _ = statistics(samples)
    expected = stats.t.interval(0.9, num_samples - 1, loc=mean, scale=error)
    np.testing.assert_allclose(skewed_interval(mean, error, samples, 0.9), expected, rtol=1e-3)


def test_skewed_samples_have_the_interval_of_a_chi_squared_variable():
    """Of 9 samples with the most skewness that counts, the mean is taken to have 9 degrees of freedom."""
    samples = np.array([0.0] * 8 + [1.0])[:, None]
    mean, error, _ = statistics(samples)
    for sign in (1, -1):
        low, high = skewed_interval(sign * mean, error, sign * samples, 0.95)
        ends = np.sqrt(9 / 2) * (9 / stats.chi2.ppf([0.975, 0.025], 9) - 1) * error
        widening = stats.t.ppf(0.975, 8) / stats.norm.ppf(0.975)
        np.testing.assert_allclose(sorted([low[0], high[0]]), sorted(sign * (mean + widening * ends)))


@pytest.mark.parametrize("num_samples", [2, 3, 8])
def test_quantiles_ascend(num_samples):
    mean, error, samples = statistics(np.random.default_rng(0).chisquare(1, (num_samples, 3)))
    probabilities = np.concatenate([[1e-9], np.linspace(0.001, 0.999, 999), [1 - 1e-9]])[:, None]
    quantiles = skewed_quantiles(mean, error, samples, probabilities)
    assert quantiles.shape == (1001, 3)
    assert np.all(np.diff(quantiles, axis=0) > 0)


@pytest.mark.parametrize(("num_samples", "least"), [(3, 0.9), (8, 0.9), (25, 0.92)])
def test_intervals_cover_the_mean_of_squares_better_than_students(num_samples, least):
    """A single eigenvalue, the hardest case: few samples do not show how skewed they are."""
    rng = np.random.default_rng(1)
    held, held_by_student = [], []
    for _ in range(2000):
        mean, error, samples = statistics(rng.standard_normal((num_samples, 1)) ** 2)
        low, high = skewed_interval(mean, error, samples, 0.95)
        held.append(low[0] <= 1 <= high[0])
        low, high = stats.t.interval(0.95, num_samples - 1, loc=mean, scale=error)
        held_by_student.append(low[0] <= 1 <= high[0])
    assert least <= np.mean(held) <= 0.98
    assert np.mean(held) > np.mean(held_by_student) + 0.01


@pytest.mark.parametrize("sign", [1, -1])
def test_samples_of_one_sign_are_as_skewed_as_a_chi_squared_variable_at_least(sign):
    """Of two samples, 1 and 3, the mean is taken to have 8 degrees of freedom; of one sign or not, 2 have no third."""
    samples = sign * np.array([[1.0], [3.0]])
    mean, error, _ = statistics(samples)
    ends = np.sqrt(8 / 2) * (8 / stats.chi2.ppf([0.95, 0.05], 8) - 1)
    expected = mean + sign * stats.t.ppf(0.95, 1) / stats.norm.ppf(0.95) * ends * error
    np.testing.assert_allclose(np.sort(skewed_interval(mean, error, samples, 0.9)[:, 0]), np.sort(expected))


def test_level_is_checked():
    with pytest.raises(ValueError, match="level must lie between 0 and 1; got 1"):
        skewed_interval(*statistics(np.ones((3, 1))), 1)


@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1e200])
def test_units_do_not_matter(scale):
    samples = np.random.default_rng(2).chisquare(2, (6, 2))
    mean, error, _ = statistics(samples)
    expected = skewed_interval(mean, error, samples, 0.9)
    np.testing.assert_allclose(skewed_interval(scale * mean, scale * error, scale * samples, 0.9), scale * expected)


def test_equal_samples_have_no_width():
    samples = np.full((5, 1), 3.0)
    np.testing.assert_array_equal(skewed_interval(*statistics(samples), 0.9), [[3.0], [3.0]])


def test_limits_of_a_count_are_those_of_the_beta_distribution():
    """With probability 2.5% a number as small as the lower limit has so large a share, and as large, so small a one."""
    low, high = count_interval(np.array([[0.2], [0.3]]), 4, 1000, 0.95)[:, 0]
    assert stats.beta.sf(0.2, 4 * low / 2, 4 * (1000 - low) / 2) == pytest.approx(0.025, rel=1e-6)
    assert stats.beta.cdf(0.3, 4 * high / 2, 4 * (1000 - high) / 2) == pytest.approx(0.025, rel=1e-6)


def test_counts_of_all_and_of_none_are_certain():
    shares = np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    expected = np.array([[0, 50, 0], [0, 50, 50]])
    np.testing.assert_allclose(count_interval(shares, 3, 50, 0.95), expected, atol=1e-9)
    rounded = count_interval(np.array([[1e-9, 0.5], [0.5, 1 - 1e-16]]), 3, 50, 0.95)
    assert rounded[0, 0] == 0 < rounded[1, 0] < rounded[1, 1] == 50
    assert count_interval(np.array([[0.0], [1.0]]), 3, 0, 0.95).tolist() == [[0], [0]]
    with pytest.raises(ValueError, match="level must lie between 0 and 1; got 0"):
        count_interval(shares, 3, 50, 0)


@pytest.mark.parametrize(("num_probes", "size", "number"), [(2, 30, 1), (2, 5000, 40), (4, 5000, 2500), (3, 20, 19)])
def test_intervals_of_counts_cover_as_often_as_they_say(num_probes, size, number):
    """2,000 shares: 5% are missed, to within 1.5%, by as many on either side."""
    rng = np.random.default_rng(0)
    inside, outside = (rng.chisquare(num_probes * n, 2000) for n in (number, size - number))
    shares = np.tile(inside / (inside + outside), (2, 1))
    low, high = count_interval(shares, num_probes, size, 0.95)
    assert np.mean(low > number) == pytest.approx(0.025, abs=0.012)
    assert np.mean(high < number) == pytest.approx(0.025, abs=0.012)


def test_the_largest_spaces_have_finite_limits():
    low, high = count_interval(np.array([[1e-9, 0.5], [2e-9, 0.5]]), 6, 10**12, 0.95)
    assert ((low <= high) & (low > 0) & (high < 1e12)).all()
