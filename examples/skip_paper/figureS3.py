"""Figure S3: fractions from the mixture against those from exact eigenvalues, plain networks."""

import itertools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hessdens import Spectrum
from skip_paper.fits import describe_fits, fit_fractions
from skip_paper.presets import Preset
from skip_paper.runs import CONDITIONS, RunSpec, RunStore

DEPTH, NUM_COMPONENTS = 10, 128
# The paper's restriction: only spectra at least as degenerate as those of its large networks.
LEAST_DEGENERATE = 0.998
Array = NDArray[np.float64]


def specs(preset: Preset, fingerprint: str) -> list[RunSpec]:
    """Return all runs of the figure."""
    size, condition = preset.figS3, CONDITIONS["literal"]
    return [
        RunSpec(
            data=fingerprint,
            num_train=size.num_train,
            num_components=NUM_COMPONENTS,
            architecture="plain",
            depth=DEPTH,
            width=size.width,
            scaling=condition.scaling,
            hidden_start=condition.hidden_start,
            seed=seed,
            measure_at=size.measure_at,
            spectrum_examples=size.spectrum_examples,
            num_probes=size.num_probes,
            exact=True,
        )
        for seed in range(size.networks)
    ]


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
    """One point a network and time: exact and estimated fractions, which count, and what the fits are like."""

    actual: dict[str, Array]
    estimated: dict[str, Array]
    on_edge: NDArray[np.bool_]
    selected: NDArray[np.bool_]
    fits: dict[str, Any] | None = None

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


def collect(all_specs: list[RunSpec], store: RunStore) -> Points:
    """Return the points of the finished runs."""
    runs = [arrays for arrays in map(store.find, all_specs) if arrays is not None]
    samples = np.concatenate([run["samples"] for run in runs])
    spectra = list(itertools.chain.from_iterable(run["eigenvalues"] for run in runs))
    fractions = fit_fractions(samples)
    usable = np.array([bool(np.isfinite(e).all()) for e in spectra]) & np.isfinite(fractions.degenerate)
    exact = [Spectrum(e) for e, use in zip(spectra, usable, strict=True) if use]
    degenerate = np.array([s.fraction_degenerate() for s in exact])
    return Points(
        {"degenerate": degenerate, "negative": np.array([s.fraction_negative() for s in exact])},
        {"degenerate": fractions.degenerate[usable], "negative": fractions.negative[usable]},
        fractions.on_edge[usable],
        degenerate >= LEAST_DEGENERATE,
        describe_fits(fractions.fits),
    )
