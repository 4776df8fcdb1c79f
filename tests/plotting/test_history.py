"""Drawings of histories: what is drawn, not how it looks."""

import dataclasses

import matplotlib as mpl
import numpy as np
import pytest
from histories import HISTORY, IDENTITY

from hessdens.monitor import SpectrumHistory, SpectrumRecord
from hessdens.plotting import plot_history
from hessdens.plotting.history import step_edges

mpl.use("Agg")
import matplotlib.pyplot as plt


def mesh_of(ax):
    (mesh,) = (collection for collection in ax.collections if hasattr(collection, "get_coordinates"))
    return mesh


def test_heat_map_has_unit_area_in_each_step_and_none_where_products_failed():
    top, _, _ = plot_history(HISTORY)
    mesh = mesh_of(top)
    values = mesh.get_array().reshape(-1, len(HISTORY))
    edges = np.array(mesh.get_coordinates()[:, 0, 1])
    np.testing.assert_allclose(np.diff(edges) @ values.filled(0), [1, 1, 0, 1], rtol=1e-3)
    assert values.mask.all(axis=0).tolist() == [False, False, True, False]
    row = np.searchsorted(edges, HISTORY[3].density.nodes()[-1]) - 1
    assert values[row, 3] > 100 * values[row, 0]  # the largest eigenvalue of the last step alone
    assert mesh.get_coordinates()[0, :, 0].tolist() == [0, 5, 15, 30, 50]


def test_fractions_and_edges_are_those_of_the_history():
    _, middle, bottom = plot_history(HISTORY, window=0.1)
    outside, negative = middle.lines[:2]
    np.testing.assert_allclose(outside.get_ydata(), 100 * (1 - HISTORY.values("degenerate", window=0.1)))
    np.testing.assert_allclose(negative.get_ydata(), 100 * HISTORY.values("negative", window=0.1))
    band = np.concatenate([path.vertices for path in middle.collections[0].get_paths()])
    assert band[:, 1].max() == pytest.approx(100 * np.nanmax(1 - HISTORY.interval("degenerate", window=0.1)))
    np.testing.assert_allclose(bottom.lines[0].get_ydata(), HISTORY.values("largest"))
    np.testing.assert_allclose(bottom.lines[1].get_ydata(), HISTORY.values("smallest"))
    assert bottom.get_xlabel() == "training step"
    bottom.figure.canvas.draw()


def test_a_share_is_of_the_largest_eigenvalue_of_all_steps():
    largest = max(np.abs(record.density.nodes()).max() for record in HISTORY if record.density is not None)
    for history in (HISTORY, {"first": HISTORY, "second": HISTORY}):
        shares, numbers = plot_history(history, window="1%"), plot_history(history, window=0.01 * largest)
        for share, number in zip(shares, numbers, strict=True):
            assert share.get_ylabel() == number.get_ylabel()
            np.testing.assert_allclose(share.lines[0].get_ydata(), number.lines[0].get_ydata())
    with pytest.raises(ValueError, match=r'window must be a number, or a share as "1%"'):
        plot_history(HISTORY, window="much")
    with pytest.raises(ValueError, match="history must hold one run at least; got none"):
        plot_history({}, window="1%")


def test_numbers_of_a_record_are_computed_once(monkeypatch):
    numbers, calls = SpectrumRecord.numbers, []

    def counted(record, *arguments):
        calls.append(record.step)
        return numbers(record, *arguments)

    monkeypatch.setattr(SpectrumRecord, "numbers", counted)
    plot_history(HISTORY)
    assert calls == HISTORY.steps.tolist()
    HISTORY.interval("negative")
    assert calls == 2 * HISTORY.steps.tolist()


def test_failed_steps_are_marked():
    for ax in plot_history(HISTORY):
        assert any(line.get_marker() == "x" and line.get_xdata().tolist() == [20] for line in ax.lines)


def test_given_axes_and_a_single_record():
    _, axes = plt.subplots(3, layout="constrained")
    alone = SpectrumHistory(IDENTITY, (dataclasses.replace(HISTORY[0], step=7),))
    assert plot_history(alone, axes=axes) == tuple(axes)
    assert step_edges(alone.steps).tolist() == [6.5, 7.5]
    axes[0].figure.canvas.draw()


def test_nothing_is_shown(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("plot_history called show"))
    plot_history(HISTORY)


def test_several_runs_are_lines_with_labels():
    later = SpectrumHistory(IDENTITY, HISTORY.records[1:])
    top, middle, bottom = plot_history({"first": HISTORY, "second": later}, window=0.1)
    assert [text.get_text() for text in top.get_legend().get_texts()] == ["first", "second"]
    np.testing.assert_allclose(top.lines[0].get_ydata(), HISTORY.values("largest"))
    np.testing.assert_allclose(top.lines[1].get_xdata(), later.steps)
    np.testing.assert_allclose(middle.lines[1].get_ydata(), 100 * (1 - later.values("degenerate", window=0.1)))
    np.testing.assert_allclose(bottom.lines[0].get_ydata(), 100 * HISTORY.values("negative", window=0.1))
    band = np.concatenate([path.vertices for path in bottom.collections[0].get_paths()])
    assert band[:, 1].max() == pytest.approx(100 * np.nanmax(HISTORY.interval("negative", window=0.1)))


def test_bad_input():
    with pytest.raises(TypeError, match=r"history must be a SpectrumHistory, or several .*; got str\."):
        plot_history("h.npz")
    with pytest.raises(ValueError, match="window must be positive"):
        plot_history(HISTORY, window=0)
    with pytest.raises(ValueError, match="must have a record with a density; got 1 records without"):
        plot_history(SpectrumHistory(IDENTITY, (HISTORY[2],)))
    with pytest.raises(ValueError, match="axes must be three; got 2"):
        plot_history(HISTORY, axes=plt.subplots(2)[1])
