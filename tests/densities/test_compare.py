"""Comparison: distances against closed forms and SciPy, moments in units of their errors."""

import ast
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from naive import Normal
from scipy import stats

from hessdens import Spectrum, compare, eigenpairs, lanczos_density
from hessdens.densities.compare import INSTEAD
from hessdens.loading import CLASSES
from hessdens.results import Moments
from hessdens.structure import layer_traces
from hessdens.testing import spectra

HALVES = {"first": slice(0, 1), "second": slice(1, 2)}


@given(spectra(min_size=2), spectra(min_size=3))
def test_distances_between_spectra_equal_those_of_scipy(first, second):
    result = compare(Spectrum(first), Spectrum(second))
    scale = 1 + max(np.abs(first).max(), np.abs(second).max())
    assert result.wasserstein == pytest.approx(stats.wasserstein_distance(first, second), abs=1e-9 * scale)
    assert result.kolmogorov == pytest.approx(stats.ks_2samp(first, second, method="asymp").statistic, abs=1e-12)


@given(spectra())
def test_a_spectrum_is_at_distance_zero_from_itself(eigenvalues):
    result = compare(Spectrum(eigenvalues), Spectrum(eigenvalues))
    assert result.kolmogorov == result.wasserstein == 0
    np.testing.assert_array_equal(result.moments, result.exact_moments)


def test_shifted_normals():
    """Wasserstein: the shift. Kolmogorov: 2 Phi(shift / 2) - 1, which lies between nodes, so a little below it."""
    result = compare(Normal(0.5), Normal(0.0))
    assert result.wasserstein == pytest.approx(0.5, rel=1e-9)
    assert result.kolmogorov == pytest.approx(2 * stats.norm.cdf(0.25) - 1, rel=2e-3)


def test_normal_against_one_eigenvalue():
    """E|X| = sqrt(2 / pi), although the difference changes sign at the eigenvalue."""
    result = compare(Normal(0.0), Spectrum([0.0]))
    assert result.wasserstein == pytest.approx(np.sqrt(2 / np.pi), rel=1e-9)
    assert result.kolmogorov == pytest.approx(0.5)
    assert (result.degenerate, result.exact_degenerate) == (pytest.approx(0.0796557, rel=1e-5), 1.0)
    assert (result.negative, result.exact_negative) == (pytest.approx(0.4601722, rel=1e-5), 0.0)


def test_moments_alone():
    moments = Moments([2.5, 5.0, 1.0], [0.25, 1.0, 0.0], [[2.5, 5.0, 1.0]] * 2, 2, 2)
    result = compare(moments, Spectrum([1.0, 3.0]))
    np.testing.assert_allclose(result.z_scores, [2.0, 0.0, -np.inf])
    np.testing.assert_allclose(result.relative_errors, [0.25, 0.0, -13 / 14])
    assert np.isnan([result.degenerate, result.negative, result.kolmogorov, result.wasserstein]).all()
    assert "degenerate" not in str(result)


def test_window_and_summary():
    result = compare(Spectrum([-1.0, 0.3, 2.0, 0.0]), Spectrum([-0.3, 0.3, 2.0, 5.0]), window=0.8)
    assert (result.degenerate, result.exact_degenerate, result.negative, result.exact_negative) == (0.5, 0.5, 0.25, 0.0)
    lines = str(result).splitlines()
    assert lines[1].split() == ["m_1", "3.2500e-01", "1.7500e+00", "-81.43%"]
    assert lines[-1] == "Distances: 1.425 in units of eigenvalues (Wasserstein), 0.25 of their number (Kolmogorov)"
    assert lines[-2] == "Window: 0.8 for both, that is |λ| < 0.4"
    assert result.numbers()["window"] == 0.8
    assert lines[-4].split() == ["degenerate", "50.00%", "(2)", "50.00%", "(2)"]


def test_the_window_is_that_of_an_estimate_in_either_place_and_another_is_warned_of():
    exact = Spectrum(np.linspace(-1, 3, 40))
    density = replace(lanczos_density(np.diag(exact.eigenvalues), max_products=20), window=0.5)
    assert compare(density, exact).window == compare(exact, density).window == 0.5
    with pytest.warns(UserWarning, match=r"different sizes, 0.5 and 0.1; all fractions are in one of 0.5"):
        compare(density, replace(density, window=0.1))


