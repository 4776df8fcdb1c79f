"""Drawings of norms of blocks: what is drawn, not how it looks."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from hessdens.plotting import plot_block_norms
from hessdens.structure import block_norms

mpl.use("Agg")
MATRIX = np.random.default_rng(0).standard_normal((50, 50))
MATRIX += MATRIX.T


def test_map_of_couplings():
    norms = block_norms(MATRIX, {"a": slice(0, 20), "": slice(20, 50)}, num_probes=4)
    figure = Figure()
    ax = plot_block_norms(norms, ax=figure.subplots())
    np.testing.assert_allclose(ax.images[0].get_array(), norms.correlations())
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "(the model itself)"]
    assert len(figure.axes) == 2, "with a bar of colours"


def test_names_of_many_parts_are_left_out():
    norms = block_norms(MATRIX, {f"p{i}": slice(i, i + 1) for i in range(50)}, num_probes=2)
    assert plot_block_norms(norms).get_xticklabels() == []


def test_modules_that_all_parts_are_in_are_not_written():
    parts = {"net.h.0.a": slice(0, 20), "net.h.1": slice(20, 50)}
    ax = plot_block_norms(block_norms(MATRIX, parts, num_probes=2))
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0.a", "1"]


def test_what_is_no_result_is_refused():
    with pytest.raises(TypeError, match="norms must be BlockNorms, from block_norms; got ndarray"):
        plot_block_norms(MATRIX)
