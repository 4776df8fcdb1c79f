"""Budgets: what arguments allow, how many probes an accuracy takes, and warnings where it is not reached."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from hessdens.estimators.budget import FORECAST_MARGIN, Budget, moment_scales, steps_and_probes
from hessdens.estimators.krylov import Forecast
from hessdens.results import Moments


def test_products_of_moments():
    assert Budget.of_moments("skilling", 5, None, None, None) == Budget(32 * 3, 5)
    assert Budget.of_moments("skilling", 4, None, 7, None) == Budget(14, 4)
    assert Budget.of_moments("deflated", 4, 31, None, None) == Budget(31, 4)
    assert Budget.of_moments("deflated", 4, None, None, 0.1) == Budget(10_000, 4, 0.1, 6)
    assert Budget.of_moments("skilling", 4, 50, None, 0.1) == Budget(50, 4, 0.1, 20)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("xtrace", 4, None, None, None), "method must be one of skilling, deflated; got 'xtrace'"),
        (("skilling", 4, 9, 9, None), "given, not both; got 9 and 9. A probe takes 2 products"),
        (("skilling", 4, None, 1, None), "num_probes must be at least 2 for method='skilling'; got 1"),
        (("deflated", 3, 7, None, None), "max_products must be at least 8 for 3 moments by method='deflated'; got 7"),
        (("deflated", 4, 19, None, 0.1), "at least 20 for 4 moments by method='deflated' with rtol; got 19"),
        (("deflated", 4, None, None, 1.0), "rtol must lie between 0 and 1; got 1.0"),
        (("deflated", 4, None, 9, 0.1), "num_probes or rtol may be given, not both; got 9 and 0.1"),
    ],
)
def test_arguments_that_are_no_budget(arguments, message):
    with pytest.raises(ValueError, match=message):
        Budget.of_moments(*arguments)


def test_probes_that_are_left():
    budget = Budget(100, 5)
    assert budget.per_probe == 3
    assert budget.num_probes(40) == 20


def test_probes_for_an_accuracy():
    """Two standard errors of P probes are 2 deviation / sqrt(P); 32% more are drawn than would just do."""
    pilot = 1 + 0.1 * np.random.default_rng(0).standard_normal((1000, 1))
    budget = Budget(10**6, 1, 0.002, 1000)
    assert budget.enough_probes(pilot, 10**6) == pytest.approx(1.15**2 * 10_000, rel=0.15)
    faster = budget.enough_probes(pilot, 10**6, np.array([0.8]))
    assert faster == pytest.approx(1000 * (1.15 * 10**0.5) ** (1 / 0.8), rel=0.15)
    assert budget.enough_probes(pilot, 5000) == 5000
    assert Budget(10**6, 1, 0.5, 1000).enough_probes(pilot, 10**6) == 1000
    assert budget.enough_probes(0 * pilot, 300) == 300


def test_first_probes_are_the_fewest_whose_forecast_is_accurate():
    """A bulk of one size: m_2 of P probes has errors of sqrt(2 N (1 - 1 / N) / P) / N."""
    bulk = Forecast(np.array([1.0, -1.0]), np.full(2, 5e3), np.full(2, 5e3), 3.0, 10_000, 2, 4)
    budget = Budget(10**6, 2, 0.2, 6)
    np.testing.assert_allclose(bulk.moments()[1], 9)
    found = budget.first_probes(bulk, 1000)
    short = [FORECAST_MARGIN * bulk.standard_errors(count) / bulk.moments() for count in (found, int(0.9 * found))]
    assert short[0].max() <= 0.1 < short[1].max()
    assert budget.first_probes(bulk, 7) == 7
    assert budget.first_probes(replace(bulk, counts_left=np.full(2, 1e-3)), 1000) == 6


def test_an_accuracy_is_reached_where_all_standard_errors_are_as_small():
    samples = np.array([[1.0, 10.0], [1.4, 10.0], [0.6, 10.0]])  # m_1 is 1 ± 0.4 / sqrt(3)
    assert [Budget(99, 2, rtol, 6).is_reached(samples) for rtol in (0.463, 0.461)] == [True, False]
    assert not Budget(99, 2, 0.1, 6).is_reached(np.array([[1.0, 1.0], [-1.0, 1.0]]))


def test_scales_are_below_the_moments_of_absolute_eigenvalues():
    rng = np.random.default_rng(0)
    for _ in range(50):
        eigenvalues = rng.standard_normal(20) ** 3
        exact = np.array([np.mean(eigenvalues**k) for k in range(1, 7)])
        absolute = np.array([np.mean(np.abs(eigenvalues) ** k) for k in range(1, 7)])
        assert np.all(np.abs(exact) <= moment_scales(exact) + 1e-12)
        assert np.all(moment_scales(exact) <= absolute * (1 + 1e-12))


def test_warning_where_the_accuracy_is_not_reached():
    moments = Moments.from_samples(np.array([[1.0], [2.0]]), size=5, num_products=10)  # 1.5 +- 0.5
    with pytest.warns(
        UserWarning, match=r"rtol=0.1 was not reached: m_1 .* 3.3e-01, where 5.0e-02 is asked for, after"
    ):
        Budget(99, 1, 0.1, 6).warn_if_short(moments)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Budget(99, 1, 0.6, 6).warn_if_short(moments)
        Budget(99, 1).warn_if_short(moments)


def test_steps_and_probes_of_densities():
    given = [(None, None, None), (5, None, None), (None, 3, None), (None, None, 200), (10, None, 40), (None, 5, 40)]
    assert [steps_and_probes(*arguments) for arguments in given] == [
        (25, 4),
        (5, 6),
        (30, 3),
        (33, 6),
        (10, 4),
        (8, 5),
    ]
    with pytest.raises(ValueError, match="num_steps must be at least 2; got 1"):
        steps_and_probes(1, None, None)
    with pytest.raises(ValueError, match="num_probes must be at least 2; got 0"):
        steps_and_probes(None, 0, None)
    with pytest.raises(ValueError, match="max_products must be at least 12 for 4 steps of 3 probes; got 11"):
        steps_and_probes(4, 3, 11)


@pytest.mark.parametrize("size", [0.1, 1.0, 7.0])
def test_scales_of_two_opposite_eigenvalues_are_exact(size):
    """Odd moments are 0; those of the absolute value follow from the even ones."""
    exact = np.array([np.mean(np.array([-size, size]) ** k) for k in range(1, 8)])
    np.testing.assert_allclose(moment_scales(exact), size ** np.arange(1, 8), rtol=1e-12)
    np.testing.assert_allclose(moment_scales(exact[:3]), [0, size**2, size**3], rtol=1e-12)
    np.testing.assert_array_equal(moment_scales(np.zeros(4)), 0)


def test_probes_for_an_accuracy_of_moments_with_no_variance_or_no_size():
    """A moment of 0 can reach no relative accuracy, one that does not vary has reached it."""
    pilot = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
    assert Budget(100, 2, 0.1, 3).enough_probes(pilot, 50) == 3
    assert Budget(100, 2, 0.1, 3).enough_probes(np.array([[1.0], [-1.0]]), 50) == 50
    assert Budget(100, 2).enough_probes(pilot, 50) == 50


@pytest.mark.parametrize(("products", "warns"), [(1, True), (0.999, False)])
def test_errors_up_to_half_above_the_accuracy_are_passed_over(products, warns):
    moments = Moments([2.0, 4.0], [0.0, 0.6001 * products], [[2.0, 4.0]] * 2, 5, 10)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Budget(99, 2, 0.2, 6).warn_if_short(moments)
    assert len(caught) == warns
    assert all("m_2 has a relative standard error of 1.5e-01" in str(warning.message) for warning in caught)
