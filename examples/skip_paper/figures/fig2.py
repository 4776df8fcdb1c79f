"""Figure 2: why singularities slow learning, in two toy models (see `skip_paper.fig2_models` for the derivation)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import NDArray

from skip_paper.figures.parts.fig2_models import Form
from skip_paper.figures.parts.fig2_noise import START_BALANCE, Walks
from skip_paper.figures.parts.fig2_results import BALANCES, LENGTHS, NEAR, TOLERANCE, WALK_STEPS, Result
from skip_paper.figures.parts.fig2_results import compute as compute
from skip_paper.figures.parts.look import plt, save
from skip_paper.verdicts.decisions import Verdict
from skip_paper.verdicts.evidence import Evidence, computation, proportion
from skip_paper.verdicts.judge import judge
from skip_paper.verdicts.looks import Plan
from skip_paper.verdicts.means import difference
from skip_paper.verdicts.quantities import Scene

Array = NDArray[np.float64]
MUCH = 2.0  # "much slower": by this factor
TEACHERS = Plan((200, 800), 2)
COLOURS: dict[Form, str] = {"frozen": "tab:orange", "settled": "tab:blue"}
LABELS: dict[Form, str] = {"frozen": "reduced, w and v fixed", "settled": "reduced, w and v settled"}
CAPTION = (
    "(a-c) Two hidden units (erf). (b) Flow of the reduced system; trajectories of the network and of both reduced "
    "systems from the black dot. (c) The plateau: h and the loss hardly change while the network passes h = 0. (d, e) "
    "Three ReLU units. (e) Flow over m and |J_c|, drawn in lengths of weights, and the ratio of both speeds for 800 "
    "random teachers. The paper: learning along m is much slower, for any teacher. In its coordinates it is, by {:.2g} "
    "in the median, of which a factor 2 is geometry: a step of m moves the weights half as far as one of |J_c|. Slow "
    "manifolds bend, as that of the settled system: Tsutsui, Neural Computation 32 (2020)."
)


def evidence(result: Result) -> dict[str, Evidence]:
    """Return what the simulations say of the claims."""
    slower = result.log_speeds[:, 1] > result.log_speeds[:, 0]
    m, n = result.log_speeds.T
    geometry = _geometry(result)
    faster = float(np.mean(result.control_rates > 1))
    error = result.errors["settled"]
    found = difference(n, m + np.log10(MUCH), paired=True, plan=TEACHERS)
    factor = 10 ** float(np.mean(n - m))
    words = f"a factor of {factor:.2f} in the mean; paired t over {len(m)} teachers; in the paper's coordinates a "
    words += f"factor of {geometry:.2g} in the median, of which 2 is geometry"
    return {
        "2-plateau": computation(
            faster >= 0.95, float(np.log10(np.median(result.control_rates))),
            f"{faster:.0%} of {len(result.control_rates)} networks of equal loss elsewhere are faster",
        ),
        "2-on-singularity": _of_walks(result.walks),
        "2-slower": replace(found, test=words),
        "2-generic": proportion(int(slower.sum()), len(slower), 0.95),
        "2-settled": computation(
            error < TOLERANCE, TOLERANCE - error,
            f"at h = {NEAR} and {len(BALANCES)} z; with w and v fixed the error is {result.errors['frozen']:.0%}",
        ),
    }  # fmt: skip


def _of_walks(walks: Walks) -> Evidence:
    """Return whether walks leave the manifold after they have crossed |z| = 1; undecided where few leave it at all."""
    left = walks.escape < walks.loss.shape[1]
    found = proportion(int((left & (walks.crossing <= walks.escape)).sum()), len(left), 0.5)
    if left.sum() >= len(left) / 2:
        return found
    last = float(np.abs(walks.balance[:, -1]).mean())
    return found.gated(
        f"{int(left.sum())} of {len(left)} walks left the manifold in {WALK_STEPS:,} steps; noise moved |z| from "
        f"{START_BALANCE} to {last:.2f} in the mean"
    )


def verdicts(result: Result) -> list[Verdict]:
    """Judge the figure's claims."""
    return judge("fig2", {}, Scene("", 1, 1), evidence(result))


def _geometry(result: Result) -> float:
    """Return the median ratio of the speeds of |J_c| and m in the paper's coordinates."""
    return 10 ** float(np.median(np.diff(result.log_speeds_of_coordinates)))


