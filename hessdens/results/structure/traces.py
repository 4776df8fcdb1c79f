"""The traces of all layers, with their errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from scipy.special import stdtrit

from hessdens._checks import LEVEL, check_level
from hessdens._types import FloatArray, Window
from hessdens.results.certificates import Certificates
from hessdens.results.moments import mean_and_errors
from hessdens.results.saved import Numbers, Saved
from hessdens.results.structure.named import check_lengths, place_of, shown
from hessdens.results.summaries.text import counted, with_error


@dataclass(frozen=True, eq=False)
class LayerTraces(Saved):
    """Estimated traces of the diagonal blocks of layers, from products that all of them share.

    Parameters
    ----------
    values, standard_errors
        Traces, shape (L,), and their standard errors.
    samples
        One estimate of each per probe, shape (P, L), with the spread that gives the standard errors.
    names, sizes
        Of the layers, with their numbers of parameters.
    num_products
        Products spent.
    certificates
        Measured defects of what should be exact.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdens.structure import layer_traces
    >>> halves = {"first": slice(0, 2), "second": slice(2, 4)}
    >>> print(layer_traces(np.diag([1.0, 2.0, 3.0, 4.0]), halves).summary())
    Traces of 2 layers ± standard errors, 4 products
      first: 3 ± 0 (2 parameters, mean 1.5)
      second: 7 ± 0 (2 parameters, mean 3.5)
    """

    values: Annotated[FloatArray, "L finite"]
    standard_errors: Annotated[FloatArray, "L amount"]
    samples: Annotated[FloatArray, "P L finite"]
    names: Annotated[tuple[str, ...], "L text"]
    sizes: Annotated[tuple[int, ...], "L count"]
    num_products: int
    certificates: Certificates

    def __post_init__(self) -> None:
        super().__post_init__()
        lengths = {"values": len(self.values), "standard_errors": len(self.standard_errors), "sizes": len(self.sizes)}
        check_lengths(self.names, **lengths)
        if self.samples.ndim != 2 or self.samples.shape[1] != len(self.names) or len(self.samples) < 2:
            raise ValueError(f"samples must have shape (P, {len(self.names)}), P > 1; got {self.samples.shape}.")

    @classmethod
    def from_samples(
        cls,
        samples: FloatArray,
        names: tuple[str, ...],
        sizes: tuple[int, ...],
        num_products: int,
        certificates: Certificates,
    ) -> Self:
        """Return mean and standard error over the first axis of ``samples``, shape (P, L) with P >= 2."""
        return cls(*mean_and_errors(samples), names, sizes, num_products, certificates)

    @property
    def num_probes(self) -> int:
        """P, the number of random vectors."""
        return len(self.samples)

    def interval(self, level: float = LEVEL) -> FloatArray:
        """Return confidence intervals, shape (2, L): lower ends, upper ends (Student's t)."""
        check_level(level)
        width = stdtrit(self.num_probes - 1, (1 + level) / 2) * self.standard_errors
        return np.stack([self.values - width, self.values + width])

    def of(self, name: str) -> tuple[float, float]:
        """Return the trace of a layer, and its standard error."""
        index = place_of(name, self.names, "layer")
        return float(self.values[index]), float(self.standard_errors[index])

    def summary(self) -> str:
        """Return a line for each layer."""
        title = f"Traces of {counted(len(self.names), 'layer')} ± standard errors, {self.num_products:,} products"
        return "\n".join([title, *trace_lines(self.names, self.values, self.standard_errors, self.sizes)])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(layers={len(self.names)}, num_products={self.num_products})"

    def __str__(self) -> str:
        return f"{self.summary()}\n{self.certificates}"

    def _numbers(self, window: Window, level: float) -> Numbers:
        columns = (self.names, self.sizes, self.values, self.standard_errors, *self.interval(level))
        keys = ("name", "size", "value", "standard_error", "low", "high")
        return {
            **self._named("num_products", "num_probes"),
            "layers": [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)],
            **self.certificates._numbers(window, level),
        }


def trace_lines(
    names: Sequence[str], values: FloatArray, standard_errors: FloatArray, sizes: Sequence[int]
) -> list[str]:
    """Return a line for each layer."""
    return [
        f"  {shown(name)}: {with_error(value, error)} ({size:,} parameters, mean {value / size:.3g})"
        for name, value, error, size in zip(names, values, standard_errors, sizes, strict=True)
    ]
