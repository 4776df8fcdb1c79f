"""Maximum entropy: of all densities with given moments the one that says least beyond them (Skilling's own choice)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from hessdens._checks import LEVEL, at_least
from hessdens._types import FloatArray, Window
from hessdens.densities.base import Density
from hessdens.densities.bounds import eigenvalue_support
from hessdens.densities.from_moments.entropy_dual import (
    LEAST_DEVIATION,
    basis_at,
    minimise,
    panel_masses,
    panel_nodes,
    series,
)
from hessdens.results.chebyshev import ChebyshevMoments, chebyshev_from_power
from hessdens.results.moments import Moments
from hessdens.results.saved import Numbers, Saved
from hessdens.results.support import Interval

# Residuals above so many standard errors are more than noise.
INCONSISTENT = 3.0
# Where moments are exact, residuals above this are.
MISSED = 1e-6
# Power moments are converted to Chebyshev moments to this accuracy, if necessary on a wider support.
CONVERSION = 1e-8


@dataclass(frozen=True, eq=False)
class MaximumEntropyDensity(Density, Saved):
    r"""The density exp(Σ_k λ_k T_k(x)) / Z, x = (λ - c) / h, on an interval; nothing outside.

    Parameters
    ----------
    multipliers
        λ_1..λ_K, shape (K,).
    edges
        Ascending angles from 0 to π, shape (panels + 1,), between which 16-point Gauss-Legendre rules integrate the
        density; x is the cosine.
    support
        (c - h, c + h).
    residuals
        Chebyshev moments of this density minus those it was made for, shape (K,).
    standard_errors
        Of the given moments, shape (K,).
    deviations
        Standard deviations that the fit allowed the moments, shape (K,): the standard errors, or more where those are
        too small to compute with.
    """

    multipliers: Annotated[FloatArray, "K finite"]
    edges: Annotated[FloatArray, "E finite"]
    support: Interval
    residuals: Annotated[FloatArray, "K finite"]
    standard_errors: Annotated[FloatArray, "K amount"]
    deviations: Annotated[FloatArray, "K amount"]

    def __post_init__(self) -> None:
        super().__post_init__()
        ends = self.edges[[0, -1]] if self.edges.ndim == 1 and len(self.edges) > 1 else np.zeros(2)
        if not ((np.diff(self.edges) > 0).all() and np.allclose(ends, [0.0, np.pi])):
            raise ValueError(f"edges must ascend from 0 to π, shape (panels + 1,); got {self.edges}.")
        if len(self.multipliers) == 0:
            raise ValueError("multipliers must have shape (K,), K at least 1; got none.")

    @cached_property
    def _panels(self) -> tuple[float, FloatArray, FloatArray, FloatArray]:
        """Log of Z, angles and masses of all nodes, shape (panels, 16), and the mass at or below each edge."""
        log_partition, angles, masses = panel_masses(self.edges, self.multipliers)
        from_left = np.concatenate([np.cumsum(masses.sum(axis=1)[::-1])[::-1], [0.0]])
        return log_partition, angles, masses, from_left

    def moments(self, order: int) -> FloatArray:
        """Return m_1..m_order of this density, by its quadrature."""
        at_least("order", order, 1)
        _, angles, masses, _ = self._panels
        points = self.support.centre + self.support.half_width * np.cos(angles)
        return np.array([float(np.sum(masses * points**k)) for k in range(1, order + 1)])

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Return the mass at or below ``x``, in the shape of ``x``: whole panels and a rule for the part of one.

        The error is some 1e-16 of the largest multiplier: 1e-11 where peaks are as narrow as moments can tell.
        """
        points = np.asarray(x, dtype=np.float64)
        log_partition, _, _, from_left = self._panels
        start = np.arccos(self.support.standardised(np.where(np.isnan(points), 0.0, points))).reshape(-1)
        panel = np.clip(np.searchsorted(self.edges, start), 1, len(self.edges) - 1)
        angles, logs = panel_nodes(np.stack([start, self.edges[panel]], axis=-1))
        part = np.exp(logs + series(angles, self.multipliers) - log_partition).sum(axis=-1).reshape(-1)
        result = np.clip(from_left[panel] + part, 0.0, 1.0).reshape(points.shape)
        low, high = self.support
        result = np.where(points >= high, 1.0, np.where(points <= low, 0.0, result))
        return np.where(np.isnan(points), np.nan, result)

    def pdf(self, x: ArrayLike) -> FloatArray:
        """Return the density at ``x``, in the shape of ``x``, per unit of the eigenvalues."""
        points = np.asarray(x, dtype=np.float64)
        low, high = self.support
        exponents = series(np.arccos(self.support.standardised(points)), self.multipliers) - self._panels[0]
        density = np.exp(exponents) / self.support.half_width
        return np.where((points < low) | (points > high), 0.0, density)

    def nodes(self) -> FloatArray:
        """Return ascending points between which the cdf is smooth: four a panel."""
        steps = np.linspace(0.0, 1.0, 4, endpoint=False)
        angles = (self.edges[:-1, None] + np.diff(self.edges)[:, None] * steps).reshape(-1)
        inside = np.clip(self.support.centre + self.support.half_width * np.cos(angles), *self.support)
        return np.unique([*inside, *self.support])

    def summary(self, window: Window | None = None, level: float = LEVEL) -> str:
        """Return what ``print`` shows, with fractions in this window."""
        lines = [
            f"Maximum entropy density of {len(self.multipliers)} moments in {self.support}: {self._fractions(window)}",
            f"  Chebyshev moments within {np.abs(self.residuals).max():.1e} of those given",
        ]
        noisy = self.standard_errors > LEAST_DEVIATION
        if noisy.any():
            worst = float(np.max(np.abs(self.residuals[noisy]) / self.standard_errors[noisy]))
            lines[1] += f", at most {worst:.1f} standard errors"
            if worst > INCONSISTENT:
                lines.append("  CONTRADICTORY MOMENTS: no density on this interval has them within their errors.")
        if np.abs(self.residuals[~noisy]).max(initial=0.0) > MISSED:
            added = float(self.deviations[~noisy].max())
            lines.append(f"  REGULARISED: exact moments had to be allowed a standard deviation of {added:.0e}.")
        return "\n".join(lines)

    def _numbers(self, window: Window, level: float) -> Numbers:
        return {"support": self.support, **super()._numbers(window, level)}


