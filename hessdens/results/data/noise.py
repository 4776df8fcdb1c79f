"""Moments with errors from probes and from data apart."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from scipy.special import stdtrit

from hessdens._checks import LEVEL, check_level
from hessdens._types import FloatArray, Window
from hessdens.results.saved import Numbers, Saved, Size, rows


@dataclass(frozen=True, eq=False)
class DataNoise(Saved):
    """Moments of the mean of G matrices, with standard errors from probes and from data apart.

    Parameters
    ----------
    values
        Moments m_1..m_K of the mean matrix, shape (K,).
    probe_errors
        Standard errors of `values` as moments of the mean of these matrices, shape (K,): fall with more probes.
    data_errors
        Standard errors of the exact moments of this mean as those of the mean of all such matrices, shape (K,): fall
        with more data. 0 where probes are too few to tell.
    size
        N, the number of eigenvalues of each matrix.
    num_batches
        G, the number of matrices.
    num_probes
        P, the number of random vectors.
    num_products
        Products spent with all matrices together.

    Examples
    --------
    >>> counts = {"size": 100, "num_batches": 2, "num_probes": 8, "num_products": 16}
    >>> DataNoise([1.0], probe_errors=[0.3], data_errors=[0.4], **counts).total_errors.tolist()
    [0.5]
    """

    values: Annotated[FloatArray, "K finite"]
    probe_errors: Annotated[FloatArray, "K amount"]
    data_errors: Annotated[FloatArray, "K amount"]
    size: Size
    num_batches: Size
    num_probes: Size
    num_products: Size

    @property
    def total_errors(self) -> FloatArray:
        """Standard errors of both kinds together, shape (K,)."""
        return np.hypot(self.probe_errors, self.data_errors)

    def interval(self, level: float = LEVEL) -> FloatArray:
        """Return confidence intervals of the moments of the mean of all such matrices: lower, upper ends, shape (2, K).

        Data errors have G - 1 degrees of freedom, those of probes P - 1 (Student's t). The bias of order 1/G that
        higher moments have (`data_noise`) is not in them.
        """
        check_level(level)
        tail = (1 + level) / 2
        by_probes = stdtrit(self.num_probes - 1, tail) * self.probe_errors
        half_width = np.hypot(by_probes, stdtrit(self.num_batches - 1, tail) * self.data_errors)
        return np.stack([self.values - half_width, self.values + half_width])

    def __str__(self) -> str:
        title = (
            f"Moments of {self.size:,} eigenvalues from {self.num_batches} batches and {self.num_probes} probes, "
            f"{self.num_products:,} products with a batch"
        )
        rows = enumerate(zip(self.values, self.probe_errors, self.data_errors, strict=True), start=1)
        lines = [f"  m_{k} = {m: .4e} ± {probe:.1e} (probes) ± {data:.1e} (data)" for k, (m, probe, data) in rows]
        return "\n".join([title, *lines])

    def _numbers(self, window: Window, level: float) -> Numbers:
        counts = self._named("size", "num_batches", "num_probes", "num_products")
        low, high = self.interval(level)
        table = rows(value=self.values, probe_error=self.probe_errors, data_error=self.data_errors, low=low, high=high)
        return {**counts, "moments": table}
