"""What a printed density says of its ends and its window."""

import numpy as np
import pytest

from hessdens import Spectrum, lanczos_density
from hessdens.results.summaries import text

RITZ = np.array([-2.0, -0.5, 0.1, 3.0, 7.0])


def test_ends_that_have_converged_have_errors():
    largest, smallest = text.ends(np.array([-2.0, 3.0, 7.0]), np.array([1e-3, 1e-9, 2e-9]), RITZ)
    assert largest == "  largest: 7, 3 (errors below 1e-05 of the first)"
    assert smallest == "  smallest: -2 (errors below 1e-03 of the first)"


def test_errors_are_relative_to_the_first_eigenvalue_unless_it_is_zero():
    values, errors = np.array([0.0, 2.0]), np.array([1e-5, 1e-5])
    largest, smallest = text.ends(values, errors, values)
    assert largest == "  largest: 2, 0 (errors below 1e-05 of the first)"
    assert smallest == "  smallest: 0, 2 (errors below 1e-05)"


def test_ends_that_have_not_converged_are_bounds():
    largest, smallest = text.ends(np.array([3.0]), np.array([1e-9]), RITZ)
    assert largest == "  largest: at least 7 (a Ritz value, which is a bound)"
    assert smallest == "  smallest: at most -2 (a Ritz value, which is a bound)"


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (10_825.3, 375.0, "10,830 ± 380"),
        (19.8712, 0.0934, "19.871 ± 0.093"),
        (-6.338, 8.0, "-6.3 ± 8.0"),
        (2.0, 0.0, "2 ± 0"),
        (52.0123, 1e-9, "52.0123 ± 1e-09"),
        (3e9, 2e7, "3e+09 ± 2e+07"),
        (1.0, np.inf, "1 ± inf"),
    ],
)
def test_numbers_with_errors_end_where_these_do(value, error, expected):
    assert text.with_error(value, error) == expected


@pytest.mark.parametrize(("top", "is_wide"), [(1.9, True), (2.1, False)])
def test_a_window_above_a_tenth_of_the_range_is_told(top, is_wide):
    lines = text.window(np.array([0.0, top]))
    assert any("WIDE WINDOW" in line for line in lines) == is_wide
    assert f"{20 / top:.2g}% of the range" in lines[0]
    assert ("WIDE WINDOW" in str(Spectrum([0.0, top]))) == is_wide


def test_equal_eigenvalues_have_no_range():
    assert len(text.window(np.ones(3))) == 2
    assert "largest: at least 1 " in str(lanczos_density(np.eye(5), num_probes=2, num_steps=2))
