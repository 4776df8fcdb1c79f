"""Draws figure S3 from finished runs."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from skip_paper.figures.parts import panels
from skip_paper.figures.parts.figS3_points import LEAST_DEGENERATE, Points, Regression
from skip_paper.figures.parts.look import plt, save

NUM_BINS = 6


def draw(rows: dict[str, Points], caption: str, path: Path) -> None:
    """Write panels (a) degenerate and (b) negative eigenvalues, a row a condition."""
    figure, all_axes = plt.subplots(len(rows), 2, figsize=(10, 5 * len(rows)), layout="constrained", squeeze=False)
    for axes, (words, points) in zip(all_axes, rows.items(), strict=True):
        for ax, quantity in zip(axes, points.actual, strict=True):
            _draw_panel(ax, points, quantity)
            ax.set_title(f"{quantity} eigenvalues (%)")
            ax.set_xlabel("actual")
            ax.set_ylabel("estimated by the mixture")
            ax.ticklabel_format(useOffset=False)
        if len(rows) > 1:
            panels.name_row(axes[0], words)
    for letter, ax in zip("ab", all_axes[0], strict=True):
        ax.set_title(letter, loc="left", fontweight="bold")
    handles, labels = all_axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, fontsize=8, frameon=False)
    save(figure, path, caption)


def _draw_panel(ax: Axes, points: Points, quantity: str) -> None:
    x, y = 100 * points.actual[quantity], 100 * points.estimated[quantity]
    chosen, edge = points.selected, points.on_edge
    ax.plot(x[chosen & ~edge], y[chosen & ~edge], "o", ms=4, color="0.5", label="one network at one time")
    ax.plot(
        x[chosen & edge], y[chosen & edge], "o", ms=4, color="0.5", mfc="white", label="the same, fit on a grid edge"
    )
    if chosen.any():
        low, high = x[chosen].min(), x[chosen].max()
        margin = 0.05 * (high - low) or 0.01
        line = np.array([low - margin, high + margin])
        ax.plot(line, line, "--", color="0.3", lw=1, label="identity")
        _draw_bins(ax, x[chosen], y[chosen])
        _draw_regression(ax, points, quantity, line)
    outside = int((~chosen).sum())
    ax.annotate(
        f"{_describe(points.regression(quantity))}\n"
        f"{outside} of {len(chosen)} points with less than {LEAST_DEGENERATE:.1%} degenerate left out",
        (0.5, -0.22), xycoords="axes fraction", ha="center", fontsize=8,
    )  # fmt: skip


def _draw_bins(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    edges = np.linspace(x.min(), x.max(), NUM_BINS + 1)
    label: str | None = "mean ± standard error in a bin"
    for index in np.unique(np.clip(np.digitize(x, edges) - 1, 0, NUM_BINS - 1)):
        inside = np.clip(np.digitize(x, edges) - 1, 0, NUM_BINS - 1) == index
        error = y[inside].std(ddof=1) / np.sqrt(inside.sum()) if inside.sum() > 1 else np.nan
        ax.errorbar(x[inside].mean(), y[inside].mean(), error, fmt="s", color="tab:blue", capsize=3, label=label)
        label = None


def _draw_regression(ax: Axes, points: Points, quantity: str, x: np.ndarray) -> None:
    regression = points.regression(quantity)
    if regression is None:
        return
    dense = np.linspace(*x, 100)
    line, half = regression.band(dense / 100)
    ax.plot(dense, 100 * line, color="tab:blue", label="linear regression, 95% band")
    ax.fill_between(dense, 100 * (line - half), 100 * (line + half), color="tab:blue", alpha=0.2, lw=0)


def _describe(regression: Regression | None) -> str:
    if regression is None:
        return "too few distinct points for a regression"
    return (
        f"slope {regression.slope:.2g}, r = {regression.r:.2f}, p = {regression.p_value:.1g}, "
        f"n = {regression.num_points}"
    )
