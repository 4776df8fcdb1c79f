"""One page about result files that stands alone: pictures, numbers, single eigenvalues, traces of layers."""

import base64
import io
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from hessdens._checks import LEVEL
from hessdens._types import Window
from hessdens._version import __version__
from hessdens.cli.output import without_fit
from hessdens.cli.pictures import DRAWN, draw
from hessdens.densities import Comparison, Density, Spectrum
from hessdens.densities.lanczos import LanczosDensity
from hessdens.loading import Result
from hessdens.monitor import SpectrumHistory
from hessdens.plotting import plot_density
from hessdens.plotting.axes import DPI, SIZE, page_class
from hessdens.results import Moments
from hessdens.results.summaries.html import as_html
from hessdens.results.summaries.text import percent, with_interval

# Single eigenvalues that are listed at each end.
LISTED = 10
# More densities than this are not legible on one pair of axes.
TOGETHER = 4
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
img { max-width: 100%; height: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
th { white-space: nowrap; }
th, td { text-align: left; padding: 0.15rem 1rem 0.15rem 0; vertical-align: top; overflow-wrap: anywhere; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { white-space: pre-wrap; }
caption { text-align: left; }
footer { color: #666; font-size: 0.85em; margin-top: 3rem; }
"""
# For readers who did not make the results.
WORDS = (
    "Eigenvalues of the Hessian are curvatures of the loss. Those inside of the window, an interval around 0, are "
    "degenerate: the loss is almost flat in so many directions. Negative ones lie left of the window. Intervals in "
    "brackets are for this window, and do not include its choice. A number after ± bounds the error of an eigenvalue. "
    "A product is the Hessian times a vector. Curvature alone tells no saddle point from a slope: that takes the "
    "gradient, which is not on this page."
)


def page(results: Mapping[str, Result], window: Window | None = None, level: float = LEVEL) -> str:
    """Return a page of HTML about results by their names, which needs no other file and no network."""
    densities = {name: density for name, result in results.items() if (density := density_of(result)) is not None}
    parts = ["<h1>Spectra</h1>" if len(results) > 1 else f"<h1>{escape(next(iter(results)))}</h1>"]
    if densities:
        parts.append(_picture_of(densities, window, level))
        if {density.matrix for density in densities.values()} == {"Hessian"}:
            parts.append(f"<p>{WORDS}</p>")
    if len(layers := {n: r for n, r in results.items() if isinstance(r, Moments)}) > 1:
        parts.append(_traces(layers))
    for name, result in results.items():
        text = as_html(result.summary(window, level)) if isinstance(result, Density) else result._repr_html_()
        parts.append(f"<h2>{escape(name)}</h2>{text}")
        if isinstance(result, DRAWN) and name not in densities:
            parts.append(_image(_figure(result, name, window, level), f"picture of {name}"))
        if not isinstance(result, Density | Moments | Comparison | SpectrumHistory):
            parts.append(_fractions(result.numbers(window, level)))
        if isinstance(result, LanczosDensity):
            parts.append(_eigenvalues(result))
    parts.append(f"<footer>Made by <code>hessdens report</code>, hessdens {__version__}.</footer>")
    head = f"<meta charset='utf-8'><meta name='viewport' content='width=device-width'><style>{STYLE}</style>"
    return (
        f"<!doctype html><html lang='en'><head>{head}<title>Spectra</title></head><body>{''.join(parts)}</body></html>"
    )


def density_of(result: Any) -> Density | None:
    """Return the density that a result is, or that a fit stands for; None if there is none."""
    density = without_fit(result)
    return density if isinstance(density, Density) else None


def _picture_of(densities: Mapping[str, Density], window: Window | None, level: float) -> str:
    """Return all densities on the same axes; exact eigenvalues, where there is one such file, in grey behind."""
    exact = [name for name, density in densities.items() if isinstance(density, Spectrum)]
    behind = densities[exact[0]] if len(exact) == 1 and len(densities) > 1 else None
    shown = [name for name in densities if densities[name] is not behind][:TOGETHER]
    figure = page_class()(figsize=SIZE, dpi=DPI, layout="constrained")
    ax = figure.subplots()
    for index, name in enumerate(shown):
        first = behind if index == 0 and isinstance(behind, Spectrum) else None
        band = level if len(shown) == 1 else None
        plot_density(densities[name], exact=first, ax=ax, label=name, window=window, level=band)
    return _image(figure, f"densities of {', '.join(shown)}")


def _figure(result: Any, name: str, window: Window | None, level: float) -> Any:
    """Return the picture of a result that is no density."""
    figure = page_class()(figsize=SIZE, dpi=DPI, layout="constrained")
    draw(figure, [result], [name], None, window=window, level=level)
    return figure


def _image(figure: Any, description: str) -> str:
    content = io.BytesIO()
    figure.savefig(content, format="png")
    data = base64.b64encode(content.getvalue()).decode()
    return f"<img alt='{escape(description, quote=True)}' src='data:image/png;base64,{data}'>"


def _fractions(numbers: Mapping[str, Any]) -> str:
    """Return fractions in the window that was asked for."""
    if "fractions" not in numbers:
        return ""
    fractions = numbers["fractions"]
    rows = []
    for name in ("degenerate", "negative"):
        part = fractions[name]
        has_interval = "low" in part
        share = with_interval(part["value"], part["low"], part["high"]) if has_interval else percent(part["value"])
        rows.append([name, share])
    title = f"Fractions in a window of {fractions['window']:g}, intervals at {100 * fractions['level']:.4g}%"
    return _table(title, ["", "fraction"], rows)


def _eigenvalues(density: LanczosDensity) -> str:
    """Return the ends of the list of eigenvalues that were found one by one."""
    pairs = list(zip(density.eigenvalues_found, density.eigenvalue_errors, strict=True))
    ends = pairs[::-1] if len(pairs) <= 2 * LISTED else [*pairs[: -LISTED - 1 : -1], *pairs[LISTED - 1 :: -1]]
    title = f"Largest and smallest of {len(pairs)} eigenvalues found one by one"
    return _table(title, ["eigenvalue", "error below"], [[f"{value:.6g}", f"{error:.1e}"] for value, error in ends])


def _traces(layers: Mapping[str, Moments]) -> str:
    rows = []
    for name, m in layers.items():
        low, high = m.size * m.interval()[:, 0]
        rows.append([name, f"{m.size:,}", f"{m.trace:.4g}", f"{low:.4g} to {high:.4g}"])
    return _table("Traces", ["", "parameters", "trace", "95% interval"], rows)


def _table(title: str, names: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=number' if i else ''}>{escape(cell)}</td>" for i, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    caption = f"<caption><b>{escape(title)}</b></caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def names_of(paths: list[str]) -> list[str]:
    """Return a name for each file: its stem, or its path where two stems are equal."""
    stems = [Path(path).stem for path in paths]
    return stems if len(set(stems)) == len(stems) else list(paths)
