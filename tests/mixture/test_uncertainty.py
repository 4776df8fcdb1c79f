"""`fit_uncertainty`: draws against the intervals of moments, near-ties against all points, coverage over seeds."""

import contextlib
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hessdens.mixture.fit import fit_mixture
from hessdens.mixture.grid import Grid
from hessdens.mixture.grid_search import points_within
from hessdens.mixture.model import SkewNormalMixture
from hessdens.mixture.uncertainty import (
    MOST_TIES,
    FitUncertainty,
    Mixtures,
    _draw,
    _have_a_density,
    fit_uncertainty,
)
from hessdens.results.intervals import skewed_quantiles
from hessdens.results.moments import Moments

SMALL = Grid(np.geomspace(0.01, 1, 12), np.linspace(-2, 2.5, 9), np.geomspace(0.1, 10, 12), np.linspace(-9, 9, 9))
SIZE = 2000


def spectrum_of(mixture, seed=0):
    """Return eigenvalues drawn from a mixture."""
    rng = np.random.default_rng(seed)
    delta = mixture.shape / np.hypot(1, mixture.shape)
    tail = delta * np.abs(rng.standard_normal(SIZE)) + np.sqrt(1 - delta**2) * rng.standard_normal(SIZE)
    in_tail = rng.random(SIZE) < mixture.weight
    narrow = mixture.narrow_scale * rng.standard_normal(SIZE)
    return np.where(in_tail, mixture.location + mixture.scale * tail, narrow)


def probed(eigenvalues, num_probes, seed):
    """Return Skilling's moments from Gaussian probes."""
    squares = np.random.default_rng(seed).standard_normal((num_probes, len(eigenvalues))) ** 2
    samples = squares @ eigenvalues[:, None] ** np.arange(1, 5) / len(eigenvalues)
    return Moments.from_samples(samples, size=len(eigenvalues), num_products=2 * num_probes)


EIGENVALUES = spectrum_of(SkewNormalMixture(0.3, 0.5, 1.0, 2.0))
ALL_POINTS = np.array([SMALL.point(index).moments(4) for index in np.ndindex(*SMALL.shape)])
EXACT = np.mean(EIGENVALUES[:, None] ** np.arange(1, 5), axis=0)


@given(st.lists(st.floats(0.1, 10), min_size=4, max_size=4), st.sampled_from([-1, 1]), st.floats(0, 0.5))
def test_near_ties_are_all_points_within_the_limit(values, sign, near):
    moments = np.array(values) * [sign, 1, sign, 1]
    limit = fit_mixture(moments, grid=SMALL).objective + near
    objectives = np.sum(np.abs((ALL_POINTS - moments) / moments), axis=1)
    within = np.isin(np.arange(SMALL.num_points), points_within(moments, limit, SMALL, SMALL.num_points))
    clear = np.abs(objectives - limit) > 1e-9
    np.testing.assert_array_equal(within[clear], (objectives <= limit)[clear])


def test_near_ties_are_counted_from_the_best():
    moments = probed(EIGENVALUES, 10, 0)
    few, many = (fit_uncertainty(moments, grid=SMALL, num_draws=20, near=near) for near in (0, 0.1))
    assert len(few.ties) < len(many.ties)
    assert len(many.ties) == np.count_nonzero(
        np.sum(np.abs(ALL_POINTS / moments.values - 1), axis=1) <= few.fit.objective + 0.1
    )
    assert many.near == 0.1


def test_near_ties_stop_at_a_limit():
    assert len(points_within(EXACT, 1e9, SMALL, SMALL.num_points)) == SMALL.num_points
    assert len(points_within(EXACT, 1e9, SMALL, 100)) == 100
    assert points_within(EXACT, 1e-12, SMALL, 100).shape == (0,)


def test_many_mixtures_answer_as_each_alone():
    rng = np.random.default_rng(0)
    columns = [rng.random(7), rng.normal(size=7), rng.random(7) + 0.1, 5 * rng.normal(size=7)]
    many, x = Mixtures(np.stack(columns, axis=1), 0.01), np.linspace(-3, 3, 5)
    alone = [SkewNormalMixture(*row, 0.01) for row in many.parameters]
    assert len(many) == 7
    np.testing.assert_allclose(many.cdf(x), [mixture.cdf(x) for mixture in alone], atol=1e-15)
    np.testing.assert_allclose(many.cdf(0.3), [mixture.cdf(0.3) for mixture in alone], atol=1e-15)
    np.testing.assert_allclose(many.fraction_negative(0.5), [m.fraction_negative(0.5) for m in alone], atol=1e-15)
    np.testing.assert_allclose(many.fraction_degenerate(0.5), [m.fraction_degenerate(0.5) for m in alone], atol=1e-14)


@pytest.mark.parametrize("num_probes", [4, 30])
def test_draws_have_the_intervals_and_correlations_of_the_moments(num_probes):
    moments = probed(EIGENVALUES, num_probes, seed=3)
    draws = _draw(moments, 40_000, np.random.default_rng(0))
    for level in (0.5, 0.95):
        low, high = moments.interval(level)
        inside = np.mean((low <= draws) & (draws <= high), axis=0)
        np.testing.assert_allclose(inside, level, atol=0.01)
    ranks = np.argsort(np.argsort(draws, axis=0), axis=0)
    pearson = np.corrcoef(moments.samples.T)
    np.testing.assert_allclose(np.corrcoef(ranks.T), 6 / np.pi * np.arcsin(pearson / 2), atol=0.02)


