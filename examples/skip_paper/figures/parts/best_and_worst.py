"""Best against worst runs of one network: figures 4, S2 and S7. Runs are chosen by mean training accuracy."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from skip_paper.figures.parts import panels
from skip_paper.networks.skip_network import NetworkSpec
from skip_paper.runs.experiment import Series, Setting
from skip_paper.runs.store import RunSpec
from skip_paper.verdicts import claims
from skip_paper.verdicts.claims import Verdict

QUANTITIES = (
    "train_accuracy", "test_accuracy", "degenerate", "negative", "weight_norm", "overlap", "variance_explained"
)  # fmt: skip
COLUMNS = 3
PANELS = ("train_accuracy", "degenerate", "weight_norm", "overlap", "variance_explained")


def stages(setting: Setting, data: str, *, num_components: int | None = None) -> Iterator[list[RunSpec]]:
    """Yield all runs; then, as they have been, the chosen ones with their spectra."""
    yield _specs(setting, data, num_components, None)
    best, worst = chosen_seeds(setting, data, num_components)
    yield _specs(setting, data, num_components, best + worst)


def series(setting: Setting, data: str, *, num_components: int | None = None) -> list[Series]:
    """Return the best and the worst runs."""
    groups = zip(
        ("best", "worst"), (panels.BLUE, panels.BLACK), chosen_seeds(setting, data, num_components), strict=True
    )
    return [
        setting.series(f"{name} {setting.size.chosen}", colour, _specs(setting, data, num_components, seeds))
        for name, colour, seeds in groups
    ]


def chosen_seeds(setting: Setting, data: str, num_components: int | None) -> tuple[list[int], list[int]]:
    """Return the seeds of the best and worst runs by mean training accuracy; runs that diverged are the worst."""
    found = [setting.store.find(spec) for spec in _specs(setting, data, num_components, None)]
    means = np.array(
        [-1.0 if run is None else np.nan_to_num(run["train_accuracy"][1:].mean(), nan=-1.0) for run in found]
    )
    order = [int(seed) for seed in np.argsort(-means, kind="stable")]
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
        if len(rows) > 1:
            panels.name_row(axes[0], title)
    panels.finish(figure, next(iter(rows.values())), caption, path)


def _specs(setting: Setting, data: str, num_components: int | None, seeds: list[int] | None) -> list[RunSpec]:
    """Return all runs without spectra, or those of some seeds with them."""
    size = setting.size
    network = NetworkSpec("plain", size.depth, size.width, hidden_start=setting.condition.hidden_start)
    return setting.specs(
        network, data=data, seeds=seeds, spectrum=seeds is not None, exact=num_components is not None,
        num_components=num_components,
    )  # fmt: skip
