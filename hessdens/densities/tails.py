"""A power law for the largest eigenvalues."""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import chdtri

from hessdens._checks import LEVEL, check_level
from hessdens._types import FloatArray
from hessdens.densities.base import Density
from hessdens.densities.lanczos import LanczosDensity
from hessdens.densities.quantities import Quantity, size_of
from hessdens.densities.spectrum import Spectrum

# A tail is looked for where at least so many eigenvalues lie beyond its beginning.
FEWEST_IN_TAIL = 5


class Tail(NamedTuple):
    """A power law for the largest eigenvalues, with density proportional to λ^-exponent from ``start`` on.

    Examples
    --------
    >>> from hessdens.densities import Quantity, Tail
    >>> print(Tail(Quantity(2.5, 2.25, 2.75), start=1.0, num_eigenvalues=40, kolmogorov=0.05))
    exponent 2.5 (2.25 to 2.75) of 40 eigenvalues from 1 on
    """

    exponent: Quantity
    start: float
    num_eigenvalues: int
    kolmogorov: float

    def __str__(self) -> str:
        return f"exponent {self.exponent} of {self.num_eigenvalues} eigenvalues from {self.start:.4g} on"


def power_law_tail(density: Density, start: float | None = None, level: float = LEVEL) -> Tail:
    r"""Return the power law that fits the largest eigenvalues best.

    Parameters
    ----------
    density
        A `LanczosDensity`, of which the eigenvalues found one by one are taken, or a `Spectrum`.
    start
        Where the tail begins. By default the eigenvalue from which the distribution is nearest to a power law.
    level
        Confidence level of the interval of the exponent.

    Returns
    -------
    Tail
        Exponent, start, number of eigenvalues, and the Kolmogorov distance of their distribution to the fit. A large
        distance says that the tail is no power law.

    Raises
    ------
    TypeError
        If ``density`` is none of the above.
    ValueError
        If fewer than 5 eigenvalues lie beyond ``start``, or some beyond it were not found one by one; or ``start`` is
        not positive, or ``level`` not in (0, 1).

    Notes
    -----
    Maximum likelihood, the choice of the start by the least Kolmogorov distance: Clauset, Shalizi & Newman (2009).
    With n eigenvalues, exponent - 1 is n over the sum of log(λ / start), a gamma variable if eigenvalues are draws from
    a power law: the interval is its quantiles, for a given start.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdens import Spectrum
    >>> quantiles = (np.arange(1000) + 0.5) / 1000
    >>> tail = power_law_tail(Spectrum(quantiles**-0.5), start=1.0)
    >>> print(f"{tail.exponent.value:.2f}")
    3.00
    """
    size_of(density)
    check_level(level)
    values = _upper(density)
    if start is None:
        choices = values[: len(values) - FEWEST_IN_TAIL + 1]
        if len(choices) == 0:
            raise ValueError(_few(len(values)))
        return min((_tail(values, float(x), level) for x in np.unique(choices)), key=lambda tail: tail.kolmogorov)
    if not 0 < start < math.inf:
        raise ValueError(f"start must be positive and finite; got {start}.")
    if not isinstance(density, Spectrum) and start < values.min(initial=math.inf):
        raise ValueError(
            f"start must be at least {values.min(initial=math.inf):.6g}, above which all eigenvalues were found one by "
            f"one; got {start}. Take more products (max_products=)."
        )
    return _tail(values, start, level)


def _tail(values: FloatArray, start: float, level: float) -> Tail:
    """Return the fit to the values from ``start`` on."""
    tail = values[values >= start]
    count, logs = len(tail), np.log(tail / start)
    if count < FEWEST_IN_TAIL or logs.sum() == 0:
        raise ValueError(_few(count))
    slope = count / logs.sum()
    low, high = chdtri(2 * count, np.array([(1 + level) / 2, (1 - level) / 2])) / (2 * logs.sum())
    fitted, below = -np.expm1(-slope * logs), np.arange(count) / count
    distance = float(np.max(np.maximum(np.abs(fitted - below), np.abs(fitted - below - 1 / count))))
    return Tail(Quantity(1 + slope, 1 + float(low), 1 + float(high)), start, count, distance)


def _upper(density: Density) -> FloatArray:
    """Return the positive eigenvalues above all that were not found one by one, ascending."""
    if isinstance(density, LanczosDensity):
        others = density.quadrature.abscissae.max(initial=0.0)
        return density.eigenvalues_found[density.eigenvalues_found > others]
    return density.nodes()[density.nodes() > 0]


def _few(count: int) -> str:
    return (
        f"A tail needs {FEWEST_IN_TAIL} different eigenvalues that were found one by one; got {count}. Take more "
        "products (max_products=) or a smaller start."
    )