def maximum_entropy(
    moments: ChebyshevMoments | Moments,
    *,
    support: Interval | tuple[float, float] | None = None,
    num_moments: int | None = None,
) -> MaximumEntropyDensity:
    r"""Return the density of maximum entropy with the given moments, each within its standard error.

    Of all densities on the interval with moments μ_k + e_k it maximises entropy minus Σ_k (e_k / s_k)^2 / 2: moments
    have Gaussian errors of their standard deviations s_k. For exact moments s_k is almost 0.

    Parameters
    ----------
    moments
        `ChebyshevMoments`, 12 to 30 of them being usual, or power `Moments`, 12 at most.
    support
        For power moments: where the density may be. Default: where the moments allow an eigenvalue, whose mass is 1/N
        (`eigenvalue_support`), which holds for exact moments; wider where it is so short relative to its distance
        from 0 that rounding would spoil the conversion.
    num_moments
        Use so many of them. Default: all.

    Returns
    -------
    MaximumEntropyDensity
        Its summary says how well the moments are met, and where they contradict each other.

    Raises
    ------
    TypeError
        If ``moments`` are neither.
    ValueError
        If there are not so many moments, they are not finite, a support is given for Chebyshev moments, or power
        moments allow none.

    Notes
    -----
    Minimises the convex dual log ∫ exp(Σ_k λ_k T_k(x)) dx - Σ_k λ_k μ_k + Σ_k (s_k λ_k)^2 / 2 by damped Newton steps.
    The last term keeps it bounded where no density has the moments, and where only atoms have. s_k starts at 1 and
    falls in steps to max(standard error, 1e-6), less only for as long as Newton's method converges. It stops early
    when all moments are met to 1e-9. Steps solve a least-squares problem by QR, so that the condition of the moments'
    covariance enters only by its root. Integrals are Gauss-Legendre rules of 16 points in the angle arccos x, on panels
    that are halved until they agree with their halves: a peak of 1e-3 of the interval takes about ten halvings.

    Cost: none in products; a second at most for 30 moments on one core. Source: J. Skilling (1989); L. R. Mead and N.
    Papanicolaou, Maximum entropy in the problem of moments (1984); K. Bandyopadhyay et al. (2005) for the basis.

    Examples
    --------
    >>> from hessdens.results import Moments
    >>> uniform = Moments([1 / 2, 1 / 3], [0.0, 0.0], [[1 / 2, 1 / 3]], size=100, num_products=0)
    >>> print(f"{maximum_entropy(uniform, support=(0, 1)).mass(0.0, 0.25):.3f}")
    0.250
    """
    if isinstance(moments, ChebyshevMoments):
        if support is not None:
            raise ValueError(f"support is for power moments; got {support}, and the moments' own {moments.support}.")
    elif not isinstance(moments, Moments):
        raise TypeError(f"moments must be ChebyshevMoments or Moments; got {type(moments).__name__}.")
    count = len(moments.values) if num_moments is None else num_moments
    if not 1 <= count <= len(moments.values):
        raise ValueError(f"num_moments must be from 1 to {len(moments.values)}, those there are; got {num_moments}.")
    if not (np.isfinite(moments.values).all() and np.isfinite(moments.standard_errors).all()):
        raise ValueError(f"Moments must be finite; got {moments.values} ± {moments.standard_errors}.")
    if isinstance(moments, Moments):
        if support is None:
            low, high = eigenvalue_support(moments, moments.size)
            least = abs(low + high) * CONVERSION ** (1 / len(moments.values))
            missing = max(0.0, least - (high - low) / 2)
            support = low - missing, high + missing
        moments = chebyshev_from_power(moments, support)
    values, errors = moments.values[:count], moments.standard_errors[:count]
    multipliers, edges, deviations = minimise(values, errors)
    _, angles, masses = panel_masses(edges, multipliers)
    residuals = masses.reshape(-1) @ basis_at(angles, count) - values
    return MaximumEntropyDensity(multipliers, edges, moments.support, residuals, errors, deviations)