def draw(result: Result, path: Path) -> str:
    """Write panels (a) to (e); return the caption."""
    caption = CAPTION.format(_geometry(result))
    figure = plt.figure(figsize=(12.5, 8.6), layout="constrained")
    axes = figure.subplot_mosaic("abbc;deef", width_ratios=(0.75, 0.6, 0.6, 1.1), height_ratios=(1, 1))
    _draw_two_units(axes["a"])
    _draw_overlap_field(figure, axes["b"], result)
    _draw_plateau(axes["c"], result)
    _draw_three_units(axes["d"])
    _draw_dependence_field(figure, axes["e"], result)
    _draw_speeds(axes["f"], result)
    for letter, ax in axes.items():
        if letter != "f":
            ax.set_title(letter, loc="left", fontweight="bold")
    save(figure, path, caption)
    return caption


def _draw_two_units(ax: Axes) -> None:
    _network(ax, inputs=3, units=["1", "2"], outputs=1)
    for x, y, text in ((0.25, 0.90, "$J_1$"), (0.25, 0.10, "$J_2$"), (0.77, 0.68, "$w_1$"), (0.77, 0.32, "$w_2$")):
        ax.text(x, y, text, fontsize=11, ha="center", va="center")
    words = "$h = |J_1 - J_2|$\n$z = (w_1 - w_2)\\,/\\,(w_1 + w_2)$\noverlap at $h = 0$,\nelimination at $z = \\pm 1$"
    ax.text(0.5, -0.04, words, ha="center", va="top", fontsize=9, transform=ax.transAxes)


def _draw_three_units(ax: Axes) -> None:
    _network(ax, inputs=3, units=["a", "b", "c"], outputs=3)
    for y, text in ((0.96, "$J_a$"), (0.04, "$J_c$")):
        ax.text(0.25, y, text, fontsize=11, ha="center", va="center")
    words = "incoming weights $J_a$, $J_b$, $J_c$\n$m = ||J_a + J_b - J_c||$\nlinear dependence at $m = 0$"
    ax.text(0.5, -0.04, words, ha="center", va="top", fontsize=9, transform=ax.transAxes)


def _network(ax: Axes, inputs: int, units: list[str], outputs: int) -> None:
    """Draw a network with one hidden layer in the unit square."""
    hidden = np.linspace(0.75, 0.25, 2) if len(units) == 2 else np.linspace(0.9, 0.1, len(units))
    layers = [np.linspace(0.1, 0.9, inputs), hidden, np.linspace(0.1, 0.9, outputs) if outputs > 1 else np.array([0.5])]
    for left, (start, end) in enumerate(((0, 1), (1, 2))):
        for y in layers[start]:
            for to in layers[end]:
                ax.plot([0.5 * left, 0.5 * left + 0.5], [y, to], color="0.6", lw=0.9, zorder=1)
    for index, heights in enumerate(layers):
        for position, y in enumerate(heights):
            ax.add_patch(Circle((0.5 * index, y), 0.07, facecolor="white", edgecolor="0.15", lw=1.3, zorder=2))
            if index == 1:
                ax.text(0.5, y, units[position], ha="center", va="center", fontsize=10, zorder=3)
    ax.set(xlim=(-0.12, 1.12), ylim=(-0.02, 1.02), aspect="equal")
    ax.axis("off")


def _draw_overlap_field(figure: Figure, ax: Axes, result: Result) -> None:
    h, z = np.meshgrid(np.linspace(-1, 1, 161), np.linspace(-1.6, 1.6, 161))
    system = result.systems["frozen"]
    dh, dz = system.velocity(h, z)
    norm = np.hypot(dh, dz) / abs(system.strength)
    image = ax.pcolormesh(h, z, np.maximum(norm, 1e-3), norm=LogNorm(1e-2, 10), cmap="Greys_r", rasterized=True)
    figure.colorbar(image, ax=ax, label=r"speed / $|\lambda|$", extend="both")
    ax.streamplot(h, z, dh, dz, color="tab:cyan", linewidth=0.6, density=0.9, arrowsize=0.7)
    heights = np.linspace(1e-3, 1, 400)
    edge = np.sqrt(2 * (system.potential(heights) - system.potential(1.0)))
    for sign in (-1, 1):
        label = "basin of the stable segment" if sign > 0 else None
        ax.fill_betweenx(sign * heights, -edge, edge, color="gold", alpha=0.35, lw=0, zorder=2, label=label)
        ax.axhline(sign, color="white", lw=1, ls="--", label="elimination, $z = \\pm 1$" if sign > 0 else None)
    ax.plot([0, 0], [-1, 1], color="tab:red", lw=4, solid_capstyle="butt", zorder=3, label="overlap, stable")
    for ends in ((-1.6, -1), (1, 1.6)):
        label = "overlap, unstable" if ends[0] > 0 else None
        ax.plot([0, 0], ends, color="tab:red", lw=1.4, ls=":", zorder=3, label=label)
    for form, states in result.reduced.items():
        ax.plot(*states, color=COLOURS[form], lw=1.9, zorder=4, label=LABELS[form])
    ax.plot(*result.network, color="white", lw=3, zorder=5)
    ax.plot(*result.network, color="black", lw=1.6, ls="--", zorder=5, label="simulated network")
    ax.plot(*result.network[:, 0], "o", color="black", mec="white", ms=7, zorder=6)
    ax.plot(*result.network[:, result.plateau], "s", color="black", mec="white", ms=6, zorder=6, label="plateau")
    ax.set(xlabel="overlap variable $h$", ylabel="elimination variable $z$", xlim=(-1, 1), ylim=(-1.6, 1.6))
    legend = ax.legend(fontsize=7, loc="lower left", framealpha=0.9, borderaxespad=0.3, labelspacing=0.25)
    legend.set_zorder(10)


