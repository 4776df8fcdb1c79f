"""Section 2.6: over which targets of the biases BiasReg helps. The paper reports an optimum at intermediate ones."""

from pathlib import Path

import numpy as np

from skip_paper.figures.parts import panels
from skip_paper.figures.parts.bias_networks import BIAS_STRENGTH
from skip_paper.measures.series import Series
from skip_paper.report.outcome import Outcome, caption_of, outcome
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec
from skip_paper.verdicts import claims
from skip_paper.verdicts.claims import Verdict

TITLE = "Targets of bias regularisation"
MEANS = (0.0, 0.45, 0.9, 1.8)
SCALES = (0.0, 0.5, 1.0, 2.0)
# The grid's point next to what the paper's search found on CIFAR-100, mu = 0.91 and sigma = 0.03.
BEST = (0.9, 0.0)
QUANTITIES = ("train_accuracy", "test_accuracy", "bias", "zero_rectified", "variance_explained")


def runs(setting: Setting) -> list[RunSpec]:
    """Return the runs of all targets."""
    return [spec for specs in _specs(setting).values() for spec in specs]


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw mean accuracies over the grid of targets, and return what they show."""
    groups = {s.name: _series(s) for s in settings}
    figure, rows = panels.grid(1, len(settings), width=5.0, height=4.2)
    for ax, setting in zip(rows[0], settings, strict=True):
        means = 100 * np.array([s.of_runs("train_accuracy").mean() for s in groups[setting.name]])
        image = ax.imshow(means.reshape(len(MEANS), len(SCALES)), origin="lower", cmap="Greys_r")
        for index, value in enumerate(means):
            ax.text(
                index % len(SCALES), index // len(SCALES), f"{value:.1f}", ha="center", va="center", color="#d02020"
            )
        ax.set_xticks(range(len(SCALES)), [f"{scale:g}" for scale in SCALES])
        ax.set_yticks(range(len(MEANS)), [f"{mean:g}" for mean in MEANS])
        ax.set_xlabel("σ of the targets")
        ax.set_ylabel("μ of the targets")
        ax.set_title(setting.words, fontsize=9)
        figure.colorbar(image, ax=ax, label=panels.LABELS["train_accuracy"])
    caption = f"{caption_of(settings)}; mean training accuracy over epochs; bias penalty {BIAS_STRENGTH:g}"
    panels.finish(figure, [], caption, path, spectra=False)
    return outcome(groups, {name: judge(group) for name, group in groups.items()}, QUANTITIES, caption)


def judge(group: list[Series]) -> list[Verdict]:
    """Return the verdicts: whether the paper's optimum is above smaller and larger means, and a larger scale."""
    accuracy = {s.label: 100 * s.of_runs("train_accuracy") for s in group}
    others = {"a mean of 0": (0.0, 0.0), "a mean twice as large": (1.8, 0.0), "a scale of 2": (0.9, 2.0)}
    return [
        claims.difference(
            f"BiasReg, training accuracy: targets near the paper's optimum above {words}",
            accuracy[_label(*BEST)], accuracy[_label(*other)], "percentage points, mean over epochs",
        )
        for words, other in others.items()
    ]  # fmt: skip


def _label(mean: float, scale: float) -> str:
    return f"μ = {mean:g}, σ = {scale:g}"


def _specs(setting: Setting) -> dict[str, list[RunSpec]]:
    return {
        _label(mean, scale): setting.specs(
            setting.network("plain", bias_strength=BIAS_STRENGTH, bias_mean=mean, bias_scale=scale), spectrum=False
        )
        for mean in MEANS
        for scale in SCALES
    }


def _series(setting: Setting) -> list[Series]:
    return [setting.series(label, panels.CYAN, specs) for label, specs in _specs(setting).items()]
