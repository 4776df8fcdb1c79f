"""Drawings of directions and subspaces: what is drawn, not how it looks."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from hessdens.eigenvectors import Carriers, Overlap, SubspaceAngles
from hessdens.plotting import plot_carriers, plot_overlap, plot_subspace_angles

mpl.use("Agg")
FIRST = Overlap(10, [3.0, 1.0], (1, 2), [0.5, 0.25], [0.4, 0.2], [0.6, 0.3], [0.75, 0.6, 0.9])
SECOND = Overlap(10, [3.0, 1.0], (1, 2), [0.0, 0.0], [0.0, 0.0], [0.1, 0.1], [0.0, 0.0, 0.1])
ANGLES = SubspaceAngles([0.1, 1.0], [0.0, 0.9], [0.3, 1.2], shared_by_chance=0.25)
CARRIERS = Carriers(("a", "", "c"), (30, 10, 40), [0.25, 0.70, 0.05], 12.0)


def bars_in(ax):
    return [container for container in ax.containers if isinstance(container, BarContainer)]


def bars_of(container):
    _, _, (lines,) = container.errorbar.lines
    return np.array([bar.get_height() for bar in container]), np.array(lines.get_segments())[:, :, 1]


def labels_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_shares_along_eigenvectors_are_bars_with_limits():
    ax = plot_overlap(FIRST, ax=Figure().subplots())
    (bars,) = bars_in(ax)
    heights, limits = bars_of(bars)
    np.testing.assert_allclose(heights, [50, 25])
    np.testing.assert_allclose(limits, [[40, 60], [20, 30]])
    (chance,) = [each for each in ax.collections if each.get_label() == "random direction"]
    np.testing.assert_allclose(np.array(chance.get_segments())[:, :, 1], [[10, 10], [20, 20]])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["3.00", "1.00 (2)"]
    assert set(labels_of(ax)) == {"direction: 75% (60% to 90%) in all", "random direction"}
    assert plot_overlap(FIRST).figure is not ax.figure, "without axes, new ones"


def test_shares_of_several_directions_stand_side_by_side():
    ax = plot_overlap({"gradient": FIRST, "update": SECOND}, ax=Figure().subplots())
    first, second = ([bar.get_x() for bar in container] for container in bars_in(ax))
    np.testing.assert_allclose(np.subtract(second, first), 0.4)
    assert labels_of(ax)[-1].startswith("update: 0% (0% to 10%)")


def test_many_eigenvalues_have_numbers_in_place_of_names():
    ones = np.full(40, 0.01)
    many = Overlap(90, np.arange(40.0), (1,) * 40, ones, ones, ones, [0.4, 0.4, 0.4])
    assert plot_overlap(many).get_xlabel() == "number of the eigenvalue, as in the eigenpairs"


def test_angles_have_limits_and_those_of_random_subspaces():
    ax = plot_subspace_angles(ANGLES, ax=Figure().subplots())
    (container,) = ax.containers
    points, _, (bars,) = container.lines
    np.testing.assert_allclose(points.get_ydata(), [0.1, 1.0])
    np.testing.assert_allclose(np.array(bars.get_segments())[:, :, 1], [[0.0, 0.3], [0.9, 1.2]])
    chance = ax.lines[0].get_ydata()[0]
    assert np.cos(chance) ** 2 == pytest.approx(2 / 8)
    assert labels_of(ax) == ["random subspaces: 25.00% shared", "64.10% shared"]
    assert plot_subspace_angles(ANGLES).figure is not ax.figure, "without axes, new ones"


def test_angles_of_several_pairs_are_apart_and_those_of_old_files_have_no_line():
    old = SubspaceAngles(ANGLES.angles, ANGLES.low, ANGLES.high)
    ax = plot_subspace_angles({"steps": ANGLES, "runs": old}, ax=Figure().subplots())
    first, second = (container.lines[0].get_xdata() for container in ax.containers)
    assert (second > first).all()
    assert labels_of(ax) == ["random subspaces: 25.00% shared", "steps: 64.10% shared", "runs: 64.10% shared"]
    assert labels_of(plot_subspace_angles(old)) == ["64.10% shared"]


def test_layers_of_one_direction_are_bars_with_their_parts():
    ax = plot_carriers(CARRIERS, ax=Figure().subplots())
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "(the model itself)", "c"]
    np.testing.assert_allclose([bar.get_width() for bar in ax.containers[0]], [25, 70, 5])
    np.testing.assert_allclose(np.array(ax.collections[0].get_segments())[:, 0, 0], [37.5, 12.5, 50])
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first layer is at the top"
    assert labels_of(ax) == ["part of the parameters", "share of the squared length"]
    new = plot_carriers(Carriers(tuple(map(str, range(60))), (1,) * 60, np.full(60, 1 / 60), 60.0))
    assert new.figure.get_figheight() > 10


def test_layers_of_several_directions_are_a_map():
    other = Carriers(CARRIERS.layers, CARRIERS.sizes, [1.0, 0.0, 0.0], 5.0)
    ax = plot_carriers({"first": CARRIERS, "second": other}, ax=Figure().subplots())
    np.testing.assert_allclose(ax.images[0].get_array(), [[25, 100], [70, 0], [5, 0]])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["first", "second"]
    assert ax.images[0].get_clim() == (0, 100)
    assert [text.get_text() for text in ax.texts] == ["25", "100", "70", "0.0", "5.0", "0.0"]
    many = {str(index): CARRIERS for index in range(40)}
    assert not plot_carriers(many).texts


@pytest.mark.parametrize(
    ("plot", "name", "kind"),
    [
        (plot_overlap, "overlap", "Overlap"),
        (plot_subspace_angles, "angles", "SubspaceAngles"),
        (plot_carriers, "carriers", "Carriers"),
    ],
)
def test_other_results_are_refused(plot, name, kind):
    with pytest.raises(TypeError, match=f"{name} must be {kind}, from .*; got ndarray"):
        plot(np.ones(3))
    with pytest.raises(TypeError, match=f"{name} must be {kind}, from .*; got ndarray"):
        plot({"one": np.ones(3)})
    with pytest.raises(ValueError, match=f"{name} must hold one result at least; got none"):
        plot({})


def test_results_of_different_eigenpairs_and_layers_do_not_share_axes():
    other = Overlap(10, [3.0], (1,), [0.5], [0.4], [0.6], [0.5, 0.4, 0.6])
    with pytest.raises(ValueError, match="overlaps must be with the same eigenpairs"):
        plot_overlap({"a": FIRST, "b": other})
    with pytest.raises(ValueError, match="carriers must be of the same layers"):
        plot_carriers({"a": CARRIERS, "b": Carriers(("a",), (1,), [1.0], 1.0)})