def test_errors_beyond_the_samples_are_drawn_too():
    samples = np.tile(EXACT, (5, 1))
    moments = Moments(EXACT, 0.01 * EXACT, samples, SIZE, 10)
    draws = _draw(moments, 20_000, np.random.default_rng(0))
    low, high = moments.interval()
    np.testing.assert_allclose(np.mean((low <= draws) & (draws <= high), axis=0), 0.95, atol=0.01)
    np.testing.assert_allclose(np.corrcoef(draws.T), np.eye(4), atol=0.03)


def test_exact_moments_have_no_width():
    moments = Moments(EXACT, np.zeros(4), np.tile(EXACT, (2, 1)), SIZE, 4)
    result = fit_uncertainty(moments, grid=SMALL, num_draws=20)
    mixture = result.fit.mixture
    np.testing.assert_array_equal(result.negative_interval(), mixture.fraction_negative())
    np.testing.assert_allclose(result.degenerate_interval(), mixture.fraction_degenerate(), atol=1e-14)
    np.testing.assert_array_equal(result.parameters_interval()[0], result.parameters_interval()[1])
    assert result.num_discarded == 0


def test_intervals_cover_the_fit_of_the_exact_moments():
    """95% intervals: 80 of 100 seeds would be a sign of half the width that is needed."""
    grid = Grid.for_moments(EXACT, num_points=40)
    exact = fit_mixture(EXACT, grid=grid).mixture
    x = np.array([-0.5, 0.7, 2.0])
    held = []
    for seed in range(100):
        result = fit_uncertainty(probed(EIGENVALUES, 10, seed), grid=grid, num_draws=200, seed=seed)
        truths = [exact.fraction_degenerate(), exact.fraction_negative(), *exact.cdf(x), exact.weight]
        ends = np.concatenate(
            [
                result.degenerate_interval()[:, None],
                result.negative_interval()[:, None],
                result.cdf_interval(x),
                result.parameters_interval()[:, :1],
            ],
            axis=1,
        )
        held.append((ends[0] <= truths) & (truths <= ends[1]))
    assert np.all(np.mean(held, axis=0) >= 0.88)


def test_level_orders_intervals_and_is_checked():
    result = fit_uncertainty(probed(EIGENVALUES, 10, 0), grid=SMALL, num_draws=100)
    narrow, wide = result.cdf_interval([0.5], 0.5), result.cdf_interval([0.5], 0.99)
    assert wide[0] <= narrow[0] <= narrow[1] <= wide[1]
    assert wide[0] < wide[1]
    with pytest.raises(ValueError, match="level must lie between 0 and 1; got 95"):
        result.negative_interval(level=95)


def test_summary_and_file(tmp_path):
    result = fit_uncertainty(probed(EIGENVALUES, 10, 0), grid=SMALL, num_draws=50)
    text = str(result)
    assert str(result.fit) in text
    for part in (
        "degenerate ",
        "negative ",
        "95% interval",
        "near-ties",
        "shape ",
        "50 draws" if not result.num_discarded else "draws",
        "on an edge of the grid",
    ):
        assert part in text
    assert ("at least" in text) == (len(result.ties) == MOST_TIES)
    result.save(tmp_path / "u.npz")
    loaded = FitUncertainty.load(tmp_path / "u.npz")
    assert str(loaded) == text
    np.testing.assert_array_equal(loaded.draws.parameters, result.draws.parameters)
    assert loaded.share_on_edge == result.share_on_edge


