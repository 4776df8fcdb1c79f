"""Sensitivity study: pixel scaling, start and loss scale under which the orderings of figures 3 and 5 hold.

Training does not depend on the scale of the loss (Adam divides it out), and moments of the spectrum follow from it:
m_k of c times the loss is c^k m_k. So the loss scale costs no runs.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from skip_paper.figures import fig3, fig5
from skip_paper.figures.parts import panels
from skip_paper.networks.skip_network import ARCHITECTURES, NetworkSpec
from skip_paper.runs.experiment import Condition, Outcome, Series, Setting, caption_of, outcome
from skip_paper.runs.store import RunSpec
from skip_paper.verdicts.claims import Verdict

TITLE = "Sensitivity to what the paper does not state"
LOSS_SCALES = (0.1, 1.0, 10.0)
STUDY = [
    Condition(f"{scaling}, start × {start:g}", scaling, start)
    for scaling in ("unit", "centred", "standardised")
    for start in (1.0, 0.25)
]
COLOURS = {"reproduced": "#4dac26", "not decided": "0.85", "not reproduced": "#d01c8b"}


def stages(setting: Setting) -> Iterator[list[RunSpec]]:
    """Yield the runs of each condition."""
    for varied in _varied(setting):
        yield [s for specs in _specs3(varied).values() for s in specs] + next(fig5.stages(varied))


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the table of verdicts, and return them."""
    verdicts: dict[str, list[Verdict]] = {}
    series: dict[str, list[Series]] = {}
    for setting in _varied(settings[0]):
        three = [setting.series(a, fig3.COLOURS[a], specs) for a, specs in _specs3(setting).items()]
        five = fig5.series_of(setting, "cifar100")
        series[f"{setting.condition.name}: figure 3"], series[f"{setting.condition.name}: figure 5"] = three, five
        for scale in LOSS_SCALES:
            verdicts[f"{setting.condition.name}, loss × {scale:g}"] = [
                replace(verdict, claim=f"Figure {number}. {verdict.claim}")
                for number, judged in ((3, fig3.judge(_scaled(three, scale))), (5, fig5.judge(_scaled(five, scale))))
                for verdict in judged
            ]
    caption = caption_of(settings[0]) + ". Green: reproduced; grey: not decided; magenta: not reproduced."
    _draw(verdicts, caption, path)
    return outcome(series, verdicts, ("train_accuracy", "degenerate", "negative"), caption)


def _varied(setting: Setting) -> list[Setting]:
    return [replace(setting, condition=condition) for condition in STUDY]


def _specs3(setting: Setting) -> dict[str, list[RunSpec]]:
    """Return the runs of figure 3, whose networks have two thirds of the depth of figure 5's."""
    size, start = setting.size, setting.condition.hidden_start
    depth = 2 * size.depth // 3
    return {a: setting.specs(NetworkSpec(a, depth, size.width, start)) for a in ARCHITECTURES}


def _scaled(group: list[Series], scale: float) -> list[Series]:
    powers = scale ** np.arange(1, 5)
    return [
        replace(s, runs=[{**run, "samples": run["samples"] * powers} if "samples" in run else run for run in s.runs])
        for s in group
    ]


def _draw(verdicts: dict[str, list[Verdict]], caption: str, path: Path) -> None:
    names = [verdict.claim for verdict in next(iter(verdicts.values()))]
    codes = np.array([[list(COLOURS).index(v.decision) for v in group] for group in verdicts.values()])
    figure, ax = plt.subplots(figsize=(0.36 * len(verdicts) + 5.4, 0.3 * len(names) + 3), layout="constrained")
    ax.pcolormesh(codes.T, cmap=mpl.colors.ListedColormap(list(COLOURS.values())), vmin=0, vmax=2, ec="w", lw=1.5)
    ax.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=8)
    ax.set_xticks(np.arange(len(verdicts)) + 0.5, list(verdicts), rotation=60, ha="right", fontsize=8)
    ax.invert_yaxis()
    ax.tick_params(length=0)
    figure.supxlabel("\n".join(panels.wrapped(caption, int(figure.get_figwidth() * 13))), fontsize=8)
    figure.savefig(path, dpi=160)
    plt.close(figure)
