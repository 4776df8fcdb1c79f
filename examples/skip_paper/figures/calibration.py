"""At which start of the weights are the paper's own axes met? Before any training, except that of the paper.

The paper does not state how its weights started beyond "Glorot normal", nor its pixel scaling, but its figures have
axes. Each axis here is one of them: a tick that its text layer keeps, and what is measured at step 0 in its unit. The
start that meets most of them is the condition "calibrated".
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from skip_paper.figures.parts import panels
from skip_paper.measures.series import Series
from skip_paper.networks.skip_network import ARCHITECTURES
from skip_paper.networks.specification import NetworkSpec
from skip_paper.report.outcome import Outcome, caption_of
from skip_paper.runs.conditions import Condition
from skip_paper.runs.presets import COMPONENTS
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec

TITLE = "The start of the weights at which the paper's axes are met"
WORDS = (
    "Before any training step: what the paper's axes show, against the start of the hidden weights. Line: the "
    "paper's tick; grey: the range that counts as met. The start that meets most of the axes is the condition "
    "“calibrated”."
)
STARTS = (0.1, 0.25, 0.35, 0.5, 0.7, 1.0)
# Whether weights are drawn from a truncated normal distribution, as by Keras of 2017, and whether layers share skips.
VARIANTS = {"normal": (False, True), "truncated normal": (True, True), "normal, a matrix a layer": (False, False)}
STYLES = {"normal": "-", "truncated normal": "--", "normal, a matrix a layer": ":"}
TAUS = (0.0, 0.01, 0.025)


@dataclass(frozen=True)
class Axis:
    """One axis of the paper: its tick, and what is compared with it.

    ``kinds`` names the networks; ``measured`` gives the number of one series; of the networks the largest counts. The
    axis is met where it is within ``factor`` of the tick.
    """

    name: str
    quantity: str
    tick: float
    factor: float
    kinds: Callable[[Setting, bool], list[NetworkSpec]]
    measured: Callable[[Series], float]
    depth: float = 1.0
    shallow: bool = False
    spectrum: bool = False
    needs_matrices: bool = False


def _matrices(setting: Setting, shared: bool) -> list[NetworkSpec]:
    scale = 128 / setting.size.width
    return [setting.network("residual", skip_correlation=tau * scale, shared_skips=shared) for tau in TAUS]


def _pair(setting: Setting, shared: bool) -> list[NetworkSpec]:
    return [setting.network(architecture) for architecture in ("plain", "residual")]


def _three(setting: Setting, shared: bool) -> list[NetworkSpec]:
    return [setting.network(architecture) for architecture in ARCHITECTURES]


def _identity(setting: Setting, shared: bool) -> list[NetworkSpec]:
    return [setting.network("residual")]


def _plain(setting: Setting, shared: bool) -> list[NetworkSpec]:
    return [setting.network("plain")]


def _largest_gradient(series: Series) -> float:
    return float(series.by_layer("gradient_norm")[:, 0].mean(axis=0).max())


def _gradient(series: Series) -> float:
    return _at_start(series, "gradient_norm")


def _zeros(series: Series) -> float:
    return _at_start(series, "zero_probability")


def _not_degenerate(series: Series) -> float:
    return 100 * (1 - _at_start(series, "mixture degenerate"))


def _negative(series: Series) -> float:
    return 100 * _at_start(series, "mixture negative")


def _at_start(series: Series, name: str) -> float:
    return float(np.nanmean(series.values(name)[:, 0]))


# Fractions are those of the paper's fit, as its axes are.
AXES = (
    Axis("8b", "largest gradient norm of a layer", 0.05, 2, _matrices, _largest_gradient, needs_matrices=True),
    Axis("S6e", "mean gradient norm", 0.0015, 2, _pair, _gradient, shallow=True),
    Axis("7b", "probability of zero responses", 0.05, 2, _identity, _zeros),
    Axis("3b", "not degenerate (%)", 0.1, 5, _three, _not_degenerate, depth=2 / 3, spectrum=True),
    Axis("3c", "negative (%)", 2.5e-3, 5, _three, _negative, depth=2 / 3, spectrum=True),
    Axis("S7", "not degenerate (%)", 1e-3, 5, _plain, _not_degenerate, spectrum=True),
)


def runs(setting: Setting) -> list[RunSpec]:
    """Return runs without a step, of each start."""
    return [spec for case in _cases(setting) for specs in case.specs for spec in specs]


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw what was measured against the paper's axes; return it, and the start that meets each."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for case in _cases(settings[0]):
        value = max(case.axis.measured(case.setting.series("", "", specs)) for specs in case.specs)
        table.setdefault(case.axis.name, {}).setdefault(case.variant, {})[f"{case.start:g}"] = value
    met = {axis.name: {v: starts_that_meet(axis, values) for v, values in table[axis.name].items()} for axis in AXES}
    counts = {
        variant: {
            f"{start:g}": sum(
                _meets(axis, table[axis.name].get(variant, table[axis.name]["normal"])[f"{start:g}"]) for axis in AXES
            )
            for start in STARTS
        }
        for variant in VARIANTS
    }
    caption = caption_of(settings[:1], WORDS, varied=True)
    figure, rows = panels.grid(2, 3)
    for ax, axis in zip(rows.flat, AXES, strict=True):
        _draw(ax, axis, table[axis.name])
    handles = [Series(name, "0.1", [], np.empty(0), np.empty(0)) for name in VARIANTS]
    panels.finish(figure, handles, caption, path, spectra=False, styles=STYLES)
    return Outcome({"": {"measured": table, "met": met, "axes_met": counts}}, {}, caption)


def starts_that_meet(axis: Axis, values: dict[str, float]) -> list[float]:
    """Return the starts at which the tick itself is met, by interpolation on logarithmic scales."""
    starts = np.log([float(start) for start in values])
    with np.errstate(divide="ignore"):
        distances = np.log(list(values.values())) - np.log(axis.tick)
    found = []
    for i in range(len(starts) - 1):
        first, second = distances[i], distances[i + 1]
        if np.isfinite([first, second]).all() and first * second <= 0 and first != second:
            found.append(float(np.exp(starts[i] + (starts[i + 1] - starts[i]) * first / (first - second))))
    return found


def _meets(axis: Axis, value: float) -> bool:
    return axis.tick / axis.factor <= value <= axis.tick * axis.factor


@dataclass(frozen=True)
class _Case:
    """What is measured for one axis at one start."""

    axis: Axis
    variant: str
    start: float
    setting: Setting
    specs: list[list[RunSpec]]


def _cases(setting: Setting) -> list[_Case]:
    found = []
    for axis in AXES:
        for variant, (truncated, shared) in VARIANTS.items():
            if (not shared and not axis.needs_matrices) or (truncated and axis.spectrum):
                continue
            for start in STARTS:
                varied = _varied(setting, axis, start, truncated)
                specs = [varied.specs(kind, spectrum=axis.spectrum) for kind in axis.kinds(varied, shared)]
                found.append(_Case(axis, variant, start, varied, specs))
    return found


def _varied(setting: Setting, axis: Axis, start: float, truncated: bool) -> Setting:
    size = replace(setting.size, epochs=0, spectrum_epochs=(0,) if axis.spectrum else ())
    if axis.shallow:
        size = replace(size, depth=2, width=16, num_components=COMPONENTS, runs=4 * size.runs)
    else:
        size = replace(size, depth=round(axis.depth * size.depth))
    return replace(setting, size=size, condition=Condition("", setting.condition.scaling, start, truncated))


def _draw(ax: Axes, axis: Axis, table: dict[str, dict[str, Any]]) -> None:
    ax.axhspan(axis.tick / axis.factor, axis.tick * axis.factor, color="0.9")
    ax.axhline(axis.tick, color="0.6", lw=1)
    for variant, values in table.items():
        heights = np.array(list(values.values()))
        ax.plot(STARTS, np.where(heights > 0, heights, np.nan), STYLES[variant], color="0.1", marker="o", ms=3.5)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(STARTS, [f"{start:g}" for start in STARTS])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("start of the hidden weights / Glorot")
    ax.set_ylabel(axis.quantity)
    ax.set_title(f"figure {axis.name}", fontsize=10)
