"""The lines that a printed density has: fractions and counts, the ends of the spectrum, and what its window says."""

import math
from collections.abc import Iterable, Sequence

from hessdens._checks import LEVEL
from hessdens._types import FloatArray

# A window that is a larger part of the largest absolute eigenvalue is called wide.
WIDE_WINDOW = 0.1
# Eigenvalues that are printed at each end.
SHOWN_ENDS = 3
# A printed density says so if the interval of a fraction is wider than this.
WIDE = 0.1
# A fraction with an interval wider than this says almost nothing: those of another window are printed, too.
EMPTY = 0.5
# Windows that are named where another one is not resolved: the first of these that is.
SHARES = ("1%", "2%", "5%", "10%")
# Printed bounds of errors are at least this part of an eigenvalue: more digits tell little.
LEAST_ERROR = 1e-5
# A fraction, and the ends of its interval.
Fraction = tuple[float, float, float]


def title(kind: str, size: int, matrix: str) -> str:
    """Return the first line: what it is of."""
    return f"{kind} of {size:,} eigenvalues{f' of the {matrix}' if matrix else ''}"


def counted(number: int, noun: str) -> str:
    """Return how many there are of something, such as "1 probe" and "1,200 products"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def fraction(name: str, size: int, value: float, low: float | None = None, high: float | None = None) -> str:
    """Return a fraction and its number of eigenvalues, both with the ends of their interval where there is one."""
    if low is None or high is None:
        return f"  {name}: {percent(value)}, {round(size * value):,} of {size:,}"
    number, first, last = (_count(each, size, high - low) for each in (value, low, high))
    return f"  {name}: {with_interval(value, low, high)}, {number} ({first} to {last}) of {size:,}"


def with_interval(value: float, low: float, high: float) -> str:
    """Return a fraction and its interval, to the digits that the interval leaves."""
    number, first, last = (percent(each, high - low) for each in (value, low, high))
    return f"{number} ({first} to {last})"


def widest(fractions: Iterable[Fraction]) -> float:
    """Return the width of the widest interval."""
    return max(high - low for _, low, high in fractions)


def window(half: float, largest: float, level: float | None = LEVEL) -> list[str]:
    """Return the window besides the largest absolute eigenvalue, and a line if it is wide."""
    share = 2 * half / largest if largest else math.inf
    intervals = f"; intervals at {100 * level:.4g}%" if level is not None else ""
    of_largest = f", {100 * share:.2g}% of the largest |λ|" if share <= 1 else ", which holds all" if largest else ""
    lines = [f"  window: {2 * half:.4g}, that is |λ| < {half:.4g}{of_largest}{intervals}"]
    if share > WIDE_WINDOW:
        lines.append('  WIDE WINDOW: more than a tenth of the largest |λ|; another may tell more, such as window="1%".')
    return lines


def listed(words: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]


def same_window(size: float) -> list[str]:
    """Return the line that names the window of two densities, or none where it is not known."""
    return [] if math.isnan(size) else [f"  window: {size:.4g} for both, that is |λ| < {size / 2:.4g}"]


def wide(num_products: int, needed: tuple[int, int] | None, share: str | None) -> str:
    """Return the line that says that a window is not resolved, and what would help.

    ``needed`` are the products and probes that would, None if that is not foreseen; ``share`` is a window that is.
    """
    start = f"  WIDE INTERVALS: {num_products:,} products do not resolve this window"
    if needed is not None:
        return f"{start}; {enough(*needed)}."
    other = f'window="{share}" is resolved' if share else f'nor is window="{SHARES[-1]}" resolved'
    return f"{start}, and do not show how many would; {other}."


def enough(num_products: int, num_probes: int) -> str:
    """Return how many products would do, and how to ask for them."""
    return f"about {num_products:,} would do (max_products={num_products}, num_probes={num_probes})"


def rounded(rounding: float) -> str:
    """Return the line that says that rounding alone moves eigenvalues across a window."""
    moved = f"rounding moves eigenvalues by about {rounding:.0e}"
    return f"  WIDE INTERVALS: {moved}; take the matrix, or the model, in float64."


def fractions(size: int, degenerate: Fraction, negative: Fraction, where: str = "") -> list[str]:
    """Return both fractions, inside of a window and left of it; ``where`` names a window that is another one."""
    return [
        fraction(f"{name}{where}", size, *part) for name, part in (("degenerate", degenerate), ("negative", negative))
    ]


def below_zero(found: FloatArray, errors: FloatArray, half: float) -> list[str]:
    """Return how many eigenvalues were found that are below 0 and yet count as degenerate, or nothing if none were.

    ``errors`` are bounds, so that there are at least so many.
    """
    count = int(((found > -half) & (found < -errors)).sum())
    return [f"  below 0 inside of the window: at least {count:,}, counted as degenerate"] if count else []


def ends(found: FloatArray, errors: FloatArray, ritz_values: FloatArray) -> list[str]:
    """Return the largest and the smallest eigenvalues, or how far Ritz values reach where these have not converged.

    All arrays ascend; ``errors`` are bounds of the errors of the eigenvalues found.
    """
    names = ("largest", "smallest")
    lines = []
    for name, step, bound in zip(names, (-1, 1), ("above", "below"), strict=True):
        end = ritz_values[::step][0]
        shown = [
            with_bound(float(value), float(error))
            for value, error in zip(*known_ends(found, errors, ritz_values, step), strict=True)
        ]
        if not shown:
            lines.append(f"  {name}: {end:.4g} or further {bound} (a Ritz value; none at this end has converged)")
            continue
        lines.append(f"  {name}: {', '.join(shown)}")
    return lines


def known_ends(
    found: FloatArray, errors: FloatArray, ritz_values: FloatArray, step: int
) -> tuple[FloatArray, FloatArray]:
    """Return the first eigenvalues from the top (``step`` -1) or the bottom (1) and their errors, up to a gap.

    A Ritz value among them that has not converged is such a gap.
    """
    mine, theirs = found[::step][:SHOWN_ENDS], errors[::step][:SHOWN_ENDS]
    is_same = mine == ritz_values[::step][: len(mine)]
    count = len(mine) if is_same.all() else int(is_same.argmin())
    return mine[:count], theirs[:count]


def with_bound(value: float, error: float) -> str:
    """Return a value and a bound of its error, of one digit, which holds for the value as it is shown."""
    bound = max(error, LEAST_ERROR * abs(value))
    if bound < 1e-300:
        return f"{value:.4g}"
    place, steps = math.floor(math.log10(bound)) - 1, 10
    while steps > 9:
        place += 1
        unit, shown = 10.0**place, round(value, -place)
        steps = math.ceil(max(bound, error + abs(shown - value)) / unit * (1 - 1e-9))
    decimals = max(0, -place)
    if abs(value) < 1e-4 or abs(value) >= 1e7:
        digits = max(0, math.floor(math.log10(abs(value))) - place) if value else 0
        return f"{value:.{digits}e} ± {steps * unit:.0e}"
    return f"{shown:.{decimals}f} ± {steps * unit:.{decimals}f}"


def with_error(value: float, error: float) -> str:
    """Return a number and its error, both to two digits of the error, such as "10,830 ± 380"."""
    if not 1e-4 * abs(value) < error < 1e6:
        return f"{value:.6g} ± {error:.1g}"
    place = 1 - math.floor(math.log10(error))
    digits = max(place, 0)
    return f"{round(value, place):,.{digits}f} ± {round(error, place):,.{digits}f}"


def percent(fraction: float, width: float = 0.0) -> str:
    """Return a fraction as a percentage that shows how far it is from 0% and 100%.

    With an interval of some ``width`` it has no more digits than this leaves.
    """
    distance = min(fraction, 1 - fraction)
    digits = 2 if distance <= 1e-14 else max(2, -math.floor(math.log10(distance)))
    if width > 0:
        nearest = 0 if distance <= 1e-14 else -math.floor(math.log10(100 * distance))
        digits = min(digits, max(0, nearest, 1 - math.floor(math.log10(100 * width))))
    return f"{100 * fraction:.{digits}f}%"


def _count(fraction: float, size: int, width: float) -> str:
    """Return a fraction as a number of eigenvalues, rounded as its percentage is."""
    count = round(size * fraction)
    nearest = min(count, size - count)
    spread = size * width
    place = min(math.floor(math.log10(each)) for each in (max(spread / 10, 1), nearest or size))
    return f"{round(count, -place):,}"
