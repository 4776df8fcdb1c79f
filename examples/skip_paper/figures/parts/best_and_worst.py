"""Best against worst runs of one network: figures 4, S2 and S7. Runs are chosen by mean training accuracy."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from skip_paper.figures.parts import panels
from skip_paper.figures.parts.judging import scene_of, verdicts_of
from skip_paper.measures.series import Series
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec
from skip_paper.verdicts.decisions import Verdict

QUANTITIES = (
    "train_accuracy", "test_accuracy", "degenerate", "negative", "relative", "weight_norm", "overlap",
    "variance_explained", "zero_rectified", "dead_units", "gradient_norm",
)  # fmt: skip
COLUMNS = 3
PANELS = ("train_accuracy", "degenerate", "weight_norm", "overlap", "variance_explained")


def runs(setting: Setting, data: str) -> list[RunSpec]:
    """Return all runs. All have their spectra, so that those that are chosen are not trained again."""
    return setting.specs(setting.network("plain"), data=data)


def series(setting: Setting, data: str) -> list[Series]:
    """Return the best and the worst runs."""
    specs = runs(setting, data)
    first = specs[0].seed
    groups = zip(("best", "worst"), (panels.BLUE, panels.BLACK), chosen_seeds(setting, data), strict=True)
    return [
        setting.series(f"{name} {setting.size.chosen}", colour, [specs[seed - first] for seed in seeds])
        for name, colour, seeds in groups
    ]


def chosen_seeds(setting: Setting, data: str) -> tuple[list[int], list[int]]:
    """Return the seeds of the best and worst runs by mean training accuracy; runs that diverged are the worst."""
    specs = runs(setting, data)
    means = np.nan_to_num(setting.series("", "", specs).of_runs("train_accuracy"), nan=-1.0)
    order = [specs[index].seed for index in np.argsort(-means, kind="stable")]
    return order[: setting.size.chosen], order[-setting.size.chosen :]


def judge(figure: str, setting: Setting, data: str, condition: str) -> list[Verdict]:
    """Return the verdicts on what predicts accuracy, over all runs."""
    every = setting.series("all", panels.BLACK, runs(setting, data))
    return verdicts_of(figure, [every], scene_of(setting, data, condition))


def draw(
    rows: Mapping[str, tuple[Setting, str]], caption: str, path: Path, names: tuple[str, ...] = PANELS, *,
    tick: float | None = None,
) -> None:  # fmt: skip
    """Draw the panels of each setting and data set, three in a row; ``tick``: the paper's of degenerate ones."""
    figure, all_axes = panels.grid(len(rows) * math.ceil(len(names) / COLUMNS), COLUMNS)
    group: list[Series] = []
    for axes, (title, (setting, data)) in zip(all_axes.reshape(len(rows), -1), rows.items(), strict=True):
        group = series(setting, data)
        for ax, name in zip(axes, names, strict=False):
            if name in ("degenerate", "negative"):
                panels.fractions(ax, group, name, scene_of(setting, data).parameters)
                if name == "degenerate" and tick is not None:
                    panels.paper_tick(ax, tick, degenerate=True)
            else:
                panels.curves(ax, group, name)
        for ax in axes[len(names) :]:
            ax.remove()
        panels.name_row(axes[0], title)
    panels.finish(figure, group, caption, path, ticks=tick is not None)
