"""What a result says, as plain numbers by name: for JSON, tables and loggers."""

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hessdens._checks import LEVEL, PAPER_WINDOW
from hessdens.densities.base import Density
from hessdens.densities.compare import Comparison
from hessdens.loading import Result
from hessdens.mixture.fit import MixtureFit
from hessdens.mixture.model import SkewNormalMixture
from hessdens.mixture.uncertainty import FitUncertainty
from hessdens.monitor.history import SpectrumHistory
from hessdens.results.chebyshev import ChebyshevMoments
from hessdens.results.data_noise import DataNoise
from hessdens.results.moments import Moments

Numbers = dict[str, Any]
# Attributes that are one number or text, where a result has them.
SINGLE = (
    "size",
    "num_products",
    "num_steps",
    "num_probes",
    "num_batches",
    "num_deflated",
    "kernel",
    "resolution",
    "objective",
    "num_points",
    "is_poor",
    "num_discarded",
    "share_on_edge",
    "share_poor",
    "kolmogorov",
    "wasserstein",
)


def summary(result: Result, *, window: float = PAPER_WINDOW, level: float = LEVEL) -> Numbers:
    """Return what ``result`` says: lists, dictionaries, text and numbers; None in place of NaN and infinity.

    Parameters
    ----------
    window
        Size of the window around 0 that counts as degenerate. A `Comparison` keeps the window that it was made with.
    level
        Confidence level of the intervals, "low" to "high", where there are any.

    Returns
    -------
    dict
        "kind" is the name of the class; the command line's documentation lists the other keys.
    """
    numbers: Numbers = {"kind": type(result).__name__}
    numbers |= {name: getattr(result, name) for name in SINGLE if hasattr(result, name)}
    fit = result.fit if isinstance(result, FitUncertainty) else result
    if isinstance(fit, MixtureFit):
        numbers |= {"objective": fit.objective, "num_points": fit.num_points, "is_poor": fit.is_poor}
        numbers["on_edge"] = list(fit.on_edge)
    density = getattr(fit, "mixture", fit)
    if isinstance(density, SkewNormalMixture):
        numbers["mixture"] = asdict(density)
    if isinstance(result, Comparison):
        numbers |= _comparison(result)
    elif isinstance(result, Moments):
        low, high = result.interval(level)
        numbers["moments"] = _rows(value=result.values, standard_error=result.standard_errors, low=low, high=high)
    elif isinstance(result, ChebyshevMoments):
        numbers["chebyshev_moments"] = _rows(value=result.values, standard_error=result.standard_errors)
    elif isinstance(result, DataNoise):
        numbers["moments"] = _rows(value=result.values, probe_error=result.probe_errors, data_error=result.data_errors)
    elif isinstance(result, SpectrumHistory):
        numbers |= {"identity": result.identity, "window": window, "level": level}
        numbers["records"] = [
            {"step": record.step, "failure": record.failure, **record.numbers(window, level)} for record in result
        ]
    elif isinstance(density, Density):
        numbers |= _density(result, density, window, level)
    if (support := getattr(result, "support", None)) is not None:
        numbers["support"] = list(support)
    if (certificates := getattr(result, "certificates", None)) is not None:
        numbers["seconds"], numbers["versions"] = certificates.seconds, certificates.versions
        numbers["warnings"] = list(certificates.warnings())
    return _plain(numbers)


def _density(result: Any, density: Density, window: float, level: float) -> Numbers:
    numbers: Numbers = {}
    if hasattr(result, "eigenvalues_found"):
        numbers["eigenvalues_found"] = len(result.eigenvalues_found)
    nodes = density.nodes()
    numbers["lowest"], numbers["highest"] = nodes[0], nodes[-1]
    if hasattr(result, "moments_interval"):
        low, high = result.moments_interval(4, level)
        numbers["moments"] = _rows(value=density.moments(4), low=low, high=high)
    else:
        numbers["moments"] = _rows(value=density.moments(4))
    fractions: Numbers = {"window": window, "level": level}
    for name in ("degenerate", "negative"):
        fractions[name] = {"value": getattr(density, f"fraction_{name}")(window)}
        if (interval := getattr(result, f"{name}_interval", None)) is not None:
            fractions[name] |= dict(zip(("low", "high"), interval(window, level), strict=True))
    return numbers | {"fractions": fractions}


def _comparison(result: Comparison) -> Numbers:
    return {
        "moments": _rows(
            value=result.moments,
            standard_error=result.standard_errors,
            exact=result.exact_moments,
            relative_error=result.relative_errors,
            z_score=result.z_scores,
        ),
        "degenerate": {"value": result.degenerate, "exact": result.exact_degenerate},
        "negative": {"value": result.negative, "exact": result.exact_negative},
    }


def _rows(**columns: NDArray[np.float64]) -> list[Numbers]:
    """Return one row for each order."""
    names = list(columns)
    return [
        {"order": order, **dict(zip(names, row, strict=True))}
        for order, row in enumerate(zip(*columns.values(), strict=True), start=1)
    ]


def _plain(value: Any) -> Any:
    """Return what JSON has: no NumPy numbers, and None for NaN and infinity."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, str | bool | int | None):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    raise TypeError(f"A summary is made of numbers and text; got {type(value).__name__}.")
