"""The diagonal of a matrix, with an error for each entry."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from hessdens._types import FloatArray, Window
from hessdens.results.certificates import Certificates
from hessdens.results.saved import Numbers, Saved
from hessdens.results.structure.named import check_lengths, place_of, shown

# Parameters that a text names, before it says how many more there are.
MOST_LINES = 20


@dataclass(frozen=True, eq=False)
class Diagonal(Saved):
    """Estimated diagonal of a matrix.

    Parameters
    ----------
    values, standard_errors
        Of each entry, shape (N,); errors are 0 where the diagonal is exact.
    names, sizes
        Parameters in the order of their entries, and how many each has. One without a name for other matrices.
    num_products
        Products spent.
    num_probes
        P, the number of random vectors of ±1; 0 where the diagonal is exact.
    trace_error
        Standard error of the sum of all values: not that of independent entries.
    certificates
        Measured defects of what should be exact.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdens.structure import diagonal
    >>> found = diagonal(np.diag([1.0, 2.0, 6.0]))
    >>> print(found.summary())
    Diagonal of 3 entries, 3 products: sum 9 ± 0
    >>> found.values.tolist(), found.standard_errors.tolist()
    ([1.0, 2.0, 6.0], [0.0, 0.0, 0.0])
    """

    values: Annotated[FloatArray, "N finite"]
    standard_errors: Annotated[FloatArray, "N amount"]
    names: Annotated[tuple[str, ...], "L text"]
    sizes: Annotated[tuple[int, ...], "L count"]
    trace_error: Annotated[float, "amount"]
    num_products: int
    num_probes: int
    certificates: Certificates

    def __post_init__(self) -> None:
        super().__post_init__()
        check_lengths(self.names, sizes=len(self.sizes))
        if not sum(self.sizes) == len(self.values) == len(self.standard_errors):
            raise ValueError(
                f"values and standard_errors must have shape (N,), N the sum of sizes, {sum(self.sizes):,}; got "
                f"{self.values.shape} and {self.standard_errors.shape}."
            )

    @property
    def size(self) -> int:
        """N, the number of entries."""
        return len(self.values)

    def of(self, name: str) -> tuple[FloatArray, FloatArray]:
        """Return the entries of a parameter, and their standard errors."""
        index = place_of(name, self.names, "parameter")
        start = sum(self.sizes[:index])
        place = slice(start, start + self.sizes[index])
        return self.values[place], self.standard_errors[place]

    def relative_error(self) -> float:
        """Return the root of the sum of squared errors, over that of squared values."""
        length = float(np.linalg.norm(self.values))
        return float(np.linalg.norm(self.standard_errors)) / length if length else 0.0

    def summary(self) -> str:
        """Return a line."""
        return (
            f"Diagonal of {self.size:,} entries, {self.num_products:,} products: "
            f"sum {self.values.sum():.4g} ± {self.trace_error:.1g}"
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, num_products={self.num_products})"

    def __str__(self) -> str:
        lines = [self.summary(), f"  relative error of all entries together: {self.relative_error():.1e}"]
        start = 0
        for name, size in zip(self.names[:MOST_LINES], self.sizes, strict=False):
            values = self.values[start : start + size]
            lines.append(f"  {shown(name)}: mean {values.mean(): .4g}, from {values.min(): .4g} to {values.max(): .4g}")
            start += size
        more = len(self.names) - MOST_LINES
        return "\n".join([*lines, *([f"  and {more} more"] if more > 0 else []), str(self.certificates)])

    def _numbers(self, window: Window, level: float) -> Numbers:
        ends = np.cumsum([0, *self.sizes])
        table = [
            {"name": name, "size": size, "mean": part.mean(), "least": part.min(), "largest": part.max()}
            for name, size, part in zip(self.names, self.sizes, np.split(self.values, ends[1:-1]), strict=True)
        ]
        return {
            **self._named("size", "num_products", "num_probes", "trace_error"),
            "trace": self.values.sum(),
            "relative_error": self.relative_error(),
            "parameters": table,
            **self.certificates._numbers(window, level),
        }
