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
from typing import Any, Literal, get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from skip_paper.figures.parts.look import plt, save
from skip_paper.verdicts.decisions import Verdict
from skip_paper.verdicts.evidence import Evidence, computation
from skip_paper.verdicts.judge import judge
from skip_paper.verdicts.quantities import Scene

Array = NDArray[np.float64]
Kind = Literal["plain", "residual", "hyper-residual"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STRENGTH = 3.0
NUM_LAYERS = 10
START_SCALE = 0.01
WINDOW = 10.0
NUM_STARTS = 10
WITHIN = 0.01
SHALLOW = 3  # layers that depth is compared with
CAPTION = (
    "(a) Flow of the mode strengths a and b in three layers; colour: speed. The plain network's saddle is where small "
    "weights start; skips move it away, so that the flow at the origin is fast. (b) Product u of the strengths in 10 "
    "layers, ten random starts each, and its distance from s over all times. The paper: plain does not converge within "
    "the window, residual does, and hyper-residual does faster. Here too; hyper-residual by gradient flow only, since "
    "its curvature would need steps of 1e-11."
)
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
    shallow_times
        The same times in three layers.
    steepest
        Greatest curvature along the path: the squared norm of the gradient of u, per start.
    """

    products: dict[Kind, Array]
    times: dict[Kind, Array]
    converged: dict[Kind, Array]
    shallow_times: dict[Kind, Array]
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
    products, times, converged, shallow, steepest = {}, {}, {}, {}, {}
    for kind in KINDS:
        factors = np.array([flow(kind, start) for start in starts]) + shifts(kind, NUM_LAYERS - 1)[:, None]
        products[kind] = np.prod(factors, axis=1)
        times[kind], converged[kind] = _time_to_fit(products[kind])
        steepest[kind] = np.sum(_others(np.moveaxis(factors, 1, 0)) ** 2, axis=0).max(axis=-1)
        few = np.array([flow(kind, start[: SHALLOW - 1]) for start in starts]) + shifts(kind, SHALLOW - 1)[:, None]
        shallow[kind], _ = _time_to_fit(np.prod(few, axis=1))
    return Result(products, times, converged, shallow, steepest)


def _time_to_fit(products: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return the time from which on each u is within 1% of s, the window's end where never, and whether it is."""
    outside = np.abs(products / STRENGTH - 1) > WITHIN
    last = np.array([np.flatnonzero(row).max(initial=-1) for row in outside])
    return TIMES[np.minimum(last + 1, len(TIMES) - 1)], ~outside[:, -1]


def evidence(result: Result) -> dict[str, Evidence]:
    """Return what the flows say of the paper's claims; there is no chance but the starts, and all must agree."""
    logs = {kind: np.log10(found) for kind, found in result.times.items()}
    shallow = {kind: np.log10(found) for kind, found in result.shallow_times.items()}
    share = float(np.mean(result.converged["plain"]))
    steep = float(np.median(result.steepest["hyper-residual"]))
    note = f"all of {NUM_STARTS} starts; plain converged within {WINDOW:g} in {share:.0%}"
    found = {}
    for key, slow, fast, words in (
        ("S5-residual", "plain", "residual", note),
        ("S5-hyper", "residual", "hyper-residual", f"all of {NUM_STARTS} starts; gradient flow, curvature {steep:.1g}"),
    ):
        effect = logs[slow] - logs[fast]  # type: ignore[index]
        found[key] = computation(bool((effect > 0).all()), float(np.median(effect)), words)
    deep, few = (float(np.median(log["plain"] - log["residual"])) for log in (logs, shallow))
    words = f"medians; 10 layers {10**deep:.2g} or more times, 3 layers {10**few:.2g} times"
    return {**found, "S5-depth": computation(deep > few, deep - few, words)}


def verdicts(result: Result) -> list[Verdict]:
    """Judge the figure's claims."""
    return judge("figS5", {}, Scene("", 1, 1), evidence(result))


def draw(result: Result, path: Path) -> str:
    """Write panels (a) phase portraits and (b) u(t); return the caption."""
    figure = plt.figure(figsize=(12, 8.2), layout="constrained")
    axes = figure.subplot_mosaic("aabbcc;uuuddd", height_ratios=(1.15, 1))
    for kind, letter in zip(KINDS, "abc", strict=True):
        image = _draw_portrait(axes[letter], kind)
    figure.colorbar(image, ax=[axes[letter] for letter in "abc"], label="speed", extend="both", shrink=0.85)
    axes["a"].set_title("a", loc="left", fontweight="bold")
    handles = axes["a"].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    for kind in KINDS:
        for index, u in enumerate(result.products[kind]):
            style = {"color": COLOURS[kind], "lw": 1.6, "alpha": 0.6, "label": kind if index == 0 else None}
            axes["u"].plot(TIMES, u, **style)
            axes["d"].plot(TIMES[1:], np.abs(u[1:] / STRENGTH - 1), **style)
    axes["u"].axhline(STRENGTH, color="0.3", lw=1, ls="--", zorder=0, label="$s$")
    axes["u"].set(xlabel="time", ylabel="product of the strengths $u$", xlim=(0, 0.5), ylim=(-0.2, 4))
    axes["u"].set_title("b", loc="left", fontweight="bold")
    axes["u"].set_title("10 layers, early", fontsize=10)
    axes["u"].legend(fontsize=9, frameon=False, loc="center right")
    axes["d"].axhline(WITHIN, color="0.3", lw=1, ls=":")
    axes["d"].text(2e-14, 1.2 * WITHIN, "1%", fontsize=8, color="0.3", va="bottom")
    axes["d"].set(xlabel="time", ylabel="distance $|u / s - 1|$", xlim=(1e-14, WINDOW), ylim=(1e-3, 1e6))
    axes["d"].set_xscale("log")
    axes["d"].set_yscale("log")
    axes["d"].set_title("10 layers, all times", fontsize=10)
    save(figure, path, CAPTION)
    return CAPTION


def _draw_portrait(ax: Axes, kind: Kind) -> Any:
    a, b = np.meshgrid(np.linspace(-4, 4, 161), np.linspace(-4, 4, 161))
    da, db = descent(kind, np.array([a, b]))
    image = ax.pcolormesh(a, b, np.hypot(da, db), norm=LogNorm(0.3, 100), cmap="cividis", rasterized=True)
    ax.streamplot(a, b, da, db, color="white", linewidth=0.6, density=0.9, arrowsize=0.7)
    shift_a, shift_b = shifts(kind, 2)
    x = np.linspace(0.2, 10, 400)
    for index, sign in enumerate((-1, 1)):
        label = "minima, $ab = s$" if index else None
        ax.plot(sign * x - shift_a, sign * STRENGTH / x - shift_b, color="tab:orange", lw=2.4, label=label)
    ax.plot(-shift_a, -shift_b, "X", color="tab:red", mec="white", ms=11, label="saddle", zorder=4, ls="")
    ax.plot(0, 0, "o", mfc="none", mec="white", mew=1.8, ms=14, zorder=4)
    ax.plot(0, 0, "o", mfc="none", mec="black", mew=1.0, ms=16, label="origin", zorder=4, ls="")
    ax.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal", xlabel="$a$")
    ax.set_title(kind, fontsize=11, color=COLOURS[kind])
    ax.set_ylabel("$b$", labelpad=-4)
    return image


def _others(factors: Array) -> Array:
    """Return for each l the product of the other factors, without a division, which would fail at zeros."""
    below = np.cumprod(np.concatenate([np.ones_like(factors[:1]), factors[:-1]]), axis=0)
    above = np.cumprod(np.concatenate([np.ones_like(factors[:1]), factors[:0:-1]]), axis=0)[::-1]
    return np.asarray(below * above)
