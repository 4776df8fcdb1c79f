"""Small drawings in the page itself: an effect with its interval, and a strip of verdicts."""

from collections.abc import Mapping
from typing import Any

WIDTH, HEIGHT = 132, 18
COLOURS = {
    "reproduced": "#1b7a1b", "contradicted": "#b0126e", "absent": "#a85b00", "mixed": "#5b3fa8", "undecided": "#777",
    "not run": "#bbb",
}  # fmt: skip


def bar(row: Mapping[str, Any]) -> str:
    """Return an SVG of one verdict: its interval, the effect as a dot, zero as a line, and the margin as a grey band.

    The largest of these fills half of the width: a bar shows sides and certainty, not sizes.
    """
    ends = [row[name] for name in ("low", "high", "effect")]
    known = [abs(value) for value in ends if value is not None]
    if row["effect"] is None or not known or max(known) == 0:
        return ""
    reach = max([*known, row["margin"] or 0.0])
    colour, middle = COLOURS[row["decision"]], HEIGHT / 2

    def place(value: float) -> float:
        return round(WIDTH / 2 * (1 + 0.94 * value / reach), 1)

    parts = []
    if row["margin"]:
        left, right = place(-row["margin"]), place(row["margin"])
        parts.append(f'<rect x="{left}" y="2" width="{right - left:.1f}" height="{HEIGHT - 4}" fill="#e4e4e4"/>')
    parts.append(f'<line x1="{WIDTH / 2}" y1="0" x2="{WIDTH / 2}" y2="{HEIGHT}" stroke="#999"/>')
    if row["low"] is not None and row["high"] is not None:
        x1, x2 = place(row["low"]), place(row["high"])
        parts.append(f'<line x1="{x1}" y1="{middle}" x2="{x2}" y2="{middle}" stroke="{colour}" stroke-width="3"/>')
    parts.append(f'<circle cx="{place(row["effect"])}" cy="{middle}" r="4" fill="{colour}"/>')
    title = "effect and 95% interval; zero: line; margin: grey"
    return (
        f'<svg class="bar" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">'
        f"<title>{title}</title>{''.join(parts)}</svg>"
    )


def strip(numbers: Mapping[str, int]) -> str:
    """Return an SVG of how many claims have each status, as one strip."""
    total = sum(numbers.values())
    if not total:
        return ""
    parts, x = [], 0.0
    for status, colour in COLOURS.items():
        width = 600 * numbers.get(status, 0) / total
        if width:
            parts.append(f'<rect x="{x:.1f}" y="0" width="{width:.1f}" height="26" fill="{colour}"/>')
            label = f'<text x="{x + width / 2:.1f}" y="18" text-anchor="middle" fill="white">{numbers[status]}</text>'
            parts.append(label if width > 20 else "")
            x += width
    return f'<svg class="strip" viewBox="0 0 600 26" role="img"><title>claims</title>{"".join(parts)}</svg>'
