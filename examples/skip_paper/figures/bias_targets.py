"""Section 2.6: over which targets of the biases BiasReg helps. The paper reports an optimum at intermediate ones."""

from pathlib import Path

import numpy as np

from skip_paper.figures.parts import panels
from skip_paper.figures.parts.bias_networks import BIAS_STRENGTH
from skip_paper.figures.parts.judging import scene_of, verdicts_of
from skip_paper.measures.series import Series
from skip_paper.report.outcome import Outcome, caption_of, outcome
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec

TITLE = "Targets of bias regularisation"
MEANS = (0.0, 0.45, 0.9, 1.8)
SCALES = (0.0, 0.5, 1.0, 2.0)
WORDS = (
    "Mean training accuracy over epochs of BiasReg over the mean μ and the scale σ of its targets; penalty {:g}. "
    "The paper expects an optimum at intermediate values, and found μ = 0.91, σ = 0.03 on CIFAR-100."
)
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
    caption = caption_of(settings, WORDS.format(BIAS_STRENGTH))
    panels.finish(figure, [], caption, path, spectra=False)
    return outcome(
        groups,
        {s.name: verdicts_of("bias_targets", groups[s.name], scene_of(s)) for s in settings},
        QUANTITIES,
        caption,
    )


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
