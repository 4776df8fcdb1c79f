"""Draws the suite of spectra: its spectra, distances of every method on each, and errors over budgets."""

import statistics
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from spectra import verdict
from spectra.catalogue import catalogue
from spectra.verdict import Content

OURS = "lanczos_density"
# Answers that are drawn, at their best split.
MARKERS = {
    OURS: ("o", "C3"),
    "SLQ, steps": ("x", "C7"),
    "SLQ, interpolated": ("+", "C7"),
    "SLQ, variance-reduced": ("1", "0.1"),
    "SLQ, variance-reduced, interpolated": ("2", "0.1"),
    "kernel polynomial": ("<", "C8"),
    "Chebyshev moment matching": (">", "C9"),
    "curvlinops, quadrature": ("s", "C0"),
    "hessian-eigenthings, quadrature": ("D", "C2"),
    "PyHessian": ("P", "C4"),
    "matfree": ("*", "C5"),
}
SHOWN = 100
# Around 0 the axis of eigenvalues is linear.
LINEAR = 1e-3


def draw_spectra(path: Path) -> None:
    """Write a panel for each spectrum: eigenvalues over their rank, and the window."""
    cases = catalogue()
    columns = 8
    rows = -(-len(cases) // columns)
    figure, panels = plt.subplots(rows, columns, figsize=(14, 1.5 * rows), layout="constrained")
    colours = {"network": "C3", "closed form": "C0", "adversarial": "C2"}
    for axes, case in zip(panels.flat, cases, strict=False):
        quantiles = np.quantile(case.exact.eigenvalues, np.linspace(0, 1, 2001), method="inverted_cdf")
        axes.axhspan(-0.1, 0.1, color="0.92")
        axes.plot(np.linspace(0, 1, 2001), quantiles, color=colours[case.kind], linewidth=1.2)
        axes.set_yscale("symlog", linthresh=LINEAR)
        axes.set_yticks([-10, -0.1, 0, 0.1, 10], ["-10", "-0.1", "0", "0.1", "10"], fontsize=6)
        axes.set_ylim(-12, max(120, 1.2 * float(quantiles[-1])))
        axes.set_xticks([])
        axes.set_title(case.name, fontsize=6.5)
    for axes in panels.flat[len(cases) :]:
        axes.axis("off")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def best(content: Content, name: str, budget: int, measure: str) -> float | None:
    """Return the least error of an answer over its splits."""
    errors = [row[measure] for _, answer, _, row in verdict.rows(content, "densities", budget) if answer == name]
    return min(errors) if errors else None


def draw_distances(contents: list[Content], path: Path) -> None:
    """Write a row for each spectrum and a marker for each method: distances in units of ours."""
    figure, axes = plt.subplots(figsize=(9, 2 + 0.19 * len(contents)), layout="constrained")
    for row, content in enumerate(contents):
        ours = best(content, OURS, SHOWN, "distance")
        for name, (marker, colour) in MARKERS.items():
            error = best(content, name, SHOWN, "distance")
            if ours is not None and error is not None:
                floor = content["floors"]["distance"]
                ratio = max(error, floor) / max(ours, floor)
                axes.plot(ratio, row, marker, color=colour, markersize=5, label=None if row else name)
    axes.axvline(1, color="C3", linewidth=0.8, zorder=0)
    axes.set(xscale="log", xlabel=f"Wasserstein distance over that of {OURS}, {SHOWN} products")
    axes.set_yticks(range(len(contents)), [content["name"] for content in contents], fontsize=7)
    axes.set_ylim(len(contents) - 0.5, -0.5)
    axes.grid(axis="y", color="0.94")
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=7)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_budgets(contents: list[Content], path: Path) -> None:
    """Write a panel for each measure: the median error over networks, against the products."""
    networks = [content for content in contents if content["kind"] == "network"]
    budgets = (50, 100, 200)
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
    titles = ("1 - degenerate fraction, relative", "negative fraction, relative", "Wasserstein distance over mean |λ|")
    for axes, measure, title in zip(panels, verdict.MEASURES, titles, strict=True):
        for name, (marker, colour) in MARKERS.items():
            medians = []
            for budget in budgets:
                scales = [c["mean_absolute"] if measure == "distance" else 1.0 for c in networks]
                found = [best(c, name, budget, measure) for c in networks]
                known = [e / s for e, s in zip(found, scales, strict=True) if e is not None]
                medians.append(statistics.median(known) if known else np.nan)
            axes.plot(budgets, medians, marker=marker, color=colour, label=name, linewidth=1.5 if name == OURS else 0.8)
        axes.set(xscale="log", yscale="log", xlabel="products", title=title)
        axes.set_xticks(budgets, [str(budget) for budget in budgets])
        axes.minorticks_off()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
