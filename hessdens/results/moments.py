"""Spectral moments with standard errors: the plain result that the torch side hands to the statistics side."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Self

import numpy as np

from hessdens._checks import LEVEL
from hessdens._types import FloatArray, Window
from hessdens.results.certificates import Certificates
from hessdens.results.intervals import skewed_interval
from hessdens.results.saved import Numbers, Saved, Size, rows
from hessdens.results.summaries import text


class ProbeMeans(Saved):
    """What moments of any kind have in common: they are means over probes."""

    values: FloatArray
    standard_errors: FloatArray
    samples: FloatArray
    certificates: Certificates | None

    def __post_init__(self) -> None:
        super().__post_init__()
        expected = self.samples.shape[-1:]
        is_table = self.samples.ndim == 2 and self.samples.size > 0
        if not is_table or self.values.shape != expected or self.standard_errors.shape != expected:
            raise ValueError(
                "samples must have shape (P, K), P and K at least 1, and values and standard_errors shape (K,); got "
                f"{self.samples.shape}, {self.values.shape} and {self.standard_errors.shape}."
            )

    @property
    def num_probes(self) -> int:
        """P, the number of random vectors."""
        return len(self.samples)

    def _certified(self) -> list[str]:
        return [] if self.certificates is None else [str(self.certificates)]

    def _numbers(self, window: Window, level: float) -> Numbers:
        return {} if self.certificates is None else self.certificates._numbers(window, level)


class TraceOfMoments:
    """The trace of a matrix of N eigenvalues, from its first moment."""

    @property
    def trace(self) -> float:
        """The trace of the matrix, N m_1."""
        of: Any = self
        return float(of.size * of.values[0])

    @property
    def trace_error(self) -> float:
        """The standard error of the trace."""
        of: Any = self
        return float(of.size * of.standard_errors[0])

    def _trace_line(self) -> str:
        of: Any = self
        low, high = of.size * of.interval()[:, 0]
        error = f"standard error; 95% interval {low:.4g} to {high:.4g}"
        return f"  trace = {text.with_error(self.trace, self.trace_error)} ({error})"


@dataclass(frozen=True, eq=False)
class Moments(ProbeMeans, TraceOfMoments):
    """Estimated moments m_1..m_K of a spectral density, m_k = (1/N) tr(A^k).

    Parameters
    ----------
    values
        Estimates, shape (K,): the means of `samples` over probes. Unit of m_k: that of the eigenvalues to the power k.
    standard_errors
        Standard errors of `values`, shape (K,): standard deviation over probes / sqrt(number of probes), and the
        rounding of products where that matters.
    samples
        One estimate per probe, shape (P, K).
    size
        N, the number of eigenvalues.
    num_products
        Products with the operator that were spent.
    num_deflated
        Dimensions of the space that was treated exactly; probes are used for the rest.
    certificates
        Measured defects of what should be exact; None for moments that no estimator of hessdens has made.
    known
        The part of every sample that deflation gives exactly, shape (K,). Default: 0.

    Examples
    --------
    >>> moments = Moments.from_samples([[0.9, 2.1], [1.1, 1.9], [1.0, 2.0]], size=100, num_products=3)
    >>> print(moments)
    Moments of 100 eigenvalues from 3 probes, 3 products
      trace = 100.0 ± 5.8 (standard error; 95% interval 77.13 to 127.1)
      m_1 =  1.0000e+00 ± 5.8e-02
      m_2 =  2.0000e+00 ± 5.8e-02
    """

    values: Annotated[FloatArray, "K number"]
    standard_errors: Annotated[FloatArray, "K error"]
    samples: Annotated[FloatArray, "P K number"]
    size: Size
    num_products: int
    num_deflated: int = 0
    certificates: Certificates | None = None
    known: Annotated[FloatArray, "K number"] = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        if len(self.known) == 0:
            object.__setattr__(self, "known", np.zeros(len(self.values)))
        super().__post_init__()
        if self.known.shape != self.values.shape:
            raise ValueError(f"known must have the shape of values, {self.values.shape}; got {self.known.shape}.")
        if not 0 <= self.num_deflated <= self.size:
            raise ValueError(f"num_deflated must be from 0 to size, {self.size}; got {self.num_deflated}.")

    @classmethod
    def from_samples(cls, samples: Any, *, size: int, num_products: int, num_deflated: int = 0) -> Self:
        """Return mean and standard error over the first axis of ``samples``, shape (P, K) with P >= 2."""
        return cls(*mean_and_errors(samples), size, num_products, num_deflated)

    def interval(self, level: float = LEVEL) -> FloatArray:
        """Return confidence intervals of the moments, shape (2, K): lower ends, upper ends.

        A sample is skewed where few eigenvalues carry it. Quantiles are therefore those of a shifted gamma distribution
        with the skewness of the samples, inverted for its mean, and wider by what Student's t adds for P probes.
        """
        return skewed_interval(self.values, self.standard_errors, self.samples - self.known, level)

    def hankel_eigenvalue(self) -> float:
        """Return the smallest eigenvalue of the scaled Hankel matrix of 1, m_1, m_2, ...

        Numbers are the moments of some density only if the matrix with entries m_{i+j} is positive semidefinite
        (Hamburger's moment problem), so a clearly negative value says that the estimates contradict each other and that
        no density fits them. Rows and columns are scaled to a unit diagonal, so the value lies in [-K/2, 1]
        whatever the scale of the eigenvalues.
        """
        return float(least_hankel_eigenvalue(self.values))

    def __str__(self) -> str:
        deflated = f" besides {text.counted(self.num_deflated, 'deflated dimension')}" if self.num_deflated else ""
        source = f"{self.num_probes} probes{deflated}"
        title = f"Moments of {self.size:,} eigenvalues from {source}, {self.num_products} products"
        return "\n".join(
            [title, self._trace_line(), *moment_lines("m", self.values, self.standard_errors), *self._certified()]
        )

    def _numbers(self, window: Window, level: float) -> Numbers:
        low, high = self.interval(level)
        table = rows(value=self.values, standard_error=self.standard_errors, low=low, high=high)
        counts = self._named("size", "num_products", "num_probes", "num_deflated")
        return {**counts, "moments": table, **super()._numbers(window, level)}


def moment_lines(symbol: str, values: FloatArray, standard_errors: FloatArray) -> list[str]:
    """Return a line for each moment, from the first on."""
    pairs = enumerate(zip(values, standard_errors, strict=True), start=1)
    return [f"  {symbol}_{k} = {value: .4e} ± {error:.1e}" for k, (value, error) in pairs]


def mean_and_errors(samples: Any) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return mean and standard error over the first axis of samples, shape (P, K) with P >= 2, and these as float64."""
    samples = np.asarray(samples, dtype=np.float64)
    if samples.ndim != 2 or samples.shape[0] < 2:
        raise ValueError(f"samples must have shape (P, K) with at least 2 probes; got shape {samples.shape}.")
    # In units of a power of two, so that squares neither overflow nor change a bit.
    exponents = np.frexp(np.abs(samples).max(axis=0))[1]
    errors = np.ldexp(np.ldexp(samples, -exponents).std(axis=0, ddof=1), exponents) / np.sqrt(samples.shape[0])
    return samples.mean(axis=0), errors, samples


def least_hankel_eigenvalue(moments: FloatArray) -> FloatArray:
    """Return the smallest eigenvalue of the scaled Hankel matrix of 1, m_1, m_2, ..., for each row of (..., K)."""
    orders = np.arange(moments.shape[-1] // 2 + 1)
    full = np.concatenate([np.ones((*moments.shape[:-1], 1)), moments], axis=-1)
    hankel = full[..., np.add.outer(orders, orders)]
    diagonal = np.abs(np.diagonal(hankel, axis1=-2, axis2=-1))
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = hankel * (scale[..., :, None] * scale[..., None, :])
    return np.asarray(np.linalg.eigvalsh(scaled)[..., 0], dtype=np.float64)
