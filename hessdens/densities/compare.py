"""Estimate minus exact: how far off a density is."""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from hessdens._types import FloatArray, Window
from hessdens.densities.base import FRACTIONS, Density, check_density
from hessdens.densities.difference import common_window
from hessdens.densities.spectrum import Spectrum
from hessdens.results.moments import Moments
from hessdens.results.saved import Numbers, Saved, rows
from hessdens.results.summaries.text import percent, same_window

ESTIMATE_AND_EXACT = ("estimate", "exact")
# What to write for two results of one kind that are no densities.
INSTEAD = {
    "Diagonal": "first.values - second.values",
    "Eigenpairs": "subspace_angles(first, second)",
    "FitUncertainty": "compare(first.mixture, second.mixture)",
    "LayerTraces": "plot_layer_traces(second, ax=plot_layer_traces(first))",
    "MixtureFit": "compare(first.mixture, second.mixture)",
    "Moments": "compare(first, fit_mixture(second).mixture)",
    "SpectrumHistory": 'plot_history({"first": first, "second": second})',
}
# Columns of a printed comparison are this wide at least.
COLUMN = 18


@dataclass(frozen=True, eq=False)
class Comparison(Saved):
    """An estimate next to the exact values. Where the estimate is `Moments` alone, all except the moments is NaN.

    Parameters
    ----------
    moments, exact_moments
        m_1..m_K of both, shape (K,).
    standard_errors
        Of the estimated moments, shape (K,); NaN where the estimate states none.
    degenerate, exact_degenerate, negative, exact_negative
        Fractions of eigenvalues in the window and to its left.
    kolmogorov
        The largest difference between the two cumulative distribution functions, in [0, 1].
    wasserstein
        The area between them (the 1-Wasserstein distance), in units of the eigenvalues.
    labels
        What the two columns are called. "exact" in second place: differences are errors.
    num_eigenvalues
        N, by which fractions are printed as numbers of eigenvalues; 0 if it is not known.
    window
        Size of the window of both fractions; NaN if it is not known.
    """

    moments: Annotated[FloatArray, "K number"]
    exact_moments: Annotated[FloatArray, "K number"]
    standard_errors: Annotated[FloatArray, "K error"]
    degenerate: Annotated[float, "fraction"]
    exact_degenerate: Annotated[float, "fraction"]
    negative: Annotated[float, "fraction"]
    exact_negative: Annotated[float, "fraction"]
    kolmogorov: Annotated[float, "fraction"]
    wasserstein: Annotated[float, "error"]
    labels: Annotated[tuple[str, ...], "2 text"] = ESTIMATE_AND_EXACT
    num_eigenvalues: int = 0
    window: Annotated[float, "error"] = math.nan

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [math.isnan(getattr(self, f"{part}{name}")) for part in ("", "exact_") for name in FRACTIONS]
        if unknown[0] != unknown[1] or any(unknown[2:]):
            raise ValueError("Fractions must be numbers; NaN only where the estimate is moments, which have none.")

    @property
    def relative_errors(self) -> FloatArray:
        """(estimate - exact) / abs(exact) of each moment; infinite or NaN where the exact moment is 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return (self.moments - self.exact_moments) / np.abs(self.exact_moments)

    @property
    def z_scores(self) -> FloatArray:
        """(estimate - exact) / standard error of each moment."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return (self.moments - self.exact_moments) / self.standard_errors

    def __str__(self) -> str:
        has_errors = bool(np.isfinite(self.standard_errors).any())
        width = max(COLUMN, *(len(label) + 2 for label in self.labels))
        kind = "error" if self.labels[1] == ESTIMATE_AND_EXACT[1] else "difference"
        names = [*self.labels, f"relative {kind}", *(["standard errors off"] if has_errors else [])]
        table = zip(self.moments, self.exact_moments, self.relative_errors, self.z_scores, strict=True)
        lines = [["", *names]]
        for k, (first, second, error, z) in enumerate(table, start=1):
            lines.append(
                [f"m_{k}", f"{first:.4e}", f"{second:.4e}", _percentage(error), *([f"{z:.1f}"] if has_errors else [])]
            )
        if not np.isnan(self.degenerate):
            both = {name: (getattr(self, name), getattr(self, f"exact_{name}")) for name in FRACTIONS}
            lines += [[name, *map(self._share, fractions)] for name, fractions in both.items()]
        text = [f"{name:<10}" + "".join(f"{cell:>{max(width, 21)}}" for cell in cells) for name, *cells in lines]
        if not np.isnan(self.degenerate):
            text += [line.strip().capitalize() for line in same_window(self.window)]
            text.append(
                f"Distances: {self.wasserstein:.4g} in units of eigenvalues (Wasserstein), {self.kolmogorov:.4g} of "
                "their number (Kolmogorov)"
            )
        return "\n".join(text)

    def _share(self, fraction: float) -> str:
        """Return a fraction, and the number of eigenvalues where it is known."""
        count = f" ({round(fraction * self.num_eigenvalues):,})" if self.num_eigenvalues else ""
        return f"{percent(fraction)}{count}"

    def _numbers(self, window: Window, level: float) -> Numbers:
        columns = {"value": self.moments, "standard_error": self.standard_errors, "exact": self.exact_moments}
        both = {name: {"value": getattr(self, name), "exact": getattr(self, f"exact_{name}")} for name in FRACTIONS}
        table = rows(**columns, relative_error=self.relative_errors, z_score=self.z_scores)
        return {"moments": table, **both, **self._named("kolmogorov", "wasserstein", "labels", "window")}


