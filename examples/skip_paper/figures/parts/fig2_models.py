"""The two toy models of figure 2 and their learning dynamics.

**Two hidden units (panels b and c).** The student is f(x) = w_1 phi(J_1 x) + w_2 phi(J_2 x). Wei et al. (2008) use

    w = w_1 + w_2,  z = (w_1 - w_2) / w,  u = J_2 - J_1 (h = |u|),  v = (w_1 J_1 + w_2 J_2) / w,

so that J_1 = v - (1 - z) u / 2 and J_2 = v + (1 + z) u / 2. Let e = teacher - f, loss E[e^2] / 2, and near h = 0 let
(w, v) be at the best single unit: E[e phi(v x)] = 0 and E[e phi'(v x) x] = 0. With A = E[e phi''(v x) x x^T], A u =
lambda u, and Q = u^T A u, gradient descent expanded to second order in u gives

    dw_i = E[e phi] + c_i E[e phi' x] u + c_i^2 Q / 2,  c_1 = -(1 - z) / 2,  c_2 = (1 + z) / 2,
    dh/dt = lambda (w/2) (1 - z^2) h,   dz/dt = -lambda (1/(4 w)) z (z^2 + 3) h^2.                       ("frozen")

Hence h^2 / 2 = (2 w^2 / 3) (2 log(z^2 + 3) - log|z|) + C along a trajectory: with a factor 1/(2 w) in the place of
1/(4 w) it would be w^2 / 3, but the expansion gives 1/(4 w).

These two equations keep e at the error of the single unit. In a network that learns, w and v are fast but not fixed:
they follow h and z. dv/dt = 0 means E[e phi' x] = z (1 - z^2) / (2 (1 + z^2)) A u, of first order in u however small
lambda is. And since f = w phi(v x) + (w/8) (1 - z^2) phi''(v x) (x u)^2 + ..., w follows w + (b/w) (1 - z^2) h^2 with
b = -w^2 kappa / 8, where kappa is the coefficient of phi in the regression of phi'' x^2 on phi and phi' x. Put into
dw_i and dJ_i this changes both equations at their leading order:

    dh/dt = lambda w (1 - z^2) / (2 (1 + z^2)) h,
    dz/dt = -lambda (z / w) (1 + b (1 - z^2)^2) / (1 + z^2) h^2.                                        ("settled")

With r = 1 - z^2, h^2 / 2 = -(w^2 / (4 (1 + b))) (log z^2 - log(1 + b r^2) / 2 + atan(r sqrt b) / sqrt b) + C. Both
systems have the same lines of rest, h = 0 and (for h) z = +-1, and the same stable segment: |z| < 1 where lambda w < 0,
and |z| > 1 where lambda w > 0.

**Three hidden units (panels d and e).** y = W relu(J x) with three inputs, units and outputs, written in
p = J_a - J_b - J_c, q = J_a + J_b - J_c and J_c. All but m = |q| and n = |J_c| are as in the teacher. x ~ N(0, I),
whose expectations are known in closed form (Cho & Saul 2009), takes the place of a large training set.

Notes
-----
Source: Orhan & Pitkow (2018), figure 2 and note 2; Wei et al. (2008).
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.optimize import root

Array = NDArray[np.float64]
Form = Literal["frozen", "settled"]
FAR_AWAY = 2.0


@dataclass(frozen=True)
class Reduced:
    """A reduced system in h and z.

    Parameters
    ----------
    form
        "frozen" or "settled": which of the two derivations above.
    w, strength
        Output weight and lambda of the best single unit.
    drift
        b > 0 of the settled form.
    """

    form: Form
    w: float
    strength: float
    drift: float

    def velocity(self, h: Any, z: Any) -> tuple[Any, Any]:
        """Return (dh/dt, dz/dt)."""
        if self.form == "frozen":
            return (
                self.strength * self.w / 2 * (1 - z**2) * h,
                -self.strength / (4 * self.w) * z * (z**2 + 3) * h**2,
            )
        speed = self.strength / (1 + z**2)
        return speed * self.w / 2 * (1 - z**2) * h, -speed * z / self.w * (1 + self.drift * (1 - z**2) ** 2) * h**2

    def potential(self, z: Any) -> Any:
        """Return P(z), for which h^2/2 - P(z) is constant along a trajectory; least at z = +-1."""
        if self.form == "frozen":
            return 2 * self.w**2 / 3 * (2 * np.log(z**2 + 3) - np.log(np.abs(z)))
        r, b = 1 - z**2, self.drift
        terms = np.log(z**2) - np.log1p(b * r**2) / 2 + np.arctan(np.sqrt(b) * r) / np.sqrt(b)
        return -(self.w**2) / (4 * (1 + b)) * terms

    def trajectory(self, h: float, z: float, times: Array) -> Array:
        """Return h and z at ``times`` from a start at the first, shape (2, times); NaN once h or z is far."""

        # Far from h = 0 the expansion means nothing, and its solution goes to infinity in finite time.
        def far_away(_: float, state: Array) -> float:
            return float(max(state[0] - FAR_AWAY, abs(state[1]) - 5 * FAR_AWAY))

        far_away.terminal = True  # type: ignore[attr-defined]

        def rule(_: float, state: Array) -> Array:
            # The solver's trial steps may go far beyond the end, where the powers overflow.
            h, z = np.clip(state, -100 * FAR_AWAY, 100 * FAR_AWAY)
            return np.array(self.velocity(h, z))

        found = _integrate(rule, np.array([h, z]), times, far_away)
        return np.pad(found, ((0, 0), (0, len(times) - found.shape[1])), constant_values=np.nan)


@dataclass(frozen=True)
class TwoUnits:
    """A student and a teacher with two units phi(y) = erf(y / sqrt 2), one input x ~ N(0, 1), in closed form.

    Parameters
    ----------
    incoming, outgoing
        The teacher's weights. The student's are one vector (w_1, w_2, J_1, J_2).

    Notes
    -----
    Source: Saad & Solla (1995), for E[phi(a x) phi(b x)].
    """

    incoming: tuple[float, float] = (1.0, 1.5)
    outgoing: tuple[float, float] = (1.5, -0.5)

    def loss(self, student: Array) -> float:
        """Return E[(teacher - student)^2] / 2."""
        weights = np.concatenate([np.array(self.outgoing), -student[:2]])
        incoming = np.concatenate([np.array(self.incoming), student[2:]])
        return float(weights @ _product(incoming[:, None], incoming) @ weights / 2)

    def descent(self, student: Array) -> Array:
        """Return minus the gradient of the loss."""
        w, incoming = student[:2], student[2:]
        others = np.concatenate([np.array(self.incoming), incoming])
        weights = np.concatenate([np.array(self.outgoing), -w])
        return np.concatenate(
            [_product(incoming[:, None], others) @ weights, w * (_product_slope(incoming[:, None], others) @ weights)]
        )

    def single_unit(self) -> tuple[float, float, float]:
        """Return (w, v, lambda) of the best single unit, found from a start at the teacher's mean."""
        others, weights = np.array(self.incoming), np.array(self.outgoing)

        def conditions(unit: Array) -> list[float]:
            w, v = unit
            return [
                float(_product(v, others) @ weights - w * _product(v, v)),
                float(_product_slope(v, others) @ weights - w * _product_slope(v, v)),
            ]

        start = np.array([weights.sum(), weights @ others / weights.sum()])
        solution = root(conditions, start, tol=1e-13)
        if not solution.success:
            raise RuntimeError(f"No best single unit was found from the start {start}: {solution.message}")
        w, v = map(float, solution.x)
        return w, v, float(_product_curvature(v, others) @ weights - w * _product_curvature(v, v))

    def reduced(self, form: Form) -> Reduced:
        """Return the reduced system near the best single unit."""
        w, v, strength = self.single_unit()
        cross, square = _product_slope(v, v), 2 / np.pi / (1 + 2 * v**2) ** 1.5
        gram = np.array([[_product(v, v), cross], [cross, square]])
        right = np.array([_product_curvature(v, v), -6 / np.pi * v / (1 + 2 * v**2) ** 2.5])
        return Reduced(form, w, strength, float(-(w**2) / 8 * np.linalg.solve(gram, right)[0]))

    def start(self, h: float, z: float) -> Array:
        """Return the student with this h and z whose w and v are those of the best single unit."""
        w, v, _ = self.single_unit()
        return np.array([w * (1 + z) / 2, w * (1 - z) / 2, v - (1 - z) / 2 * h, v + (1 + z) / 2 * h])

    def train(self, student: Array, times: Array) -> Array:
        """Return the student under gradient flow, shape (4, times)."""
        return _integrate(lambda _, s: self.descent(s), student, times)


