"""What the values of options may be: numbers within limits, and paths."""

import argparse
import math
from collections.abc import Callable
from typing import get_args

from hessdens._types import Window
from hessdens.eigenvectors.selection import End, checked_which

# The largest number of products, probes or steps: more than a machine makes in years.
MOST = 10**9
# Of a value that is refused, so many letters are shown.
SHOWN = 40


def whole(least: int, most: int = MOST) -> Callable[[str], int]:
    """Return what reads a whole number within limits."""

    def read(text: str) -> int:
        is_short = len(text) <= SHOWN  # Python refuses thousands of digits
        digits = text.removeprefix("-")
        if not (is_short and digits.isascii() and digits.isdigit() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"must be a whole number from {least:,} to {most:,}; got {_shown(text)}")
        return int(text)

    return read


def real(rule: str, fits: Callable[[float], bool]) -> Callable[[str], float]:
    """Return what reads a finite number that ``fits``, which ``rule`` says in words."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and fits(value)):
            raise argparse.ArgumentTypeError(f"must be a number {rule}; got {_shown(text)}")
        return value

    return read


def window(text: str) -> Window:
    """Return the size of a window: a number of at least 0, or a percentage as it is."""
    size = real("of at least 0, and finite, or a percentage", lambda x: x >= 0)(text.removesuffix("%"))
    return text if text.endswith("%") else size


def which(text: str) -> str | float:
    """Return which eigenvalues are meant: an end of the spectrum by name, or a number."""
    try:
        value: str | float = float(text)
    except ValueError:
        value = text
    try:
        return checked_which(value)
    except ValueError as error:
        ends = ", ".join(get_args(End))
        raise argparse.ArgumentTypeError(f"must be one of {ends}, or a finite number; got {_shown(text)}") from error


def path(text: str) -> str:
    """Return a path as it is, if it can be one."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"must be a path, which is not empty and has no zero byte; got {_shown(text)}")
    return text


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
