"""Figure 1: the kinds of singularity of a layer, and how skip connections break them. A drawing without data."""

import math
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patches import Circle

from skip_paper.figures.parts.look import plt, save

GREY, SKIP, LOST, FOUND = "0.45", "tab:blue", "tab:red", "tab:green"
RADIUS = 0.085
HEIGHTS = {1: (0.5,), 2: (0.76, 0.24), 3: (0.9, 0.5, 0.1)}
COLUMNS = (0.0, 0.8, 1.6)  # of the layer below, the layer in question and the layer above
CAPTION = (
    "Upper row: without skips a layer has weights that cannot be identified (red). Lower row: with skips (blue) they "
    "can (green). (a) Elimination by J = 0, and by w = 0, of which the paper speaks without drawing it; (b) overlap; "
    "(c) linear dependence."
)


@dataclass(frozen=True)
class _Panel:
    """A kind of singularity: its units, the condition, what is lost, and what the skips do.

    ``silent``: the weights that are zero, "J" or "w"; "" where none is.
    """

    letter: str
    title: str
    units: tuple[str, ...]
    condition: str
    lost: str
    answer: str
    silent: str = ""


PANELS = (
    _Panel("a", "Elimination", ("",), "$J = 0$", "no: $w$ has no effect", "yes: the unit stays active", "J"),
    _Panel("", "Elimination", ("",), "$w = 0$", "no: $J$ has no effect", "yes: the skip passes the unit on", "w"),
    _Panel("b", "Overlap", ("a", "b"), "$J_a = J_b$", "no: only $w_a + w_b$ counts", "yes: the skips differ"),
    _Panel(
        "c", "Linear dependence", ("a", "b", "c"), r"$J_c = \alpha J_a + \beta J_b$",
        "no: only two combinations count", "yes: the skips are independent",
    ),
)  # fmt: skip


def draw(path: Path) -> str:
    """Write the figure: rows without and with skip connections, a column per singularity; return the caption."""
    figure, axes = plt.subplots(2, len(PANELS), figsize=(13.5, 6.6))
    figure.subplots_adjust(left=0.035, right=0.995, top=0.92, bottom=0.06, wspace=0.03, hspace=0.04)
    for column, panel in enumerate(PANELS):
        for row, skip in enumerate((False, True)):
            _draw_layer(axes[row, column], panel, skip=skip)
        axes[0, column].set_title(panel.letter, loc="left", fontweight="bold", fontsize=14)
        axes[0, column].set_title(f"{panel.title}\n{panel.condition}", fontsize=11)
    for ax, words in zip(axes[:, 0], ("without skip connections", "with skip connections"), strict=True):
        ax.text(-0.27, 0.5, words, rotation=90, ha="center", va="center", fontsize=11)
    save(figure, path, CAPTION)
    return CAPTION


def _draw_layer(ax: Axes, panel: _Panel, *, skip: bool) -> None:
    heights, below = HEIGHTS[len(panel.units)], HEIGHTS[max(len(panel.units), 2)]
    below = HEIGHTS[3] if panel.silent else below
    asked = FOUND if skip else LOST
    into, out = (asked, GREY) if panel.silent == "w" else (GREY, asked)
    for name, y in zip(panel.units, heights, strict=True):
        for start in below:
            _connect(ax, (COLUMNS[0], start), (COLUMNS[1], y), into, dotted=panel.silent == "J", wide=into != GREY)
        _connect(ax, (COLUMNS[1], y), (COLUMNS[2], 0.5), out, dotted=panel.silent == "w", wide=out != GREY)
        _unit(ax, COLUMNS[1], y, name)
    if skip:
        if panel.silent == "w":
            _bend(ax, (COLUMNS[1], 0.5), (COLUMNS[2], 0.5))
        else:
            for y in heights:  # from the unit of the same index in the layer below
                _bend(ax, (COLUMNS[0], y), (COLUMNS[1], y), named=len(heights) == 1)
    for y in below:
        _unit(ax, COLUMNS[0], y)
    _unit(ax, COLUMNS[2], 0.5)
    ax.text(0.4, 1.13, "incoming $J$", ha="center", fontsize=10, color=into if into != GREY else "0.25")
    ax.text(1.2, 1.13, "outgoing $w$", ha="center", fontsize=10, color=out if out != GREY else "0.25")
    subject = "J" if panel.silent == "w" else "w"
    words = f"${subject}$ identifiable?\n{panel.answer if skip else panel.lost}"
    ax.text(0.8, -0.16, words, ha="center", va="center", fontsize=9.5, color=asked)
    ax.set(xlim=(-0.33, 1.75), ylim=(-0.29, 1.24), aspect="equal")
    ax.axis("off")


def _connect(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, *, dotted: bool, wide: bool
) -> None:
    """Draw an arrow from rim to rim."""
    (x0, y0), (x1, y1) = start, end
    length = math.hypot(x1 - x0, y1 - y0)
    x, y = RADIUS * (x1 - x0) / length, RADIUS * (y1 - y0) / length
    arrow = {
        "arrowstyle": "-|>", "color": colour, "lw": 2.2 if wide else 1.1, "ls": ":" if dotted else "-", "shrinkA": 0,
        "shrinkB": 0, "mutation_scale": 11,
    }  # fmt: skip
    ax.annotate("", (x1 - x, y1 - y), (x0 + x, y0 + y), arrowprops=arrow)


def _bend(ax: Axes, start: tuple[float, float], end: tuple[float, float], *, named: bool = True) -> None:
    """Draw a skip: from the top of one unit to the top of the other, away from the weights."""
    rise, side = RADIUS * math.sin(math.radians(65)), RADIUS * math.cos(math.radians(65))
    arrow = {
        "arrowstyle": "-|>", "color": SKIP, "lw": 2.2, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 11,
        "connectionstyle": "arc3,rad=-0.28",
    }  # fmt: skip
    ax.annotate("", (end[0] - side, end[1] + rise), (start[0] + side, start[1] + rise), arrowprops=arrow)
    if named:
        place = (start[0] + end[0]) / 2, start[1] + rise + 0.13
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        ax.text(*place, "skip", ha="center", va="bottom", fontsize=9, color=SKIP, bbox=box)


def _unit(ax: Axes, x: float, y: float, name: str = "") -> None:
    ax.add_patch(Circle((x, y), RADIUS, facecolor="white", edgecolor="0.15", lw=1.4, zorder=3))
    ax.text(x, y, name, ha="center", va="center", fontsize=11, zorder=4)