def overlap_and_balance(students: Array) -> tuple[Array, Array]:
    """Return h = J_2 - J_1 and z = (w_1 - w_2) / (w_1 + w_2) of students (4, ...)."""
    w1, w2, j1, j2 = students
    return j2 - j1, (w1 - w2) / (w1 + w2)


def _integrate(rule: Any, start: Array, times: Array, end: Any = None) -> Array:
    span = (times[0], times[-1])
    # Near h = 0 the velocity of z is 1e-7 of the weights: errors of the fast directions must be far below that.
    found = solve_ivp(rule, span, start, method="LSODA", t_eval=times, events=end, rtol=1e-12, atol=1e-15)
    if not found.success:
        raise RuntimeError(f"The integration stopped at time {found.t[-1] if len(found.t) else times[0]}.")
    return np.asarray(found.y)


def _product(a: Any, b: Any) -> Any:
    """Return E[phi(a x) phi(b x)]."""
    return 2 / np.pi * np.arcsin(a * b / np.sqrt((1 + a**2) * (1 + b**2)))


def _product_slope(a: Any, b: Any) -> Any:
    """Return E[phi'(a x) x phi(b x)]."""
    return 2 / np.pi * b / ((1 + a**2) * np.sqrt(1 + a**2 + b**2))


def _product_curvature(a: Any, b: Any) -> Any:
    """Return E[phi''(a x) x^2 phi(b x)]."""
    root_ = np.sqrt(1 + a**2 + b**2)
    return -2 / np.pi * a * b * (2 / ((1 + a**2) ** 2 * root_) + 1 / ((1 + a**2) * root_**3))


