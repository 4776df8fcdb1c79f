"""What a Lanczos density answers, and intervals that are consistent with it; see also tests/estimators."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import NETWORK, diagonal
from scipy import stats

from hessdens import Spectrum, lanczos_density
from hessdens.densities import Density, LanczosDensity
from hessdens.densities.krylov import Krylov
from hessdens.densities.quadrature import Quadrature
from hessdens.results.certificates import Certificates
from hessdens.results.intervals import skewed_interval
from hessdens.results.summaries import text
from hessdens.testing import symmetric_matrices


@settings(max_examples=40)
@given(symmetric_matrices(), st.integers(2, 4), st.integers(2, 6))
def test_cdf_and_intervals_are_consistent(case, num_probes, num_steps):
    matrix, eigenvalues = case
    density = lanczos_density(matrix, num_probes=num_probes, num_steps=num_steps)
    assert isinstance(density, Density)
    scale = max(1e-6, np.abs(eigenvalues).max())
    x = np.sort(np.concatenate([np.linspace(-1.1, 1.1, 23) * scale, density.nodes()]))
    cdf, (low, high) = density.cdf(x), density.cdf_interval(x)
    assert (np.diff(cdf) >= -1e-12).all()
    assert cdf[0] == 0
    assert cdf[-1] == pytest.approx(1, abs=1e-12)
    assert ((low <= cdf + 1e-12) & (cdf <= high + 1e-12)).all()
    slack = 1e-9 * scale  # rounding may carry an eigenvalue across x
    ritz = density.nodes()
    for point in x:
        assert np.sum(eigenvalues <= point + slack) >= np.sum(ritz <= point - slack)
    for window in (0.1 * scale, scale):
        degenerate, negative = density.fraction_degenerate(window), density.fraction_negative(window)
        assert density.degenerate_interval(window)[0] <= degenerate + 1e-12
        assert degenerate <= density.degenerate_interval(window)[1] + 1e-12
        assert density.negative_interval(window)[0] <= negative + 1e-12
        assert degenerate + negative <= 1 + 1e-9
    far = np.concatenate([eigenvalues, ritz, density.eigenvalues_found + density.eigenvalue_errors])
    points = x[(np.abs(far - x[:, None]) > slack).all(axis=1)]
    truth = np.sum(eigenvalues <= points[:, None], axis=1)
    fewest, most = density.quadrature.counts(points)
    assert ((fewest <= truth) & (truth <= most)).all()
    assert density.quadrature.counts(np.array([-np.inf, np.inf])).tolist() == [[0, density.size]] * 2


def test_interval_of_a_bin_is_that_of_the_window_and_ends_with_the_space():
    density = lanczos_density(diagonal(NETWORK), max_products=60)
    np.testing.assert_allclose(density.mass_interval([-0.005, 0.005])[:, 0], density.degenerate_interval(0.01))
    whole = np.array([-2.0, -0.5, 0.3, 0.9])
    known = lanczos_density(diagonal(whole), num_probes=2, num_steps=10)
    ends = known.mass_interval([-3, -1, 0, 1])
    np.testing.assert_allclose(ends, [[0.25, 0.25, 0.5]] * 2, atol=1e-9)
    np.testing.assert_allclose(known.degenerate_interval(1.2), 0.5, atol=1e-9)
    few = lanczos_density(diagonal(NETWORK), max_products=60)
    top = few.eigenvalues_found[-1]
    assert few.mass_interval([top - 0.1, top + 0.1])[0, 0] == pytest.approx(1 / few.size)


def test_mass_of_an_atom_counts_until_it_has_converged():
    eigenvalues = np.concatenate([np.full(70, -0.06), np.full(30, 0.14), np.geomspace(1, 50, 10)])
    operator, x = diagonal(eigenvalues), np.array([-0.05, -0.03, -0.01])
    exact = Spectrum(eigenvalues).cdf(x)
    densities = [lanczos_density(operator, num_probes=2, num_steps=4, seed=seed) for seed in range(40)]
    ends = [density.cdf_interval(x) for density in densities if density.quadrature.atoms.any()]
    assert len(ends) > 10
    assert all(((low <= exact) & (exact <= high)).all() for low, high in ends)
    density = lanczos_density(operator, num_probes=2, num_steps=30)
    assert density.quadrature.atoms.sum() == 2
    low, high = density.cdf_interval(x)
    np.testing.assert_allclose([low, high], np.array([[low[0]] * 3, [high[0]] * 3]), atol=1e-9)  # nothing between


def test_an_eigenvalue_within_its_error_of_an_edge_may_be_on_either_side():
    bulk = 1e-3 * np.random.default_rng(0).standard_normal(290)
    eigenvalues = np.sort(np.concatenate([bulk, [-0.7], np.linspace(0.5, 3, 9)]))
    operator = diagonal(eigenvalues)
    for seed in range(20):
        density = lanczos_density(operator, seed=seed)
        for index in (0, -1, -4, -9):
            edge = eigenvalues[index]
            low, high = density.cdf_interval(edge)
            assert low - 1e-12 <= np.mean(eigenvalues <= edge) <= high + 1e-12
            assert high - low < 0.05
        low, high = density.degenerate_interval(1.4)
        assert low - 1e-12 <= np.mean(np.abs(eigenvalues) < 0.7) <= high + 1e-12
        edges = np.array([0.1, *eigenvalues[-4:-2]])
        (low, high), exact = density.mass_interval(edges), np.diff(Spectrum(eigenvalues).cdf(edges))
        assert ((low <= exact + 1e-12) & (exact <= high + 1e-12)).all()


def test_an_exhausted_space_leaves_nothing_to_steps():
    """Of two eigenvalues with thousands of copies only the probes leave open how many are which."""
    operator = diagonal(np.repeat([-1.0, 1.0], [600, 1400]))
    for seed in range(10):
        density = lanczos_density(operator, seed=seed)
        low, high = density.negative_interval()
        assert high - low < 0.2
    assert density.num_products == 8


def test_wide_intervals_say_so_and_how_many_products_would_do():
    operator = diagonal(5 * NETWORK)  # the edge of the window is at two standard deviations of the bulk
    wide, middle, narrow = (lanczos_density(operator, max_products=m) for m in (8, 40, 400))
    widths = [max(np.ptp(each.degenerate_interval()), np.ptp(each.negative_interval())) for each in (wide, middle)]
    assert widths[0] > 0.5 > widths[1] > 0.1
    assert "\n  WIDE INTERVALS: 8 products do not resolve this window, and do not show how many would; " in str(wide)
    needed, probes = middle.narrowing(None, ("degenerate", "negative")).budget_for(0.1 / widths[1], 0.95)
    advice = f"do not resolve this window; about {needed} would do (max_products={needed}, num_probes={probes})."
    assert f"\n  WIDE INTERVALS: 40 products {advice}\n" in str(middle)
    enough = lanczos_density(operator, max_products=needed, num_probes=probes)
    assert np.ptp(enough.degenerate_interval()) < 0.1  # there are more products than eigenvalues to be told apart
    assert np.ptp(narrow.degenerate_interval()) < 0.1
    assert "WIDE" not in str(narrow)
    assert narrow.wide_hint() == []
    assert "would do (max_products=" in narrow.wide_hint(0.04)[0]  # whose edges lie in the bulk


def test_the_products_that_are_told_do():
    operator = diagonal(np.random.default_rng(1).normal(size=3000))
    density = lanczos_density(operator, max_products=100, window=0.05)
    width = np.ptp(density.negative_interval())
    assert width > 0.12
    budget = density.narrowing(None, ["negative"]).budget_for(0.1 / width, 0.95)
    enough = lanczos_density(operator, max_products=budget[0], num_probes=budget[1], window=0.05)
    assert 0.07 < np.ptp(enough.negative_interval()) < 0.11


def test_fractions_of_a_share_of_the_largest_are_told_where_those_of_the_window_say_nothing():
    bulk = np.random.default_rng(0).normal(0, 0.5, 990)
    density = lanczos_density(diagonal([*bulk, *np.linspace(400, 1000, 10)]), max_products=20)
    assert np.ptp(density.degenerate_interval()) > 0.5
    lines = str(density).splitlines()
    place = next(index for index, line in enumerate(lines) if "WIDE INTERVALS" in line)
    assert lines[place].endswith('window="1%" is resolved.')
    value, (low, high) = density.fraction_degenerate("1%"), density.degenerate_interval("1%")
    assert lines[place + 1] == text.fraction('degenerate in window="1%"', 1000, value, low, high)
    assert lines[place + 2].startswith('  negative in window="1%": ')


def test_a_density_keeps_the_window_that_it_was_estimated_for(tmp_path):
    operator = diagonal(NETWORK)
    density, other = lanczos_density(operator, max_products=40, window="5%"), lanczos_density(operator, max_products=40)
    assert density.window == pytest.approx(0.05 * np.abs(NETWORK).max())
    assert other.window == 0.2
    assert density.fraction_degenerate() == other.fraction_degenerate("5%") != other.fraction_degenerate()
    first, second = (each.partition("\n  cost")[0] for each in (str(density), other.summary("5%")))
    assert first == second
    assert "intervals at 90%" in density.summary(0.2, 0.9)
    assert density.numbers()["fractions"]["window"] == density.window
    density.save(tmp_path / "density.npz")
    assert LanczosDensity.load(tmp_path / "density.npz").window == density.window
    with pytest.raises(ValueError, match="window"):
        dataclasses.replace(density, window=-1.0)


def test_files_without_a_window_are_of_the_usual_one(tmp_path):
    density = lanczos_density(diagonal(NETWORK), max_products=20, window=3)
    arrays = {name: np.asarray(array) for name, array in density.to_arrays().items() if name != "window"}
    assert LanczosDensity.from_arrays(arrays, "old.npz").window == 0.2


def test_density_integrates_and_band_holds_it():
    density = lanczos_density(diagonal(NETWORK), max_products=100)
    x = np.linspace(-5, 25, 200_001)
    pdf = density.pdf(x, bandwidth=0.01)
    assert np.trapezoid(pdf, x) == pytest.approx(1, abs=1e-6)
    low, high = density.pdf_interval(x[::1000], bandwidth=0.01)
    assert ((low <= pdf[::1000] + 1e-15) & (pdf[::1000] <= high + 1e-15)).all()
    # A bandwidth from the range of all eigenvalues would be 0.2, twenty times the bulk.
    assert density.bandwidth() < 0.02
    assert density.pdf(0.0) > 5


def test_bad_questions():
    density = lanczos_density(diagonal(NETWORK), max_products=10)
    with pytest.raises(ValueError, match="level must lie between 0 and 1; got 1"):
        density.cdf_interval(0.0, level=1)
    with pytest.raises(ValueError, match="bandwidth must be positive; got 0"):
        density.pdf(0.0, bandwidth=0)
    with pytest.raises(ValueError, match="order must be at least 1; got 0"):
        density.moments(0)
    with pytest.raises(ValueError, match="low must not exceed high"):
        density.mass(1, 0)
    for edges in (0.0, [1.0], [0.0, -1.0], [0.0, np.nan]):
        with pytest.raises(ValueError, match="edges must be at least 2 ascending numbers; got"):
            density.mass_interval(edges)
    assert np.isnan(density.cdf(np.nan))


def test_spaces_of_other_probes_are_refused():
    density = lanczos_density(diagonal([1.0, 2.0, 3.0, 4.0]), num_probes=3, num_steps=2)
    other = lanczos_density(diagonal([1.0, 2.0, 3.0, 4.0]), num_probes=2, num_steps=2)
    with pytest.raises(ValueError, match="Spaces must be of the probes of the quadrature, 3; got 2 probes"):
        dataclasses.replace(density, spaces=other.spaces)
    with pytest.raises(ValueError, match="Spaces must be of the probes of the quadrature, 3; got 0 probes"):
        dataclasses.replace(density, spaces=())


def by_hand(points=(-1.0, 0.0, 1.0), weights=((0.2, 0.4, 0.2), (0.4, 0.2, 0.2), (0.1, 0.1, 0.6)), found=(-3.0, 5.0)):
    """Return a density of ten eigenvalues, of which some are known."""
    atoms, errors = np.zeros(len(points), dtype=bool), np.full(len(found), 0.1)
    quadrature = Quadrature(np.array(found), errors, np.array(points), np.array(weights), atoms, 10, interlaces=True)
    coupling = 0.1 * np.ones((1, len(points)))
    space = Krylov(np.array(points), coupling, np.sqrt(np.array(weights)), 1e-15)
    return LanczosDensity(quadrature, (space,), 3, 9, Certificates(1e-9, 9, 1.0, "", 0.0))


def test_moments_are_those_of_eigenvalues_and_quadrature():
    density, orders = by_hand(), np.arange(1, 6)
    samples = density.quadrature.weights @ density.nodes()[1:4, None] ** orders + ((-3.0) ** orders + 5.0**orders) / 10
    np.testing.assert_allclose(density.moment_samples(5), samples)
    np.testing.assert_allclose(density.moments(5), samples.mean(axis=0))
    errors = 1.25 * samples.std(axis=0, ddof=1) / np.sqrt(3)
    rest = samples - ((-3.0) ** orders + 5.0**orders) / 10
    expected = skewed_interval(samples.mean(axis=0), errors, rest, 0.9)
    below, above = density.quadrature.moment_errors(5)
    np.testing.assert_allclose(density.moments_interval(5, 0.9), expected + np.stack([-below, above]))


def test_smoothed_density_is_a_sum_of_gaussians_with_the_noise_of_probes():
    density, x = by_hand(), np.array([[-3.1, -1.0], [0.2, 5.0]])
    weights = np.concatenate([np.full((3, 1), 0.1), density.quadrature.weights, np.full((3, 1), 0.1)], axis=1)
    samples = np.tensordot(weights, stats.norm(density.nodes()[:, None, None], 0.3).pdf(x), axes=1)
    np.testing.assert_allclose(density.pdf(x, bandwidth=0.3), samples.mean(axis=0))
    flat = samples.reshape(3, -1)
    errors = flat.std(axis=0, ddof=1) / np.sqrt(3)
    expected = np.maximum(skewed_interval(flat.mean(axis=0), errors, flat, 0.9), 0).reshape(2, 2, 2)
    np.testing.assert_allclose(density.pdf_interval(x, bandwidth=0.3, level=0.9), expected, atol=1e-15)


def test_default_bandwidth_is_the_distance_of_points_where_the_mass_is():
    assert by_hand().bandwidth() == pytest.approx(1)
    uneven = by_hand((0.0, 1.0, 4.0), ((0.0, 0.8, 0.0), (0.0, 0.8, 0.0)))
    assert uneven.bandwidth() == pytest.approx(np.gradient([0.0, 1.0, 4.0])[1])
    assert by_hand((1.0,), ((0.8,),) * 2).bandwidth() == pytest.approx(8 / 100)  # of the spread, -3 to 5
    assert by_hand((-4.0,), ((1.0,),) * 2, ()).bandwidth() == pytest.approx(4e-3)  # one point: of where it is
    assert by_hand((2.0, 2.0), ((0.5, 0.5),) * 2, ()).bandwidth() == pytest.approx(2e-3)


def test_summary_has_fractions_with_intervals_and_counts():
    density = by_hand()
    lines = str(density).splitlines()
    assert lines[0] == "Density of 10 eigenvalues"
    for line, value, (low, high) in (
        (lines[1], density.fraction_degenerate(), density.degenerate_interval()),
        (lines[2], density.fraction_negative(), density.negative_interval()),
    ):
        assert f": {text.with_interval(value, low, high)}, " in line
        assert line.endswith(f" {10 * value:.0f} ({10 * low:.0f} to {10 * high:.0f}) of 10")
    assert "  largest: 5.0 ± 0.1\n" in str(density)
    assert "  smallest: -3.0 ± 0.1\n" in str(density)


@settings(max_examples=40)
@given(st.lists(st.floats(-1, 1), min_size=8, max_size=8), st.floats(0.0, 1.5))
def test_no_more_eigenvalues_are_called_negative_than_are(values, half):
    exact = np.array([*values, *np.linspace(-0.5, 0.5, 22), 3.0])
    density = lanczos_density(np.diag(exact), max_products=24, num_probes=2)
    line = re.search("below 0 inside of the window: at least ([0-9]+),", density.summary(2 * half))
    shown = int(line[1]) if line else 0
    errors = density.eigenvalue_errors + density.rounding()
    proved = (density.eigenvalues_found < -errors).sum() - (density.eigenvalues_found <= -half).sum()
    assert max(proved, 0) <= shown <= (exact < 0).sum()


def test_a_density_needs_two_probes():
    with pytest.raises(ValueError, match="needs 2 probes and 1 point at least; got 1 and 3"):
        by_hand((0.0,), ((0.8,),))


def test_numbers_have_intervals_and_counts():
    density = by_hand()
    numbers = density.numbers(0.6, 0.8)
    counts = {"size": 10, "num_products": 9, "num_steps": 3, "num_probes": 3, "eigenvalues_found": 2, "seconds": 1.0}
    assert {name: numbers[name] for name in counts} == counts
    (low, high), (value, *_) = density.moments_interval(4, 0.8), density.moments(4)
    assert numbers["moments"][0] == {"order": 1, "value": value, "low": low[0], "high": high[0]}
    low, high = density.negative_interval(0.6, 0.8)
    value = density.fraction_negative(0.6)
    assert numbers["fractions"]["negative"] == {"value": value, "low": low, "high": high}
