"""The convex dual of maximum entropy with moments of known accuracy, its integrals and its minimum."""

import math

import numpy as np
from scipy.linalg import solve_triangular

from hessdens._types import FloatArray

ABSCISSAE, WEIGHTS = np.polynomial.legendre.leggauss(16)
# Panels are halved until the mass of each is right to this.
PANEL_TOLERANCE = 1e-12
MOST_PANELS = 1024
# Moments that are met to this count as met exactly.
MATCHED = 1e-9
# The least standard deviation that a moment is given; exact moments get it.
LEAST_DEVIATION = 1e-6
# Standard deviations fall by this factor from one minimum to the next.
DEVIATION_STEP = 10**0.5
# Of Newton's method on fixed panels.
MOST_ITERATIONS = 100
# Of the panels at one set of standard deviations.
MOST_REFINEMENTS = 20
# Newton's method gives up where only a shorter part of a step descends.
SHORTEST_STEP = 1e-10


def panel_nodes(edges: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the angles of the rules between edges, shape (..., panels, 16), and logs of their weights in x."""
    half = np.diff(edges)[..., None] / 2
    angles = edges[..., :-1, None] + half * (ABSCISSAE + 1)
    with np.errstate(divide="ignore"):
        logs = np.log(half * WEIGHTS * np.sin(angles))
    return angles, logs


def series(angles: FloatArray, multipliers: FloatArray) -> FloatArray:
    """Return Σ_k multipliers_k cos(k angle), in the shape of ``angles``."""
    return np.cos(angles[..., None] * np.arange(1, len(multipliers) + 1)) @ multipliers


def log_sum(exponents: FloatArray) -> float:
    """Return log Σ exp(exponents)."""
    highest = float(exponents.max())
    return highest + math.log(float(np.exp(exponents - highest).sum()))


def panel_masses(edges: FloatArray, multipliers: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Return the log of Z, and angles and masses of all nodes, shape (panels, 16), of a density."""
    angles, logs = panel_nodes(edges)
    exponents = logs + series(angles, multipliers)
    log_partition = log_sum(exponents)
    return log_partition, angles, np.exp(exponents - log_partition)


def minimise(values: FloatArray, errors: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return multipliers, panels that resolve their density, and the standard deviations that moments were given."""
    edges = np.linspace(0.0, math.pi, 2 * len(values) + 1)
    multipliers, deviations = np.zeros(len(values)), np.maximum(errors, 1.0)
    least = max(LEAST_DEVIATION, float(errors.min()))
    level = 1.0
    while True:
        level = max(level / DEVIATION_STEP, least)
        trial = np.maximum(errors, level)
        minimum = _solve_at(values, trial, multipliers, edges)
        if minimum is None:
            return multipliers, edges, deviations
        (multipliers, edges), deviations = minimum, trial
        if level == least or np.abs(deviations**2 * multipliers).max() <= MATCHED:
            return multipliers, edges, deviations


def _solve_at(
    values: FloatArray, deviations: FloatArray, multipliers: FloatArray, edges: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    """Return the minimum of the dual and panels that resolve it, or None where Newton's method does not converge."""
    dual = _Dual(values, deviations, edges)
    for _ in range(MOST_REFINEMENTS):
        minimum, converged = _newton(dual, multipliers)
        finer = _refined(minimum, edges)
        if len(finer) == len(edges):
            return (minimum, edges) if converged else None
        # The finer panels reveal mass between the nodes: this was no minimum of the true dual. Restart on them.
        edges = _refined(multipliers, finer)
        dual = _Dual(values, deviations, edges)
        if dual.value(minimum)[0] < dual.value(multipliers)[0]:
            multipliers = minimum
    return None


class _Dual:
    """The function to be minimised, on fixed panels."""

    def __init__(self, values: FloatArray, deviations: FloatArray, edges: FloatArray) -> None:
        angles, logs = panel_nodes(edges)
        self.values = values
        self.deviations = deviations
        self._logs = logs.reshape(-1)
        self.basis = basis_at(angles, len(values))

    def value(self, multipliers: FloatArray) -> tuple[float, FloatArray]:
        """Return the dual and the masses of the nodes."""
        exponents = self._logs + self.basis @ multipliers
        log_partition = log_sum(exponents)
        penalty = 0.5 * float(np.sum((self.deviations * multipliers) ** 2))
        return log_partition - float(multipliers @ self.values) + penalty, np.exp(exponents - log_partition)


def _newton(dual: _Dual, multipliers: FloatArray) -> tuple[FloatArray, bool]:
    """Return the minimum of the dual, and whether it was reached."""
    value, masses = dual.value(multipliers)
    for _ in range(MOST_ITERATIONS):
        means = masses @ dual.basis
        gradient = means - dual.values + dual.deviations**2 * multipliers
        if np.abs(gradient).max() <= MATCHED:
            return multipliers, True
        rows = np.vstack([np.sqrt(masses)[:, None] * (dual.basis - means), np.diag(dual.deviations)])
        factor = np.linalg.qr(rows, mode="r")
        step = -solve_triangular(factor, solve_triangular(factor, gradient, trans="T"))
        slope = float(gradient @ step)
        length = 1.0
        while True:
            trial = multipliers + length * step
            trial_value, masses = dual.value(trial)
            if trial_value <= value + 0.1 * length * slope + 1e-12 * abs(value):
                break
            length /= 2
            if length < SHORTEST_STEP:
                return multipliers, False
        multipliers, value = trial, trial_value
    return multipliers, False


def _refined(multipliers: FloatArray, edges: FloatArray) -> FloatArray:
    """Halve panels until the mass of each is right to PANEL_TOLERANCE of the whole."""
    while len(edges) <= MOST_PANELS:
        middle = (edges[1:] + edges[:-1]) / 2
        angles, logs = panel_nodes(edges)
        half_angles, half_logs = panel_nodes(np.stack([edges[:-1], middle, edges[1:]], axis=-1))
        once, twice = logs + series(angles, multipliers), half_logs + series(half_angles, multipliers)
        highest = max(float(once.max()), float(twice.max()))
        whole, parts = np.exp(once - highest).sum(axis=-1), np.exp(twice - highest).sum(axis=(-1, -2))
        bad = np.abs(whole - parts) > PANEL_TOLERANCE * parts.sum()
        if not bad.any():
            break
        edges = np.sort(np.concatenate([edges, middle[bad]]))
    return edges


def basis_at(angles: FloatArray, count: int) -> FloatArray:
    """Return T_1..T_count at all angles, shape (angles, count)."""
    return np.cos(np.outer(angles.reshape(-1), np.arange(1, count + 1)))
