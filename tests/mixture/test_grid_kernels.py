"""Bounds of the objective over all points of a box, and the compiled loops against their Python."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixture_cases import cases, naive_argmin, random_moments

from hessdens.mixture import grid_kernels
from hessdens.mixture.grid import Grid
from hessdens.mixture.grid_kernels import box_bounds, children, objective, search_rows
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
