"""Checks of arguments: the rule, and what was received."""

import math
import re

import numpy as np
import pytest

from hessdens._checks import at_least, check_interval, check_level, check_real, check_whole, half_window, whole_at_least


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


def test_counts_are_of_integer_types():
    for value in (3, np.int64(3), 0, -1):
        check_whole("k", value)
    for value, kind, hint in [
        ("100", "str", " Write k=100."), (20.5, "float", " Write k=20."), (2.0, "float", " Write k=2."),
        (np.float64(3), "float64", " Write k=3."), ("many", "str", ""), (math.nan, "float", ""),
        (math.inf, "float", ""), (0.5, "float", ""), (None, "NoneType", ""), (True, "bool", ""), ([1], "list", ""),
    ]:  # fmt: skip
        message = f"k must be a whole number; got {value!r} of type {kind}.{hint}"
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            check_whole("k", value)


def test_accuracies_are_numbers():
    for value in (0.01, 1, np.float32(0.5), math.nan):
        check_real("rtol", value)
    for value, hint in [
        ("1%", " Write rtol=0.01."),
        ("0.5", " Write rtol=0.5."),
        ("small", ""),
        (None, ""),
        (True, ""),
    ]:
        message = f"rtol must be a number; got {value!r} of type {type(value).__name__}.{hint}"
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            check_real("rtol", value)
