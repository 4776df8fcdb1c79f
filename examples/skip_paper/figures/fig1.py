"""Figure 1: the three kinds of singularity of a layer, and how skip connections break them. A drawing without data."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Circle

GREY, SKIP, LOST, FOUND = "0.45", "tab:blue", "tab:red", "tab:green"
RADIUS = 0.085
HEIGHTS = {1: (0.5,), 2: (0.74, 0.26), 3: (0.86, 0.5, 0.14)}
COLUMNS = (0.0, 0.75, 1.5)  # of the layer below, the layer in question and the layer above


@dataclass(frozen=True)
class _Panel:
    """A kind of singularity: its units, the condition on their incoming weights, and what is lost."""

    title: str
    units: tuple[str, ...]
    condition: str
    lost: str


PANELS = (
    _Panel("Elimination", ("",), "$J = 0$", "$w$ has no effect"),
    _Panel("Overlap", ("a", "b"), "$J_a = J_b$", "only $w_a + w_b$ has an effect"),
    _Panel("Linear dependence", ("a", "b", "c"), r"$J_c = \alpha J_a + \beta J_b$", "only two combinations of $w$ do"),
)


def draw(path: Path) -> None:
    """Write the figure: a row for a layer without and one with skip connections, a column per singularity."""
    figure, axes = plt.subplots(2, 3, figsize=(11, 6.2))
    figure.subplots_adjust(left=0.045, right=0.995, top=0.9, bottom=0.01, wspace=0.03, hspace=0.06)
    for column, (letter, panel) in enumerate(zip("abc", PANELS, strict=True)):
        for row, skip in enumerate((False, True)):
            _draw_layer(axes[row, column], panel, skip=skip)
        axes[0, column].set_title(letter, loc="left", fontweight="bold", fontsize=14)
        axes[0, column].set_title(f"{panel.title} singularity\n{panel.condition}", fontsize=11)
    for ax, words in zip(axes[:, 0], ("without skip connections", "with skip connections"), strict=True):
        ax.text(-0.27, 0.5, words, rotation=90, ha="center", va="center", fontsize=11)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def _draw_layer(ax: Axes, panel: _Panel, *, skip: bool) -> None:
    heights = HEIGHTS[len(panel.units)]
    outgoing = FOUND if skip else LOST
    silent = len(heights) == 1
    if skip:
        ax.text(0.0, 1.1, "skip", ha="center", fontsize=10, color=SKIP)
    for name, y in zip(panel.units, heights, strict=True):
        for below in HEIGHTS[3] if silent else heights:
            _connect(ax, (COLUMNS[0], below), (COLUMNS[1], y), GREY, ":" if silent else "-")
        _connect(ax, (COLUMNS[1], y), (COLUMNS[2], 0.5), outgoing, "-", width=2.2)
        if skip:
            # The skip connection runs from the unit of the same index below; curved, to stay apart from the weights.
            _connect(ax, (COLUMNS[0], y), (COLUMNS[1], y), SKIP, "-", width=2.2, bend=0.35)
        _unit(ax, COLUMNS[1], y, name)
    for y in HEIGHTS[3] if silent else heights:
        _unit(ax, COLUMNS[0], y)
    _unit(ax, COLUMNS[2], 0.5)
    ax.text(0.42, 1.1, "incoming $J$", ha="center", fontsize=10, color="0.25")
    ax.text(1.125, 1.1, "outgoing $w$", ha="center", fontsize=10, color=outgoing)
    answer = "yes: the skips set the units apart" if not silent else "yes: the skip keeps the unit active"
    words = f"$w$ identifiable?\n{answer if skip else 'no: ' + panel.lost}"
    ax.text(0.75, -0.13, words, ha="center", va="center", fontsize=9.5, color=outgoing)
    ax.set(xlim=(-0.3, 1.7), ylim=(-0.25, 1.19), aspect="equal")
    ax.axis("off")


def _connect(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, style: str, *, width: float = 1.1,
    bend: float = 0.0,
) -> None:  # fmt: skip
    arrow = {
        "arrowstyle": "-|>", "color": colour, "lw": width, "ls": style, "shrinkA": 0, "shrinkB": 0,
        "connectionstyle": f"arc3,rad={-bend}", "mutation_scale": 11,
    }  # fmt: skip
    (x0, y0), (x1, y1) = start, end
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    # From rim to rim; a bent arrow leaves and arrives higher up.
    x, y = RADIUS * (x1 - x0) / length, RADIUS * (y1 - y0) / length
    lift = 0.6 * RADIUS if bend else 0.0
    ax.annotate(
        "",
        (x1 - x * (0.8 if bend else 1), y1 - y + lift),
        (x0 + x * (0.8 if bend else 1), y0 + y + lift),
        arrowprops=arrow,
    )


def _unit(ax: Axes, x: float, y: float, name: str = "") -> None:
    ax.add_patch(Circle((x, y), RADIUS, facecolor="white", edgecolor="0.15", lw=1.4, zorder=3))
    ax.text(x, y, name, ha="center", va="center", fontsize=11, zorder=4)
