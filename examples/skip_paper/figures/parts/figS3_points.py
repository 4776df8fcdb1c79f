"""Points of figure S3: fractions from the mixture against exact ones, and regressions through them."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

# The paper's restriction: only spectra at least as degenerate as those of its large networks.
LEAST_DEGENERATE = 0.998
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Regression:
    """Least-squares line through (actual, estimated), with the ingredients of its confidence band."""

    slope: float
    intercept: float
    r: float
    p_value: float
    num_points: int
    mean_x: float
    spread_x: float
    residual: float

    def band(self, x: Array) -> tuple[Array, Array]:
        """Return the line and the half-width of its 95% confidence band."""
        quantile = stats.t.ppf(0.975, self.num_points - 2)
        half = quantile * self.residual * np.sqrt(1 / self.num_points + (x - self.mean_x) ** 2 / self.spread_x)
        return self.intercept + self.slope * x, half


@dataclass(frozen=True)
class Points:
    """One point a network and time: exact and estimated fractions, which count, and what the fits are like.

    ``network``: of which network a point is; ``other_scales``: degenerate fractions with other narrow components;
    ``on_wider_grid``: those of fits whose weight may be larger.
    """

    actual: dict[str, Array]
    estimated: dict[str, Array]
    on_edge: NDArray[np.bool_]
    selected: NDArray[np.bool_]
    fits: dict[str, Any] | None = None
    network: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, dtype=np.intp), repr=False)
    other_scales: tuple[Array, ...] = field(default=(), repr=False)
    on_wider_grid: Array = field(default_factory=lambda: np.zeros(0), repr=False)

    def regression(self, quantity: str) -> Regression | None:
        """Return the regression over the selected points; None for fewer than three or a single actual value."""
        x, y = self.actual[quantity][self.selected], self.estimated[quantity][self.selected]
        if len(x) < 3 or np.ptp(x) == 0:
            return None
        line = stats.linregress(x, y)
        residuals = y - line.intercept - line.slope * x
        return Regression(
            *(float(value) for value in (line.slope, line.intercept, line.rvalue, line.pvalue)),
            num_points=len(x),
            mean_x=float(x.mean()),
            spread_x=float(((x - x.mean()) ** 2).sum()),
            residual=float(np.sqrt((residuals**2).sum() / (len(x) - 2))),
        )

    def summary(self) -> dict[str, Any]:
        """Return counts, mean deviations and regressions."""
        result: dict[str, Any] = {
            "points": len(self.selected),
            "selected": int(self.selected.sum()),
            "fits_on_edge": int(self.on_edge.sum()),
            "fits": self.fits,
        }
        for quantity in self.actual:
            regression = self.regression(quantity)
            deviation = (self.estimated[quantity] - self.actual[quantity])[self.selected]
            result[quantity] = {
                "mean_estimate_minus_actual": float(deviation.mean()) if len(deviation) else None,
                "underestimated": int((deviation < 0).sum()),
                "overestimated": int((deviation > 0).sum()),
                "regression": asdict(regression) if regression else None,
            }
        return result
