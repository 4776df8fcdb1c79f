"""Intervals of the real line that hold a spectrum."""

import math
from typing import Any

import numpy as np

from hessdens._types import FloatArray

Interval = tuple[float, float]
# Beyond the outermost nodes of a quadrature, as a fraction of their distance.
MARGIN = 0.01


def checked_interval(interval: Any) -> Interval:
    """Return an interval as two floats; ValueError unless low < high, both finite."""
    low, high = (float(end) for end in interval)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"interval must be (low, high), finite, with low < high; got ({low}, {high}).")
    return low, high


def widened(low: float, high: float, rounding: float = 1e-12) -> Interval:
    """Return [low, high] and a margin on either side; for a single point, as good as 0 long, an interval around it."""
    length = high - low
    magnitude = max(abs(low), abs(high))
    margin = MARGIN * length if length > rounding * magnitude else (magnitude or 1.0)
    return low - margin, high + margin


def centre_and_half_width(interval: Interval) -> tuple[float, float]:
    """Return c and h of (c - h, c + h)."""
    return (interval[0] + interval[1]) / 2, (interval[1] - interval[0]) / 2


def standardised(x: FloatArray, interval: Interval) -> FloatArray:
    """Return (x - c) / h, clipped to [-1, 1]."""
    centre, half_width = centre_and_half_width(interval)
    return np.clip((x - centre) / half_width, -1.0, 1.0)
