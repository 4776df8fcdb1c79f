"""Values of options: within limits, or refused by a message that says them."""

import argparse
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hessdens.cli.values import MOST, path, real, which, whole


@given(st.integers())
def test_whole_numbers_within_limits(number):
    if -3 <= number <= MOST:
        assert whole(-3)(str(number)) == number
    else:
        with pytest.raises(argparse.ArgumentTypeError, match=r"a whole number from -3 to 1,000,000,000; got '-?\d+"):
            whole(-3)(str(number))


@pytest.mark.parametrize("text", ["", "-", "1.0", "1e3", "x", "١", "1_0", " 1", "9" * 5000, "0x10", "--1"])
def test_what_is_no_whole_number(text):
    with pytest.raises(
        argparse.ArgumentTypeError, match=r"must be a whole number from 0 to 1,000,000,000; got '.{0,43}'$"
    ):
        whole(0)(text)


@given(st.floats() | st.sampled_from(["", "x", "1,0", "9" * 5000, "nan", "-inf"]))
def test_numbers_are_finite_and_fit(value):
    read = real("above 1", lambda x: x > 1)
    if isinstance(value, float) and 1 < value < math.inf:
        assert read(str(value)) == value
    else:
        with pytest.raises(argparse.ArgumentTypeError, match=r"must be a number above 1; got '.{0,43}'$"):
            read(str(value))


def test_paths():
    assert path("a b/ü.npz") == "a b/ü.npz"
    for text in ("", "a\0b", "\0" * 500):
        with pytest.raises(
            argparse.ArgumentTypeError, match="must be a path, which is not empty and has no zero byte; got"
        ):
            path(text)


def test_which_eigenvalues():
    assert [which(text) for text in ("largest", "0.5", "-1e3")] == ["largest", 0.5, -1000.0]
    for text in ("LA", "nan", "inf", ""):
        with pytest.raises(argparse.ArgumentTypeError, match=r"must be one of largest, .*, or a finite number"):
            which(text)
