"""What is measured: errors of fractions, distances and moments, and how often intervals hold, with their widths."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from hessdens import Spectrum
from spectra.catalogue import Case

WINDOW = 0.2
WINDOWS: dict[str, float | str] = {"0.2": 0.2, "0.02": 0.02, "2e-3": 2e-3, "1%": "1%"}
QUANTILES = (0.1, 0.5, 0.9)
NUM_MOMENTS = 4
# Slack of an interval, for rounding alone: relative to the mean of the absolute eigenvalues to the moment's power.
ROUNDING = 1e-9
# Widths are told in cells where the root-mean-square error is larger than one eigenvalue.
Row = tuple[float, float, float, float]  # exact value, estimate, lower and upper end


def degenerate(density: Any, window: float) -> float:
    """Return the mass strictly inside the window."""
    if hasattr(density, "fraction_degenerate"):
        return float(density.fraction_degenerate(window))
    ends = density.cdf(np.array([-window / 2, np.nextafter(window / 2, 0)]))
    return float(ends[1] - ends[0])


def negative(density: Any, window: float) -> float:
    """Return the mass to the left of the window, its end included."""
    if hasattr(density, "fraction_negative"):
        return float(density.fraction_negative(window))
    return float(density.cdf(np.array([-window / 2]))[0])


def distance(density: Any, case: Case) -> float:
    """Return the Wasserstein distance, the area between two cdfs, by four points between the nodes of both."""
    nodes = np.union1d(density.nodes(), case.marks)
    abscissae, weights = np.polynomial.legendre.leggauss(4)
    lengths = np.diff(nodes)
    points = nodes[:-1, None] + lengths[:, None] * (abscissae + 1) / 2
    gaps = np.abs(density.cdf(points.ravel()) - case.exact.cdf(points.ravel()))
    return float(lengths @ (gaps.reshape(points.shape) @ (weights / 2)))


def _relative(value: float, exact: float) -> float:
    """Return the relative error; the absolute one where the exact value is 0."""
    return abs(value - exact) / (exact or 1.0)


def moment_errors(values: np.ndarray, case: Case) -> dict[str, float]:
    """Return errors of moments, relative to those of the absolute eigenvalues."""
    eigenvalues = case.exact.eigenvalues
    return {
        f"m_{k}": abs(value - np.mean(eigenvalues**k)) / np.mean(np.abs(eigenvalues) ** k)
        for k, value in enumerate(values, start=1)
    }


def errors(answer: Any, case: Case) -> dict[str, float]:
    """Return the errors of a density: of 1 - degenerate and negative, W1, and moments; of moments, of these."""
    if not hasattr(answer, "cdf"):
        return moment_errors(answer.values, case)
    return {
        "outside": _relative(1 - degenerate(answer, WINDOW), 1 - case.exact.fraction_degenerate(WINDOW)),
        "negative": _relative(negative(answer, WINDOW), case.exact.fraction_negative(WINDOW)),
        "distance": distance(answer, case),
        **moment_errors(answer.moments(NUM_MOMENTS), case),
    }


def intervals(answer: Any, case: Case) -> dict[str, Row]:
    """Return each number for which an estimate states an interval: exact value, estimate, lower and upper end."""
    exact, found = case.exact, {}
    if hasattr(answer, "values") and np.isfinite(answer.interval()).all():
        rows = zip(exact.moments(len(answer.values)), answer.values, *answer.interval(), strict=True)
        found |= {f"m_{k}": row for k, row in enumerate(rows, start=1)}
    if hasattr(answer, "moments_interval"):
        values, ends = answer.moments(NUM_MOMENTS), answer.moments_interval(NUM_MOMENTS)
        rows = zip(exact.moments(NUM_MOMENTS), values, *ends, strict=True)
        found |= {f"m_{k}": row for k, row in enumerate(rows, start=1)}
    if hasattr(answer, "cdf_interval"):
        points = np.quantile(exact.eigenvalues, QUANTILES, method="inverted_cdf")
        rows = zip(exact.cdf(points), answer.cdf(points), *answer.cdf_interval(points), strict=True)
        found |= {f"cdf at {q:.0%}": row for q, row in zip(QUANTILES, rows, strict=True)}
    for name, window in WINDOWS.items():
        width = 2 * exact._half(window)
        for part, value in (("degenerate", degenerate), ("negative", negative)):
            if hasattr(answer, f"{part}_interval"):
                ends = getattr(answer, f"{part}_interval")(width)
                found[f"{part}, {name}"] = (value(exact, width), value(answer, width), *ends)
        if hasattr(answer, "mass_interval"):
            edges = [0.0, width / 2]
            ends = answer.mass_interval(edges)[:, 0]
            found[f"mass, {name}"] = (exact.mass(*edges), answer.mass(*edges), *ends)
    return {name: tuple(map(float, row)) for name, row in found.items()}


def change_intervals(before: Any, after: Any, exact_before: Spectrum, exact_after: Spectrum) -> dict[str, Row]:
    """Return the changes of both fractions and of m_2 from one matrix to another, with their intervals."""
    found = {}
    for name, window in WINDOWS.items():
        width = 2 * exact_before._half(window)
        change = before.difference(after, window=width)
        ends = change.interval()
        for place, part in ((4, degenerate), (5, negative)):
            exact = part(exact_after, width) - part(exact_before, width)
            found[f"change of {part.__name__}, {name}"] = (exact, change.values[place], *ends[:, place])
    exact = exact_after.moments(2)[1] - exact_before.moments(2)[1]
    found["change of m_2"] = (exact, change.values[1], *ends[:, 1])
    return {name: tuple(map(float, row)) for name, row in found.items()}


def cell(number: str, rows: Iterable[Row], case: Case) -> tuple[float, float, float]:
    """Return coverage, mean width and root-mean-square error of a number over seeds."""
    exact, values, low, high = np.array(list(rows)).T
    order = int(number.split("m_")[1][0]) if "m_" in number else 0
    slack = ROUNDING * float(np.mean(np.abs(case.exact.eigenvalues) ** order))
    coverage = np.mean((low - slack <= exact) & (exact <= high + slack))
    return float(coverage), float(np.mean(high - low)), float(np.sqrt(np.mean((values - exact) ** 2)))


def summary_of(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each error over seeds; of moments the root of the mean square."""
    columns = {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ())}
    return {
        name: float(np.sqrt(np.mean(each**2)) if name.startswith("m_") else np.median(each))
        for name, each in columns.items()
    }
