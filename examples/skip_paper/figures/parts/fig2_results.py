"""What figure 2 shows: simulations of both toy models."""

from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from skip_paper.figures.parts.fig2_models import Form, Reduced, ThreeUnits, TwoUnits, overlap_and_balance
from skip_paper.figures.parts.fig2_noise import Walks, walk

Array = NDArray[np.float64]
NUM_TEACHERS = 800
NUM_CONTROLS = 200
NUM_WALKS, WALK_STEPS = 16, 400_000
START = (
    0.3,
    0.8,
)  # h and z of the trajectory: outside the stable segment's basin, so it passes the manifold and leaves
END_TIME = 30_000.0
SETTLING_TIME = 600.0  # w and v have settled by then
# Velocities are compared where the expansion is good: h small against the teacher's own overlap, and that against 1.
NEAR, NEAR_TEACHER, NEAR_SETTLING_TIME = 0.002, (1.0, 1.02), 2000.0
TOLERANCE = 0.1
# log10 of how much faster m and n move per unit of length: dJ/dm has the length 1 / sqrt 2, dJ/dn sqrt 2.
LENGTHS = np.log10([2**0.5, 2**-0.5])
BALANCES = (0.3, 0.6, 0.9, 1.2, 1.5)


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
    plateau
        Position of the closest approach to h = 0 among ``times``.
    control_rates
        Rates of descent of networks with the loss of the closest approach that are elsewhere, in units of that there.
    errors
        Greatest relative error of dh/dt and dz/dt of each reduced system against the network's, near h = 0.
    systems
        The reduced systems themselves.
    teacher
        The 3-3-3 network whose flow is drawn.
    walks
        Stochastic descent from h = 0 on the stable segment.
    log_speeds
        log10 of the root-mean-square speeds of m and of n over m and n up to twice the teacher's, per random teacher,
        shape (teachers, 2): under descent in units of length of the weights; ``log_speeds_of_coordinates``: under
        descent on (m, n), where half a unit of weights is one of m, and two are one of n (their squares).
    """

    times: Array
    network: Array
    reduced: dict[Form, Array]
    loss: Array
    plateau: int
    control_rates: Array
    errors: dict[Form, float]
    systems: dict[Form, Reduced]
    teacher: ThreeUnits
    walks: Walks
    log_speeds: Array
    log_speeds_of_coordinates: Array


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
        plateau=closest,
        control_rates=_control_rates(model, float(loss[closest]), seed) / rates[closest],
        errors=_velocity_errors(TwoUnits(NEAR_TEACHER)),
        systems=systems,
        teacher=teachers[0],
        walks=walk(model, NUM_WALKS, WALK_STEPS, seed),
        log_speeds=np.array([_log_speeds(teacher) + LENGTHS for teacher in teachers]),
        log_speeds_of_coordinates=np.array([_log_speeds(teacher) for teacher in teachers]),
    )


def _control_rates(model: TwoUnits, loss: float, seed: int) -> Array:
    """Return rates of descent of networks with this loss, in random directions from the teacher's weights."""
    rng, rates = np.random.default_rng(seed), []
    best = np.concatenate([model.outgoing, model.incoming])
    while len(rates) < NUM_CONTROLS:
        direction = rng.standard_normal(4)
        reach = np.geomspace(1e-3, 10, 200)
        losses = np.array([model.loss(best + r * direction) for r in reach])
        beyond = np.flatnonzero(losses > loss)
        if not len(beyond):
            continue
        high, low = reach[beyond[0]], reach[max(beyond[0] - 1, 0)]
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if model.loss(best + middle * direction) > loss else (middle, high)
        rates.append(float(np.sum(model.descent(best + low * direction) ** 2)))
    return np.array(rates)


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


def _log_speeds(teacher: ThreeUnits) -> Array:
    best_m, best_n = teacher.optimum
    steps = np.linspace(0.05, 2, 14)
    m, n = np.meshgrid(best_m * steps, best_n * steps, indexing="ij")
    return np.array([float(np.log10(np.mean(speed**2)) / 2) for speed in teacher.descent(m, n)])
