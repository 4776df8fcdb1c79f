"""Figure S3: fractions from the mixture against those from exact eigenvalues, plain networks."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skip_paper.figures.parts import figS3_plot
from skip_paper.figures.parts.figS3_points import LEAST_DEGENERATE, Points
from skip_paper.figures.parts.judging import scene_of, verdicts_of
from skip_paper.measures.fits import describe_fits, fit_fractions
from skip_paper.report.outcome import Outcome, caption_of
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec
from skip_paper.verdicts.evidence import Evidence, stopped
from skip_paper.verdicts.looks import single_look
from skip_paper.verdicts.means import difference
from skip_paper.verdicts.orders import rank_correlation
from skip_paper.verdicts.table import CLAIMS

TITLE = "The mixture against exact spectra"
WORDS = (
    "Fractions that the paper's mixture gives against exact ones, of networks with at least 99.8% degenerate "
    "eigenvalues. The paper: degenerate fractions are slightly underestimated, negative ones overestimated, and "
    "both are linearly related. Its grid says 99.9% or more, so that for exact fractions below that it must "
    "overestimate."
)
# Of the narrow component, instead of the paper's 0.001.
OTHER_SCALES = (1e-4, 1e-2)
FEWEST = 8  # networks
WIDER = 1e-2  # the largest weight of a grid that can say 99% degenerate
Array = NDArray[np.float64]


def runs(setting: Setting) -> list[RunSpec]:
    """Return the runs."""
    return setting.specs(setting.network("plain"))


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    points = {s.name: collect(s) for s in settings}
    epochs = ", ".join(f"{epoch:g}" for epoch in settings[0].size.spectrum_epochs)
    caption = f"{caption_of(settings, WORDS)} After {epochs} epochs."
    figS3_plot.draw({s.words: points[s.name] for s in settings}, caption, path)
    numbers = {name: found.summary() for name, found in points.items()}
    verdicts = {s.name: verdicts_of("figS3", [], scene_of(s), computed=evidence(points[s.name])) for s in settings}
    return Outcome(numbers, verdicts, caption)


def evidence(points: Points) -> dict[str, Evidence]:
    """Return what spectra with at least 99.8% degenerate eigenvalues say; a network counts once, by its means."""
    networks = np.unique(points.network[points.selected])
    if len(networks) < FEWEST:
        return {}
    plan = single_look(len(networks))

    def means(values: Array) -> Array:
        return np.array([100 * values[points.selected & (points.network == n)].mean() for n in networks])

    def compare(key: str, larger: Array, smaller: Array) -> Evidence:
        return difference(means(larger), means(smaller), margin=CLAIMS[key].margin, paired=True, plan=plan)

    actual, estimated = points.actual, points.estimated
    found = {
        "S3-degenerate": compare("S3-degenerate", actual["degenerate"], estimated["degenerate"]),
        "S3-wider": compare("S3-wider", actual["degenerate"], points.on_wider_grid),
        "S3-negative": compare("S3-negative", estimated["negative"], actual["negative"]),
    }
    for quantity in actual:
        key = f"S3-line-{quantity}"
        x, y = means(actual[quantity]), means(estimated[quantity])
        found[key] = rank_correlation(x, y, margin=CLAIMS[key].margin)
    narrow, wide = (compare("S3-narrow", values, estimated["degenerate"]) for values in points.other_scales)
    moved = max(narrow, wide, key=lambda one: abs(one.effect))
    same = all(np.array_equal(values, estimated["degenerate"]) for values in points.other_scales)
    return {**found, "S3-narrow": stopped("all fits are the same") if same else moved}


def collect(setting: Setting) -> Points:
    """Return the points of the finished runs."""
    series = setting.series("plain", "0.5", runs(setting))
    samples = np.array([run["samples"] for run in series.runs])
    fractions = fit_fractions(samples)
    others = [fit_fractions(samples, narrow_scale=scale) for scale in OTHER_SCALES]
    wider = fit_fractions(samples, largest_weight=WIDER)
    exact = {quantity: series.values(f"exact {quantity}") for quantity in ("degenerate", "negative")}
    usable = np.isfinite(exact["degenerate"]) & np.isfinite(fractions.degenerate)
    network = np.broadcast_to(np.arange(len(samples))[:, None], usable.shape)
    return Points(
        {quantity: values[usable] for quantity, values in exact.items()},
        {"degenerate": fractions.degenerate[usable], "negative": fractions.negative[usable]},
        fractions.on_edge[usable],
        exact["degenerate"][usable] >= LEAST_DEGENERATE,
        describe_fits(fractions.fits),
        network[usable],
        tuple(other.degenerate[usable] for other in others),
        wider.degenerate[usable],
    )
