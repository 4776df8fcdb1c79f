"""What a printed density says of its ends and its window."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hessdens import Spectrum, lanczos_density
from hessdens.results.summaries import text

RITZ = np.array([-2.0, -0.5, 0.1, 3.0, 7.0])


def test_one_thing_has_no_plural():
    assert [text.counted(number, "probe") for number in (0, 1, 1_200)] == ["0 probes", "1 probe", "1,200 probes"]


def test_ends_that_have_converged_have_errors():
    largest, smallest = text.ends(np.array([-2.0, 3.0, 7.0]), np.array([1e-3, 1e-9, 2e-9]), RITZ)
    assert largest == "  largest: 7.00000 ± 0.00007, 3.00000 ± 0.00003"
    assert smallest == "  smallest: -2.000 ± 0.001"


@pytest.mark.parametrize(
    ("half", "count"),
    # -3 lies left of a narrow window, and -0.01 is below 0 by less than its error.
    [(5.0, "3"), (1.0, "2"), (0.3, "1"), (0.05, None)],
)
def test_eigenvalues_below_zero_inside_of_a_window_are_counted(half, count):
    found, errors = np.array([-3.0, -0.4, -0.2, -0.01, 0.1, 2.0]), np.array([0.1, 0.1, 0.1, 0.02, 0.01, 0.1])
    line = f"  below 0 inside of the window: at least {count}, counted as degenerate"
    assert text.below_zero(found, errors, half) == ([line] if count else [])


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (3755.23, 12.0, "3760 ± 20"),
        (-0.74194, 0.0028, "-0.742 ± 0.003"),
        (922.2222, 1e-9, "922.22 ± 0.01"),
        (0.0, 0.0, "0"),
        (1.23456e-6, 1e-8, "1.23e-06 ± 2e-08"),
        (0.0, 3e-7, "0e+00 ± 3e-07"),
    ],
)
def test_a_value_has_the_digits_that_its_bound_leaves(value, error, expected):
    assert text.with_bound(value, error) == expected


@given(st.floats(-1e6, 1e6), st.floats(0, 1e3))
def test_bounds_hold_for_values_as_they_are_printed(value, error):
    shown, _, bound = text.with_bound(value, error).partition(" ± ")
    assert abs(float(shown) - value) + error <= float(bound or 0) * (1 + 1e-6) + 1e-300


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (0.4694, 0.0, 0.99117, "47% (0% to 99.1%)"),
        (0.4264, 0.00352, 0.9773, "43% (0.4% to 98%)"),
        (0.038, 0.0241, 0.0563, "3.8% (2.4% to 5.6%)"),
        (0.98931, 0.98931, 0.98931, "98.93% (98.93% to 98.93%)"),
    ],
)
def test_digits_follow_the_interval(value, low, high, expected):
    assert text.with_interval(value, low, high) == expected


def test_counts_are_rounded_as_their_percentages():
    line = text.fraction("degenerate", 77_962, 0.46937, 0.0, 0.99119)
    assert line == "  degenerate: 47% (0% to 99.1%), 37,000 (0 to 77,300) of 77,962"


def test_a_window_that_is_not_resolved_has_its_cure():
    start = "  WIDE INTERVALS: 100 products do not resolve this window"
    assert text.wide(100, (1_200, 4), "1%") == f"{start}; about 1,200 would do (max_products=1200, num_probes=4)."
    unknown = f"{start}, and do not show how many would; "
    assert text.wide(100, None, "2%") == unknown + 'window="2%" is resolved.'
    assert text.wide(100, None, None) == unknown + 'nor is window="10%" resolved.'


def test_ends_that_have_not_converged_are_bounds():
    largest, smallest = text.ends(np.array([3.0]), np.array([1e-9]), RITZ)
    assert largest == "  largest: 7 or further above (a Ritz value; none at this end has converged)"
    assert smallest == "  smallest: -2 or further below (a Ritz value; none at this end has converged)"


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
def test_a_window_above_a_tenth_of_the_largest_is_told(top, is_wide):
    lines = text.window(0.1, top)
    assert any("WIDE WINDOW" in line for line in lines) == is_wide
    assert lines[0] == f"  window: 0.2, that is |λ| < 0.1, {20 / top:.2g}% of the largest |λ|; intervals at 95%"
    assert ("WIDE WINDOW" in str(Spectrum([0.0, top]))) == is_wide


def test_zeros_have_no_scale():
    assert text.window(0.1, 0.0, None)[0] == "  window: 0.2, that is |λ| < 0.1"
    assert "largest: 1 or further above " in str(lanczos_density(np.eye(5), num_probes=2, num_steps=2))


def test_words_in_a_row():
    assert [text.listed([*"abc"[:count]]) for count in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
