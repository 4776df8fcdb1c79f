"""The dual of maximum entropy: its integrals, and minima whose densities are known."""

import math

import numpy as np
import pytest

from hessdens.densities.from_moments.entropy_dual import (
    LEAST_DEVIATION,
    basis_at,
    log_sum,
    minimise,
    panel_nodes,
    series,
)

EDGES = np.linspace(0, math.pi, 5)


def masses(multipliers, edges):
    angles, logs = panel_nodes(edges)
    exponents = logs + series(angles, multipliers)
    return np.exp(exponents - log_sum(exponents)).reshape(-1), angles


def test_rules_integrate_over_x():
    angles, logs = panel_nodes(EDGES)
    assert np.exp(logs).sum() == pytest.approx(2, rel=1e-14)
    assert np.sum(np.exp(logs) * np.cos(angles) ** 4) == pytest.approx(2 / 5, rel=1e-13)


def test_series_is_that_of_the_basis():
    angles, multipliers = np.linspace(0, math.pi, 7).reshape(1, 7), np.array([0.5, -1.0, 2.0])
    np.testing.assert_allclose(series(angles, multipliers)[0], basis_at(angles, 3) @ multipliers)


def test_sums_of_large_exponents():
    assert log_sum(np.array([1000.0, 1000.0])) == pytest.approx(1000 + math.log(2))


def test_moments_of_the_uniform_density_need_no_multipliers():
    values = np.array([0.0, -1 / 3, 0.0, -1 / 15])  # the means of T_1..T_4 over [-1, 1]
    multipliers, edges, deviations = minimise(values, np.zeros(4))
    np.testing.assert_allclose(multipliers, 0, atol=1e-6)
    weights, angles = masses(multipliers, edges)
    np.testing.assert_allclose(weights @ basis_at(angles, 4), values, atol=1e-9)
    assert (deviations >= LEAST_DEVIATION).all()


@pytest.mark.parametrize("tilt", [-3.0, 0.5, 20.0])
def test_a_mean_makes_an_exponential(tilt):
    """exp(t x) on [-1, 1] has the mean coth t - 1/t."""
    multipliers, _, _ = minimise(np.array([1 / math.tanh(tilt) - 1 / tilt]), np.zeros(1))
    assert multipliers[0] == pytest.approx(tilt, rel=1e-4)


def test_moments_may_miss_by_their_errors():
    multipliers, edges, deviations = minimise(np.array([0.9, -0.9]), np.array([0.01, 0.01]))
    weights, angles = masses(multipliers, edges)
    residuals = weights @ basis_at(angles, 2) - [0.9, -0.9]
    np.testing.assert_allclose(residuals, -(deviations**2) * multipliers, atol=1e-8)


def test_panels_are_as_many_as_the_density_needs():
    """A smooth density is right on the first panels; a narrow one needs smaller panels where its mass is."""
    _, smooth, _ = minimise(np.array([0.0, -1 / 3]), np.zeros(2))
    assert len(smooth) == 5
    _, narrow, _ = minimise(np.array([1 - 1e-4]), np.zeros(1))
    assert 5 < len(narrow) < 40
    assert np.diff(narrow)[0] < np.diff(narrow)[-1] / 10  # angle 0 is x = 1


@pytest.mark.parametrize("order", [4, 12])
def test_a_narrow_peak_beside_a_tail_takes_shorter_steps(order):
    """Whole steps of Newton's method overshoot here; its minimum has the moments."""
    points = np.concatenate([np.linspace(-0.01, 0.01, 970), np.linspace(0.05, 1, 30)])
    values = basis_at(np.arccos(points), order).mean(axis=0)
    multipliers, edges, deviations = minimise(values, np.zeros(order))
    assert deviations.max() == LEAST_DEVIATION
    weights, angles = masses(multipliers, edges)
    np.testing.assert_allclose(weights @ basis_at(angles, order), values, atol=1e-6)


def test_exact_moments_that_no_density_has_are_met_as_nearly_as_can_be_computed():
    """Deviations fall as long as Newton's method converges: to far below those that it began with, and not to 0."""
    values = np.array([0.9, -0.9])
    multipliers, edges, deviations = minimise(values, np.zeros(2))
    assert LEAST_DEVIATION < deviations.max() < 1e-3
    weights, angles = masses(multipliers, edges)
    np.testing.assert_allclose(weights @ basis_at(angles, 2) - values, -(deviations**2) * multipliers, atol=1e-6)
