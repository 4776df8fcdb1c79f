"""Drawings of traces of layers: points, intervals, names and scales."""

import dataclasses
import itertools

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from hessdens.plotting import plot_layer_traces
from hessdens.plotting.axes import NAME
from hessdens.structure import layer_traces

mpl.use("Agg")
MATRIX = np.diag([1.0, 2.0, 3.0, 4.0]) + 0.3
TRACES = layer_traces(MATRIX, {"first": slice(0, 2), "second": slice(2, 4)}, max_products=4)


def with_values(values, errors):
    count = len(values)
    names, samples = tuple(f"layers.{i}.attention.query.weight" for i in range(count)), np.zeros((9, count))
    return dataclasses.replace(
        TRACES, values=np.array(values), standard_errors=np.array(errors), samples=samples, names=names,
        sizes=(1,) * count,
    )  # fmt: skip


def points_and_ends(container):
    points, _, (bars,) = container.lines
    return np.array(points.get_xdata()), np.array(points.get_ydata()), np.array(bars.get_segments())[:, :, 0].T


def test_points_are_traces_and_bars_their_intervals():
    ax = plot_layer_traces(TRACES, ax=Figure().subplots(), level=0.9)
    x, y, ends = points_and_ends(ax.containers[0])
    np.testing.assert_array_equal(x, TRACES.values)
    np.testing.assert_allclose(ends, TRACES.interval(0.9))
    assert y[0] < y[1]
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first layer is at the top"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["90% interval"]
    assert ax.get_xscale() == "linear"
    assert plot_layer_traces(TRACES).figure is not ax.figure, "without axes, new ones"


def test_scale_fits_the_traces():
    assert plot_layer_traces(with_values([1.0, 100.0], [0.1, 1.0])).get_xscale() == "log"
    assert plot_layer_traces(with_values([0.0, 0.0], [0.0, 0.0])).get_xscale() == "linear"
    assert plot_layer_traces(with_values([1.0, 2.0, -3.0], [9.0, 1.0, 1.0])).get_xscale() == "linear"
    for values, linear_width in (([1.0, -100.0, 1e-3], 0.5), ([1e-3, 2e-3, 1.0], 1e-3)):
        ax = plot_layer_traces(with_values(values, [1e-2] * 2 + [2.0]))
        assert ax.get_xscale() == "asinh"
        assert ax.xaxis.get_transform().linear_width == pytest.approx(linear_width)
        ends = points_and_ends(ax.containers[0])[2]
        assert ax.get_xlim()[0] < ends.min() < ends.max() < ax.get_xlim()[1]


def test_names_of_fifty_layers_do_not_overlap():
    traces = with_values(np.geomspace(1, 1e3, 50), np.ones(50))
    figure = plot_layer_traces(traces).figure
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].get_yticklabels()]
    assert len(boxes) == 50
    assert all(lower.y1 <= upper.y0 for upper, lower in itertools.pairwise(boxes))
    assert all(text.get_fontsize() == NAME for text in figure.axes[0].get_yticklabels())
    small = plot_layer_traces(traces, ax=Figure(figsize=(6, 4)).subplots())
    assert small.get_yticklabels()[0].get_fontsize() < NAME / 2


def test_several_results_of_the_same_layers_share_axes():
    ax = plot_layer_traces(TRACES, label="start")
    plot_layer_traces(dataclasses.replace(TRACES, values=100 * TRACES.values), ax=ax, label="trained")
    (_, first, _), (x, second, _) = map(points_and_ends, ax.containers)
    assert (second > first).all()
    assert (second - first < 0.5).all()
    assert ax.get_xscale() == "log"
    assert ax.get_xlim()[1] > x.max()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["start", "trained"]
    assert len({each.lines[0].get_color() for each in ax.containers}) == 2
    with pytest.raises(ValueError, match="traces must be of the layers that ax shows, to share it; got layers"):
        plot_layer_traces(with_values([1.0, 2.0], [0.0, 0.0]), ax=ax)


def test_bad_input():
    with pytest.raises(TypeError, match="traces must be LayerTraces, from layer_traces; got dict"):
        plot_layer_traces({})
    with pytest.raises(ValueError, match="level must lie between 0 and 1; got 95"):
        plot_layer_traces(TRACES, level=95)
