"""Spectral moments with standard errors: the plain result that the torch side hands to the statistics side."""

import os
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from hessdens._checks import LEVEL
from hessdens._types import FloatArray
from hessdens.results.certificates import CERTIFICATES, Certificates
from hessdens.results.intervals import skewed_interval
from hessdens.results.storage import load_npz, readonly, save_npz, take

LAYOUT = {
    "values": "K number",
    "standard_errors": "K number",
    "samples": "P K number",
    "size": "size",
    "num_products": "count",
    "num_deflated?": "count",
}


@dataclass(frozen=True, eq=False)
class Moments:
    """Estimated moments m_1..m_K of a spectral density, m_k = (1/N) tr(A^k).

    Parameters
    ----------
    values
        Estimates, shape (K,): the means of `samples` over probes. Unit of m_k: that of the eigenvalues to the power k.
    standard_errors
        Standard errors of `values`, shape (K,): standard deviation over probes / sqrt(number of probes), and the
        rounding of products where that matters.
    samples
        One estimate a probe, shape (P, K).
    size
        N, the number of eigenvalues.
    num_products
        Products with the operator that were spent.
    num_deflated
        Dimensions of the space that was treated exactly, beside which probes were used.
    certificates
        Measured defects of what should be exact; None for moments that no estimator of hessdens has made.
    """

    values: FloatArray
    standard_errors: FloatArray
    samples: FloatArray
    size: int
    num_products: int
    num_deflated: int = 0
    certificates: Certificates | None = None

    def __post_init__(self) -> None:
        for name in ("values", "standard_errors", "samples"):
            object.__setattr__(self, name, readonly(getattr(self, name)))
        expected = (self.samples.shape[-1],)
        if self.samples.ndim != 2 or self.values.shape != expected or self.standard_errors.shape != expected:
            raise ValueError(
                "samples must have shape (P, K) and values and standard_errors shape (K,); got "
                f"{self.samples.shape}, {self.values.shape} and {self.standard_errors.shape}."
            )

    @classmethod
    def from_samples(cls, samples: Any, *, size: int, num_products: int, num_deflated: int = 0) -> Self:
        """Return mean and standard error over the first axis of ``samples``, shape (P, K) with P >= 2."""
        samples = np.asarray(samples, dtype=np.float64)
        if samples.ndim != 2 or samples.shape[0] < 2:
            raise ValueError(f"samples must have shape (P, K) with at least 2 probes; got shape {samples.shape}.")
        # In units of a power of two, so that squares neither overflow nor change a bit.
        exponents = np.frexp(np.abs(samples).max(axis=0))[1]
        errors = np.ldexp(np.ldexp(samples, -exponents).std(axis=0, ddof=1), exponents) / np.sqrt(samples.shape[0])
        return cls(samples.mean(axis=0), errors, samples, size, num_products, num_deflated)

    @property
    def num_probes(self) -> int:
        """Number of probes P."""
        return int(self.samples.shape[0])

    def interval(self, level: float = LEVEL) -> FloatArray:
        """Return confidence intervals of the moments, shape (2, K): lower ends, upper ends.

        A sample is a quadratic form in a random vector, and a few eigenvalues may carry it: it is then skewed, as a
        chi-squared variable is. Quantiles are therefore those of a shifted gamma distribution with the skewness of the
        samples, inverted for its mean, and wider by what Student's t distribution adds for P probes.
        """
        return skewed_interval(self.values, self.standard_errors, self.samples, level)

    def hankel_eigenvalue(self) -> float:
        """Return the smallest eigenvalue of the scaled Hankel matrix of 1, m_1, m_2, ...

        Numbers are the moments of some density only if the matrix with entries m_{i+j} is positive semidefinite
        (Hamburger's moment problem), so a clearly negative value says that the estimates contradict each other and that
        no density fits them. Rows and columns are scaled to a unit diagonal, so the value lies in [-K/2, 1]
        whatever the scale of the eigenvalues.
        """
        half = len(self.values) // 2
        moments = np.concatenate([[1.0], self.values])
        hankel = moments[np.add.outer(np.arange(half + 1), np.arange(half + 1))]
        diagonal = np.abs(np.diag(hankel))
        scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        return float(np.linalg.eigvalsh(hankel * np.outer(scale, scale))[0])

    def __str__(self) -> str:
        beside = f" beside {self.num_deflated} deflated dimensions" if self.num_deflated else ""
        title = (
            f"Moments of {self.size:,} eigenvalues from {self.num_probes} probes{beside}, {self.num_products} products"
        )
        pairs = enumerate(zip(self.values, self.standard_errors, strict=True), start=1)
        lines = [title, *(f"  m_{k} = {value: .4e} ± {error:.1e}" for k, (value, error) in pairs)]
        return "\n".join(lines if self.certificates is None else [*lines, str(self.certificates)])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an ``.npz`` file, atomically and without pickle."""
        arrays = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "certificates"}
        save_npz(path, "Moments", arrays | ({} if self.certificates is None else self.certificates.to_arrays()))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; ValueError if the file holds something else."""
        arrays = load_npz(path, "Moments")
        certified = "certificates_threshold" in arrays
        arrays = take(arrays, LAYOUT | (CERTIFICATES if certified else {}), path)
        return cls(
            arrays["values"],
            arrays["standard_errors"],
            arrays["samples"],
            int(arrays["size"]),
            int(arrays["num_products"]),
            int(arrays.get("num_deflated", 0)),
            Certificates.from_arrays(arrays) if certified else None,
        )
