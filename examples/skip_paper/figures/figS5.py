"""Figure S5: mode strengths of linear networks, equations 29-31 of note 5.

E(a) = (s - prod_l (a_l + c_l))^2 / 2 with c_l = 0 (plain), 1 (residual) or l (hyper-residual), l = 1..N - 1 in a
network of N layers, so two strengths in panel (a) and nine in panel (b). The paper does not state s, the start, nor the
time window of panel (b): here s = 3, N(0, 0.01^2) and times up to 10, under gradient flow with tau = 1.

The hyper-residual product starts near 9! = 362,880, far above s. Its flow falls onto s in a time of order 1e-11, where
the curvature is of order 1e11: the speed is the flow's, and no descent with a step common to all three can show it.
`Result.steepest` says how large the curvature along the path is.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from skip_paper.verdicts.claims import Verdict, difference, fact

Array = NDArray[np.float64]
Kind = Literal["plain", "residual", "hyper-residual"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STRENGTH = 3.0
NUM_LAYERS = 10
START_SCALE = 0.01
WINDOW = 10.0
NUM_STARTS = 10
WITHIN = 0.01
COLOURS: dict[Kind, str] = {"plain": "tab:blue", "residual": "tab:red", "hyper-residual": "tab:green"}
TIMES = np.concatenate([[0.0], np.geomspace(1e-14, WINDOW, 601)])


@dataclass(frozen=True)
class Result:
    """Panel (b), per kind of network.

    Parameters
    ----------
    products
        u(t) at `TIMES`, shape (starts, times).
    times
        Time from which on u is within 1% of s, per start; the window's end where it never is.
    converged
        Whether it is, per start.
    steepest
        Greatest curvature along the path: the squared norm of the gradient of u, per start.
    """

    products: dict[Kind, Array]
    times: dict[Kind, Array]
    converged: dict[Kind, Array]
    steepest: dict[Kind, Array]


def shifts(kind: Kind, count: int) -> Array:
    """Return c_l for l = 1..count."""
    return {"plain": np.zeros(count), "residual": np.ones(count), "hyper-residual": np.arange(1.0, count + 1)}[kind]


def descent(kind: Kind, a: Array) -> Array:
    """Return minus the gradient of E by a_l, for a of shape (strengths, ...)."""
    factors = a + shifts(kind, len(a)).reshape(-1, *[1] * (a.ndim - 1))
    return np.asarray((STRENGTH - np.prod(factors, axis=0)) * _others(factors))


def flow(kind: Kind, start: Array) -> Array:
    """Return the strengths at `TIMES` under gradient flow, shape (strengths, times)."""
    # LSODA, as the hyper-residual flow is stiff; the tolerance is far below what 1% of s needs.
    found = solve_ivp(
        lambda _, a: descent(kind, a), (0.0, WINDOW), start, method="LSODA", t_eval=TIMES, rtol=1e-10, atol=1e-14,
        first_step=1e-16,
    )  # fmt: skip
    if not found.success:
        raise RuntimeError(f"The flow of the {kind} network stopped: {found.message}")
    return np.asarray(found.y)


def compute(seed: int = 0) -> Result:
    """Integrate the flows from random starts common to the three kinds."""
    starts = START_SCALE * np.random.default_rng(seed).standard_normal((NUM_STARTS, NUM_LAYERS - 1))
    products, times, converged, steepest = {}, {}, {}, {}
    for kind in KINDS:
        factors = np.array([flow(kind, start) for start in starts]) + shifts(kind, NUM_LAYERS - 1)[:, None]
        u = np.prod(factors, axis=1)
        outside = np.abs(u / STRENGTH - 1) > WITHIN
        last = np.array([np.flatnonzero(row).max(initial=-1) for row in outside])
        products[kind], converged[kind] = u, ~outside[:, -1]
        times[kind] = TIMES[np.minimum(last + 1, len(TIMES) - 1)]
        steepest[kind] = np.sum(_others(np.moveaxis(factors, 1, 0)) ** 2, axis=0).max(axis=-1)
    return Result(products, times, converged, steepest)


def verdicts(result: Result) -> list[Verdict]:
    """Judge the order of speed; plain networks that do not converge count with the window's end."""
    logs = {kind: np.log10(found) for kind, found in result.times.items()}
    unit = f"log10 of the time to within 1% of s, {NUM_STARTS} starts"
    steepest = {kind: float(np.median(found)) for kind, found in result.steepest.items()}
    pairs: tuple[tuple[Kind, Kind, str], ...] = (
        ("plain", "residual", ""),
        (
            "residual", "hyper-residual",
            "; by gradient flow: descent in steps would not show it, with curvatures up to "
            f"{steepest['hyper-residual']:.1g} and {steepest['residual']:.1g}",
        ),
    )  # fmt: skip
    share = float(np.mean(result.converged["plain"]))
    return [
        *(
            difference(
                f"{faster} converges faster than {slower} in 10 layers (figure S5b)",
                logs[slower], logs[faster], unit + note,
            )
            for slower, faster, note in pairs
        ),
        fact(
            "The plain network does not converge within the window (figure S5b)",
            share == 0.0,
            1 - share,
            "share of starts without convergence",
            f"{NUM_STARTS} starts, times up to {WINDOW:g}; greatest |u| {np.abs(result.products['plain']).max():.1g}",
        ),
    ]  # fmt: skip


