"""Bounds of the objective over all points of a box, and the compiled loops against their Python."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixture_cases import cases, naive_argmin, random_moments

from hessdens.mixture import grid_kernels
from hessdens.mixture.grid import Grid
from hessdens.mixture.grid_kernels import (
    box_bounds,
    children,
    distance,
    expand,
    first_guess,
    objective,
    search_rows,
    search_within,
)
from hessdens.mixture.grid_search import grid_table


@given(cases(), st.data())
def test_bounds_hold_for_computed_values(case, data):
    """To the last bit, without slack: also between numbers that are equal except for rounding."""
    grid, moments = case
    table = grid_table(grid)
    inverse = 1 / np.abs(moments)
    level = data.draw(st.integers(1, len(table.levels) - 1))
    offset, *counts = table.levels[level]
    bounds = np.full(len(grid.weights), np.nan)
    for box, corner in enumerate(itertools.product(*map(range, counts))):
        box_bounds(bounds, offset + box, 0, len(bounds), moments, inverse, table)
        parts = [range(length)[i << level : (i + 1) << level] for i, length in zip(corner, grid.shape[1:], strict=True)]
        rows = [np.ravel_multi_index(row, grid.shape[1:]) for row in itertools.product(*parts)]
        for w, bound in enumerate(bounds):
            values = objective.py_func(
                table.weights[w], table.bulk2[w], table.bulk4[w], *table.rows[:, rows], moments, inverse
            )
            assert bound <= values.min()


COMPILED = ("box_bounds", "children", "distance", "evaluate", "expand", "first_guess", "objective", "search_boxes")


def plain(names, patch):
    """Replace the compiled functions by the Python functions that they were compiled from."""
    for function in names:
        patch.setattr(grid_kernels, function, getattr(grid_kernels, function).py_func)


@settings(max_examples=50)
@given(cases())
def test_compiled_functions_do_what_their_python_does(case):
    grid, moments = case
    table, inverse = grid_table(grid), 1 / np.abs(moments)
    expected = naive_argmin(moments, grid)
    with pytest.MonkeyPatch.context() as patch:
        plain(COMPILED, patch)
        assert grid_kernels.search_boxes(moments, inverse, table) == expected
        assert grid_kernels.search_rows.py_func(moments, inverse, table, 0, table.rows.shape[1]) == expected


def test_parts_of_the_rows_are_searched_whole():
    """Blocks that end within a part, within the grid, or beyond it."""
    grid = Grid(np.geomspace(1e-3, 1, 3), np.linspace(-1, 1, 15), np.geomspace(0.1, 10, 16), np.linspace(-9, 9, 17))
    table, num_rows = grid_table(grid), 15 * 16 * 17
    for moments in random_moments(6, seed=5):
        inverse = 1 / np.abs(moments)
        values = objective.py_func(grid.weights[:, None], 0.0, 0.0, *table.rows, moments, inverse)
        for start, stop in [(0, num_rows), (100, 1200), (1000, 1010), (3000, 9999)]:
            part = values[:, start:stop]
            w, row = np.unravel_index(np.argmin(part), part.shape)
            zero_bulk = table._replace(bulk2=np.zeros(3), bulk4=np.zeros(3))
            found = search_rows(moments, inverse, zero_bulk, start, stop)
            assert found == (part.min(), w * num_rows + start + row)


def test_children_of_the_boxes_of_a_level_are_those_below_once_each():
    levels = grid_table(Grid([0.5], [1, 2, 3, 4, 5], [1, 2], [1, 2, 3])).levels
    for level in range(1, len(levels)):
        boxes = []
        for box in range(np.prod(levels[level, 1:])):
            i0, j0, k0, i1, j1, k1 = children(level, box, levels)
            boxes += itertools.product(range(i0, i1), range(j0, j1), range(k0, k1))
        assert sorted(boxes) == list(itertools.product(*map(range, levels[level - 1, 1:])))


@pytest.mark.parametrize(("ends", "least"), [((1, 2), 1), ((-3, -2), 2), ((-1, 2), 0), ((0, 1), 0), ((-1, 0), 0)])
def test_least_absolute_value_of_an_interval(ends, least):
    assert distance(*map(float, ends)) == distance.py_func(*map(float, ends)) == least


GRID = Grid(np.geomspace(1e-3, 1, 6), np.linspace(-1, 1, 7), np.geomspace(0.1, 10, 6), np.linspace(-9, 9, 5), 0.5)
TABLE = grid_table(GRID)


def all_objectives(moments):
    """Return the objective of all points of `GRID`, shape (weights, rows)."""
    parts = (part[:, None] for part in (TABLE.weights, TABLE.bulk2, TABLE.bulk4))
    return objective.py_func(*parts, *TABLE.rows, moments, 1 / np.abs(moments))


def rows_of_box(level, box):
    """Return the rows of a box, ascending."""
    corner = np.unravel_index(box, TABLE.levels[level, 1:])
    parts = [range(length)[i << level : (i + 1) << level] for i, length in zip(corner, GRID.shape[1:], strict=True)]
    return [np.ravel_multi_index(row, GRID.shape[1:]) for row in itertools.product(*parts)]


def test_bounds_are_as_near_as_the_extremes_of_a_box_allow():
    for moments in random_moments(6, seed=7):
        inverse, bounds = 1 / np.abs(moments), np.empty(6)
        for level, (offset, *counts) in enumerate(TABLE.levels[1:], start=1):
            for box in range(np.prod(counts)):
                rows = TABLE.rows[:, rows_of_box(level, box)]
                box_bounds(bounds, offset + box, 0, 6, moments, inverse, TABLE)
                bulk = np.stack([np.zeros(6), TABLE.bulk2, np.zeros(6), TABLE.bulk4])
                low, high = (np.outer(rows.min(axis=1), TABLE.weights), np.outer(rows.max(axis=1), TABLE.weights))
                nearest = np.clip(moments[:, None], low + bulk, high + bulk)
                np.testing.assert_allclose(bounds, inverse @ np.abs(nearest - moments[:, None]), rtol=1e-9, atol=1e-12)


def boxes_within(node, best, best_index, moments):
    """Return what `expand` is to push: boxes and weights that can hold a point before the best."""
    level, box, first, end = node
    inside, bounds, boxes = set(rows_of_box(level, box)), np.empty(6), []
    for child in range(np.prod(TABLE.levels[level - 1, 1:])):
        rows = rows_of_box(level - 1, child)
        if rows[0] not in inside:
            continue
        box_bounds(bounds, TABLE.levels[level - 1, 0] + child, 0, 6, moments, 1 / np.abs(moments), TABLE)
        left = [w for w in range(first, end) if (bounds[w], w * TABLE.rows.shape[1] + rows[0]) < (best, best_index)]
        if left:
            least = min(left, key=lambda w: bounds[w])
            lowest = least * TABLE.rows.shape[1] + rows[0]
            boxes.append((bounds[least], lowest, level - 1, child, left[0], left[-1] + 1))
    return sorted(boxes)


def test_boxes_that_can_hold_a_better_point_wait_with_the_least_that_they_can_hold():
    for moments in random_moments(9, seed=8):
        values = all_objectives(moments)
        for best in (np.inf, np.median(values), values.min(), 1.0):
            for node in ((len(TABLE.levels) - 1, 0, 0, 6), (2, 1, 1, 5)):
                heap, index = [], 3 * TABLE.rows.shape[1]
                expand.py_func(heap, np.empty(6), node, best, index, moments, 1 / np.abs(moments), TABLE)
                assert sorted(heap) == boxes_within(node, best, index, moments)


def test_first_guess_is_a_good_point():
    ranks = []
    for moments in random_moments(30, seed=9):
        values = all_objectives(moments)
        value, index = first_guess(np.empty(6), moments, 1 / np.abs(moments), TABLE)
        assert value == values.reshape(-1)[index]
        ranks.append(np.mean(values < value))
    assert np.median(ranks) < 0.02


def test_points_within_a_limit_are_all_that_reach_it():
    for moments in random_moments(6, seed=10):
        values, inverse = all_objectives(moments).reshape(-1), 1 / np.abs(moments)
        for limit in (values.min(), np.quantile(values, 0.1), np.inf):
            expected = np.flatnonzero(values <= limit)
            for run in (search_within, search_within.py_func):
                assert sorted(run(moments, inverse, limit, TABLE, values.size)) == expected.tolist()
                some = run(moments, inverse, limit, TABLE, 5)
                assert len(some) == min(5, len(expected))
                assert set(some) <= set(expected)


def test_search_looks_at_few_points(monkeypatch):
    """Bounds and their order leave out almost all of a grid."""
    plain(COMPILED, monkeypatch)
    looked = []
    monkeypatch.setattr(grid_kernels, "objective", lambda *parts: looked.append(1) or objective.py_func(*parts))
    grid = Grid(np.geomspace(1e-3, 1, 20), np.linspace(-1, 1, 16), np.geomspace(0.1, 10, 16), np.linspace(-9, 9, 16))
    for index in np.random.default_rng(11).integers(16, size=(5, 4)):
        moments = grid.point(index).moments(4) * [1, 1.1, 0.9, 1]
        grid_kernels.search_boxes(moments, 1 / np.abs(moments), grid_table(grid))
    assert len(looked) < 0.02 * 5 * grid.num_points
