"""Figure S4: learning in linear three-layer networks with two modes, equations 12-19 of note 5.

Weights W1 = A V^T and W2 = U B, with a_k the columns of A and b_k the rows of B (the residual network's matrices are
W + I, so a_k + v_k and b_k + u_k take their place). In panel (b) a1 = a2 = (1, 1)/sqrt 2 and b1 = b2 = (1, -1)/sqrt 2,
whose norms are those of the residual network's start. From there b_k = R a_k for ever with R = diag(1, -1), so the fit
A^T R A never has two positive eigenvalues: the plain network ends at the saddle where the second mode is not learned.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from skip_paper.figures.parts.look import plt, save
from skip_paper.verdicts.decisions import Verdict
from skip_paper.verdicts.evidence import Evidence, computation
from skip_paper.verdicts.judge import judge
from skip_paper.verdicts.looks import single_look
from skip_paper.verdicts.means import difference
from skip_paper.verdicts.quantities import Scene

Array = NDArray[np.float64]
Kind = Literal["plain", "residual"]
STRENGTHS = np.array([3.0, 1.5])
MODES = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2)  # columns u_k, and v_k
START_SCALE = 1e-4
STEP_SMALL, STEP_EQUAL = 0.1, 0.01
NUM_STARTS = 20
NUM_STEPS = 2000
WITHIN = 0.01
KINDS: tuple[Kind, ...] = ("plain", "residual")
COLOURS: dict[Kind, str] = {"plain": "tab:blue", "residual": "tab:red"}
# The text layer's "[1,√2,1,√2]" is [1/√2, 1/√2], as for u and v: the norms are then those of the residual network.
EQUAL_START: tuple[Array, Array] = (
    np.ones((2, 2)) / np.sqrt(2),
    np.array([[1.0, 1.0], [-1.0, -1.0]]) / np.sqrt(2),
)
WINDOW = STEP_EQUAL * NUM_STEPS
CAPTION = (
    "Linear networks with one hidden layer of two units and two modes (equations 12-19, gradient descent). Left and "
    "middle: weights to the two units (solid, dashed). Right: the fits a₁·b₁ (solid) and a₂·b₂ (dashed) with their "
    "targets s₁ = 3 and s₂ = 1.5. The paper: residual networks converge faster from small weights (a) and from weights "
    "of equal norms (b). Here too; but from equal norms the plain network never learns mode 2: a₂·b₂ goes back to 0, "
    "a saddle."
)


@dataclass(frozen=True)
class Result:
    """Trajectories and times to convergence.

    Parameters
    ----------
    small, equal
        Panels (a), of the first random start, and (b): A and B after each step, both (steps + 1, 2, 2).
    small_times
        Time (step size times steps) until both modes stay within 1% of their strengths, per random start.
    equal_times
        The same of panel (b). Infinite: not within the window.
    """

    small: dict[Kind, tuple[Array, Array]]
    equal: dict[Kind, tuple[Array, Array]]
    small_times: dict[Kind, Array]
    equal_times: dict[Kind, float]


def learn(kind: Kind, a: Array, b: Array, step: float, num_steps: int = NUM_STEPS) -> tuple[Array, Array]:
    """Return A and B (columns a_k and b_k) after each step of gradient descent, both (steps + 1, 2, 2)."""
    shift = MODES if kind == "residual" else np.zeros((2, 2))
    path_a, path_b = [a], [b]
    for _ in range(num_steps):
        full_a, full_b = path_a[-1] + shift, path_b[-1] + shift
        # Entry (k, l) is a_k . b_l less its target: its diagonal holds the cooperative terms, the rest the competitive.
        error = np.diag(STRENGTHS) - full_a.T @ full_b
        path_a.append(path_a[-1] + step * full_b @ error.T)
        path_b.append(path_b[-1] + step * full_a @ error)
    return np.array(path_a), np.array(path_b)


def strengths(kind: Kind, a: Array, b: Array) -> Array:
    """Return a_k . b_k of the network's matrices, the fit of each s_k, shape (steps + 1, 2)."""
    shift = MODES if kind == "residual" else np.zeros((2, 2))
    return np.asarray(np.sum((a + shift) * (b + shift), axis=-2))


