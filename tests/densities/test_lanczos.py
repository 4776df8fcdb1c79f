"""What a Lanczos density answers, and intervals that are consistent with it; see also tests/estimators."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import NETWORK, diagonal

from hessdens import Spectrum, lanczos_density
from hessdens.densities import Density
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
    (fewest, most), truth = density.quadrature.counts(points), np.sum(eigenvalues <= points[:, None], axis=1)
    assert ((fewest <= truth) & (truth <= most)).all()
    assert density.quadrature.counts(np.array([-np.inf, np.inf])).tolist() == [[0, density.size]] * 2
    least, largest = density.quadrature.mass_bounds(points) * density.size
    assert ((least - 1e-9 <= np.diff(truth)) & (np.diff(truth) <= largest + 1e-9)).all()


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
    quadrature = lanczos_density(operator, num_probes=2, num_steps=30).quadrature
    assert quadrature.atoms.sum() == 2
    assert quadrature.unresolved(x).max() < 1e-9


def test_wide_intervals_say_so():
    operator = diagonal(20 * NETWORK)  # the edge of the window lies in the bulk
    wide, narrow = (lanczos_density(operator, max_products=m) for m in (12, 300))
    assert np.ptp(wide.degenerate_interval()) > 0.1 > np.ptp(narrow.degenerate_interval())
    assert "\n  WIDE INTERVALS: take more products (max_products=).\n" in str(wide)
    assert "WIDE" not in str(narrow)


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


def test_quadratures_of_other_probes_are_refused():
    density = lanczos_density(diagonal([1.0, 2.0, 3.0, 4.0]), num_probes=3, num_steps=2)
    other = lanczos_density(diagonal([1.0, 2.0, 3.0, 4.0]), num_probes=2, num_steps=2)
    with pytest.raises(ValueError, match=r"of the same eigenvalues and probes; got \[\(4, 2\), \(4, 3\)\]"):
        dataclasses.replace(density, earlier=(other.quadrature,))