def draw(result: Result, path: Path, caption: str) -> None:
    """Write panels (a) phase portraits and (b) u(t)."""
    figure = plt.figure(figsize=(13, 3.9), layout="constrained")
    axes = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.35))
    for kind, ax in zip(KINDS, axes[:3], strict=True):
        _draw_portrait(ax, kind)
    axes[0].set_title("a", loc="left", fontweight="bold")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    ax = axes[3]
    for kind in KINDS:
        for index, u in enumerate(result.products[kind]):
            label = kind if index == 0 else None
            ax.plot(TIMES[1:], u[1:], color=COLOURS[kind], lw=1, alpha=0.7, label=label)
    ax.axhline(STRENGTH, color="0.3", lw=1, ls="--", label="$s$")
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1)
    ax.set(
        xlabel="time",
        ylabel="product of the strengths $u$",
        xlim=(1e-14, WINDOW),
        ylim=(-0.3, 3e6),
        title=f"{NUM_LAYERS} layers",
    )
    ax.set_title("b", loc="left", fontweight="bold")
    ax.legend(fontsize=8, frameon=False, ncols=2, loc="upper right")
    figure.supxlabel(caption, fontsize=8)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def _draw_portrait(ax: Axes, kind: Kind) -> None:
    a, b = np.meshgrid(np.linspace(-4, 4, 161), np.linspace(-4, 4, 161))
    da, db = descent(kind, np.array([a, b]))
    ax.streamplot(a, b, da, db, color="0.55", linewidth=0.6, density=1.0, arrowsize=0.7)
    shift_a, shift_b = shifts(kind, 2)
    x = np.linspace(0.2, 10, 400)
    for index, sign in enumerate((-1, 1)):
        ax.plot(
            sign * x - shift_a, sign * STRENGTH / x - shift_b, color=COLOURS[kind], lw=2,
            label="minima" if index else None,
        )  # fmt: skip
    ax.plot(-shift_a, -shift_b, "X", color="black", mec="white", ms=10, label="saddle", zorder=4)
    ax.plot(0, 0, "o", mfc="none", mec="black", mew=1.5, ms=14, label="origin", zorder=4)
    ax.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal", xlabel="$a$", title=kind)
    ax.set_ylabel("$b$", labelpad=-4)


def _others(factors: Array) -> Array:
    """Return for each l the product of the other factors, without a division, which would fail at zeros."""
    below = np.cumprod(np.concatenate([np.ones_like(factors[:1]), factors[:-1]]), axis=0)
    above = np.cumprod(np.concatenate([np.ones_like(factors[:1]), factors[:0:-1]]), axis=0)[::-1]
    return np.asarray(below * above)
