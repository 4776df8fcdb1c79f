"""Checks of arguments that many functions share."""

import contextlib
import math
import operator
from typing import Any

from hessdens._types import Window

# Eigenvalues at most half of this from 0 count as degenerate, unless asked otherwise; the window of the paper.
PAPER_WINDOW = 0.2
# Of confidence intervals, unless asked otherwise.
LEVEL = 0.95


def at_least(name: str, value: float, least: float) -> None:
    """Raise ValueError, naming the argument, unless ``value`` is at least ``least``."""
    if not value >= least:
        raise ValueError(f"{name} must be at least {least}; got {value}.")


def whole_at_least(name: str, value: int, least: int) -> None:
    """Raise TypeError, naming the argument, unless ``value`` is a whole number; ValueError if it is below ``least``."""
    check_whole(name, value)
    at_least(name, value, least)


def check_whole(name: str, value: Any) -> None:
    """Raise TypeError, naming the argument and what to write, unless ``value`` is a whole number of an integer type."""
    hint = ""
    with contextlib.suppress(TypeError):
        if not isinstance(value, bool):
            operator.index(value)
            return
    if isinstance(value, str | float):
        with contextlib.suppress(ValueError, OverflowError):
            hint = f" Write {name}={round(float(value)):d}." if abs(float(value)) >= 1 else ""
    raise TypeError(f"{name} must be a whole number; got {value!r} of type {type(value).__name__}.{hint}")


def check_real(name: str, value: Any) -> None:
    """Raise TypeError, naming the argument and what to write, unless ``value`` is a real number."""
    with contextlib.suppress(TypeError):
        if not isinstance(value, bool | str):
            float(value)
            return
    share = _percentage(value) if isinstance(value, str) else math.nan
    hint = f" Write {name}={share:g}." if math.isfinite(share) else ""
    raise TypeError(f"{name} must be a number; got {value!r} of type {type(value).__name__}.{hint}")


def half_window(window: Window, largest: float | None = None) -> float:
    """Return half the window around 0; ValueError if it is negative or not finite.

    A share, as "1%", is of the largest absolute eigenvalue, where that is known.
    """
    if isinstance(window, str):
        share = _share(window)
        if largest is None:
            raise ValueError(
                f"window must be a number where the largest eigenvalue is not known; got {window!r}. A Spectrum or a "
                "LanczosDensity knows it."
            )
        return share * largest / 2
    if not (window >= 0 and math.isfinite(window)):
        raise ValueError(f"window must be finite and at least 0; got {window}.")
    return window / 2


def _share(window: str) -> float:
    """Return "1%" as 0.01; ValueError if it is no percentage."""
    share = _percentage(window)
    if not (window.endswith("%") and 0 <= share < math.inf):
        raise ValueError(f'window must be a number, or a share as "1%" of the largest eigenvalue; got {window!r}.')
    return share


def _percentage(text: str) -> float:
    """Return "1%" as 0.01, "0.01" as 0.01, and NaN where there is no number."""
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        return math.nan


def check_interval(low: float, high: float) -> None:
    """Raise ValueError if ``low`` exceeds ``high``."""
    if not low <= high:
        raise ValueError(f"low must not exceed high; got {low} and {high}.")


def check_level(level: float) -> None:
    """Raise ValueError unless ``level`` is a probability in (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1; got {level}.")
