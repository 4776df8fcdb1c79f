"""The loss along one or two directions, and where its quadratic approximation stops to hold."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from hessdens._types import BoolArray, FloatArray, Window
from hessdens.results.saved import Numbers, Saved

# A prediction fails where it is off by this share of the changes that its terms make.
TOLERATED = 0.1


@dataclass(frozen=True, eq=False)
class LossSlice(Saved):
    """Exact losses at points along D directions, one or two, and what gradient and curvature predict there.

    Parameters
    ----------
    offsets
        Multiples of the directions, ascending, shape (n,): the same along each of two.
    losses
        Shape (n,) along one direction, stored as (n, 1); (n, n) along two, the first along rows.
    loss
        At the parameters themselves.
    slopes
        Derivatives of the loss along the directions there, shape (D,).
    curvatures
        Products of the directions with the matrix, d_i·H d_j, shape (D, D).
    lengths
        Of the directions, shape (D,): an offset times a length is a distance.
    rounding
        What rounding may change in a loss.
    """

    offsets: Annotated[FloatArray, "n finite"]
    losses: Annotated[FloatArray, "n m number"]
    loss: Annotated[float, "finite"]
    slopes: Annotated[FloatArray, "D finite"]
    curvatures: Annotated[FloatArray, "D D finite"]
    lengths: Annotated[FloatArray, "D amount"]
    rounding: Annotated[float, "amount"]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (len(self.offsets) and (np.diff(self.offsets) > 0).all()):
            raise ValueError(f"Offsets of a slice must be ascending; got {self.offsets}.")
        wanted = (len(self.offsets), 1 if len(self.slopes) == 1 else len(self.offsets))
        if len(self.slopes) not in (1, 2) or self.losses.shape != wanted:
            raise ValueError(
                f"A slice must have one or two directions, and a loss at each point; got {len(self.slopes)} and losses "
                f"of shape {self.losses.shape}."
            )

    @property
    def num_directions(self) -> int:
        """D, one or two."""
        return len(self.slopes)

    def predictions(self) -> FloatArray:
        """Return loss + slope + half the curvature at each point, in the shape of ``losses``."""
        return self.loss + self._first() + self._second()

    def fails(self) -> BoolArray:
        """Return where the prediction is off by more than 10%, in the shape of ``losses``.

        That is 10% of what the first and the second term change, without their signs, beyond rounding.
        """
        allowed = TOLERATED * (np.abs(self._first()) + np.abs(self._second())) + 2 * self.rounding
        return ~(np.abs(self.losses - self.predictions()) <= allowed)

    def reach(self) -> tuple[float, float]:
        """Return the last offsets below and above 0 up to which no prediction fails; along two, in a square around 0.

        0 means that it fails at the nearest point, and infinity that it fails at none on this side.
        """
        failed = self.fails()
        if self.num_directions == 2:  # a square around 0 without failures
            x = np.maximum(np.abs(self.offsets)[:, None], np.abs(self.offsets)[None, :])
            far = float(x[failed].min(initial=np.inf))
            inside = np.abs(self.offsets)[np.abs(self.offsets) < far]
            last = np.inf if np.isinf(far) else float(inside.max(initial=0.0))
            return 0.0 - last, last
        ends = []
        for sign in (-1, 1):
            side = sign * self.offsets > 0
            distances, bad = np.abs(self.offsets[side]), failed[side, 0]
            first = float(distances[bad].min(initial=np.inf))
            last = np.inf if np.isinf(first) else float(distances[distances < first].max(initial=0.0))
            ends.append(sign * last + 0.0)  # no -0
        return ends[0], ends[1]

    def _first(self) -> FloatArray:
        x, y = self._points()
        return x * self.slopes[0] + (y * self.slopes[1] if self.num_directions == 2 else 0.0)

    def _second(self) -> FloatArray:
        x, y = self._points()
        C = self.curvatures
        along = x**2 * C[0, 0] / 2
        return along if self.num_directions == 1 else along + x * y * C[0, 1] + y**2 * C[1, 1] / 2

    def _points(self) -> tuple[FloatArray, FloatArray]:
        if self.num_directions == 1:
            return self.offsets[:, None], np.zeros((len(self.offsets), 1))
        x, y = np.meshgrid(self.offsets, self.offsets, indexing="ij")
        return x, y

    def __repr__(self) -> str:
        shape = " x ".join([str(len(self.offsets))] * self.num_directions)
        return f"LossSlice({shape} losses from {self.offsets[0]:.3g} to {self.offsets[-1]:.3g})"

    def __str__(self) -> str:
        low, high = self.reach()
        # There is no point further out than the first and the last.
        first, last = max(low, min(self.offsets[0], 0.0)), min(high, max(self.offsets[-1], 0.0))
        reach = f"from {first + 0.0:.3g} to {last:.3g}" if last > first else "at no point next to 0"
        if np.isinf([low, high]).all():
            reach = "at all points"
        dimensions, each = ("a direction", "it") if self.num_directions == 1 else ("two directions", "each")
        lengths = ", ".join(f"{length:.3g}" for length in self.lengths)
        diagonal = ", ".join(f"{value:.6g}" for value in np.diag(self.curvatures))
        return "\n".join(
            [
                f"Loss along {dimensions}: {self.losses.size} points from {self.offsets[0]:.3g} to "
                f"{self.offsets[-1]:.3g} times {each}, of length {lengths}",
                f"  loss {self.loss:.6g} in the middle, from {np.fmin.reduce(self.losses, axis=None):.6g} to "
                f"{np.fmax.reduce(self.losses, axis=None):.6g}",
                f"  slope {', '.join(f'{slope:.6g}' for slope in self.slopes)}, curvature {diagonal}",
                f"  the quadratic prediction holds to {TOLERATED:.0%} {reach}",
            ]
        )

    def _numbers(self, window: Window, level: float) -> Numbers:
        known = self._named("offsets", "losses", "loss", "slopes", "curvatures", "lengths")
        return known | {"predictions": self.predictions(), "reach": list(self.reach())}
