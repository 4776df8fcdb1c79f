"""Figure S4: learning in linear three-layer networks with two modes, equations 12-19 of note 5.

Weights W1 = A V^T and W2 = U B, with a_k the columns of A and b_k the rows of B (the residual network's matrices are
W + I, so a_k + v_k and b_k + u_k take their place). Panel (b)'s start can be read in two ways. Norms that agree with
the residual network's, as the text asks, give a1 = a2 = (1, 1)/sqrt 2 and b1 = b2 = (1, -1)/sqrt 2 ("equal norms").
From there b_k = R a_k for ever with R = diag(1, -1), so the fit A^T R A never has two positive eigenvalues: the plain
network ends at the saddle where the second mode is not learnt. The other reading, a1 = a2 = (1, sqrt 2) and b1 = b2 =
(1, 1)/sqrt 2 ("longer a"), is run as well; there the plain network converges.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from skip_paper.verdicts.claims import Verdict, difference, fact

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
STARTS_B: dict[str, tuple[Array, Array]] = {
    "equal norms": (np.ones((2, 2)) / np.sqrt(2), np.array([[1.0, 1.0], [-1.0, -1.0]]) / np.sqrt(2)),
    "longer a": (np.array([[1.0, 1.0], [np.sqrt(2)] * 2]), np.ones((2, 2)) / np.sqrt(2)),
}


@dataclass(frozen=True)
class Result:
    """Trajectories and times to convergence.

    Parameters
    ----------
    small
        Panel (a): A (columns a1 and a2) after each step, shape (steps + 1, 2, 2), of the first random start.
    equal
        Panel (b): the same, per reading of the start of the plain network, under "plain, READING", and "residual".
    small_times
        Time (step size times steps) until both modes stay within 1% of their strengths, per random start.
    equal_times
        The same of panel (b), per key of ``equal``. Infinite: not within the window.
    """

    small: dict[Kind, Array]
    equal: dict[str, Array]
    small_times: dict[Kind, Array]
    equal_times: dict[str, float]


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
    small: dict[Kind, Array] = {}
    times: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(NUM_STARTS):
        a, b = START_SCALE * rng.standard_normal((2, 2, 2))
        for kind in KINDS:
            path = learn(kind, a, b, STEP_SMALL)
            small.setdefault(kind, path[0])
            times[kind].append(time_to_fit(kind, *path, STEP_SMALL))
    equal, equal_times = {}, {}
    for name, (a, b) in STARTS_B.items():
        path = learn("plain", a, b, STEP_EQUAL)
        equal[f"plain, {name}"], equal_times[f"plain, {name}"] = path[0], time_to_fit("plain", *path, STEP_EQUAL)
    path = learn("residual", np.zeros((2, 2)), np.zeros((2, 2)), STEP_EQUAL)
    equal["residual"], equal_times["residual"] = path[0], time_to_fit("residual", *path, STEP_EQUAL)
    return Result(small, equal, {kind: np.array(found) for kind, found in times.items()}, equal_times)


def time_to_fit(kind: Kind, a: Array, b: Array, step: float) -> float:
    """Return the time from which on both fits are within 1% of s1 and s2; infinite if not so at the end."""
    outside = np.any(np.abs(strengths(kind, a, b) / STRENGTHS - 1) > WITHIN, axis=1)
    if outside[-1]:
        return float("inf")
    return step * float(np.flatnonzero(outside).max(initial=-1) + 1)


def verdicts(result: Result) -> list[Verdict]:
    """Judge whether residual networks converge faster."""
    residual = result.equal_times["residual"]
    window = STEP_EQUAL * NUM_STEPS
    unit = "time to within 1% of s1 and s2, plain less residual"
    return [
        difference(
            f"From small random weights residual networks converge faster (figure S4a, {NUM_STARTS} starts)",
            result.small_times["plain"], result.small_times["residual"], unit,
        ),
        *(
            fact(
                f"From a plain start that is not small residual networks converge faster too (figure S4b, {name})",
                result.equal_times[f"plain, {name}"] > residual,
                min(result.equal_times[f"plain, {name}"], window) - residual,
                unit,
                f"plain {_describe(result.equal_times[f'plain, {name}'], window)}, residual {residual:.3g}",
            )
            for name in STARTS_B
        ),
    ]  # fmt: skip


def draw(result: Result, path: Path, caption: str) -> None:
    """Write panels (a) and (b), the latter with both readings of its start; columns a1 and a2."""
    figure, axes = plt.subplots(3, 2, figsize=(9, 8), layout="constrained", sharex="row")
    finite = result.small_times["plain"][np.isfinite(result.small_times["plain"])]
    rows: list[tuple[str, str, dict[Kind, Array], float, float]] = [
        ("a", "small random start", result.small, STEP_SMALL, 1.2 * float(finite.mean()) if len(finite) else 10.0)
    ]
    for letter, name in zip("b ", STARTS_B, strict=True):
        pair: dict[Kind, Array] = {"plain": result.equal[f"plain, {name}"], "residual": result.equal["residual"]}
        rows.append((letter, f"start: {name}", pair, STEP_EQUAL, 6.0))
    for line, (letter, title, paths, step, end) in zip(axes, rows, strict=True):
        for mode, ax in enumerate(line):
            for kind in KINDS:
                _draw_weights(ax, kind, paths[kind][:, :, mode], step)
            ax.axhline(0, color="0.85", lw=0.8, zorder=0)
            ax.set(xlim=(0, end), ylabel=f"weights $a_{mode + 1}$")
            ax.set_title(f"{title}, mode {mode + 1} ($s_{mode + 1}$ = {STRENGTHS[mode]:g})", fontsize=10)
        line[0].set_title(letter, loc="left", fontweight="bold")
    for ax in axes[-1]:
        ax.set_xlabel("time (step size × steps)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    figure.supxlabel(caption, fontsize=8)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def _draw_weights(ax: Axes, kind: Kind, weights: Array, step: float) -> None:
    for unit, style in enumerate(("-", "--")):
        label = f"{kind}, hidden unit {unit + 1}"
        ax.plot(step * np.arange(len(weights)), weights[:, unit], style, color=COLOURS[kind], lw=1.8, label=label)


def _describe(time: float, window: float) -> str:
    return f"{time:.3g}" if np.isfinite(time) else f"not within {window:g}"
