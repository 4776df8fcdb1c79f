"""Figure 6: gradient norms by layer in the first epochs, and batch normalisation compared with bias regularisation."""

from pathlib import Path

from skip_paper.figures.parts import bias_networks, panels
from skip_paper.figures.parts.judging import scene_of, verdicts_of
from skip_paper.report.outcome import Outcome, caption_of, outcome
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec

TITLE = "Skip connections deal with vanishing gradients"
LABELS = ("residual", "ResMalInit", "BiasReg", "BiasReg+BN", "plain")
EPOCHS = (0, 1, 2)
WORDS = (
    "(a-c) Mean norm of the gradient by the activities of a layer, at the start of epochs 0, 1 and 2, in the "
    "paper's unit. (d) Training accuracy. The paper: gradients decay from top to bottom in plain and BiasReg, "
    "which are alike at first, and not in residual and ResMalInit; one layer of batch normalisation keeps them "
    "alive in BiasReg, and brings it near residual."
)
QUANTITIES = ("train_accuracy", "test_accuracy", "gradient_norm")


def runs(setting: Setting) -> list[RunSpec]:
    """Return the runs, of which all but those with batch normalisation are those of figure 5."""
    return [spec for label in LABELS for spec in bias_networks.specs(label, setting, "cifar100")]


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    groups = {s.name: [bias_networks.series(label, s, "cifar100") for label in LABELS] for s in settings}
    caption = caption_of(settings, WORDS)
    figure, rows = panels.grid(len(settings), len(EPOCHS) + 1)
    for axes, setting in zip(rows, settings, strict=True):
        group = groups[setting.name]
        for ax, epoch in zip(axes, EPOCHS, strict=False):
            panels.gradients(ax, group, epoch)
            ax.set_title(f"epoch {epoch}", fontsize=10)
            ax.sharey(axes[0]) if epoch else None
        panels.curves(axes[-1], group, "train_accuracy")
        panels.name_row(axes[0], setting.words)
    panels.finish(figure, groups[settings[0].name], caption, path, spectra=False)
    return outcome(
        groups, {s.name: verdicts_of("fig6", groups[s.name], scene_of(s)) for s in settings}, QUANTITIES, caption
    )