def test_columns_are_named_for_what_they_hold():
    exact, other = Spectrum([-0.3, 2.0]), Normal(0.0)
    assert str(compare(other, exact)).splitlines()[0].split() == ["estimate", "exact", "relative", "error"]
    assert str(compare(exact, other)).splitlines()[0].split() == ["first", "second", "relative", "difference"]
    named = compare(exact, exact, labels=("start", "end"))
    assert str(named).splitlines()[0].split() == ["start", "end", "relative", "difference"]
    assert named.numbers()["labels"] == ["start", "end"]
    assert "-0.00%" not in str(compare(Spectrum([1 - 1e-9]), Spectrum([1.0])))


def test_moments_alone_are_compared_in_standard_errors():
    moments = Moments.from_samples([[1.0, 2.0], [3.0, 2.5], [2.0, 3.0]], size=4, num_products=3)
    result = compare(moments, Spectrum([-1.0, 0.3, 2.0, 0.0]))
    np.testing.assert_allclose(result.z_scores, (moments.values - [0.325, 1.2725]) / moments.standard_errors)
    lines = str(result).splitlines()
    assert lines[0].endswith("standard errors off")
    assert lines[1].split()[-1] == f"{result.z_scores[0]:.1f}"
    assert len(lines) == 3


@pytest.mark.parametrize("estimate", [Normal(0.5), Moments.from_samples([[1.0], [2.0]], size=4, num_products=2)])
def test_saved_and_loaded(tmp_path, estimate):
    result = compare(estimate, Spectrum([-1.0, 0.3, 2.0, 0.0]))
    result.save(tmp_path / "c.npz")
    loaded = type(result).load(tmp_path / "c.npz")
    assert str(loaded) == str(result)
    for name in result.layout:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(result, name))


def test_what_is_no_density():
    moments = Moments.from_samples([[1.0], [2.0]], size=4, num_products=2)
    with pytest.raises(TypeError, match=r"estimate must be a density .* got list. Eigenvalues are one as Spectrum\("):
        compare([1.0], Spectrum([1.0]))
    with pytest.raises(TypeError, match=r"exact must be a density .* got ndarray. Eigenvalues are one"):
        compare(moments, np.ones(3))
    with pytest.raises(TypeError, match=r"exact must be a density .* got list. Eigenvalues are one"):
        compare(Spectrum([1.0]), [1.0])


def test_two_results_that_are_no_densities_are_both_named():
    moments = Moments.from_samples([[1.0], [2.0]], size=4, num_products=2)
    for first, second, message in (
        (moments, moments, "got Moments and Moments. Write compare(first, fit_mixture(second).mixture)."),
        (Spectrum([1.0]), moments, "got Spectrum and Moments. Write compare(moments, density)."),
        (*[eigenpairs(np.eye(2), 1)] * 2, "got Eigenpairs and Eigenpairs. Write subspace_angles(first, second)."),
        (*[layer_traces(np.eye(2), HALVES)] * 2, "LayerTraces. Write plot_layer_traces(second, ax=plot_layer_traces("),
    ):
        with pytest.raises(TypeError, match=re.escape(message)) as caught:
            compare(first, second)
        assert str(caught.value).startswith("compare takes an estimate and a density, its reference; got ")


def test_what_is_said_of_two_results_is_of_kinds_that_there_are():
    assert set(INSTEAD) < set(CLASSES)
    for code in INSTEAD.values():
        ast.parse(code)


def test_numbers():
    result = compare(Spectrum([-1.0, 0.3, 2.0, 0.0]), Spectrum([-0.3, 0.3, 2.0, 5.0]), num_moments=2, window=0.8)
    numbers = result.numbers()
    assert numbers["degenerate"] == {"value": 0.5, "exact": 0.5}
    assert numbers["negative"] == {"value": 0.25, "exact": 0.0}
    assert (numbers["kolmogorov"], numbers["wasserstein"]) == (result.kolmogorov, result.wasserstein)
    assert numbers["moments"][0] == {
        "order": 1, "value": 0.325, "standard_error": None, "exact": 1.75,
        "relative_error": pytest.approx(-1.425 / 1.75), "z_score": None,
    }  # fmt: skip
    assert len(numbers["moments"]) == 2


def test_cost_is_four_evaluations_of_both_functions_per_node():
    """Besides the two on either side of each node."""
    asked = []

    class Counted(Spectrum):
        def cdf(self, x):
            asked.append(np.size(x))
            return super().cdf(x)

    compare(Counted(np.arange(5.0)), Counted(np.arange(5.0) + 0.5), window=0.0)
    assert sorted(asked)[-4:] == [2 * 10] * 2 + [4 * 9] * 2