@dataclass(frozen=True)
class ThreeUnits:
    """The 3-3-3 network as a function of m and n, with all else as in a random teacher.

    Parameters
    ----------
    incoming
        The teacher's J, rows J_a, J_b, J_c.
    outgoing
        The teacher's W, and the student's.
    """

    incoming: Array
    outgoing: Array

    @classmethod
    def random(cls, seed: int) -> "ThreeUnits":
        """Return a network with a teacher of standard normal weights."""
        incoming, outgoing = np.random.default_rng(seed).standard_normal((2, 3, 3))
        return cls(incoming, outgoing)

    @property
    def optimum(self) -> tuple[float, float]:
        """The teacher's m and n."""
        a, b, c = self.incoming
        return float(np.linalg.norm(a + b - c)), float(np.linalg.norm(c))

    def student(self, m: Any, n: Any) -> Array:
        """Return J for arrays m and n of one shape, shape (*that, 3, 3)."""
        a, b, c = self.incoming
        best_m, best_n = self.optimum
        p, q = a - b - c, np.multiply.outer(m, (a + b - c) / best_m)
        c = np.multiply.outer(n, c / best_n)
        return np.stack([(p + q) / 2 + c, (q - p) / 2, c], axis=-2)

    def loss(self, m: Any, n: Any) -> Array:
        """Return E|y_teacher - y|^2 / 2."""
        student = self.student(m, n)
        units = np.concatenate([student, np.broadcast_to(self.incoming, student.shape)], axis=-2)
        weights = np.concatenate([-self.outgoing, self.outgoing], axis=1)
        products, _ = _relu_products(units, units)
        return np.asarray(np.einsum("oi,...ij,oj->...", weights, products, weights) / 2)

    def descent(self, m: Any, n: Any, *, in_weights: bool = False) -> tuple[Array, Array]:
        """Return (dm/dt, dn/dt) of gradient descent on (m, n), or else, ``in_weights``, on J itself."""
        student = self.student(m, n)
        units = np.concatenate([student, np.broadcast_to(self.incoming, student.shape)], axis=-2)
        weights = np.concatenate([-self.outgoing, self.outgoing], axis=1)
        _, slopes = _relu_products(student, units)
        a, b, c = np.moveaxis(-np.einsum("oi,...ijk,oj->...ik", self.outgoing, slopes, weights), -2, 0)
        teacher_a, teacher_b, teacher_c = self.incoming
        best_m, best_n = self.optimum
        along_m, along_n = (teacher_a + teacher_b - teacher_c) / best_m, teacher_c / best_n
        if in_weights:
            return -(a + b - c) @ along_m, -c @ along_n
        return -(a + b) @ along_m / 2, -(a + c) @ along_n


def _relu_products(first: Array, second: Array) -> tuple[Array, Array]:
    """Return E[r(a x) r(b x)], and its derivative by a, for the rows a of ``first`` and b of ``second``."""
    norm_a = np.linalg.norm(first, axis=-1)[..., :, None]
    norm_b = np.linalg.norm(second, axis=-1)[..., None, :]
    cosine = np.clip(first @ np.swapaxes(second, -1, -2) / (norm_a * norm_b), -1, 1)
    angle, sine = np.arccos(cosine), np.sqrt(1 - cosine**2)
    values = norm_a * norm_b * (sine + (np.pi - angle) * cosine) / (2 * np.pi)
    radial = (norm_b * sine / norm_a)[..., None] * first[..., :, None, :]
    return values, (radial + (np.pi - angle)[..., None] * second[..., None, :, :]) / (2 * np.pi)
