"""The paper's estimate of degenerate and negative fractions from stored moment samples."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hessdens.mixture import Grid, MixtureFit, fit_mixtures

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Fractions:
    """Fits of many moment vectors, all arrays of one shape; NaN (and None) where the moments allow no fit."""

    degenerate: Array
    negative: Array
    on_edge: NDArray[np.bool_]
    fits: NDArray[Any]


def fit_fractions(
    samples: Array, *, narrow_scale: float | None = None, largest_weight: float | None = None
) -> Fractions:  # fmt: skip
    """Fit the mixture on the paper's grid to the mean over probes of ``samples``, shape (..., P, 4).

    ``narrow_scale``: the deviation of the narrow component, if not the paper's. ``largest_weight``: where the weights
    of the grid end, if not at the paper's 0.001.
    """
    grid = Grid.paper()
    if narrow_scale is not None:
        grid = replace(grid, narrow_scale=narrow_scale)
    if largest_weight is not None:
        grid = replace(grid, weights=np.geomspace(grid.weights[0], largest_weight, len(grid.weights)))
    values = samples.mean(axis=-2)
    shape = values.shape[:-1]
    flat = values.reshape(-1, 4)
    usable = np.isfinite(flat).all(axis=1) & (flat != 0).all(axis=1)
    fits: list[MixtureFit | None] = [None] * len(flat)
    if usable.any():
        for position, fit in zip(np.flatnonzero(usable), fit_mixtures(flat[usable], grid=grid), strict=True):
            fits[position] = fit
    objects = np.empty(len(flat), dtype=object)
    objects[:] = fits
    return Fractions(
        np.array([f.mixture.fraction_degenerate() if f else np.nan for f in fits]).reshape(shape),
        np.array([f.mixture.fraction_negative() if f else np.nan for f in fits]).reshape(shape),
        np.array([bool(f.on_edge) if f else False for f in fits]).reshape(shape),
        objects.reshape(shape),
    )


def describe_fits(fits: NDArray[Any]) -> dict[str, Any]:
    """Return how many fits touch each edge of the grid, how many were impossible, and the median objective.

    The objective is the sum of the relative errors of the four moments: 0 for a mixture that has the moments.
    """
    found = [fit for fit in fits.flat if fit is not None]
    edges = Counter(edge for fit in found for edge in fit.on_edge)
    return {
        "fits": len(found),
        "without_fit": fits.size - len(found),
        "edges": dict(sorted(edges.items())),
        "median_objective": float(np.median([fit.objective for fit in found])) if found else None,
        "poor_fits": sum(fit.is_poor for fit in found),
    }


def mean_and_error(values: Array) -> tuple[Array, Array]:
    """Return mean and standard error over the first axis, over the runs that have a finite value."""
    count = np.isfinite(values).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(values, axis=0) / count
        variance = np.nansum((values - mean) ** 2, axis=0) / (count - 1)
        return mean, np.sqrt(variance / count)
