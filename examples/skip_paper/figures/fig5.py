"""Figure 5: bias regularisation and malicious start against plain and residual networks."""

from pathlib import Path

from skip_paper.figures.parts import bias_networks, panels
from skip_paper.figures.parts.judging import scene_of, verdicts_of
from skip_paper.measures.series import Series
from skip_paper.report.outcome import Outcome, caption_of, outcome
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec

TITLE = "Singularity elimination through bias regularisation improves training"
LABELS = ("residual", "ResMalInit", "BiasReg", "BiasReg, λ/10", "BiasL2Reg", "plain")
WORDS = (
    "(a, b) Training accuracy. (c) Degenerate eigenvalues, |λ| < 0.1, on CIFAR-100. The paper: residual is best "
    "and plain worst, BiasReg is clearly above plain, BiasL2Reg is not, and ResMalInit is only slightly below "
    "residual; plain is the most degenerate, residual the least. BiasReg's penalty is not stated in the paper; "
    "here it is {:g}."
)
QUANTITIES = (
    "train_accuracy", "test_accuracy", "mixture degenerate", "mixture negative", "lanczos degenerate",
    "lanczos negative", "relative", "bias", "zero_rectified", "dead_units", "variance_explained",
)  # fmt: skip


def runs(setting: Setting) -> list[RunSpec]:
    """Return the runs, CIFAR-100 first."""
    data_sets = setting.distinct(setting.size.data)
    return [spec for data in data_sets for label in LABELS for spec in bias_networks.specs(label, setting, data)]


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    groups = {_name(s, data): series_of(s, data) for s in settings for data in s.distinct(s.size.data)}
    verdicts = {
        _name(s, data): verdicts_of("fig5", groups[_name(s, data)], scene_of(s, data, _name(s, data)))
        for s in settings
        for data in s.distinct(s.size.data)
    }
    caption = caption_of(settings, WORDS.format(bias_networks.BIAS_STRENGTH))
    figure, rows = panels.grid(len(settings), 3)
    for axes, setting in zip(rows, settings, strict=True):
        data_sets = setting.distinct(setting.size.data)
        for ax, data in zip(axes, data_sets[::-1], strict=False):
            panels.curves(ax, groups[_name(setting, data)], "train_accuracy")
            ax.set_title(setting.load(data).title, fontsize=10)
        axes[1].set_visible(len(data_sets) > 1)
        measured = [s for s in groups[_name(setting, "cifar100")] if s.label in bias_networks.WITH_SPECTRA]
        panels.fractions(axes[2], measured, "degenerate", scene_of(setting).parameters)
        panels.name_row(axes[0], setting.words)
    panels.finish(figure, next(iter(groups.values())), caption, path)
    return outcome(groups, verdicts, QUANTITIES, caption)


def series_of(setting: Setting, data: str) -> list[Series]:
    """Return the finished runs of one data set."""
    return [bias_networks.series(label, setting, data) for label in LABELS]


def _name(setting: Setting, data: str) -> str:
    return f"{setting.name}, {setting.load(data).title}"
