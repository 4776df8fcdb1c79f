"""Best against worst runs of one network: figures 4, S2 and S7. Runs are chosen by mean training accuracy."""

import math
from pathlib import Path

import numpy as np

from skip_paper.figures.parts import panels
from skip_paper.measures.series import Series
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec
from skip_paper.verdicts import claims
from skip_paper.verdicts.claims import Verdict

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


def judge(group: list[Series], *, figure: str = "") -> list[Verdict]:
    """Return the verdicts on what the worst runs differ in."""
    best, worst = group
    rules = {
        "degenerate": (worst, best, 100, "more degenerate", "percentage points"),
        "weight_norm": (best, worst, 1, "smaller norms of incoming weights", "norm"),
        "overlap": (worst, best, 1, "larger overlap", "correlation"),
        "variance_explained": (worst, best, 100, "more variance in the top three modes", "percentage points"),
    }
    if figure == "S2":
        rules.pop("variance_explained")
        rules["negative"] = (best, worst, 100, "fewer negative eigenvalues", "percentage points")
    return [
        claims.difference(
            f"Worst networks: {words}", *(factor * s.of_runs(quantity) for s in (a, b)), f"{unit}, mean over epochs"
        )
        for quantity, (a, b, factor, words, unit) in rules.items()
    ]


def draw(rows: dict[str, list[Series]], caption: str, path: Path, names: tuple[str, ...] = PANELS) -> None:
    """Draw the panels of each data set or condition, three in a row."""
    figure, all_axes = panels.grid(len(rows) * math.ceil(len(names) / COLUMNS), COLUMNS)
    for axes, (title, group) in zip(all_axes.reshape(len(rows), -1), rows.items(), strict=True):
        for ax, name in zip(axes, names, strict=False):
            (panels.fractions if name in ("degenerate", "negative") else panels.curves)(ax, group, name)
        for ax in axes[len(names) :]:
            ax.remove()
        panels.name_row(axes[0], title)
    panels.finish(figure, next(iter(rows.values())), caption, path)
