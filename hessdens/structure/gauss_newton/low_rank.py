"""A spectrum most of whose eigenvalues are one number, exactly."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from hessdens._checks import LEVEL, at_least
from hessdens._types import FloatArray, Window
from hessdens.densities.base import Density, default_bandwidth, in_chunks, values_of
from hessdens.results.saved import Finite, Numbers, Saved, Size


@dataclass(frozen=True, eq=False)
class LowRankSpectrum(Density, Saved):
    """All N eigenvalues of a matrix of low rank, of which most are not kept: they are ``rest``.

    Parameters
    ----------
    eigenvalues
        Those that may differ from ``rest``, shape (r,), r <= N; kept in ascending order.
    size
        N.
    rest
        The other N - r eigenvalues: 0, or the weight decay.

    Examples
    --------
    >>> spectrum = LowRankSpectrum([3.0, 1.0], size=1_000_000)
    >>> spectrum.fraction_degenerate()
    0.999998
    >>> print(str(spectrum).partition(":")[0])
    Spectrum of 1,000,000 eigenvalues, 2 from 1 to 3, all others 0
    """

    eigenvalues: Annotated[FloatArray, "R finite"]
    size: Size
    rest: Finite = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "eigenvalues", np.sort(np.asarray(self.eigenvalues, dtype=np.float64)))
        super().__post_init__()
        if self.eigenvalues.ndim != 1 or len(self.eigenvalues) > self.size:
            raise ValueError(
                f"eigenvalues must have shape (r,), r at most {self.size:,}; got {self.eigenvalues.shape}."
            )

    @property
    def _points(self) -> tuple[FloatArray, FloatArray]:
        """Return eigenvalues, and the mass of each."""
        others = self.size - len(self.eigenvalues)
        values = np.append(self.eigenvalues, np.full(int(others > 0), self.rest))
        masses = np.append(np.full(len(self.eigenvalues), 1.0), np.full(int(others > 0), float(others))) / self.size
        order = np.argsort(values, kind="stable")
        return values[order], masses[order]

    def moments(self, order: int) -> FloatArray:
        """Return m_1..m_order, m_k = mean of the eigenvalues to the power k."""
        at_least("order", order, 1)
        values, masses = self._points
        result: FloatArray = masses @ values[:, None] ** np.arange(1, order + 1)
        return result

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Return the fraction of eigenvalues <= x."""
        values, masses = self._points
        points = np.asarray(x, dtype=np.float64)
        sums = np.append(0.0, np.cumsum(masses))
        sums[-1] = 1.0
        return np.where(np.isnan(points), np.nan, sums[np.searchsorted(values, points, side="right")])

    def pdf(self, x: ArrayLike, *, bandwidth: float | None = None) -> FloatArray:
        """Return the density smoothed by a Gaussian of standard deviation ``bandwidth``, as `Spectrum` does."""
        values, masses = self._points
        if bandwidth is None:
            spread = float(np.sqrt(masses @ (values - masses @ values) ** 2))
            bandwidth = default_bandwidth(spread, float(values[0]))
        if not bandwidth > 0:
            raise ValueError(f"bandwidth must be positive; got {bandwidth}.")
        kernels = in_chunks(
            lambda points: np.exp(-0.5 * ((points - values) / bandwidth) ** 2) @ masses,
            np.asarray(x, dtype=np.float64),
            len(values),
        )
        return kernels / (bandwidth * np.sqrt(2 * np.pi))

    def fraction_degenerate(self, window: Window | None = None) -> float:
        """Return the fraction of eigenvalues inside a window of this size around 0: abs(λ) < window / 2."""
        values, masses = self._points
        return float(masses @ (np.abs(values) < self._half(window)))

    def expect(self, f: Callable[[FloatArray], ArrayLike]) -> float:
        """Return the mean of f(λ) over the eigenvalues; ``f`` takes an array of them and returns one of its shape."""
        values, masses = self._points
        return float(masses @ values_of(f, values))

    def nodes(self) -> FloatArray:
        """Return points between which the cdf is smooth (here, constant): the eigenvalues, each once."""
        return np.unique(self._points[0])

    def _largest(self) -> float:
        return float(np.abs(self._points[0]).max())

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rank={len(self.eigenvalues)}, size={self.size})"

    def summary(self, window: Window | None = None, level: float = LEVEL) -> str:
        """Return what ``print`` shows, with fractions in this window."""
        kept = self.eigenvalues
        inside = f", {len(kept):,} from {kept[0]:.4g} to {kept[-1]:.4g}" if len(kept) else ""
        return f"Spectrum of {self.size:,} eigenvalues{inside}, all others {self.rest:g}: {self._fractions(window)}"

    def _numbers(self, window: Window, level: float) -> Numbers:
        return {"size": self.size, "rank": len(self.eigenvalues), "rest": self.rest, **super()._numbers(window, level)}
