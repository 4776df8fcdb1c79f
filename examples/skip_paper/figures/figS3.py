"""Figure S3: fractions from the mixture against those from exact eigenvalues, plain networks."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hessdens import Spectrum
from skip_paper.figures.parts import figS3_plot
from skip_paper.figures.parts.figS3_points import LEAST_DEGENERATE, Points
from skip_paper.measures.fits import describe_fits, fit_fractions
from skip_paper.networks.skip_network import NetworkSpec
from skip_paper.runs.experiment import Outcome, Setting, caption_of
from skip_paper.runs.store import RunSpec
from skip_paper.verdicts import claims
from skip_paper.verdicts.claims import Verdict

TITLE = "The mixture against exact spectra"
NUM_COMPONENTS = 128


def stages(setting: Setting) -> Iterator[list[RunSpec]]:
    """Yield the runs."""
    yield _specs(setting)


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    points = {s.condition.name: collect(s) for s in settings}
    epochs = ", ".join(f"{epoch:g}" for epoch in settings[0].size.spectrum_epochs)
    caption = f"{caption_of(settings[0])}; after {epochs} epochs; inputs: {NUM_COMPONENTS} principal components"
    figS3_plot.draw({s.condition.words: points[s.condition.name] for s in settings}, caption, path)
    numbers = {name: found.summary() for name, found in points.items()}
    return Outcome(numbers, {name: judge(found) for name, found in points.items()}, caption)


def judge(points: Points) -> list[Verdict]:
    """Return the verdicts, over spectra with at least 99.8% degenerate eigenvalues."""
    chosen = points.selected
    both = {q: (100 * points.estimated[q][chosen], 100 * points.actual[q][chosen]) for q in points.actual}
    degenerate, negative = both["degenerate"], both["negative"]
    least = f"spectra with at least {LEAST_DEGENERATE:.1%} degenerate"
    return [
        claims.paired("The mixture underestimates the degenerate fraction", degenerate[1] - degenerate[0], least),
        claims.paired("The mixture overestimates the negative fraction", negative[0] - negative[1], least),
        *(
            claims.slope(f"Estimated and actual {q} fractions are linearly related", x, y, "slope")
            for q, (y, x) in both.items()
        ),
    ]


def collect(setting: Setting) -> Points:
    """Return the points of the finished runs."""
    runs = [arrays for arrays in map(setting.store.find, _specs(setting)) if arrays is not None]
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


def _specs(setting: Setting) -> list[RunSpec]:
    size = setting.size
    network = NetworkSpec("plain", size.depth, size.width, setting.condition.hidden_start)
    return setting.specs(network, exact=True, num_components=NUM_COMPONENTS)
