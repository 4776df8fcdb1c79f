"""Figure 2: why singularities slow learning, in two toy models (see `skip_paper.fig2_models` for the derivation)."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from skip_paper.figures.parts.fig2_models import Form, Reduced, ThreeUnits, TwoUnits, overlap_and_balance
from skip_paper.verdicts.claims import Verdict, difference, fact

Array = NDArray[np.float64]
NUM_TEACHERS = 40
START = (
    0.3,
    0.8,
)  # h and z of the trajectory: outside the stable segment's basin, so it passes the manifold and leaves
END_TIME = 30_000.0
SETTLING_TIME = 600.0  # w and v have settled by then
# Velocities are compared where the expansion is good: h small against the teacher's own overlap, and that against 1.
NEAR, NEAR_TEACHER, NEAR_SETTLING_TIME = 0.002, (1.0, 1.02), 2000.0
TOLERANCE = 0.1
BALANCES = (0.3, 0.6, 0.9, 1.2, 1.5)
COLOURS: dict[Form, str] = {"frozen": "tab:orange", "settled": "tab:blue"}
SYSTEM_NAMES: dict[Form, str] = {
    "frozen": "reduced system with w and v fixed at the best single unit (the paper's)",
    "settled": "reduced system with w and v settled (derived here)",
}
LABELS: dict[Form, str] = {"frozen": "reduced, w and v fixed", "settled": "reduced, w and v settled"}


@dataclass(frozen=True)
class Result:
    """What figure 2 shows.

    Parameters
    ----------
    times
        Times of the trajectory, from the settling time on.
    network
        h and z of the simulated network, shape (2, times).
    reduced
        The same of each reduced system, from the network's state at the first time.
    loss
        The network's loss in units of the best single unit's.
    slowing
        Greatest rate of descent after the closest approach to h = 0, divided by the rate there.
    errors
        Greatest relative error of dh/dt and dz/dt of each reduced system against the network's, near h = 0.
    systems
        The reduced systems themselves.
    teacher
        The 3-3-3 network whose flow is drawn.
    log_speeds
        log10 of the root-mean-square of dm/dt and dn/dt over m and n up to twice the teacher's, per random teacher,
        under gradient descent on (m, n), shape (teachers, 2); ``log_speeds_in_weights``: on the weights themselves.
    """

    times: Array
    network: Array
    reduced: dict[Form, Array]
    loss: Array
    slowing: float
    errors: dict[Form, float]
    systems: dict[Form, Reduced]
    teacher: ThreeUnits
    log_speeds: Array
    log_speeds_in_weights: Array


def compute(seed: int = 0) -> Result:
    """Simulate both models; ``seed`` decides the random teachers of the 3-3-3 network."""
    model = TwoUnits()
    w, v, _ = model.single_unit()
    systems = {form: model.reduced(form) for form in get_args(Form)}
    times = np.concatenate([[0.0], np.linspace(SETTLING_TIME, END_TIME, 1001)])
    students = model.train(model.start(*START), times)[:, 1:]
    times = times[1:]
    network = np.array(overlap_and_balance(students))
    loss = np.array([model.loss(student) for student in students.T])
    rates = np.array([np.sum(model.descent(student) ** 2) for student in students.T])
    closest = int(network[0].argmin())
    reduced = {form: system.trajectory(network[0, 0], network[1, 0], times) for form, system in systems.items()}
    teachers = [ThreeUnits.random(1000 * seed + index) for index in range(NUM_TEACHERS)]
    return Result(
        times=times,
        network=network,
        reduced=reduced,
        loss=loss / model.loss(np.array([w / 2, w / 2, v, v])),
        slowing=float(rates[closest:].max() / rates[closest]),
        errors=_velocity_errors(TwoUnits(NEAR_TEACHER)),
        systems=systems,
        teacher=teachers[0],
        log_speeds=np.array([_log_speeds(teacher, in_weights=False) for teacher in teachers]),
        log_speeds_in_weights=np.array([_log_speeds(teacher, in_weights=True) for teacher in teachers]),
    )


def verdicts(result: Result) -> list[Verdict]:
    """Judge figure 2's claims."""
    slower = 10 ** (result.log_speeds[:, 1] - result.log_speeds[:, 0])
    share = float(np.mean(slower > 1))
    unit = f"log10(speed of |J_c| / speed of m), {len(slower)} teachers"
    return [
        fact(
            "Near the overlap manifold learning has a plateau (figure 2c)",
            result.slowing > 10,
            result.slowing,
            "greatest rate of descent afterwards / rate at the closest approach",
            "above 10 in a simulated network of two erf units",
        ),
        *(
            fact(
                f"The {name} describes the network near the overlap manifold (figure 2b)",
                result.errors[form] < TOLERANCE,
                TOLERANCE - result.errors[form],
                f"{TOLERANCE:.0%} less the greatest relative error of dh/dt and dz/dt",
                f"against a simulated network at h = {NEAR} and {len(BALANCES)} z; error {result.errors[form]:.1%}",
            )
            for form, name in SYSTEM_NAMES.items()
        ),
        difference(
            "Learning along m is slower than along |J_c|, by descent on m and |J_c| (figure 2e)",
            result.log_speeds[:, 1], result.log_speeds[:, 0], unit,
        ),
        difference(
            "Learning along m is slower than along |J_c|, by descent on the weights (a check of figure 2e)",
            result.log_speeds_in_weights[:, 1], result.log_speeds_in_weights[:, 0], unit,
        ),
        fact(
            "The flow field of figure 2e is generic: m is slower than |J_c|",
            share >= 0.95,
            share - 0.95,
            "share of random teachers with a slower m, less 95%",
            f"{share:.0%} of {len(slower)} teachers; median factor {np.median(slower):.2g}",
        ),
    ]  # fmt: skip


