"""The lines that a printed density has: fractions and counts, the ends of the spectrum, and what its window says."""

import math
from collections.abc import Sequence

from hessdens._checks import LEVEL, PAPER_WINDOW
from hessdens._types import FloatArray

# Fractions, each with the ends of its interval.
Fractions = Sequence[tuple[float, float, float]]
# A window that is a larger part of the range of the eigenvalues is called wide.
WIDE_WINDOW = 0.1
# Eigenvalues that are printed at each end.
SHOWN_ENDS = 3
# A window that suits networks of any scale: a share of the largest eigenvalue.
SHARE = "1%"
# A printed density says so if the interval of a fraction is wider than this.
WIDE = 0.1
# An interval wider than this does not tell what budget would do. One so many times as large may tell.
UNRESOLVED = 0.5
MORE = 4
# Printed numbers have four digits: smaller relative errors are not told apart.
LEAST_ERROR = 1e-5


def title(kind: str, size: int, matrix: str) -> str:
    """Return the first line: what it is of."""
    return f"{kind} of {size:,} eigenvalues{f' of the {matrix}' if matrix else ''}"


def fraction(name: str, size: int, value: float, low: float | None = None, high: float | None = None) -> str:
    """Return a fraction and its number of eigenvalues, both with the ends of their interval where there is one."""
    if low is None or high is None:
        return f"  {name}: {percent(value)}, {round(size * value):,} of {size:,}"
    shares = f"{percent(value)} ({percent(low)} to {percent(high)})"
    return f"  {name}: {shares}, {size * value:,.0f} ({size * low:,.0f} to {size * high:,.0f}) of {size:,}"


def window(values: FloatArray, level: float | None = LEVEL, size: float = PAPER_WINDOW) -> list[str]:
    """Return the window besides the range of ascending eigenvalues, and a line if it is wide."""
    share = size / length if (length := float(values[-1] - values[0])) else math.inf
    intervals = f"; intervals at {100 * level:.4g}%" if level is not None else ""
    share_of_range = f", {100 * share:.2g}% of the range of the eigenvalues" if math.isfinite(share) else ""
    lines = [f"  window: |λ| < {size / 2:.4g}, width {size:.4g}{share_of_range}{intervals}"]
    if share > WIDE_WINDOW:
        lines.append(
            '  WIDE WINDOW: more than a tenth of the range; another may tell more, such as window="1%" of the largest.'
        )
    return lines


def wide(width: float, half: float, rounding: float, num_products: int, size: int) -> list[str]:
    """Return the line that says so if the interval of a fraction is wide, and what would help, or none."""
    if width <= WIDE:
        return []
    if rounding > half:
        moved = f"rounding moves eigenvalues by about {rounding:.0e}"
        return [f"  WIDE INTERVALS: {moved}; take the matrix, or the model, in float64."]
    # What is left open falls as 1 / steps, and steps grow as the square root of products.
    factor = (width / WIDE) ** 2 if width < UNRESOLVED else MORE
    needed = min(float(f"{factor * num_products:.2g}"), float(size))
    budget = f"{needed:,.0f} products (max_products=)"
    if width < UNRESOLVED:
        return [f"  WIDE INTERVALS: the window is not resolved; that takes about {budget}."]
    return [f"  WIDE INTERVALS: the window is not resolved, so fractions say little; try a wider one, or {budget}."]


def resolved(size: float, fractions: Fractions) -> list[str]:
    """Return the line with fractions in the window `SHARE`, if they have no wide interval."""
    if width(fractions) > WIDE:
        return []
    shares = [f"{percent(value)} ({percent(low)} to {percent(high)})" for value, low, high in fractions]
    return [f'  in window="{SHARE}", which is {size:.3g}: {shares[0]} degenerate, {shares[1]} negative']


def width(fractions: Fractions) -> float:
    """Return the width of the widest interval."""
    return max(high - low for _, low, high in fractions)


def ends(found: FloatArray, errors: FloatArray, ritz_values: FloatArray) -> list[str]:
    """Return the largest and the smallest eigenvalues, or how far Ritz values reach where these have not converged.

    All arrays ascend; ``errors`` are bounds of the errors of the eigenvalues found.
    """
    names = ("largest", "smallest")
    lines = []
    for name, step, bound in zip(names, (-1, 1), ("at least", "at most"), strict=True):
        end = ritz_values[::step][0]
        mine, theirs = found[::step], errors[::step]
        if len(mine) == 0 or mine[0] != end:
            lines.append(f"  {name}: {bound} {end:.4g} (a Ritz value, which is a bound)")
            continue
        shown = [
            value
            for value, next_ritz in zip(mine[:SHOWN_ENDS], ritz_values[::step], strict=False)
            if value == next_ritz
        ]
        first, error = abs(float(mine[0])), float(theirs[: len(shown)].max())
        digits = 10.0 ** math.ceil(math.log10(max(error / (first or 1.0), LEAST_ERROR)))
        relative = " of the first" if first else ""
        lines.append(f"  {name}: {', '.join(f'{value:.4g}' for value in shown)} (errors below {digits:.0e}{relative})")
    return lines


def with_error(value: float, error: float) -> str:
    """Return a number and its error, both to two digits of the error, such as "10,830 ± 380"."""
    if not 1e-4 * abs(value) < error < 1e6:
        return f"{value:.6g} ± {error:.1g}"
    place = 1 - math.floor(math.log10(error))
    digits = max(place, 0)
    return f"{round(value, place):,.{digits}f} ± {round(error, place):,.{digits}f}"


def percent(fraction: float) -> str:
    """Return a fraction as a percentage that shows how far it is from 0% and 100%."""
    distance = min(fraction, 1 - fraction)
    digits = 2 if distance <= 1e-14 else max(2, -math.floor(math.log10(distance)))
    return f"{100 * fraction:.{digits}f}%"
