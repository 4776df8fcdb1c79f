"""Traces of layers of a matrix of many examples, as a sum over levels of fewer."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from hessdens._checks import LEVEL
from hessdens._types import FloatArray, Window
from hessdens.results.data.levels import LevelSum
from hessdens.results.saved import Numbers
from hessdens.results.structure.named import place_of
from hessdens.results.structure.traces import LayerTraces, trace_lines


@dataclass(frozen=True, eq=False)
class MultilevelTraces(LevelSum):
    """Estimated traces of the layers of the matrix of all examples, as a sum over levels.

    Parameters
    ----------
    levels
        The traces for the matrix of fewest examples, and for each further level those for the matrix of its examples
        less those for the level before. Their ``num_products`` are those with each of both matrices.
    num_examples
        Of each level, ascending; the last one has all.
    num_deflated
        Directions whose part is known exactly; products with them are among those of the last level.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdens.structure import layer_traces
    >>> halves = {"first": slice(0, 2), "second": slice(2, 4)}
    >>> few, change = (layer_traces(np.diag(values), halves) for values in ([1.0, 2.0, 3.0, 4.0], [0.5, 0.0, 0.0, 1.0]))
    >>> print(MultilevelTraces((few, change), (50, 1_000), 0).summary())
    Traces of 2 layers ± standard errors, from levels of 50 and 1,000 examples, at the cost of 4.4 products with all
      first: 3.5 ± 0 (2 parameters, mean 1.75)
      second: 8 ± 0 (2 parameters, mean 4)
    """

    levels: tuple[LayerTraces, ...]
    num_examples: Annotated[tuple[int, ...], "L count"]
    num_deflated: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_deflated < 0:
            raise ValueError(f"num_deflated must be at least 0; got {self.num_deflated}.")
        for level in self.levels[1:]:
            if (level.names, level.sizes) != (self.names, self.sizes):
                raise ValueError("levels must have the same layers, of the same sizes.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the layers."""
        return self.levels[0].names

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many parameters each layer has."""
        return self.levels[0].sizes

    def of(self, name: str) -> tuple[float, float]:
        """Return the trace of a layer, and its standard error."""
        index = place_of(name, self.names, "layer")
        return float(self.values[index]), float(self.standard_errors[index])

    def half_widths(self, level: float = LEVEL) -> FloatArray:
        """Return how far either end of the interval is from the estimate at most, shape (L,)."""
        result: FloatArray = np.abs(self.interval(level) - self.values).max(axis=0)
        return result

    def _num_deflated(self) -> int:
        return self.num_deflated

    def _centre(self) -> FloatArray:
        return self.levels[0].values

    def summary(self) -> str:
        """Return a line for each layer."""
        title = f"Traces of {len(self.names)} layers ± standard errors, {self._source()}"
        return "\n".join([title, *trace_lines(self.names, self.values, self.standard_errors, self.sizes)])

    def __str__(self) -> str:
        return "\n".join([self.summary(), *self._certified()])

    def _numbers(self, window: Window, level: float) -> Numbers:
        columns = (self.names, self.sizes, self.values, self.standard_errors, *self.interval(level))
        keys = ("name", "size", "value", "standard_error", "low", "high")
        layers = [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]
        numbers = self._named("num_products", "num_deflated")
        return {**numbers, "layers": layers, "levels": self._level_numbers(window, level)}
