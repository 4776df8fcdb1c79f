"""Tables of spectra: what is in which cell, and that LaTeX is what LaTeX reads."""

import re
from dataclasses import replace

import numpy as np
import pytest

from hessdens import Spectrum, exact_spectrum, lanczos_density
from hessdens.densities import maximum_entropy, trace
from hessdens.estimators import chebyshev_moments
from hessdens.plotting import spectrum_table

VALUES = np.concatenate([np.linspace(-0.03, 0.03, 380), np.linspace(-1, 1, 10), [-2.0, -1.5, 3.25, 4.5, 8.0, 9.0]])
MATRIX = np.diag(VALUES)


def cells(table):
    """Return the cells of a Markdown table by the name of their row."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {name: rest for name, *rest in rows}


def test_numbers_are_those_of_the_densities():
    exact, density = exact_spectrum(MATRIX), lanczos_density(MATRIX, max_products=120)
    table = cells(spectrum_table({"exact": exact, "100 products": density}, num_eigenvalues=3))
    assert table[""] == ["exact", "100 products"]
    assert table["eigenvalues"] == ["396", "396"]
    assert table["largest eigenvalue 1"] == ["9", "9"]
    assert table["largest eigenvalue 2"] == ["8", "8"]
    assert table["largest eigenvalue 3"] == ["4.5", "4.5"]
    assert table["smallest eigenvalue"] == ["-2", "-2"]
    assert table["trace"][0] == "21.25"
    middle, low, high = map(float, re.findall(r"[\d.]+", table["trace"][1]))
    assert low <= VALUES.sum() <= high
    unit = 10 ** -len(table["trace"][1].partition(" ")[0].partition(".")[2])
    np.testing.assert_allclose([middle, low, high], trace(density), rtol=0, atol=0.51 * unit)
    assert unit <= (high - low) / 2 / 9, "two digits of half of the width"
    assert table["negative"][0] == "1.77%"
    low, high = map(float, re.findall(r"([\d.]+)%", table["negative"][1])[1:])
    assert low - 0.01 <= 100 * 7 / 396 <= high + 0.01


def test_windows_have_a_row_and_those_that_differ_are_warned_of():
    density = lanczos_density(MATRIX, max_products=120)
    first, second = replace(density, window=0.1), replace(density, window=4.0)
    with pytest.warns(UserWarning, match=r"different sizes, 0.1 and 4; all fractions are in one of 0.1") as caught:
        table = cells(spectrum_table({"first": first, "second": second}))
    assert caught[0].filename == __file__
    assert table["window"] == ["0.1", "0.1"]
    assert table["degenerate"][0] == table["degenerate"][1]
    of_each = {"all": exact_spectrum(MATRIX), "half": exact_spectrum(MATRIX / 2)}
    assert cells(spectrum_table(of_each, window="10%"))["window"] == ["0.9", "0.45"]


def test_what_has_not_converged_is_a_bound():
    density = lanczos_density(np.diag(np.linspace(-1, 1, 500)), max_products=16)
    table = cells(spectrum_table({"a": density}, num_eigenvalues=2))
    assert table["largest eigenvalue 1"] == [f"≥ {density.nodes()[-1]:.4g}"]
    assert table["largest eigenvalue 2"] == [""]
    assert table["smallest eigenvalue"] == [f"≤ {density.nodes()[0]:.4g}"]


def test_an_error_is_written_where_it_may_change_a_digit():
    values, rng = np.linspace(0, 1, 300), np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((300, 300)))[0]
    density = lanczos_density(basis * values @ basis.T, max_products=120)
    errors = density.eigenvalue_errors[::-1]
    assert errors[0] > 1e-5, "a case that says something"
    shown = cells(spectrum_table({"a": density}, num_eigenvalues=1))["largest eigenvalue 1"]
    assert shown == [f"{density.eigenvalues_found[-1]:.4g} ± {errors[0]:.1g}"]


def test_a_trace_has_the_digits_that_its_interval_leaves():
    values = np.concatenate([np.linspace(-0.5, 0.5, 400), [-30.0, 20.0]])
    density = lanczos_density(np.diag(values), max_products=60)
    options = {"num_eigenvalues": 0, "level": 0.9}
    shown = cells(spectrum_table({"a": density}, **options))["trace"][0]
    low, high = 402 * density.moments_interval(1, 0.9)[:, 0]
    assert shown.endswith(f" ({low:.1f} to {high:.1f})")
    in_latex = spectrum_table({"a": density}, style="latex", **options)
    assert f"($-${-low:.1f} to" in in_latex


def test_latex():
    table = spectrum_table({"w_1 & 50%": Spectrum([-2e-7, 0.0, 0.5])}, num_eigenvalues=1, window=1e-9, style="latex")
    lines = table.splitlines()
    assert lines[0] == r"\begin{tabular}{lr}"
    assert lines[2] == r" & w\_1 \& 50\% \\"
    assert r"negative & 33.33\% \\" in lines
    assert r"smallest eigenvalue & $-$2 $\cdot 10^{-7}$ \\" in lines
    assert lines[-1] == r"\end{tabular}"


@pytest.mark.parametrize(
    ("densities", "options", "error", "message"),
    [
        ({}, {}, ValueError, 'densities must be by name, such as {"trained": density}; got {}'),
        (Spectrum([1.0]), {}, ValueError, "densities must be by name"),
        ({"a": np.eye(2)}, {}, TypeError, r"densities\['a'\] must be a density"),
        ({"a": Spectrum([1.0])}, {"style": "html"}, ValueError, "style must be one of markdown, latex; got 'html'"),
        ({"a": Spectrum([1.0])}, {"num_eigenvalues": -1}, ValueError, "num_eigenvalues must be at least 0; got -1"),
        ({"a": Spectrum([1.0])}, {"level": 1.0}, ValueError, "level must"),
    ],
)
def test_bad_input(densities, options, error, message):
    with pytest.raises(error, match=message):
        spectrum_table(densities, **options)


def test_densities_without_single_eigenvalues_are_refused():
    density = maximum_entropy(chebyshev_moments(MATRIX, 8, max_products=40))
    with pytest.raises(TypeError, match=r"densities\['a'\] must have single eigenvalues; got \w+"):
        spectrum_table({"a": density})
