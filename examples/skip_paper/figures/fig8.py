"""Figure 8: skip matrices with the spectrum of an orthogonal matrix and eigenvectors that are less and less so."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from skip_paper.figures.parts import panels
from skip_paper.figures.parts.judging import scene_of, verdicts_of
from skip_paper.measures.series import Series
from skip_paper.report.outcome import Outcome, caption_of, outcome
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec

TITLE = "Orthogonal skips beyond vanishing gradients"
WORDS = (
    "(a) Eigenvalues of the Gram matrix of the skip vectors that were used. (b) Mean norm of the gradient by the "
    "activities of a layer, at the start, in the paper's unit. (c) Training accuracy. The paper: skip matrices of "
    "equal spectrum train worse the less orthogonal they are (larger τ), although gradients do not vanish; they "
    "are, if anything, larger."
)
QUANTITIES = ("train_accuracy", "test_accuracy", "gradient_norm")


def runs(setting: Setting) -> list[RunSpec]:
    """Return the runs: one matrix for all layers, CIFAR-100 first; then, on CIFAR-100, one a layer."""
    return [
        spec for shared, data in _variants(setting) for tau in setting.size.values
        for spec in _specs(setting, tau, data, shared)
    ]  # fmt: skip


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    rows_of = [(s, shared, data) for s in settings for shared, data in _variants(s)]
    groups = {_name(*row): _series(*row) for row in rows_of}
    figure, rows = panels.grid(len(rows_of), 3)
    for axes, row in zip(rows, rows_of, strict=True):
        setting, shared, data = row
        for tau, series in zip(setting.size.values, groups[_name(*row)], strict=True):
            axes[0].plot(np.arange(1, setting.size.width + 1), _covariance(setting, tau), color=series.colour)
        axes[0].set_xlabel("eigenvalue index")
        axes[0].set_ylabel("eigenvalue of the covariance\nof skip vectors")
        panels.gradients(axes[1], groups[_name(*row)], 0)
        axes[1].set_title("epoch 0", fontsize=9)
        panels.paper_tick(axes[1], 0.05)
        panels.curves(axes[2], groups[_name(*row)], "train_accuracy")
        words = "one matrix" if shared else "a matrix a layer"
        panels.name_row(axes[0], f"{setting.words}\n{setting.load(data).title}, {words}")
    caption = caption_of(settings, WORDS)
    panels.finish(figure, next(iter(groups.values())), caption, path, spectra=False, ticks=True)
    verdicts = {
        _name(*row): verdicts_of("fig8", groups[_name(*row)], scene_of(row[0], row[2], _name(*row))) for row in rows_of
    }
    return outcome(groups, verdicts, QUANTITIES, caption)


def _variants(setting: Setting) -> list[tuple[bool, str]]:
    """Return whether skips are shared, and the data set, of each row."""
    data_sets = setting.distinct(setting.size.data)
    return [(True, data) for data in data_sets] + [(False, data_sets[0])]


def _name(setting: Setting, shared: bool, data: str) -> str:
    words = "" if shared else ", a matrix a layer"
    return f"{setting.name}, {setting.load(data).title}{words}"


def _specs(setting: Setting, tau: float, data: str, shared: bool) -> list[RunSpec]:
    network = setting.network("residual", skip_correlation=tau, shared_skips=shared)
    return setting.specs(network, data=data, spectrum=False)


def _series(setting: Setting, shared: bool, data: str) -> list[Series]:
    shades = mpl.colormaps["Greys_r"](np.linspace(0, 0.7, len(setting.size.values)))
    return [
        setting.series(f"τ = {tau:g}", mpl.colors.to_hex(shade), _specs(setting, tau, data, shared))
        for tau, shade in zip(setting.size.values, shades, strict=True)
    ]


def _covariance(setting: Setting, tau: float) -> NDArray[np.float64]:
    """Return eigenvalues of the Gram matrix of a skip matrix's columns, the first seed's, descending."""
    network = setting.network("residual", skip_correlation=tau).build(1, 1, setting.size.first_seed)
    matrix = network.skip_vectors[0].double().numpy()
    return np.linalg.eigvalsh(matrix.T @ matrix)[::-1]