def draw(result: Result, path: Path, caption: str) -> None:
    """Write panels (a) to (e)."""
    figure = plt.figure(figsize=(12, 7.4), layout="constrained")
    axes = figure.subplot_mosaic("abc;dee", width_ratios=(0.75, 1.15, 1.1), height_ratios=(1.1, 1))
    _draw_two_units(axes["a"])
    _draw_overlap_field(figure, axes["b"], result)
    _draw_plateau(axes["c"], result)
    _draw_three_units(axes["d"])
    _draw_dependence_field(figure, axes["e"], result)
    for letter, ax in axes.items():
        ax.set_title(letter, loc="left", fontweight="bold")
    figure.supxlabel(caption, fontsize=8)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def _velocity_errors(model: TwoUnits) -> dict[Form, float]:
    systems = {form: model.reduced(form) for form in get_args(Form)}
    errors: dict[Form, list[float]] = {form: [] for form in get_args(Form)}
    for balance in BALANCES:
        student = model.train(model.start(NEAR, balance), np.array([0.0, NEAR_SETTLING_TIME]))[:, -1]
        h, z = overlap_and_balance(student)
        slopes = model.descent(student)
        total = student[0] + student[1]
        actual = slopes[3] - slopes[2], ((1 - z) * slopes[0] - (1 + z) * slopes[1]) / total
        for form, found in errors.items():
            predicted = systems[form].velocity(h, z)
            found += [abs(float(p / a) - 1) for p, a in zip(predicted, actual, strict=True)]
    return {form: max(found) for form, found in errors.items()}


def _log_speeds(teacher: ThreeUnits, *, in_weights: bool) -> list[float]:
    best_m, best_n = teacher.optimum
    steps = np.linspace(0.05, 2, 14)
    m, n = np.meshgrid(best_m * steps, best_n * steps, indexing="ij")
    return [float(np.log10(np.mean(speed**2)) / 2) for speed in teacher.descent(m, n, in_weights=in_weights)]


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
    h, z = np.meshgrid(np.linspace(-1, 1, 161), np.linspace(-2, 2, 161))
    system = result.systems["frozen"]
    dh, dz = system.velocity(h, z)
    norm = np.hypot(dh, dz) / abs(system.strength)
    image = ax.pcolormesh(h, z, np.maximum(norm, 1e-3), norm=LogNorm(1e-2, 10), cmap="viridis", rasterized=True)
    figure.colorbar(image, ax=ax, label=r"speed / $|\lambda|$", extend="both")
    ax.streamplot(h, z, dh, dz, color="white", linewidth=0.6, density=0.9, arrowsize=0.7)
    heights = np.linspace(1e-3, 1, 400)
    edge = np.sqrt(2 * (system.potential(heights) - system.potential(1.0)))
    for sign in (-1, 1):
        ax.fill_betweenx(sign * heights, -edge, edge, color="0.75", alpha=0.55, lw=0, zorder=2)
        ax.axhline(sign, color="black", lw=1, ls="--")
    ax.axvline(0, color="black", lw=1)
    ax.plot([0, 0], [-1, 1], color="black", lw=4, solid_capstyle="butt", zorder=3)
    ax.plot(*result.reduced["frozen"], color=COLOURS["frozen"], lw=1.8, zorder=4)
    ax.plot(*result.reduced["settled"], color=COLOURS["settled"], lw=1.8, zorder=4)
    ax.plot(*result.network, color="black", lw=1.6, ls=":", zorder=5)
    ax.plot(*result.network[:, 0], "o", color="black", ms=5, zorder=6)
    ax.set(xlabel="overlap variable $h$", ylabel="elimination variable $z$", xlim=(-1, 1), ylim=(-2, 2))


def _draw_plateau(ax: Axes, result: Result) -> None:
    thousands = result.times / 1000
    ax.plot(thousands, result.network[0], color="black", ls=":", lw=2, label="simulated network")
    for form, states in result.reduced.items():
        ax.plot(
            thousands, np.where(states[0] < 0.66, states[0], np.nan), color=COLOURS[form], lw=1.6, label=LABELS[form]
        )
    ax.set(xlabel="time (thousands)", ylabel="$h$", ylim=(0, 0.95), xlim=(0, thousands[-1]))
    right = ax.twinx()
    right.plot(thousands, result.loss, color="0.55", lw=1.6, ls="--")
    ax.plot([], [], color="0.55", lw=1.6, ls="--", label="loss of the network (right axis)")
    right.set_ylabel("loss / loss of the best single unit", color="0.4")
    right.set_ylim(0, 1.9)
    ax.legend(fontsize=8, frameon=False, loc="upper left", borderaxespad=0.2)


def _draw_dependence_field(figure: Figure, ax: Axes, result: Result) -> None:
    best_m, best_n = result.teacher.optimum
    m, n = np.meshgrid(np.linspace(0.02, 2 * best_m, 121), np.linspace(0.02, 2 * best_n, 121))
    dm, dn = result.teacher.descent(m, n)
    norm = np.hypot(dm, dn)
    image = ax.pcolormesh(m, n, norm, norm=LogNorm(norm.max() / 300, norm.max()), cmap="viridis", rasterized=True)
    figure.colorbar(image, ax=ax, label="speed", extend="min")
    ax.streamplot(m, n, dm, dn, color="white", linewidth=0.7, density=1.1, arrowsize=0.8)
    ax.plot(best_m, best_n, "*", color="tab:red", ms=14, mec="white", label="teacher")
    ax.set(xlabel="$m = ||J_a + J_b - J_c||$", ylabel="$||J_c||$", xlim=(0.02, 2 * best_m), ylim=(0.02, 2 * best_n))
    ax.legend(fontsize=9, loc="upper right")
