"""Figure 8: skip matrices with the spectrum of an orthogonal matrix and eigenvectors that are less and less so."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np

from skip_paper.figures.parts import panels
from skip_paper.networks.skip_network import NetworkSpec
from skip_paper.runs.experiment import Outcome, Series, Setting, caption_of, outcome
from skip_paper.runs.store import RunSpec
from skip_paper.verdicts import claims
from skip_paper.verdicts.claims import Verdict

TITLE = "Orthogonal skips beyond vanishing gradients"
DATA = ("cifar100", "cifar10")
QUANTITIES = ("train_accuracy", "test_accuracy", "gradient_norm")


def stages(setting: Setting) -> Iterator[list[RunSpec]]:
    """Yield the runs, CIFAR-100 first."""
    for data in setting.distinct(DATA):
        yield [s for tau in setting.size.values for s in _specs(setting, tau, data)]


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    groups = {
        f"{s.condition.name}, {s.load(data).title}": _series(s, data) for s in settings for data in s.distinct(DATA)
    }
    figure, rows = panels.grid(len(settings), 4)
    for axes, setting in zip(rows, settings, strict=True):
        by_data = {
            data: groups[f"{setting.condition.name}, {setting.load(data).title}"] for data in setting.distinct(DATA)
        }
        index = np.arange(1, setting.size.width + 1)
        for tau, series in zip(setting.size.values, by_data["cifar100"], strict=True):
            axes[0].plot(index, np.exp(-tau * (index - 1)), color=series.colour)
        axes[0].set_xlabel("eigenvalue index")
        axes[0].set_ylabel("eigenvalue of the covariance\nof skip vectors")
        panels.gradients(axes[1], by_data["cifar100"], 0)
        axes[1].set_title(f"{setting.load('cifar100').title}, epoch 0", fontsize=9)
        for ax, data in zip(axes[2:], by_data, strict=False):
            panels.curves(ax, by_data[data], "train_accuracy")
            ax.set_title(setting.load(data).title, fontsize=9)
        axes[3].set_visible(len(by_data) > 1)
        if len(settings) > 1:
            panels.name_row(axes[0], setting.condition.words)
    caption = caption_of(settings[0], DATA)
    panels.finish(figure, _series(settings[0], "cifar100"), caption, path, spectra=False)
    verdicts = {name: judge(group) for name, group in groups.items()}
    return outcome(groups, verdicts, QUANTITIES, caption)


def judge(group: list[Series]) -> list[Verdict]:
    """Return the verdicts of one data set."""
    taus = np.array([float(series.label.removeprefix("τ = ")) for series in group])
    accuracy = [100 * series.of_runs("train_accuracy") for series in group]
    bottom = [np.log10(series.values("gradient_norm")[:, 0, 0]) for series in group]
    x = np.concatenate([np.full(len(a), tau) for tau, a in zip(taus, accuracy, strict=True)])
    return [
        claims.slope(
            "Training accuracy rises with orthogonality, at equal spectrum", -x, np.concatenate(accuracy),
            "percentage points a unit of tau",
        ),
        claims.slope(
            "Gradients are, if anything, larger with less orthogonal skips (first layer, epoch 0)",
            x, np.concatenate(bottom), "log10 of the norm a unit of tau",
        ),
    ]  # fmt: skip


def _specs(setting: Setting, tau: float, data: str) -> list[RunSpec]:
    size, start = setting.size, setting.condition.hidden_start
    network = NetworkSpec("residual", size.depth, size.width, start, skip_correlation=tau)
    return setting.specs(network, data=data, spectrum=False)


def _series(setting: Setting, data: str) -> list[Series]:
    shades = mpl.colormaps["Greys_r"](np.linspace(0, 0.7, len(setting.size.values)))
    return [
        setting.series(f"τ = {tau:g}", mpl.colors.to_hex(shade), _specs(setting, tau, data))
        for tau, shade in zip(setting.size.values, shades, strict=True)
    ]
