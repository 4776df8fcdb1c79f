"""Intervals that hold a spectrum."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hessdens.results.support import Interval

NUMBERS = st.floats(-1e9, 1e9)


def test_centre_half_width_and_ends():
    interval = Interval.of((-1, 3))
    assert (interval.centre, interval.half_width) == (1.0, 2.0)
    assert (*interval,) == (-1.0, 3.0)
    assert interval == Interval(-1, 3) == Interval.of(np.array([-1, 3])) == Interval.of(interval)
    assert str(interval) == "[-1, 3]"
    assert isinstance(interval.low, float)


def test_standardised_points_are_clipped():
    points = np.array([-2.0, -1.0, 1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(Interval(-1, 3).standardised(points), [-1, -1, 0, 0.5, 1, 1])


@pytest.mark.parametrize("ends", [(1, 1), (2, 1), (0, math.inf), (math.nan, 1)])
def test_ends_that_are_none(ends):
    with pytest.raises(ValueError, match=r"support must be \(low, high\), finite, with low < high; got"):
        Interval.of(ends)
    with pytest.raises(ValueError, match="too many values"):
        Interval.of((*ends, 3))


@given(NUMBERS, NUMBERS)
def test_a_margin_on_either_side(first, second):
    low, high = sorted((first, second))
    interval = Interval.around(low, high)
    assert interval.low < low <= high < interval.high
    if high - low > 1e-9 * max(abs(low), abs(high)):
        assert interval.high - interval.low == pytest.approx(1.02 * (high - low), rel=1e-6)
    else:
        assert interval.half_width >= max(abs(low), abs(high))


def test_a_single_point():
    assert Interval.around(0, 0) == Interval(-1, 1)
    assert Interval.around(5, 5) == Interval(0, 10)
