"""Spectral moments with standard errors: the plain result that the torch side hands to the statistics side."""

import os
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hessdens.storage import load_npz, readonly, save_npz

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """Estimated moments m_1..m_K of a spectral density, m_k = (1/N) tr(A^k).

    Parameters
    ----------
    values
        Estimates, shape (K,): the means of `samples` over probes. Unit of m_k: that of the eigenvalues to the power k.
    standard_errors
        Standard errors of `values`, shape (K,): standard deviation over probes / sqrt(number of probes).
    samples
        One estimate a probe, shape (P, K).
    size
        N, the number of eigenvalues.
    num_matvecs
        Products with the operator that were spent.
    """

    values: FloatArray
    standard_errors: FloatArray
    samples: FloatArray
    size: int
    num_matvecs: int

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
    def from_samples(cls, samples: Any, *, size: int, num_matvecs: int) -> Self:
        """Return mean and standard error over the first axis of ``samples``, shape (P, K) with P >= 2."""
        samples = np.asarray(samples, dtype=np.float64)
        if samples.ndim != 2 or samples.shape[0] < 2:
            raise ValueError(f"samples must have shape (P, K) with at least 2 probes; got shape {samples.shape}.")
        errors = samples.std(axis=0, ddof=1) / np.sqrt(samples.shape[0])
        return cls(samples.mean(axis=0), errors, samples, size, num_matvecs)

    @property
    def num_probes(self) -> int:
        """Number of probes P."""
        return int(self.samples.shape[0])

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
        title = f"Moments of {self.size:,} eigenvalues from {self.num_probes} probes, {self.num_matvecs} products"
        pairs = enumerate(zip(self.values, self.standard_errors, strict=True), start=1)
        return "\n".join([title, *(f"  m_{k} = {value: .4e} ± {error:.1e}" for k, (value, error) in pairs)])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an ``.npz`` file, atomically and without pickle."""
        save_npz(path, "Moments", {name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; ValueError if the file holds something else."""
        arrays = load_npz(path, "Moments")
        return cls(
            arrays["values"],
            arrays["standard_errors"],
            arrays["samples"],
            int(arrays["size"]),
            int(arrays["num_matvecs"]),
        )
