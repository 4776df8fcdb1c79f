"""Figure 7: skip matrices with fewer and fewer distinct orthonormal columns, and identity skips."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np

from skip_paper.figures.parts import panels
from skip_paper.networks.skip_network import NetworkSpec
from skip_paper.runs.experiment import Outcome, Series, Setting, caption_of, outcome
from skip_paper.runs.store import RunSpec
from skip_paper.verdicts import claims
from skip_paper.verdicts.claims import Verdict

TITLE = "Random dense orthogonal skips against identity skips"
QUANTITIES = ("train_accuracy", "test_accuracy", "zero_probability", "zero_rectified")
UNIT = "percentage points, mean over epochs"
IDENTITY = "identity"


def stages(setting: Setting) -> Iterator[list[RunSpec]]:
    """Yield the runs of all kinds."""
    yield [spec for kind in _kinds(setting) for spec in setting.specs(_network(setting, kind), spectrum=False)]


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    groups = {s.condition.name: _series(s) for s in settings}
    figure, rows = panels.grid(len(settings), 3)
    for axes, setting in zip(rows, settings, strict=True):
        group = groups[setting.condition.name]
        panels.curves(axes[0], group, "train_accuracy")
        pair = [s for s in group if s.label in (IDENTITY, _densest(setting))]
        panels.curves(axes[1], pair, "zero_probability")
        panels.curves(axes[2], pair, "zero_rectified")
        if len(settings) > 1:
            panels.name_row(axes[0], setting.condition.words)
    caption = caption_of(settings[0]) + "; numbers in the legend: distinct orthonormal columns"
    panels.finish(figure, groups[settings[0].condition.name], caption, path, spectra=False)
    verdicts = {s.condition.name: judge(groups[s.condition.name], _densest(s)) for s in settings}
    return outcome(groups, verdicts, QUANTITIES, caption)


def judge(group: list[Series], densest: str) -> list[Verdict]:
    """Return the verdicts: means of each run over the epochs after the start."""
    by_label = {series.label: series for series in group}
    accuracy = {label: 100 * series.of_runs("train_accuracy") for label, series in by_label.items()}
    x = np.concatenate([np.full(len(a), np.log2(int(k))) for k, a in accuracy.items() if k != IDENTITY])
    y = np.concatenate([a for k, a in accuracy.items() if k != IDENTITY])
    zeros = {label: by_label[label].of_runs("zero_probability") for label in (IDENTITY, densest)}
    return [
        claims.difference(
            "Training accuracy: dense orthogonal skips above identity", accuracy[densest], accuracy[IDENTITY], UNIT
        ),
        claims.slope("Training accuracy rises with the number of distinct skip vectors", x, y, f"{UNIT}, a doubling"),
        claims.difference(
            "Probability of zero responses: lower with dense orthogonal skips than with identity",
            zeros[IDENTITY], zeros[densest], "probability, mean over epochs",
        ),
    ]  # fmt: skip


def _kinds(setting: Setting) -> list[str]:
    return [IDENTITY, *(str(int(value)) for value in setting.size.values)]


def _densest(setting: Setting) -> str:
    return str(int(max(setting.size.values)))


def _network(setting: Setting, kind: str) -> NetworkSpec:
    size = setting.size
    vectors = None if kind == IDENTITY else int(kind)
    start = setting.condition.hidden_start
    return NetworkSpec("residual", size.depth, size.width, start, num_skip_vectors=vectors)


def _series(setting: Setting) -> list[Series]:
    kinds = _kinds(setting)
    greys = mpl.colormaps["Greys_r"](np.linspace(0, 0.75, max(len(kinds) - 1, 1)))
    colours = [panels.BLUE, *(mpl.colors.to_hex(grey) for grey in greys)]
    return [
        setting.series(kind, colour, setting.specs(_network(setting, kind), spectrum=False))
        for kind, colour in zip(kinds, colours, strict=True)
    ]
