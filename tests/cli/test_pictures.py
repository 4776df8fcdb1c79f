"""What the command ``plot`` draws of each kind of result, and what it does not put on one pair of axes."""

import dataclasses

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from samples import make_results

from hessdens import Spectrum
from hessdens.cli.errors import CommandError
from hessdens.cli.pictures import ALONE, BY_LABEL, draw
from hessdens.eigenvectors import Carriers
from hessdens.plotting.axes import height_of_rows

mpl.use("Agg")
RESULTS = {name.partition("-")[0]: result for name, result in make_results().items()}
EXACT = Spectrum([1.0, 2.0])


def drawn(*names, exact=None, window=0.2):
    figure = Figure()
    draw(figure, [RESULTS[name] for name in names], list(names), exact, window=window, level=0.95)
    return figure.axes


@pytest.mark.parametrize("name", [kind.__name__ for kind in ALONE])
def test_results_with_a_picture_to_themselves(name):
    assert drawn(name)[0].has_data()
    for names, exact in ([name, name], None), ([name, "Spectrum"], None), ([name], EXACT):
        with pytest.raises(CommandError, match="blocks, halves and classes must be drawn one file at a time, without"):
            drawn(*names, exact=exact)


@pytest.mark.parametrize("name", [kind.__name__ for kind in BY_LABEL])
def test_directions_share_axes_with_their_kind(name):
    assert drawn(name)[0].has_data()
    assert len(drawn(name, name)[0].containers) >= 2 or drawn(name, name)[0].images, "also under one label"
    for names, exact in ([name, "Spectrum"], None), ([name, "Eigenpairs"], None), ([name], EXACT):
        with pytest.raises(CommandError, match=r"must be drawn (apart from other results|one file at a time), without"):
            drawn(*names, exact=exact)


def test_results_with_rows_are_as_high_as_these_need():
    figure = Figure()
    sizes = (1,) * 43
    rows = dataclasses.replace(RESULTS["Diagonal"], names=tuple(map(str, range(43))), sizes=sizes)
    draw(figure, [rows], [""], None, window=None, level=0.95)
    assert figure.get_figheight() == height_of_rows(43) > 5
    layers = Carriers(rows.names, sizes, np.full(43, 1 / 43), 43.0)
    draw(figure := Figure(), [layers, layers], ["a", "a"], None, window=None, level=0.95)
    assert figure.get_figheight() == height_of_rows(43)
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["a (1)", "a (2)"]


def test_lines_share_axes_also_under_one_label():
    axes = drawn("LossSlice", "LossSlice")
    assert len(axes) == 1
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["LossSlice", "LossSlice, quadratic"] * 2
    with pytest.raises(CommandError, match="Losses must be drawn apart from densities, without --exact"):
        drawn("LossSlice", exact=EXACT)


def test_traces_of_layers_share_rows():
    traces = RESULTS["LayerTraces"]
    (ax,) = drawn("LayerTraces", "LayerTraces")
    assert [text.get_text() for text in ax.get_yticklabels()] == list(traces.names)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["LayerTraces"] * 2
    assert ax.figure.get_figheight() == height_of_rows(2)
    for names, exact in ((["LayerTraces", "Spectrum"], None), (["LayerTraces"], EXACT)):
        with pytest.raises(CommandError, match="Traces of layers must be drawn apart from other results, without"):
            drawn(*names, exact=exact)


def test_densities_share_axes_with_exact_eigenvalues():
    (ax,) = drawn("Spectrum", "KernelPolynomialDensity", exact=EXACT)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert {"Spectrum", "KernelPolynomialDensity"} < set(labels)
    assert np.isfinite(ax.get_xlim()).all()


def test_histories_are_drawn_apart():
    assert len(drawn("SpectrumHistory")) > 1
    largest = np.abs(RESULTS["SpectrumHistory"][0].density.nodes()).max()
    (text, _) = drawn("SpectrumHistory", window="1%")[1].get_legend().get_texts()
    assert text.get_text() == f"not degenerate, |λ| ≥ {0.005 * largest:.3g}"
    with pytest.raises(CommandError, match="Histories must be drawn apart from densities, without --exact"):
        drawn("SpectrumHistory", "Spectrum")
