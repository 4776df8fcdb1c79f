"""Figure 6: gradient norms by layer in the first epochs, and batch normalisation compared with bias regularisation."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skip_paper.figures.parts import bias_networks, panels
from skip_paper.measures.series import Series
from skip_paper.report.outcome import Outcome, caption_of, outcome
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec
from skip_paper.verdicts import claims
from skip_paper.verdicts.claims import Verdict

TITLE = "Skip connections deal with vanishing gradients"
LABELS = ("residual", "ResMalInit", "BiasReg", "BiasReg+BN", "plain")
EPOCHS = (0, 1, 2)
QUANTITIES = ("train_accuracy", "test_accuracy", "gradient_norm")


def runs(setting: Setting) -> list[RunSpec]:
    """Return the runs, of which all but those with batch normalisation are those of figure 5."""
    return [spec for label in LABELS for spec in bias_networks.specs(label, setting, "cifar100")]


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    groups = {s.name: [bias_networks.series(label, s, "cifar100") for label in LABELS] for s in settings}
    caption = caption_of(settings) + "; gradients by responses of a layer, mean over 1,000 training images"
    figure, rows = panels.grid(len(settings), len(EPOCHS) + 1)
    for axes, setting in zip(rows, settings, strict=True):
        group = groups[setting.name]
        for ax, epoch in zip(axes, EPOCHS, strict=False):
            panels.gradients(ax, group, epoch)
            ax.set_title(f"epoch {epoch}", fontsize=10)
        panels.curves(axes[-1], group, "train_accuracy")
        panels.name_row(axes[0], setting.words)
    panels.finish(figure, groups[settings[0].name], caption, path, spectra=False)
    return outcome(groups, {name: judge(group) for name, group in groups.items()}, QUANTITIES, caption)


def judge(group: list[Series]) -> list[Verdict]:
    """Return the verdicts. Decay is log10 of the gradient norm at the last layer over that at the first."""
    by_label = {series.label: series for series in group}
    decay = {label: _decay(series) for label, series in by_label.items()}
    accuracy = {label: 100 * series.of_runs("train_accuracy") for label, series in by_label.items()}
    verdicts = [
        claims.difference(
            f"Gradients decay faster from top to bottom in {a} than in {b}, epoch 0",
            decay[a], decay[b], "log10 of last over first layer",
        )
        for a in ("plain", "BiasReg")
        for b in ("residual", "ResMalInit")
    ]  # fmt: skip
    plain, biased = (by_label[label].by_layer("gradient_norm")[:, 0] for label in ("plain", "BiasReg"))
    apart = float(np.nanmax(np.abs(plain - biased) / np.abs(plain)))
    verdicts.append(
        claims.fact(
            "Gradients of plain and BiasReg are almost identical at the start",
            apart < 0.01, apart, "largest relative difference", "same starts; below 1%",
        )
    )  # fmt: skip
    verdicts.append(
        claims.close(
            "BiasReg+BN trains nearly as well as residual (nearer to it than to BiasReg)",
            accuracy["residual"], accuracy["BiasReg+BN"], accuracy["BiasReg"], "percentage points, mean over epochs",
        )
    )  # fmt: skip
    return verdicts


def _decay(series: Series) -> NDArray[np.float64]:
    norms = series.by_layer("gradient_norm")[:, 0]
    with np.errstate(divide="ignore"):
        result: NDArray[np.float64] = np.log10(norms[:, -1] / norms[:, 0])
    return result
