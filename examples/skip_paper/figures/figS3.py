"""Figure S3: fractions from the mixture against those from exact eigenvalues, plain networks."""

import itertools
from pathlib import Path

import numpy as np

from hessdens import Spectrum
from skip_paper.figures.parts import figS3_plot
from skip_paper.figures.parts.figS3_points import LEAST_DEGENERATE, Points
from skip_paper.measures.fits import describe_fits, fit_fractions
from skip_paper.report.outcome import Outcome, caption_of
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec
from skip_paper.verdicts import claims
from skip_paper.verdicts.claims import Verdict

TITLE = "The mixture against exact spectra"


def runs(setting: Setting) -> list[RunSpec]:
    """Return the runs."""
    return setting.specs(setting.network("plain"))


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    points = {s.name: collect(s) for s in settings}
    epochs = ", ".join(f"{epoch:g}" for epoch in settings[0].size.spectrum_epochs)
    caption = f"{caption_of(settings)}; after {epochs} epochs"
    figS3_plot.draw({s.words: points[s.name] for s in settings}, caption, path)
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
    found = [arrays for arrays in map(setting.store.find, runs(setting)) if arrays is not None]
    samples = np.concatenate([run["samples"] for run in found])
    spectra = list(itertools.chain.from_iterable(run["eigenvalues"] for run in found))
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
