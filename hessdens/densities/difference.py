"""Change between two Lanczos densities from the same probes: what probes and resolution do to both cancels."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from hessdens._checks import LEVEL
from hessdens._types import FloatArray
from hessdens.densities.base import NUM_MOMENTS
from hessdens.densities.jackknife import interval_of
from hessdens.results.saved import Numbers, Saved, Size
from hessdens.results.storage import ROUNDING

NAMES = (*(f"m_{k}" for k in range(1, NUM_MOMENTS + 1)), "degenerate", "negative")


@dataclass(frozen=True, eq=False)
class DensityDifference(Saved):
    """Changes of moments and fractions from one density to another with the same probes.

    Parameters
    ----------
    values
        Second minus first, shape (6,): m_1..m_4, the degenerate and the negative fraction.
    noise, resolution
        Standard errors of `values`, shape (6,): by the probes, and by the finite resolution of both.
    unpaired_errors
        Standard errors if the two densities had independent probes, shape (6,).
    num_probes
        P, the number of probes that both densities share.
    title
        From which density to which, for printing.
    """

    values: Annotated[FloatArray, "6 finite"]
    noise: Annotated[FloatArray, "6 amount"]
    resolution: Annotated[FloatArray, "6 amount"]
    unpaired_errors: Annotated[FloatArray, "6 amount"]
    num_probes: Size
    title: str

    def __post_init__(self) -> None:
        super().__post_init__()
        changes = self.values[NUM_MOMENTS:]
        if self.num_probes < 2 or np.any(np.abs(changes) > 1 + ROUNDING):
            raise ValueError(
                f"A change must be of 2 probes at least, and of fractions at most 1; got {self.num_probes} probes, "
                f"{changes}."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """What the entries are."""
        return NAMES

    @property
    def standard_errors(self) -> FloatArray:
        """Noise and resolution together, shape (6,)."""
        return np.hypot(self.noise, self.resolution)

    @property
    def gain(self) -> FloatArray:
        """How many times smaller errors are than unpaired ones, shape (6,); NaN where both are 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.unpaired_errors / self.standard_errors

    def interval(self, level: float = LEVEL) -> FloatArray:
        """Return confidence intervals of the changes, shape (2, 6): lower ends, upper ends."""
        return interval_of(self.values, self.noise, self.resolution, self.num_probes, level)

    def _numbers(self, window: float, level: float) -> Numbers:
        low, high = self.interval(level)
        columns = {"value": self.values, "standard_error": self.standard_errors, "low": low, "high": high}
        changes = {name: {key: column[index] for key, column in columns.items()} for index, name in enumerate(NAMES)}
        return {**self._named("num_probes", "title"), "level": level, "changes": changes}

    def __str__(self) -> str:
        rows = zip(NAMES, self.values, self.standard_errors, self.unpaired_errors, self.gain, strict=True)
        lines = [
            f"  {name:<10} {value:+.3e} ± {error:.1e}  (unpaired ± {unpaired:.1e}, {gain:.3g} times as much)"
            for name, value, error, unpaired, gain in rows
        ]
        return "\n".join([f"Change {self.title} (the same {self.num_probes} probes)", *lines])
