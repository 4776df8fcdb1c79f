"""Numbers of spectra as a table for a paper or a README, where a picture says less."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Literal, get_args

import numpy as np

from hessdens._checks import LEVEL, at_least, check_level
from hessdens._types import FloatArray, Window
from hessdens.densities.base import check_density
from hessdens.densities.difference import common_window
from hessdens.densities.lanczos import LanczosDensity
from hessdens.densities.quantities import trace
from hessdens.densities.spectrum import Spectrum
from hessdens.results.summaries.text import percent, with_interval

Style = Literal["markdown", "latex"]
# Significant digits of eigenvalues. An error is written where it may change one of them.
DIGITS = 4
LATEX_SIGNS = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#"}


def spectrum_table(
    densities: Mapping[str, Spectrum | LanczosDensity],
    *,
    num_eigenvalues: int = 5,
    window: Window | None = None,
    level: float = LEVEL,
    style: Style = "markdown",
) -> str:
    """Return a table with a column for each density: fractions, trace and the largest and smallest eigenvalues.

    Fractions and traces have intervals in brackets. An eigenvalue has a bound of its error, after "±", where that may
    change a digit that is shown. "≥" marks a lower bound of the largest eigenvalue, and "≤" an upper bound of the
    smallest, where these have not converged. `spectral_moments` gives a more precise trace for as many products.

    Parameters
    ----------
    densities
        From `exact_spectrum` or `lanczos_density`, by the names of their columns.
    num_eigenvalues
        Largest eigenvalues that are listed.
    window, level
        Of the fractions: by default that of the first density that was estimated for one, with a warning where others
        have another, or 0.2. A share, as "1%", is of the largest eigenvalue of each column. And of the intervals.
    style
        "markdown", or "latex": a ``tabular`` that needs the package booktabs.

    Raises
    ------
    TypeError
        If one of them is no `Spectrum` and no `LanczosDensity`.
    ValueError
        If there is no density, or another argument is out of range.

    Examples
    --------
    >>> from hessdens import Spectrum
    >>> from hessdens.plotting import spectrum_table
    >>> before, after = Spectrum([-0.5, 0.0, 0.0, 2.0]), Spectrum([0.0, 0.0, 0.01, 3.0])
    >>> print(spectrum_table({"before": before, "after": after}, num_eigenvalues=1))
    |                      | before | after  |
    |----------------------|--------|--------|
    | eigenvalues          | 4      | 4      |
    | window               | 0.2    | 0.2    |
    | degenerate           | 50.00% | 75.00% |
    | negative             | 25.00% | 0.00%  |
    | trace                | 1.5    | 3.01   |
    | largest eigenvalue 1 | 2      | 3      |
    | smallest eigenvalue  | -0.5   | 0      |
    """
    _check(densities, num_eigenvalues, level, style)
    first = next(iter(densities.values()))
    window = common_window([*densities.values()]) if window is None else window
    columns = [
        ["", *dict(_rows(first, num_eigenvalues, window, level))],
        *[[name, *dict(_rows(d, num_eigenvalues, window, level)).values()] for name, d in densities.items()],
    ]
    rows = list(zip(*columns, strict=True))
    return _latex(rows) if style == "latex" else _markdown(rows)


def _check(densities: object, num_eigenvalues: int, level: float, style: str) -> None:
    if not isinstance(densities, Mapping) or not densities:
        raise ValueError(f'densities must be by name, such as {{"trained": density}}; got {densities!r:.60}.')
    for name, density in densities.items():
        check_density(density, f"densities[{name!r}]")
        if not isinstance(density, Spectrum | LanczosDensity):
            raise TypeError(f"densities[{name!r}] must have single eigenvalues; got {type(density).__name__}.")
    at_least("num_eigenvalues", num_eigenvalues, 0)
    check_level(level)
    if style not in get_args(Style):
        raise ValueError(f"style must be one of {', '.join(get_args(Style))}; got {style!r}.")


def _rows(density: Spectrum | LanczosDensity, count: int, window: Window, level: float) -> Iterator[tuple[str, str]]:
    """Yield names and values."""
    estimated = density if isinstance(density, LanczosDensity) else None
    yield "eigenvalues", f"{density.size:,}"
    yield "window", f"{2 * density._half(window):.3g}"
    degenerate = None if estimated is None else estimated.degenerate_interval(window, level)
    yield "degenerate", _fraction(density.fraction_degenerate(window), degenerate)
    negative = None if estimated is None else estimated.negative_interval(window, level)
    yield "negative", _fraction(density.fraction_negative(window), negative)
    whole = trace(density, level)
    yield "trace", _number(whole.value, 0.0) if estimated is None else _with_ends(*whole)
    for rank, value in enumerate(_end(density, -1, count, "≥"), start=1):
        yield f"largest eigenvalue {rank}", value
    yield "smallest eigenvalue", _end(density, 1, 1, "≤")[0]


def _end(density: Spectrum | LanczosDensity, step: int, count: int, bound: str) -> list[str]:
    """Return the first eigenvalues from one end; those that have not converged are bounds, or not known."""
    ritz_values = density.nodes()[::step]
    if isinstance(density, Spectrum):
        found, errors = ritz_values, np.zeros(len(ritz_values))
    else:
        found, errors = density.eigenvalues_found[::step], density.eigenvalue_errors[::step]
    shown: list[str] = []
    for value, error, ritz_value in zip(found[:count], errors, ritz_values, strict=False):
        if value != ritz_value:  # one between them has not converged
            break
        shown.append(_number(float(value), float(error)))
    if not shown and count:
        shown.append(f"{bound} {_number(float(ritz_values[0]), 0.0)}")
    return shown + [""] * (count - len(shown))


def _fraction(value: float, interval: FloatArray | None) -> str:
    return percent(value) if interval is None else with_interval(value, *interval.tolist())


def _number(value: float, error: float) -> str:
    place = math.floor(math.log10(abs(value))) if value else 0
    shown = f"{value:.{DIGITS}g}"
    return shown if error < 0.5 * 10.0 ** (place + 1 - DIGITS) else f"{shown} ± {error:.1g}"


def _with_ends(value: float, low: float, high: float) -> str:
    """Return a number and its interval, to the digits that half of its width leaves; without it if none changes."""
    half = (high - low) / 2
    place = math.floor(math.log10(abs(value))) if value else 0
    if half < 0.5 * 10.0 ** (place + 1 - DIGITS):
        return _number(value, 0.0)
    digits = 1 - math.floor(math.log10(half))
    shown = [f"{round(each, digits):.{max(digits, 0)}f}" for each in (value, low, high)]
    return f"{shown[0]} ({shown[1]} to {shown[2]})"


def _markdown(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"| {' | '.join(map(str.ljust, row, widths))} |" for row in rows]
    return "\n".join([lines[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines[1:]])


def _latex(rows: list[tuple[str, ...]]) -> str:
    head, *body = [" & ".join(map(_in_latex, row)) + r" \\" for row in rows]
    lines = [rf"\begin{{tabular}}{{l{'r' * (len(rows[0]) - 1)}}}", r"\toprule", head, r"\midrule", *body]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _in_latex(cell: str) -> str:
    escaped = re.sub("[&%_#]", lambda sign: LATEX_SIGNS[sign[0]], cell)
    signs = escaped.replace("±", r"$\pm$").replace("≥", r"$\geq$").replace("≤", r"$\leq$")
    powers = re.sub(r"(\d)e([+-])0*(\d+)", lambda m: rf"{m[1]} $\cdot 10^{{{m[2].strip('+')}{m[3]}}}$", signs)
    return re.sub(r"(^|(?<=[ (]))-(?=\d)", "$-$", powers)
