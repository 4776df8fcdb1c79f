"""Figure 5: bias regularisation and malicious start against plain and residual networks."""

from pathlib import Path

from skip_paper.figures.parts import bias_networks, panels
from skip_paper.measures.series import Series
from skip_paper.report.outcome import Outcome, caption_of, outcome
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec
from skip_paper.verdicts import claims
from skip_paper.verdicts.claims import Verdict

TITLE = "Singularity elimination through bias regularisation improves training"
LABELS = ("residual", "ResMalInit", "BiasReg", "BiasL2Reg", "plain")
QUANTITIES = (
    "train_accuracy", "test_accuracy", "mixture degenerate", "mixture negative", "lanczos degenerate",
    "lanczos negative", "relative", "bias", "zero_rectified", "dead_units", "variance_explained",
)  # fmt: skip
UNIT = "percentage points, mean over epochs"


def runs(setting: Setting) -> list[RunSpec]:
    """Return the runs, CIFAR-100 first."""
    data_sets = setting.distinct(setting.size.data)
    return [spec for data in data_sets for label in LABELS for spec in bias_networks.specs(label, setting, data)]


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    groups = {_name(s, data): series_of(s, data) for s in settings for data in s.distinct(s.size.data)}
    verdicts = {name: judge(group) for name, group in groups.items()}
    caption = f"{caption_of(settings)}; bias penalty {bias_networks.BIAS_STRENGTH:g} (not stated in the paper)"
    figure, rows = panels.grid(len(settings), 3)
    for axes, setting in zip(rows, settings, strict=True):
        data_sets = setting.distinct(setting.size.data)
        for ax, data in zip(axes, data_sets[::-1], strict=False):
            panels.curves(ax, groups[_name(setting, data)], "train_accuracy")
            ax.set_title(setting.load(data).title, fontsize=10)
        axes[1].set_visible(len(data_sets) > 1)
        measured = [s for s in groups[_name(setting, "cifar100")] if s.label in bias_networks.WITH_SPECTRA]
        panels.fractions(axes[2], measured, "degenerate")
        panels.name_row(axes[0], setting.words)
    panels.finish(figure, next(iter(groups.values())), caption, path)
    return outcome(groups, verdicts, QUANTITIES, caption)


def judge(group: list[Series]) -> list[Verdict]:
    """Return the verdicts of one data set: means of each run over the epochs after the start."""
    by_label = {series.label: series for series in group}
    accuracy = {label: 100 * series.of_runs("train_accuracy") for label, series in by_label.items()}
    verdicts = [
        claims.difference(f"Training accuracy: {a} above {b}", accuracy[a], accuracy[b], UNIT)
        for a, b in (("residual", "BiasReg"), ("residual", "plain"), ("BiasReg", "plain"), ("ResMalInit", "plain"))
    ]
    verdicts.append(
        claims.not_larger(
            "Training accuracy: BiasL2Reg no better than plain", accuracy["BiasL2Reg"], accuracy["plain"], UNIT
        )
    )
    verdicts.append(
        claims.close(
            "Training accuracy: ResMalInit only slightly below residual (nearer to it than to plain)",
            accuracy["residual"], accuracy["ResMalInit"], accuracy["plain"], UNIT,
        )
    )  # fmt: skip
    if by_label["plain"].has("degenerate"):
        verdicts += [
            claims.difference(
                f"Fraction of degenerate eigenvalues: {a} above {b}",
                *(100 * by_label[label].of_runs("degenerate") for label in (a, b)),
                f"percentage points, {by_label['plain'].source('degenerate')}, mean over spectra",
            )
            for a, b in (("plain", "BiasReg"), ("BiasReg", "residual"))
        ]
    return verdicts


def series_of(setting: Setting, data: str) -> list[Series]:
    """Return the finished runs of one data set."""
    return [bias_networks.series(label, setting, data) for label in LABELS]


def _name(setting: Setting, data: str) -> str:
    return f"{setting.name}, {setting.load(data).title}"
