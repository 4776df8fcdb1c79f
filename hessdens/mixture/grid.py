"""The grid of mixtures that a fit searches: four axes."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from hessdens._types import FloatArray
from hessdens.mixture.model import SkewNormalMixture
from hessdens.results.moments import Moments
from hessdens.results.storage import readonly

AXES = ("weights", "locations", "scales", "shapes")


@dataclass(frozen=True, eq=False)
class Grid:
    """All mixtures with parameters from four axes; a point's index is (weight, location, scale, shape), from 0.

    Parameters
    ----------
    weights
        w of the mixtures, in (0, 1].
    locations
        ξ, in units of the eigenvalues.
    scales
        ω > 0, in units of the eigenvalues.
    shapes
        α, without unit.
    narrow_scale
        σ of all mixtures, in units of the eigenvalues.

    Each axis is a finite, strictly increasing array of at least one number, kept as read-only float64.

    Raises
    ------
    ValueError
        If an axis is empty, not one-dimensional, not finite, not strictly increasing, or out of its range.

    Examples
    --------
    >>> from hessdens.mixture import Grid
    >>> grid = Grid(weights=[0.1, 0.2], locations=[0, 1, 2], scales=[1, 2], shapes=[0, 3])
    >>> grid.num_points, grid.point((1, 2, 0, 0)).location
    (24, 2.0)
    """

    weights: FloatArray
    locations: FloatArray
    scales: FloatArray
    shapes: FloatArray
    narrow_scale: float = 1e-3

    def __post_init__(self) -> None:
        for name in AXES:
            axis = readonly(getattr(self, name))
            _check_axis(name, axis)
            object.__setattr__(self, name, axis)
        if not (self.weights[0] > 0 and self.weights[-1] <= 1):
            raise ValueError(f"weights must be in (0, 1]; got {self.weights[0]:g} to {self.weights[-1]:g}.")
        if not self.scales[0] > 0:
            raise ValueError(f"scales must be positive; got {self.scales[0]:g}.")
        if not (self.narrow_scale > 0 and math.isfinite(self.narrow_scale)):
            raise ValueError(f"narrow_scale must be positive and finite; got {self.narrow_scale}.")
        object.__setattr__(self, "narrow_scale", float(self.narrow_scale))

    @classmethod
    @functools.cache
    def paper(cls) -> Self:
        """Return the grid of the paper's note 3: 100 points per axis, 10⁸ in all.

        w logarithmic from 1e-9 to 1e-3, ξ linear from -10 to 10, ω logarithmic from 0.1 to 1000, α linear from -50 to
        50, σ = 0.001. It is always the same object, so fits share the table that is computed once per grid.
        """
        weights, scales = np.geomspace(1e-9, 1e-3, 100), np.geomspace(0.1, 1e3, 100)
        return cls(weights, np.linspace(-10, 10, 100), scales, np.linspace(-50, 50, 100))

    @classmethod
    def for_moments(cls, moments: Moments | ArrayLike, *, num_points: int = 100) -> Self:
        """Return a grid scaled to four moments, so that the fit of cH is that of H, stretched by c.

        Parameters
        ----------
        moments
            `Moments` or an array of at least four moments; m_2 and m_4 must be positive.
        num_points
            Points on each axis.

        Raises
        ------
        ValueError
            If m_2 or m_4 is not positive and finite, or there are fewer than four moments.

        Notes
        -----
        Let s = sqrt(m_4 / m_2), the scale of the tail, and u = m_2² / m_4 <= 1. Where the narrow component adds little
        to them, m_2 = w E[X²] and m_4 = w E[X⁴], so that E[X⁴] / E[X²] = s² and w = u E[X⁴] / E[X²]². A skew normal has

        - E[X⁴] / E[X²]² between 1 (far from zero against its scale) and 4.8 (a half-normal that begins at -0.55 ω),
          hence w between u and 4.8 u. The axis is logarithmic from u / 10 to 10 u, at most 1. The margin is for moments
          that the mixture cannot match, and for what the narrow component adds.
        - abs(ξ) <= 1.26 s. The axis is linear from -1.5 s to 1.5 s.
        - ω <= s. The axis is logarithmic from s / 100, a near point mass, to 2 s.
        - no bound on α, which acts through δ = α / sqrt(1 + α²). The axis is tan of equal angles from -50 to 50, so
          that δ is resolved evenly. The ends are the half-normals to within 2e-4 in δ: a fit there is at the limit of
          the family rather than of the grid.

        σ is s / 1000, or sqrt(m_2) / 10 if that is less: the narrow component then has at most 1% of m_2.
        """
        values = np.asarray(getattr(moments, "values", moments), dtype=np.float64)
        if values.ndim != 1 or len(values) < 4:
            raise ValueError(
                f"Grid.for_moments needs at least four moments in one dimension; got shape {values.shape}."
            )
        second, fourth = float(values[1]), float(values[3])
        for name, value in (("m_2", second), ("m_4", fourth)):
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(
                    f"{name} must be positive and finite for a grid scaled to the moments; got {value}. "
                    "Give the axes of a Grid yourself."
                )
        size = math.sqrt(fourth) / math.sqrt(second)
        share = min(1.0, second / fourth * second)
        angle = math.atan(50.0)
        return cls(
            np.geomspace(share / 10, min(1.0, 10 * share), num_points),
            size * np.linspace(-1.5, 1.5, num_points),
            size * np.geomspace(1e-2, 2.0, num_points),
            np.tan(np.linspace(-angle, angle, num_points)),
            min(1e-3 * size, 0.1 * math.sqrt(second)),
        )

    def axes(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return weights, locations, scales and shapes."""
        return self.weights, self.locations, self.scales, self.shapes

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of weights, locations, scales and shapes."""
        return len(self.weights), len(self.locations), len(self.scales), len(self.shapes)

    @property
    def num_points(self) -> int:
        """Number of mixtures."""
        return math.prod(self.shape)

    def point(self, index: Sequence[int]) -> SkewNormalMixture:
        """Return the mixture at ``index`` = (weight, location, scale, shape), each from 0."""
        if len(index) != 4 or not all(0 <= i < length for i, length in zip(index, self.shape, strict=True)):
            raise IndexError(
                f"index must be four numbers from 0 and below the grid's shape {self.shape}; got {tuple(index)}."
            )
        weight, location, scale, shape = (axis[i] for axis, i in zip(self.axes(), index, strict=True))
        return SkewNormalMixture(weight, location, scale, shape, self.narrow_scale)

    def __str__(self) -> str:
        named = zip(AXES, self.axes(), strict=True)
        axes = ", ".join(f"{len(axis)} {name} {axis[0]:.3g}..{axis[-1]:.3g}" for name, axis in named)
        return f"Grid of {self.num_points:,} mixtures: {axes}; narrow scale {self.narrow_scale:.3g}"


def _check_axis(name: str, axis: FloatArray) -> None:
    if axis.ndim != 1 or len(axis) == 0:
        raise ValueError(f"{name} must be a one-dimensional array of at least one number; got shape {axis.shape}.")
    if not np.isfinite(axis).all():
        raise ValueError(f"{name} must be finite; got {axis[~np.isfinite(axis)][0]}.")
    steps = np.diff(axis)
    if not (steps > 0).all():
        i = int(np.argmin(steps > 0))
        raise ValueError(
            f"{name} must be strictly increasing; got {axis[i]:g} before {axis[i + 1]:g} at position {i}. "
            "Sort the axis and drop what occurs twice."
        )