def _draw_plateau(ax: Axes, result: Result) -> None:
    thousands = result.times / 1000
    ax.plot(thousands, result.network[0], color="black", ls="--", lw=2, label="overlap $h$, network")
    for form, states in result.reduced.items():
        shown = np.where(states[0] < 0.66, states[0], np.nan)
        ax.plot(thousands, shown, color=COLOURS[form], lw=1.6, label=f"$h$, {LABELS[form]}")
    plateau = result.loss > 0.5 * result.loss[result.plateau]
    ax.axvspan(thousands[0], thousands[plateau][-1], color="gold", alpha=0.25, lw=0, label="plateau of the loss")
    ax.plot(thousands[result.plateau], result.network[0, result.plateau], "s", color="black", ms=6)
    ax.set(xlabel="time (thousands)", ylabel="overlap variable $h$", ylim=(0, 1.15), xlim=(0, thousands[-1]))
    right = ax.twinx()
    right.plot(thousands, result.loss, color="tab:red", lw=1.6)
    ax.plot([], [], color="tab:red", lw=1.6, label="loss (right axis)")
    right.set_ylabel("loss / loss of the best single unit", color="tab:red")
    right.set_ylim(0, 1.9)
    ax.legend(fontsize=8, frameon=False, loc="upper left", borderaxespad=0.2, labelspacing=0.3)


def _draw_dependence_field(figure: Figure, ax: Axes, result: Result) -> None:
    best = np.array(result.teacher.optimum)
    m, n = np.meshgrid(np.linspace(0.02, 2 * best[0], 121), np.linspace(0.02, 2 * best[1], 121))
    dm, dn = result.teacher.descent(m, n)
    scale_m, scale_n = 10**LENGTHS
    # A length of the weights is 1 / sqrt 2 of m, and sqrt 2 of n.
    x, y, dx, dy = m / scale_m, n / scale_n, dm * scale_m, dn * scale_n
    norm = np.hypot(dx, dy)
    image = ax.pcolormesh(x, y, norm, norm=LogNorm(norm.max() / 300, norm.max()), cmap="Greys_r", rasterized=True)
    figure.colorbar(image, ax=ax, label="speed", extend="min", shrink=0.8)
    ax.streamplot(x, y, dx, dy, color="tab:cyan", linewidth=0.7, density=1.0, arrowsize=0.8)
    place = best / 10**LENGTHS
    ax.plot(*place, "*", color="tab:red", ms=15, mec="white", label="teacher", ls="")
    ax.set(xlabel=r"$m / \sqrt{2}$, $m = ||J_a + J_b - J_c||$", ylabel=r"$\sqrt{2}\, ||J_c||$", aspect="equal")
    ax.set(xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
    ax.legend(fontsize=9, loc="upper right")


def _draw_speeds(ax: Axes, result: Result) -> None:
    ratios = {
        "in lengths of weights": (result.log_speeds, "tab:blue", 0.75),
        "in the paper's $m$ and $||J_c||$": (result.log_speeds_of_coordinates, "tab:orange", 0.45),
    }
    bins = np.linspace(-1.5, 2, 36)
    for label, (speeds, colour, alpha) in ratios.items():
        ratio = speeds[:, 1] - speeds[:, 0]
        median = 10 ** float(np.median(ratio))
        ax.hist(ratio, bins, color=colour, alpha=alpha, label=f"{label}: median {median:.2f}")
        ax.axvline(float(np.median(ratio)), color=colour, lw=1.5)
    ax.axvline(0, color="black", lw=1, ls=":")
    ticks = (0.1, 0.3, 1, 3, 10, 30)
    ax.set_xticks(np.log10(ticks), [f"{tick:g}" for tick in ticks])
    ax.set(xlabel="speed of $||J_c||$ / speed of $m$", ylabel=f"teachers of {len(result.log_speeds)}")
    ax.set_ylim(0, 1.4 * ax.get_ylim()[1])
    ax.legend(fontsize=8, frameon=False, loc="upper left")
