"""`fit_mixture`, `fit_mixtures` and `MixtureFit`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdens import Spectrum, as_operator
from hessdens.mixture.fit import MixtureFit, fit_mixture, fit_mixtures
from hessdens.mixture.grid import Grid
from hessdens.mixture.model import SkewNormalMixture
from hessdens.results.moments import Moments

SMALL = Grid(np.geomspace(0.01, 1, 6), np.linspace(-2, 2.5, 7), np.geomspace(0.1, 10, 8), np.linspace(-9, 9, 9))
WIDE = Grid([0.5, 1], [3, 4], [10, 20], [0, 1])
EXAMPLE = np.array([0.01, 0.05, 1.0, 30.0])


@given(st.tuples(*(st.integers(0, length - 1) for length in SMALL.shape)))
def test_a_point_of_the_grid_is_found_and_its_edges_named(index):
    fit = fit_mixture(SMALL.point(index).moments(4), grid=SMALL)
    assert fit.index == index
    assert fit.mixture == SMALL.point(index)
    assert fit.objective == 0
    assert fit.num_points == SMALL.num_points
    np.testing.assert_array_equal(fit.residuals, 0)
    expected = []
    for name, i, length in zip(("weight", "location", "scale", "shape"), index, SMALL.shape, strict=True):
        expected += [f"{name} lower"] * (i == 0) + [f"{name} upper"] * (i == length - 1)
    assert fit.on_edge == tuple(expected)


def test_an_axis_of_one_point_has_no_edges():
    fit = fit_mixture(EXAMPLE, grid=Grid([0.1], [0.5], [1], [2]))
    assert fit.on_edge == ()
    assert fit.index == (0, 0, 0, 0)


@given(st.lists(st.floats(0.1, 10), min_size=4, max_size=4), st.sampled_from([-1, 1]))
def test_objective_is_the_sum_of_relative_errors(values, sign):
    moments = np.array(values) * [sign, 1, sign, 1]
    fit = fit_mixture(moments, grid=SMALL)
    np.testing.assert_allclose(fit.residuals, (fit.mixture.moments(4) - moments) / np.abs(moments))
    assert fit.objective == pytest.approx(np.abs(fit.residuals).sum())


def test_default_is_the_papers_grid_and_the_fast_backend():
    fit = fit_mixture(EXAMPLE)
    assert fit.num_points == 10**8
    assert fit.mixture == Grid.paper().point(fit.index)
    assert fit.index == fit_mixture(EXAMPLE, backend="numba-exhaustive").index


def test_many_fits_in_one_call():
    rng = np.random.default_rng(0)
    values = EXAMPLE * np.exp(rng.standard_normal((20, 4)))
    together = fit_mixtures(values, grid=SMALL)
    assert isinstance(together, tuple)
    for fit, row in zip(together, values, strict=True):
        alone = fit_mixture(row, grid=SMALL)
        assert (fit.index, fit.objective, fit.on_edge) == (alone.index, alone.objective, alone.on_edge)
    assert fit_mixtures(np.empty((0, 4)), grid=SMALL) == ()
    assert len(fit_mixtures(values[:1], grid=SMALL)) == 1


def test_takes_moments_and_uses_the_first_four():
    samples = np.tile([*EXAMPLE, 100.0, 3000.0], (3, 1))
    moments = Moments.from_samples(samples, size=10, num_products=9)
    expected = fit_mixture(EXAMPLE, grid=SMALL).index
    assert fit_mixture(moments, grid=SMALL).index == expected
    assert fit_mixture(samples[0], grid=SMALL).index == expected
    assert fit_mixtures(samples, grid=SMALL)[2].index == expected
    assert [fit.index for fit in fit_mixtures([moments, EXAMPLE], grid=SMALL)] == [expected] * 2


@settings(max_examples=10)
@given(st.floats(1e-3, 1e3))
def test_fit_stretches_with_the_eigenvalues(factor):
    """H -> cH, on a grid that scales with the moments."""
    scaled = EXAMPLE * factor ** np.arange(1.0, 5)
    grids = [Grid.for_moments(values, num_points=30) for values in (EXAMPLE, scaled)]
    fit, stretched = fit_mixture(EXAMPLE, grid=grids[0]), fit_mixture(scaled, grid=grids[1])
    assert stretched.index == fit.index
    assert stretched.objective == pytest.approx(fit.objective, rel=1e-9)
    window = 0.2
    assert stretched.mixture.fraction_negative(window * factor) == pytest.approx(fit.mixture.fraction_negative(window))


def test_scaled_grid_holds_the_optimum_of_realistic_spectra():
    """A bulk and some outliers, where the paper's grid ends at w = 0.001. α alone may reach the limit of its family."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        eigenvalues = np.concatenate([0.02 * rng.standard_normal(3000), rng.lognormal(1.0, 0.8, 30)])
        values = np.mean(eigenvalues[:, None] ** np.arange(1, 5), axis=0)
        fit = fit_mixture(values, grid=Grid.for_moments(values))
        assert set(fit.on_edge) <= {"shape lower", "shape upper"}
        assert fit.objective < fit_mixture(values).objective
        assert "weight upper" in fit_mixture(values).on_edge


