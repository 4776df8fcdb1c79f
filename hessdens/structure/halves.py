"""The Hessian and its two halves: densities, and how much of each outlier lies in the Gauss-Newton matrix."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from hessdens._types import FloatArray, Window
from hessdens.densities.lanczos import LanczosDensity
from hessdens.densities.quantities import trace
from hessdens.results.saved import Numbers, Saved
from hessdens.results.summaries.text import with_error

# Outliers that a text names.
MOST_LINES = 12
# Printed bounds of shares are at least this: more digits tell nothing.
LEAST_BOUND = 1e-4


@dataclass(frozen=True, eq=False)
class CurvatureHalves(Saved):
    """H = G + R: the Hessian H, the Gauss-Newton matrix G, and the rest R, the curvature of the network itself.

    Parameters
    ----------
    hessian, gauss_newton, rest
        The densities of H, G and R.
    outliers, outlier_errors
        Eigenvalues λ of H that were found one by one, shape (K,), the largest absolute ones first, with bounds.
    parts, part_errors
        The part v·Gv of each in G, v its eigenvector, and bounds; λ - v·Gv lies in R. An eigenvalue that is not told
        apart from its neighbours has no vector of its own: the bound says so.
    num_products
        Products with H and with G.

    Examples
    --------
    >>> import torch
    >>> from hessdens import ggn_operator, hessian_operator
    >>> from hessdens.structure import curvature_halves
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)).double()
    >>> problem = model, torch.nn.MSELoss(), [(torch.eye(2).double(), torch.ones(2, 1).double())]
    >>> halves = curvature_halves(hessian_operator(*problem), ggn_operator(*problem))
    >>> halves.shares.shape == halves.outliers.shape
    True
    """

    hessian: LanczosDensity
    gauss_newton: LanczosDensity
    rest: LanczosDensity
    outliers: Annotated[FloatArray, "K finite"]
    outlier_errors: Annotated[FloatArray, "K amount"]
    parts: Annotated[FloatArray, "K finite"]
    part_errors: Annotated[FloatArray, "K error"]
    num_products: int

    @property
    def shares(self) -> FloatArray:
        """Return the share of each outlier in G, shape (K,). It is 1 where all is there; R may add or take away."""
        result: FloatArray = self.parts / self.outliers
        return result

    def summary(self) -> str:
        """Return the outliers and their shares in G, and the traces of H, G and R with 95% intervals."""
        lines = [f"{len(self.outliers)} outliers of {self.hessian.size:,}, and how much of each lies in G"]
        rows = zip(self.outliers, self.outlier_errors, self.shares, self.part_errors, strict=True)
        for value, error, share, bound in list(rows)[:MOST_LINES]:
            lines.append(f"  {value: .5g} ± {error:.0e}: {_percentage(share, bound / abs(value))}")
        if len(self.outliers) > MOST_LINES:
            lines.append(f"  and {len(self.outliers) - MOST_LINES} more")
        traces = ", ".join(f"{name} {trace(density)}" for name, density in self._named_densities().items())
        return "\n".join([*lines, f"  traces: {traces}", f"  cost: {self.num_products:,} products with H or G"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.hessian.size}, outliers={len(self.outliers)})"

    def __str__(self) -> str:
        return "\n".join([self.summary(), *(f"{name}: {density}" for name, density in self._named_densities().items())])

    def _named_densities(self) -> dict[str, LanczosDensity]:
        return {"H": self.hessian, "G": self.gauss_newton, "R": self.rest}

    def _numbers(self, window: Window, level: float) -> Numbers:
        columns = (self.outliers, self.outlier_errors, self.parts, self.part_errors)
        keys = ("value", "error", "gauss_newton_part", "part_error")
        return {
            "num_products": self.num_products,
            "outliers": [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)],
            "hessian": self.hessian._numbers(window, level),
            "gauss_newton": self.gauss_newton._numbers(window, level),
            "rest": self.rest._numbers(window, level),
        }


def _percentage(share: float, bound: float) -> str:
    """Return a share with a bound of its error, of 0.01% at least."""
    if bound >= 1:
        return "unknown, since it is not told apart from its neighbours"
    off = max(bound, LEAST_BOUND)
    return f"{with_error(100 * share if abs(share) > off / 2 else 0.0, 100 * off)}%"


def bound_of_parts(angles: FloatArray, norm: float) -> FloatArray:
    """Return how far v·Gv is from u·Gu at most, for unit vectors at such angles and a positive matrix of such a norm.

    The matrix u u^T - v v^T has the eigenvalues ± sin of the angle, and zeros.
    """
    result: FloatArray = np.sin(angles) * norm
    return result
