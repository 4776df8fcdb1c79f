"""Draws the benchmark of densities: Wasserstein distances on every spectrum."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

MARKERS = {
    "hessdens lanczos_density": ("o", "C3"),
    "hessdens fit_mixture": ("v", "C1"),
    "hessdens maximum_entropy": ("^", "C1"),
    "hessdens kernel_polynomial": ("<", "C1"),
    "curvlinops (quadrature)": ("s", "C0"),
    "curvlinops (curve)": ("s", "none"),
    "hessian-eigenthings (quadrature)": ("D", "C2"),
    "hessian-eigenthings (curve)": ("D", "none"),
    "PyHessian (quadrature)": ("P", "C4"),
}
EDGES = {"curvlinops (curve)": "C0", "hessian-eigenthings (curve)": "C2"}


def draw(content: dict, path: Path) -> None:
    """Write a panel for each budget: a row for each spectrum, a marker for each method."""
    spectra = list(content["errors"])
    budgets = list(content["errors"][spectra[0]])
    figure, panels = plt.subplots(1, len(budgets), figsize=(11, 5.2), sharex=True, sharey=True, layout="constrained")
    for axes, products in zip(panels, budgets, strict=True):
        for row, name in enumerate(spectra):
            errors = content["errors"][name][products]
            scale = 1 / errors["hessdens lanczos_density"][2]
            for method, (marker, colour) in MARKERS.items():
                axes.plot(
                    scale * errors[method][2],
                    row,
                    marker,
                    color=colour if colour != "none" else EDGES[method],
                    markerfacecolor=colour,
                    markersize=7,
                    label=method if row == 0 else None,
                )
        axes.axvline(1, color="0.8", linewidth=1, zorder=0)
        axes.set(xscale="log", xlabel="Wasserstein distance over lanczos_density's", title=f"{products} products")
        axes.set_yticks(range(len(spectra)), spectra)
        axes.grid(axis="y", color="0.93")
    panels[0].invert_yaxis()
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
