"""Checks of arguments: the rule, and what was received."""

import numpy as np
import pytest

from hessdens._checks import at_least, check_interval, check_level, half_window, whole_at_least


def test_half_of_a_window():
    assert half_window(0.2) == 0.1
    assert half_window(0) == 0
    for window in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"window must be finite and at least 0; got {window}"):
            half_window(window)


def test_a_share_is_of_the_largest_eigenvalue():
    assert half_window("1%", 50.0) == 0.25
    with pytest.raises(
        ValueError, match=r"window must be a number where the largest eigenvalue is not known; got '1%'"
    ):
        half_window("1%")
    for window in ("0.2", "%", "-1%", "nan%", "inf%", "one%"):
        with pytest.raises(ValueError, match=f"a share as \"1%\" of the largest eigenvalue; got '{window}'"):
            half_window(window, 1.0)


def test_least_values():
    at_least("num_moments", 1, 1)
    for value in (0, float("nan")):
        with pytest.raises(ValueError, match=f"num_moments must be at least 1; got {value}"):
            at_least("num_moments", value, 1)


def test_whole_numbers():
    whole_at_least("k", np.int64(1), 1)
    with pytest.raises(ValueError, match="k must be at least 1; got 0"):
        whole_at_least("k", 0, 1)
    for value in (2.5, 2.0, True, None, "2"):
        with pytest.raises(TypeError, match=f"k must be a whole number; got {value!r}"):
            whole_at_least("k", value, 1)


def test_intervals_ascend():
    check_interval(-float("inf"), 1.0)
    check_interval(1.0, 1.0)
    with pytest.raises(ValueError, match=r"low must not exceed high; got 2 and 1\."):
        check_interval(2, 1)


def test_levels_are_probabilities():
    check_level(0.5)
    for level in (0, 1, 95, float("nan")):
        with pytest.raises(ValueError, match=f"level must lie between 0 and 1; got {level}"):
            check_level(level)