def test_summary_is_quiet_about_a_good_fit_and_loud_about_a_bad_one():
    good = fit_mixture(SMALL.point((2, 2, 2, 2)).moments(4), grid=SMALL)
    assert str(good).splitlines() == [
        str(good.mixture),
        "  best of 3,024 mixtures, objective 0 (m_1 +0.00%, m_2 +0.00%, m_3 +0.00%, m_4 +0.00%)",
    ]
    assert not good.is_poor
    bad = fit_mixture([1e3, 1.0, 1.0, 1e-3], grid=SMALL)
    assert bad.on_edge
    assert bad.is_poor
    assert f"ON THE EDGE OF THE GRID ({', '.join(bad.on_edge)})" in str(bad)
    assert "POOR FIT: the objective is above 0.2" in str(bad)


@pytest.mark.parametrize("values", [EXAMPLE, SMALL.point((0, 3, 2, 2)).moments(4)])
def test_files(tmp_path, values):
    fit = fit_mixture(values, grid=SMALL)
    fit.save(tmp_path / "fit.npz")
    loaded = MixtureFit.load(tmp_path / "fit.npz")
    assert str(loaded) == str(fit)
    for name in ("mixture", "objective", "index", "on_edge", "num_points"):
        assert getattr(loaded, name) == getattr(fit, name)
    np.testing.assert_array_equal(loaded.residuals, fit.residuals)
    with pytest.raises(ValueError, match="must hold a saved SkewNormalMixture; it holds MixtureFit"):
        SkewNormalMixture.load(tmp_path / "fit.npz")


def test_immutable():
    fit = fit_mixture(EXAMPLE, grid=SMALL)
    with pytest.raises(ValueError, match="read-only"):
        fit.residuals[0] = 1
    with pytest.raises(AttributeError):
        fit.objective = 0.0


@pytest.mark.parametrize(
    ("moments", "message"),
    [
        ([1, 2, 3], "needs at least four moments; got 3. Ask spectral_moments for num_moments=4"),
        (1.0, r"moments must have shape \(K,\), K >= 4 \(fit_mixtures takes many of them\); got shape \(\)"),
        (np.ones((2, 4)), r"moments must have shape .*; got shape \(2, 4\)"),
        ([1, np.nan, 1, 1], "m_2 must be finite; got nan"),
        ([1, 1, 0, 1], "m_3 must not be zero, because the objective divides by it; got 0.0"),
        ([1, 1, 1, 1e-310], "m_4 must not be so small that its reciprocal overflows, .*; got 1e-310. Rescale"),
        (np.full(4, 1e-307), "must not be so small that the relative objective overflows on all of the grid; got"),
        ([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0]], "moments must be Moments or an array .*; got list that makes no array"),
    ],
)
def test_bad_moments(moments, message):
    with pytest.raises(ValueError, match=message):
        fit_mixture(moments, grid=WIDE)


@pytest.mark.parametrize(
    ("many", "message"),
    [
        (np.ones((2, 3)), "needs at least four moments; got 3 in row 0"),
        (np.ones((2, 2, 4)), r"moments must have shape .*; got shape \(2, 4\) in row 0"),
        ([[1, 1, 1, 1], [1, 1]], "needs at least four moments; got 2 in row 1"),
        ([[1, 1, 1, 1], "m"], "got str that makes no array of numbers in row 1"),
        ([[1, 1, 1, 1], [1, 1, 1, -np.inf]], "m_4 must be finite; got -inf in row 1"),
        ([[1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 1]], "m_1 must not be zero, .*; got 0.0 in row 2"),
        (np.full((2, 4), 1e-307), r"overflows on all of the grid; got \[1e-307, .*\] in row 0"),
        ([[1, 1, 1, 1], np.full(4, 1e-307)], r"overflows on all of the grid; got \[1e-307, .*\] in row 1"),
    ],
)
def test_bad_moments_among_many(many, message):
    with pytest.raises(ValueError, match=message):
        fit_mixtures(many, grid=WIDE)


def test_unknown_backend():
    with pytest.raises(ValueError, match="backend must be one of 'numba', 'numba-exhaustive', 'numpy'; got 'cuda'"):
        fit_mixture(EXAMPLE, grid=SMALL, backend="cuda")


def test_one_where_many_are_meant_and_a_grid_that_is_none():
    moments = Moments.from_samples(np.tile(EXAMPLE, (3, 1)), size=10, num_products=9)
    with pytest.raises(TypeError, match=r"many must be a sequence of Moments or arrays; got one Moments. Use fit_mix"):
        fit_mixtures(moments)
    with pytest.raises(TypeError, match=r"grid must be a Grid, such as Grid.paper\(\); got str"):
        fit_mixture([1.0, 2.0, 3.0, 4.0], grid="paper")


def test_what_has_moments_is_not_what_is_fitted():
    density = Spectrum(np.linspace(-1, 3, 20))
    with pytest.raises(TypeError, match=r"got Spectrum\. Write fit_mixture\(density\.moments\(4\)\)\."):
        fit_mixture(density)
    assert fit_mixture(density.moments(4), grid=SMALL).objective >= 0
    with pytest.raises(TypeError, match=r"got FunctionOperator\. Write fit_mixture\(spectral_moments\(H\)\)\."):
        fit_mixture(as_operator(np.eye(3)))


def test_numbers():
    fit = fit_mixture(EXAMPLE, grid=SMALL)
    numbers = fit.numbers(0.3)
    assert (numbers["objective"], numbers["num_points"]) == (fit.objective, 3024)
    assert (numbers["is_poor"], numbers["on_edge"]) == (fit.is_poor, list(fit.on_edge))
    assert numbers["mixture"]["weight"] == fit.mixture.weight
    assert numbers["fractions"]["negative"]["value"] == fit.mixture.fraction_negative(0.3)