def test_same_seed_same_draws():
    moments = probed(EIGENVALUES, 10, 0)
    first, again, other = (fit_uncertainty(moments, grid=SMALL, num_draws=20, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.draws.parameters, again.draws.parameters)
    assert not np.array_equal(first.objectives, other.objectives)


def test_bad_input():
    moments = probed(EIGENVALUES, 10, 0)
    with pytest.raises(TypeError, match="moments must be Moments, which have samples; got ndarray"):
        fit_uncertainty(EXACT)
    with pytest.raises(ValueError, match="num_draws must be at least 20; got 3"):
        fit_uncertainty(moments, num_draws=3)
    with pytest.raises(ValueError, match="near must be at least 0 and finite; got -1"):
        fit_uncertainty(moments, near=-1)
    with pytest.raises(ValueError, match="samples of at least 2 probes; got 1"):
        fit_uncertainty(Moments(EXACT, np.zeros(4), EXACT[None], SIZE, 2))
    with pytest.raises(ValueError, match="needs at least four moments; got 3"):
        fit_uncertainty(Moments.from_samples(moments.samples[:, :3], size=SIZE, num_products=4))
    impossible = Moments(np.array([1.0, 0.5, 0.5, 0.5]), np.full(4, 1e-6), np.ones((3, 4)), SIZE, 4)
    with pytest.raises(ValueError, match="of 1000 draws only 0 have one"):
        fit_uncertainty(impossible, grid=SMALL)


def test_moments_of_a_density_are_told_from_others_in_any_unit():
    """Variances and the Hankel determinant are not negative for those of a density."""
    of_density, no_variance = Grid.paper().point((50, 60, 20, 70)).moments(4), np.array([2.0, 3.9, 8.0, 17.0])
    rows = np.array([of_density, [2.0, 4.0, 8.0, 16.0], no_variance, of_density * [1, -1, 1, 1], [1, 1, 1, 0.0]])
    for unit in (1e-3, 1.0, 1e3):
        assert _have_a_density(rows * unit ** np.arange(1, 5)).tolist() == [True, True, False, False, False]


def test_draws_are_fitted_where_a_density_has_them():
    """Moments close to those of an atom: some draws have no density behind them."""
    samples = np.array([[1.0], [1.1], [0.9], [1.05]]) ** np.arange(1, 5) + np.array([0.0, 0.01, 0.02, 0.05])
    moments = Moments(samples.mean(axis=0), np.full(4, 0.03), samples, SIZE, 8)
    drawn = _draw(moments, 60, np.random.default_rng(5))
    feasible = drawn[_have_a_density(drawn)]
    assert 10 < len(feasible) < 55
    result = fit_uncertainty(moments, grid=SMALL, num_draws=60, seed=5)
    fits = [fit_mixture(row, grid=SMALL) for row in feasible]
    assert (len(result.draws), result.num_discarded) == (len(feasible), 60 - len(feasible))
    np.testing.assert_array_equal(result.draws.parameters, [astuple(fit.mixture)[:4] for fit in fits])
    np.testing.assert_array_equal(result.objectives, [fit.objective for fit in fits])
    assert result.share_on_edge == np.mean([bool(fit.on_edge) for fit in fits])
    assert result.share_poor == np.mean([fit.objective > 0.2 for fit in fits])
    np.testing.assert_array_equal(
        result.parameters_interval(0.8), np.percentile(result.draws.parameters, [10, 90], axis=0)
    )
    best = (result.ties.parameters == astuple(result.mixture)[:4]).all(axis=1)
    assert best.sum() == 1


def test_numbers_are_those_of_the_fit_with_intervals():
    result = fit_uncertainty(probed(EIGENVALUES, 10, 0), grid=SMALL, num_draws=40)
    numbers = result.numbers(0.3, 0.8)
    assert numbers["mixture"] == result.fit.numbers(0.3)["mixture"]
    assert {name: numbers[name] for name in ("num_discarded", "share_on_edge", "share_poor")} == {
        name: getattr(result, name) for name in ("num_discarded", "share_on_edge", "share_poor")
    }
    low, high = result.degenerate_interval(0.3, 0.8)
    value = result.mixture.fraction_degenerate(0.3)
    assert numbers["fractions"]["degenerate"] == {"value": value, "low": low, "high": high}


def test_summary_has_intervals_and_near_ties_of_all_parameters():
    result = fit_uncertainty(probed(EIGENVALUES, 10, 0), grid=SMALL, num_draws=40)
    lines = str(result).removeprefix(str(result.fit) + "\n").splitlines()
    assert [line.split()[0] for line in lines[:6]] == ["degenerate", "negative", "weight", "location", "scale", "shape"]
    low, high = result.parameters_interval()[:, 1]
    ties = result.ties.parameters[:, 1]
    assert lines[3] == (
        f"  location {result.mixture.location:.4g}, 95% interval {low:.4g} to {high:.4g}; "
        f"near-ties {ties.min():.4g} to {ties.max():.4g}"
    )
    assert lines[6].startswith(f"  {len(result.ties):,} points of the grid within 0.01 of the best objective; ")
    assert f"{result.share_on_edge:.0%} on an edge of the grid, {result.share_poor:.0%} poor" in lines[6]


def test_extreme_draws_are_limited_to_a_billionth():
    class Extreme:
        def standard_normal(self, shape):
            return np.full(shape, 40.0) * np.array([[1], [-1]])

    samples = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]])
    moments = Moments(samples[0], np.full(4, 0.1), samples, SIZE, 8)
    draws = _draw(moments, 2, Extreme())
    limits = skewed_quantiles(moments.values, moments.standard_errors, samples, np.array([[1 - 1e-9], [1e-9]]))
    np.testing.assert_allclose(draws, limits, rtol=1e-6)


@pytest.mark.parametrize(("feasible", "enough"), [(0, False), (1, True)])
def test_one_in_twenty_draws_must_have_a_density(monkeypatch, feasible, enough):
    drawn = np.array([EXACT] * feasible + [[1.0, 0.5, 0.5, 0.5]] * (20 - feasible))
    monkeypatch.setattr("hessdens.mixture.uncertainty._draw", lambda *arguments: drawn)
    with contextlib.nullcontext() if enough else pytest.raises(ValueError, match="of 20 draws only 0 have one"):
        assert len(fit_uncertainty(probed(EIGENVALUES, 10, 0), grid=SMALL, num_draws=20).draws) == 1
