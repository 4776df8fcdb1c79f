"""Measured defects of what should be exact, and what a result has cost."""

import math
import platform
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from hessdens._types import Window
from hessdens._version import __version__
from hessdens.results.saved import Numbers, Saved

# A defect may be this many times the precision of products (eps times the square root of what is summed).
TOLERANCE = 1e3
Defect = Annotated[float, "error"]
DEFECTS = {
    "symmetry": "the operator's products are not symmetric",
    "orthogonality": "the Krylov basis is not orthogonal",
    "weights": "the weights of the quadrature do not sum to 1",
    "trace": "quadrature and direct products disagree on the trace",
    "frobenius": "quadrature and direct products disagree on the Frobenius norm",
}


@dataclass(frozen=True)
class Certificates(Saved):
    """Relative defects, and what the result has cost. A defect is 0 to rounding; NaN where there is nothing to tell.

    Parameters
    ----------
    threshold
        What rounding explains: above it, `warnings` tells.
    num_products
        Products spent.
    seconds
        Wall time, the products included.
    versions
        Of hessdens, torch, NumPy and Python.
    symmetry
        Largest difference between v·Aw and w·Av of the probes or the Krylov basis, over the size of such products.
    orthogonality
        Largest inner product between vectors of the last block of the basis and others.
    weights
        Distance of the sum of all weights from 1.
    trace, frobenius
        Difference between quadrature and direct inner products of the first products with the probes, r·Ar and Ar·Ar,
        relative to the largest.
    matrix
        What the matrix is called, such as "Hessian"; empty if it has no name.
    """

    threshold: Defect
    num_products: int
    seconds: Annotated[float, "amount"]
    versions: str
    symmetry: Defect = math.nan
    orthogonality: Defect = math.nan
    weights: Defect = math.nan
    trace: Defect = math.nan
    frobenius: Defect = math.nan
    matrix: str = ""

    def warnings(self) -> tuple[str, ...]:
        """Return a line for each defect above the threshold."""
        return tuple(
            f"{meaning} ({name} {getattr(self, name):.1e}, threshold {self.threshold:.1e})"
            for name, meaning in DEFECTS.items()
            if getattr(self, name) > self.threshold
        )

    def __str__(self) -> str:
        known = {name: getattr(self, name) for name in DEFECTS if not math.isnan(getattr(self, name))}
        defects = ", ".join(f"{name} {value:.0e}" for name, value in known.items()) or "none can be told"
        lines = [
            f"  defects: {defects} (threshold {self.threshold:.0e})",
            f"  cost: {self.num_products:,} products, {self.seconds:.3g} s ({self.versions})",
        ]
        return "\n".join([*lines, *(f"  WARNING: {warning}." for warning in self.warnings())])

    def _numbers(self, window: Window, level: float) -> Numbers:
        return {"seconds": self.seconds, "versions": self.versions, "warnings": self.warnings()}


def versions(**libraries: str) -> str:
    """Return a line with the versions of hessdens, ``libraries``, NumPy and Python."""
    known = {"hessdens": __version__, **libraries, "NumPy": np.__version__, "Python": platform.python_version()}
    return ", ".join(f"{name} {version}" for name, version in known.items())