def compute(seed: int = 0) -> Result:
    """Run both panels; ``seed`` decides the random starts of panel (a)."""
    rng = np.random.default_rng(seed)
    small: dict[Kind, tuple[Array, Array]] = {}
    times: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(NUM_STARTS):
        a, b = START_SCALE * rng.standard_normal((2, 2, 2))
        for kind in KINDS:
            path = learn(kind, a, b, STEP_SMALL)
            small.setdefault(kind, path)
            times[kind].append(time_to_fit(kind, *path, STEP_SMALL))
    starts: dict[Kind, tuple[Array, Array]] = {"plain": EQUAL_START, "residual": (np.zeros((2, 2)), np.zeros((2, 2)))}
    equal = {kind: learn(kind, *start, STEP_EQUAL) for kind, start in starts.items()}
    equal_times = {kind: time_to_fit(kind, *path, STEP_EQUAL) for kind, path in equal.items()}
    return Result(small, equal, {kind: np.array(found) for kind, found in times.items()}, equal_times)


def time_to_fit(kind: Kind, a: Array, b: Array, step: float) -> float:
    """Return the time from which on both fits are within 1% of s1 and s2; infinite if not so at the end."""
    outside = np.any(np.abs(strengths(kind, a, b) / STRENGTHS - 1) > WITHIN, axis=1)
    if outside[-1]:
        return float("inf")
    return step * float(np.flatnonzero(outside).max(initial=-1) + 1)


def evidence(result: Result) -> dict[str, Evidence]:
    """Return what the simulations say of the paper's claims."""
    window = STEP_SMALL * NUM_STEPS
    plain, residual = (np.minimum(result.small_times[kind], window) for kind in KINDS)
    after, before = result.equal_times["plain"], result.equal_times["residual"]
    words = f"plain {after:.3g}" if np.isfinite(after) else f"plain not within {WINDOW:g}: it never learns mode 2"
    once = f"one start; residual {before:.3g}, {words}"
    return {
        "S4-small": difference(plain, residual, paired=True, plan=single_look(NUM_STARTS)),
        "S4-equal": computation(after > before, min(after, WINDOW) - before, once),
    }


def verdicts(result: Result) -> list[Verdict]:
    """Judge the figure's claims."""
    return judge("figS4", {}, Scene("", 1, 1), evidence(result))


def draw(result: Result, path: Path) -> str:
    """Write panels (a) and (b): the weights a1 and a2, and how the fits reach their targets; return the caption."""
    figure, axes = plt.subplots(2, 3, figsize=(12, 6.6), layout="constrained", sharex="row")
    finite = result.small_times["plain"][np.isfinite(result.small_times["plain"])]
    ends = 1.2 * float(finite.mean()) if len(finite) else 10.0, 6.0
    rows = (("a", "small random start", result.small, STEP_SMALL), ("b", "equal norms", result.equal, STEP_EQUAL))
    for line, (letter, title, paths, step), end in zip(axes, rows, ends, strict=True):
        for mode, ax in enumerate(line[:2]):
            for kind in KINDS:
                _draw_pair(ax, kind, paths[kind][0][:, :, mode], step, "hidden unit")
            ax.set_title(f"{title}: weights $a_{mode + 1}$", fontsize=10)
        for kind in KINDS:
            _draw_pair(line[2], kind, strengths(kind, *paths[kind]), step, "mode")
        for strength, style in zip(STRENGTHS, ("-", "--"), strict=True):
            line[2].axhline(strength, color="0.6", lw=0.9, ls=style, zorder=0)
        line[2].set_title(f"{title}: fits $a_k \\cdot b_k$", fontsize=10)
        if letter == "b":
            arrow = {"arrowstyle": "->", "color": COLOURS["plain"]}
            words = "plain: mode 2 is never learned"
            line[2].annotate(words, (3.0, 0.03), (2.0, 0.7), fontsize=9, color=COLOURS["plain"], arrowprops=arrow)
        for ax in line:
            ax.axhline(0, color="0.85", lw=0.8, zorder=0)
            ax.set(xlim=(0, end), xlabel="time (step size × steps)")
        line[0].set_title(letter, loc="left", fontweight="bold")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    names = [label.replace("hidden unit", "unit or mode") for label in labels]
    figure.legend(handles, names, loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    save(figure, path, CAPTION)
    return CAPTION


def _draw_pair(ax: Axes, kind: Kind, values: Array, step: float, what: str) -> None:
    for index, style in enumerate(("-", "--")):
        label = f"{kind}, {what} {index + 1}"
        ax.plot(step * np.arange(len(values)), values[:, index], style, color=COLOURS[kind], lw=1.8, label=label)