def _percentage(error: float) -> str:
    """Return a relative error, without a sign where it is rounded to zero."""
    text = f"{error:.2%}"
    return text.removeprefix("-") if text == "-0.00%" else text


def compare(
    estimate: Moments | Density,
    exact: Density,
    *,
    num_moments: int = 4,
    window: Window | None = None,
    labels: tuple[str, str] | None = None,
) -> Comparison:
    """Compare an estimate with exact eigenvalues, or one estimate with another.

    Parameters
    ----------
    estimate
        `Moments`, or a density: `Spectrum`, `LanczosDensity`, the ``mixture`` of a fit, ...
    exact
        The reference, usually a `Spectrum`.
    num_moments
        How many moments are compared; of `Moments`, all.
    window
        Size of the window around 0 that counts as degenerate; "1%" is of the largest absolute exact eigenvalue.
        Default: that of the estimate, 0.2 unless it was estimated for another, with a warning if ``exact`` was
        estimated for yet another.
    labels
        What the two columns are called. Default: "estimate" and "exact" where ``exact`` is a `Spectrum`, else "first"
        and "second".

    Raises
    ------
    TypeError
        If ``estimate`` or ``exact`` is none of the above.

    Notes
    -----
    Between the nodes of the two densities the area between the distribution functions is integrated by a 4-point
    Gauss-Legendre rule: exact for two spectra. Cost: 4 evaluations of both cdfs per node.

    Examples
    --------
    >>> from hessdens import Spectrum
    >>> comparison = compare(Spectrum([0.0, 1.0]), Spectrum([0.0, 2.0]))
    >>> comparison.kolmogorov, comparison.wasserstein
    (0.5, 0.5)
    """
    _check_both(estimate, exact)
    if window is None:
        window = common_window([each for each in (estimate, exact) if isinstance(each, Density)])
    window = 2 * exact._half(window)
    if isinstance(estimate, Moments):
        moments, errors = estimate.values, estimate.standard_errors
        degenerate = negative = kolmogorov = wasserstein = math.nan
    else:
        moments, errors = estimate.moments(num_moments), np.full(num_moments, np.nan)
        degenerate, negative = estimate.fraction_degenerate(window), estimate.fraction_negative(window)
        kolmogorov, wasserstein = _distances(estimate, exact)
    exact_moments = exact.moments(len(moments))
    fractions = (degenerate, exact.fraction_degenerate(window), negative, exact.fraction_negative(window))
    labels = labels or (ESTIMATE_AND_EXACT if isinstance(exact, Spectrum) else ("first", "second"))
    size = getattr(exact, "size", 0)
    return Comparison(moments, exact_moments, errors, *fractions, kolmogorov, wasserstein, labels, size, window)


def _check_both(estimate: object, exact: object) -> None:
    """Raise TypeError, naming both, unless the first is a density or moments, and the second a density."""
    first, second = (type(each).__name__ for each in (estimate, exact))
    instead = INSTEAD.get(first) if first == second else None
    if isinstance(estimate, Density) and isinstance(exact, Moments):
        instead = "compare(moments, density)"
    if instead is not None:
        raise TypeError(
            f"compare takes an estimate and a density, its reference; got {first} and {second}. Write {instead}."
        )
    check_density(exact, "exact")
    if not isinstance(estimate, Moments):
        check_density(estimate, "estimate")


def _distances(first: Density, second: Density) -> tuple[float, float]:
    """Return the Kolmogorov and 1-Wasserstein distances."""
    nodes = np.union1d(first.nodes(), second.nodes())
    # The supremum is approached at a node from one of its sides.
    sides = np.concatenate([nodes, np.nextafter(nodes, -np.inf)])
    kolmogorov = float(np.max(np.abs(first.cdf(sides) - second.cdf(sides))))
    abscissae, weights = np.polynomial.legendre.leggauss(4)
    lengths = np.diff(nodes)
    x = nodes[:-1, None] + lengths[:, None] * (abscissae + 1) / 2
    gap = np.abs(first.cdf(x) - second.cdf(x))
    return kolmogorov, float(lengths @ (gap @ weights) / 2)
