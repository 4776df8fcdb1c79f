"""Figure 7: skip matrices with fewer and fewer distinct orthonormal columns, and identity skips."""

from pathlib import Path

import matplotlib as mpl
import numpy as np

from skip_paper.figures.parts import panels
from skip_paper.figures.parts.judging import scene_of, verdicts_of
from skip_paper.measures.series import Series
from skip_paper.report.outcome import Outcome, caption_of, outcome
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec
from skip_paper.verdicts.decisions import Verdict

TITLE = "Random dense orthogonal skips against identity skips"
WORDS = (
    "(a) Training accuracy with identity skips (blue) and with random dense skips of so many distinct orthonormal "
    "columns (greys; one matrix for all layers). (b) Probability of zero responses and (c) of zero ReLU outputs. "
    "The paper: dense orthogonal skips are slightly better than the identity, fewer distinct columns are worse, "
    "and responses are less often zero with dense skips."
)
QUANTITIES = ("train_accuracy", "test_accuracy", "zero_probability", "zero_rectified", "gradient_norm")
IDENTITY = "identity"


def runs(setting: Setting) -> list[RunSpec]:
    """Return the runs of all kinds, CIFAR-100 first."""
    return [
        spec
        for data in setting.distinct(setting.size.data)
        for kind in _kinds(setting)
        for spec in _specs(setting, kind, data)
    ]


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    rows_of = [(s, data) for s in settings for data in s.distinct(s.size.data)]
    groups = {_name(s, data): _series(s, data) for s, data in rows_of}
    figure, rows = panels.grid(len(rows_of), 3)
    for axes, (setting, data) in zip(rows, rows_of, strict=True):
        group = groups[_name(setting, data)]
        panels.curves(axes[0], group, "train_accuracy")
        pair = [s for s in group if s.label in (IDENTITY, _densest(setting))]
        panels.curves(axes[1], pair, "zero_probability")
        for tick in (0.03, 0.07):
            panels.paper_tick(axes[1], tick)
        panels.curves(axes[2], pair, "zero_rectified")
        panels.name_row(axes[0], f"{setting.words}\n{setting.load(data).title}")
    caption = caption_of(settings, WORDS)
    panels.finish(figure, next(iter(groups.values())), caption, path, spectra=False, ticks=True)
    verdicts = {_name(s, data): _judge(s, data, groups[_name(s, data)]) for s, data in rows_of}
    return outcome(groups, verdicts, QUANTITIES, caption)


def _judge(setting: Setting, data: str, group: list[Series]) -> list[Verdict]:
    dense = next(s for s in group if s.label == _densest(setting))
    return verdicts_of("fig7", group, scene_of(setting, data, _name(setting, data)), also={"dense": dense})


def _kinds(setting: Setting) -> list[str]:
    return [IDENTITY, *(str(int(value)) for value in setting.size.values)]


def _densest(setting: Setting) -> str:
    return str(int(max(setting.size.values)))


def _name(setting: Setting, data: str) -> str:
    return f"{setting.name}, {setting.load(data).title}"


def _specs(setting: Setting, kind: str, data: str) -> list[RunSpec]:
    vectors = None if kind == IDENTITY else int(kind)
    return setting.specs(setting.network("residual", num_skip_vectors=vectors), data=data, spectrum=False)


def _series(setting: Setting, data: str) -> list[Series]:
    kinds = _kinds(setting)
    greys = mpl.colormaps["Greys_r"](np.linspace(0, 0.75, max(len(kinds) - 1, 1)))
    colours = [panels.BLUE, *(mpl.colors.to_hex(grey) for grey in greys)]
    return [
        setting.series(kind, colour, _specs(setting, kind, data)) for kind, colour in zip(kinds, colours, strict=True)
    ]
