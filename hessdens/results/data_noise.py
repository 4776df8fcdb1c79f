"""Moments with errors from probes and from data apart."""

import os
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from hessdens._types import FloatArray
from hessdens.results.storage import load_npz, readonly, save_npz, take

LAYOUT = {
    **dict.fromkeys(("values", "probe_errors", "data_errors"), "K finite"),
    **dict.fromkeys(("size", "num_batches", "num_probes", "num_products"), "size"),
}


@dataclass(frozen=True, eq=False)
class DataNoise:
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
    size, num_batches, num_probes, num_products
        N, G, P, and products spent with the G matrices together.
    """

    values: FloatArray
    probe_errors: FloatArray
    data_errors: FloatArray
    size: int
    num_batches: int
    num_probes: int
    num_products: int

    def __post_init__(self) -> None:
        for name in ("values", "probe_errors", "data_errors"):
            object.__setattr__(self, name, readonly(getattr(self, name)))

    @property
    def total_errors(self) -> FloatArray:
        """Standard errors of both kinds together, shape (K,)."""
        return np.hypot(self.probe_errors, self.data_errors)

    def __str__(self) -> str:
        lines = [
            f"Moments of {self.size:,} eigenvalues from {self.num_batches} batches and {self.num_probes} probes, "
            f"{self.num_products:,} products with a batch"
        ]
        for k, (value, probe, data) in enumerate(
            zip(self.values, self.probe_errors, self.data_errors, strict=True), start=1
        ):
            lines.append(f"  m_{k} = {value: .4e} ± {probe:.1e} (probes) ± {data:.1e} (data)")
        return "\n".join(lines)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an ``.npz`` file, atomically and without pickle."""
        save_npz(path, "DataNoise", {name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; ValueError if the file holds something else."""
        arrays: dict[str, Any] = take(load_npz(path, "DataNoise"), LAYOUT, path)
        counts = (int(arrays[name]) for name in ("size", "num_batches", "num_probes", "num_products"))
        return cls(arrays["values"], arrays["probe_errors"], arrays["data_errors"], *counts)
