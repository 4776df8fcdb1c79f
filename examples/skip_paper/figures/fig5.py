"""Figure 5: bias regularisation and malicious start against plain and residual networks."""

from collections.abc import Iterator
from pathlib import Path

from skip_paper.figures.parts import bias_networks, panels
from skip_paper.runs.experiment import Outcome, Series, Setting, caption_of, outcome
from skip_paper.runs.store import RunSpec
from skip_paper.verdicts import claims
from skip_paper.verdicts.claims import Verdict

TITLE = "Singularity elimination through bias regularisation improves training"
LABELS = ("residual", "ResMalInit", "BiasReg", "BiasL2Reg", "plain")
DATA = ("cifar100", "cifar10")
WITH_SPECTRA = ("residual", "BiasReg", "plain")
QUANTITIES = ("train_accuracy", "test_accuracy", "degenerate", "negative")
UNIT = "percentage points, mean over epochs"


def stages(setting: Setting) -> Iterator[list[RunSpec]]:
    """Yield the runs, CIFAR-100 first."""
    for data in setting.distinct(DATA):
        yield [
            s for label in LABELS for s in bias_networks.specs(label, setting, data, spectrum=_measured(label, data))
        ]


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    groups = {
        f"{s.condition.name}, {s.load(data).title}": series_of(s, data) for s in settings for data in s.distinct(DATA)
    }
    verdicts = {name: judge(group) for name, group in groups.items()}
    caption = (
        caption_of(settings[0], DATA) + f"; bias penalty {bias_networks.BIAS_STRENGTH:g} (not stated in the paper)"
    )
    figure, rows = panels.grid(len(settings), 3)
    for axes, setting in zip(rows, settings, strict=True):
        for ax, data in zip(axes, setting.distinct(DATA)[::-1], strict=False):
            panels.curves(ax, groups[f"{setting.condition.name}, {setting.load(data).title}"], "train_accuracy")
            ax.set_title(setting.load(data).title, fontsize=10)
        axes[1].set_visible(len(setting.distinct(DATA)) > 1)
        measured = [s for s in series_of(setting, "cifar100") if s.label in WITH_SPECTRA]
        panels.fractions(axes[2], measured, "degenerate")
        panels.name_row(axes[0], setting.condition.words)
    panels.finish(figure, series_of(settings[0], "cifar100"), caption, path)
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
    if "samples" in by_label["plain"].runs[0]:
        verdicts += [
            claims.difference(
                f"Fraction of degenerate eigenvalues: {a} above {b}",
                *(100 * by_label[label].of_runs("degenerate") for label in (a, b)),
                "percentage points, mixture fit, mean over spectra",
            )
            for a, b in (("plain", "BiasReg"), ("BiasReg", "residual"))
        ]
    return verdicts


def _measured(label: str, data: str) -> bool:
    return data == "cifar100" and label in WITH_SPECTRA


def series_of(setting: Setting, data: str) -> list[Series]:
    """Return the finished runs of one data set."""
    return [bias_networks.series(label, setting, data, spectrum=_measured(label, data)) for label in LABELS]
