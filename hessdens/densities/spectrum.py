"""Exact eigenvalues, answering the same questions as every estimated density."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from hessdens._checks import LEVEL, at_least
from hessdens._types import FloatArray, Window
from hessdens.densities.base import Density, default_bandwidth, in_chunks, values_of
from hessdens.results.saved import Numbers, Saved
from hessdens.results.summaries import text


@dataclass(frozen=True, eq=False)
class Spectrum(Density, Saved):
    """All eigenvalues of an operator; each has weight 1/N in the density.

    Parameters
    ----------
    eigenvalues
        Shape (N,), finite; kept in ascending order.
    matrix
        What the matrix is called, such as "Hessian"; empty if it has no name.

    Examples
    --------
    >>> spectrum = Spectrum([3.0, -0.5, 0.0, 0.02])
    >>> spectrum.fraction_degenerate(window=0.2)
    0.5
    >>> print(spectrum)
    Spectrum of 4 eigenvalues from -0.5 to 3
      degenerate: 50.00%, 2 of 4
      negative: 25.00%, 1 of 4
      window: 0.2, that is |λ| < 0.1, 6.7% of the largest |λ|
    """

    eigenvalues: Annotated[FloatArray, "N finite"]
    matrix: str = ""

    def __post_init__(self) -> None:
        if hasattr(self.eigenvalues, "matmat"):
            kind = type(self.eigenvalues).__name__
            raise TypeError(f"eigenvalues must be an array, shape (N,); got {kind}. Write exact_spectrum(H).")
        eigenvalues = np.sort(np.asarray(self.eigenvalues, dtype=np.float64))
        if eigenvalues.ndim != 1 or len(eigenvalues) == 0 or not np.isfinite(eigenvalues).all():
            raise ValueError(
                f"eigenvalues must be a non-empty finite array of shape (N,); got shape {eigenvalues.shape}, "
                f"{np.count_nonzero(~np.isfinite(eigenvalues))} of them not finite."
            )
        object.__setattr__(self, "eigenvalues", eigenvalues)
        super().__post_init__()

    @property
    def size(self) -> int:
        """N, the number of eigenvalues."""
        return len(self.eigenvalues)

    def moments(self, order: int) -> FloatArray:
        """Return m_1..m_order, m_k = mean of the eigenvalues to the power k."""
        at_least("order", order, 1)
        powers = self.eigenvalues[:, None] ** np.arange(1, order + 1)
        return powers.mean(axis=0)

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Return the fraction of eigenvalues <= x."""
        points = np.asarray(x, dtype=np.float64)
        fractions = np.searchsorted(self.eigenvalues, points, side="right") / self.size
        return np.where(np.isnan(points), np.nan, fractions)

    def pdf(self, x: ArrayLike, *, bandwidth: float | None = None) -> FloatArray:
        """Return the density smoothed by a Gaussian of standard deviation ``bandwidth``.

        Default bandwidth: a hundredth of the standard deviation of the eigenvalues.
        """
        if bandwidth is None:
            bandwidth = default_bandwidth(float(self.eigenvalues.std()), float(self.eigenvalues[0]))
        if not bandwidth > 0:
            raise ValueError(f"bandwidth must be positive; got {bandwidth}.")
        kernels = in_chunks(
            lambda points: np.exp(-0.5 * ((points - self.eigenvalues) / bandwidth) ** 2).mean(axis=1),
            np.asarray(x, dtype=np.float64),
            self.size,
        )
        return kernels / (bandwidth * np.sqrt(2 * np.pi))

    def fraction_degenerate(self, window: Window | None = None) -> float:
        """Return the fraction of eigenvalues inside a window of this size around 0: abs(λ) < window / 2."""
        return float(np.mean(np.abs(self.eigenvalues) < self._half(window)))

    def expect(self, f: Callable[[FloatArray], ArrayLike]) -> float:
        """Return the mean of f(λ) over the eigenvalues; ``f`` takes an array of them and returns one of its shape."""
        return float(values_of(f, self.eigenvalues).mean())

    def nodes(self) -> FloatArray:
        """Return points between which the cdf is smooth (here, constant): the eigenvalues."""
        return self.eigenvalues

    def _largest(self) -> float:
        return float(np.abs(self.eigenvalues).max())

    def summary(self, window: Window | None = None, level: float = LEVEL) -> str:
        """Return what ``print`` shows, with fractions in this window."""
        low, high = self.eigenvalues[[0, -1]]
        lines = [
            f"{text.title('Spectrum', self.size, self.matrix)} from {low:.4g} to {high:.4g}",
            text.fraction("degenerate", self.size, self.fraction_degenerate(window)),
            text.fraction("negative", self.size, self.fraction_negative(window)),
            *text.window(self._half(window), self._largest(), None),
        ]
        return "\n".join(lines)

    def _numbers(self, window: Window, level: float) -> Numbers:
        return {"size": self.size, **super()._numbers(window, level)}
