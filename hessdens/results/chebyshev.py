"""Chebyshev moments of a spectral density: power moments in a basis that rounding does not spoil at high orders."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
from numpy.polynomial import chebyshev, polynomial
from numpy.typing import ArrayLike
from scipy.linalg import toeplitz

from hessdens._checks import at_least
from hessdens._types import FloatArray, Window
from hessdens.results.certificates import Certificates
from hessdens.results.moments import Moments, ProbeMeans, mean_and_errors, moment_lines
from hessdens.results.saved import Numbers, Size, rows
from hessdens.results.support import Interval


@dataclass(frozen=True, eq=False)
class ChebyshevMoments(ProbeMeans):
    """Estimated Chebyshev moments μ_1..μ_K of a spectral density, μ_k = (1/N) tr T_k((A - c) / h).

    Parameters
    ----------
    values
        Estimates, shape (K,), in [-1, 1]: the means of `samples` over probes. μ_0 is 1.
    standard_errors
        Standard errors of `values`, shape (K,).
    samples
        One estimate per probe, shape (P, K).
    support
        (c - h, c + h), which holds all eigenvalues.
    size
        N, the number of eigenvalues.
    num_products
        Products with the operator that were spent.
    certificates
        Measured defects of what should be exact; None for moments that no estimator of hessdens has made.

    Raises
    ------
    ValueError
        If shapes do not agree, or the support is empty or not finite.

    Examples
    --------
    >>> moments = ChebyshevMoments.from_quadrature([0.0, 1.0], [0.5, 0.5], 2, support=(-2, 2))
    >>> moments.values.round(9).tolist()
    [0.25, -0.75]
    >>> moments.power_moments(2).values.round(9).tolist()
    [0.5, 0.5]
    """

    values: Annotated[FloatArray, "K finite"]
    standard_errors: Annotated[FloatArray, "K amount"]
    samples: Annotated[FloatArray, "P K finite"]
    support: Interval
    size: Size
    num_products: int
    certificates: Certificates | None = None

    @classmethod
    def from_samples(cls, samples: Any, *, support: Iterable[float], size: int, num_products: int) -> Self:
        """Return mean and standard error over the first axis of ``samples``, shape (P, K) with P >= 2."""
        return cls(*mean_and_errors(samples), Interval.of(support), size, num_products)

    @classmethod
    def from_quadrature(
        cls,
        nodes: ArrayLike,
        weights: ArrayLike,
        num_moments: int = 64,
        *,
        support: Interval | tuple[float, float] | None = None,
        size: int | None = None,
        num_products: int = 0,
    ) -> Self:
        """Return the Chebyshev moments of quadratures: μ_k = Σ_i w_i T_k((x_i - c) / h).

        Parameters
        ----------
        nodes, weights
            Shape (n,) for one measure, such as a spectrum with weights 1/N, whose standard errors are 0; or (P, n), one
            row per probe. Weights sum to 1 along the last axis.
        num_moments
            K. Those of a Gauss quadrature of n nodes are those of what it stands for up to K = 2n - 1.
        support
            Default: that of the nodes, and a hundredth beyond either end.
        size
            N, the number of eigenvalues. Default: n.
        num_products
            Products that the nodes have cost.

        Raises
        ------
        ValueError
            If shapes do not agree, values are not finite, weights do not sum to 1, or a node is outside the support.
        """
        nodes, weights = np.asarray(nodes, dtype=np.float64), np.asarray(weights, dtype=np.float64)
        if nodes.shape != weights.shape or nodes.ndim not in (1, 2) or nodes.size == 0:
            raise ValueError(
                f"nodes and weights must both have shape (n,) or (P, n); got {nodes.shape}, {weights.shape}."
            )
        if not (np.isfinite(nodes).all() and np.isfinite(weights).all()):
            raise ValueError("nodes and weights must be finite; got NaN or infinity.")
        if np.abs(weights.sum(axis=-1) - 1).max() > 1e-6:
            raise ValueError(f"weights must sum to 1 along the last axis; got sums {weights.sum(axis=-1)}.")
        at_least("num_moments", num_moments, 1)
        low, high = float(nodes.min()), float(nodes.max())
        interval = Interval.around(low, high) if support is None else Interval.of(support)
        if not (interval.low <= low and high <= interval.high):
            raise ValueError(
                f"support must hold all nodes, which reach from {low} to {high}; got {interval}. Pass a wider one."
            )
        angles = np.arccos(interval.standardised(nodes))
        orders = np.arange(1, num_moments + 1)
        samples = np.stack([np.sum(weights * np.cos(k * angles), axis=-1) for k in orders], axis=-1)
        size = nodes.shape[-1] if size is None else size
        if nodes.ndim == 2 and len(nodes) > 1:
            return cls.from_samples(samples, support=interval, size=size, num_products=num_products)
        samples = samples.reshape(1, num_moments)
        return cls(samples[0], np.zeros(num_moments), samples, interval, size, num_products)

    def power_moments(self, order: int) -> Moments:
        """Return m_1..m_order with their standard errors, for order <= K.

        λ^k = (c + h x)^k is expanded in T_0..T_k. Rounding is some 1e-16 of (abs(c) + h)^k, which is more than m_k
        itself where nearly all eigenvalues are tiny relative to the support.
        """
        if not 1 <= order <= len(self.values):
            raise ValueError(f"order must be from 1 to {len(self.values)}, the moments that there are; got {order}.")
        line = [self.support.centre, self.support.half_width]
        expansion = [chebyshev.chebpow(line, k, maxpower=None) for k in range(1, order + 1)]
        combined = _combined(expansion, self.values[:order], self.standard_errors[:order], self.samples[:, :order])
        return Moments(*combined, self.size, self.num_products)

    def toeplitz_eigenvalue(self) -> float:
        """Return the smallest eigenvalue of the Toeplitz matrix of 1, μ_1, μ_2, ...; cost: O(K^3).

        Numbers are the Chebyshev moments of a density on the support only if the matrix with entries μ_{abs(i-j)} is
        positive semidefinite. So a clearly negative value says that the support does not hold all eigenvalues, or that
        the estimates contradict each other.
        """
        return float(np.linalg.eigvalsh(toeplitz(np.concatenate([[1.0], self.values])))[0])

    def __str__(self) -> str:
        title = (
            f"Chebyshev moments of {self.size:,} eigenvalues in {self.support} from {self.num_probes} probes, "
            f"{self.num_products} products"
        )
        lines = moment_lines("μ", self.values, self.standard_errors)
        if len(lines) > 8:
            lines = [*lines[:4], "  ...", lines[-1]]
        return "\n".join([title, *lines, *self._certified()])

    def _numbers(self, window: Window, level: float) -> Numbers:
        table = rows(value=self.values, standard_error=self.standard_errors)
        counts = self._named("size", "num_products", "num_probes", "support")
        return {**counts, "chebyshev_moments": table, **super()._numbers(window, level)}


def chebyshev_from_power(moments: Moments, support: Iterable[float]) -> ChebyshevMoments:
    """Return μ_1..μ_K of power moments m_1..m_K: T_k((λ - c) / h) is expanded in powers of λ.

    Rounding grows as (2 (abs(c) + h) / h)^K: for 12 moments or fewer. Standard errors are those of the samples, with
    that rounding and what the standard errors of ``moments`` have beyond their samples in addition.
    """
    interval = Interval.of(support)
    centre, half_width = interval.centre, interval.half_width
    order = len(moments.values)
    scale = max(abs(centre), half_width)
    line = [-centre / half_width, scale / half_width]  # x as a function of λ / scale
    expansion: list[ArrayLike] = []
    for k in range(1, order + 1):
        total = np.zeros(1)
        for coefficient in chebyshev.cheb2poly(np.eye(k + 1)[k])[::-1]:
            total = polynomial.polyadd(polynomial.polymul(total, line), [coefficient])
        expansion.append(total[: k + 1])
    powers = scale ** np.arange(1.0, order + 1)
    rounding = np.finfo(np.float64).eps * np.abs(moments.values)
    errors = np.hypot(moments.standard_errors, rounding) / powers
    combined = _combined(expansion, moments.values / powers, errors, moments.samples / powers)
    return ChebyshevMoments(*combined, interval, moments.size, moments.num_products)


def _combined(
    expansion: Sequence[ArrayLike], values: FloatArray, standard_errors: FloatArray, samples: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return values, standard errors and samples of sums of moments; row k has factors of 1 and of the first k moments.

    What standard errors have beyond the spread of samples is independent.
    """
    table = np.zeros((len(expansion), len(expansion) + 1))
    for k, row in enumerate(expansion, start=1):
        table[k - 1, : k + 1] = row
    constant, matrix = table[:, 0], table[:, 1:]
    spread, errors = np.zeros(len(standard_errors)), np.zeros(len(matrix))
    if len(samples) > 1:
        spread = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
        errors = (samples @ matrix.T).std(axis=0, ddof=1) / np.sqrt(len(samples))
    beyond = np.maximum(standard_errors**2 - spread**2, 0.0)
    return constant + matrix @ values, np.sqrt(errors**2 + matrix**2 @ beyond), constant + samples @ matrix.T
