"""The three backends against a loop over `Grid.point`, and against each other on the paper's 10⁸ points."""

import itertools
import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from mixture_cases import cases, naive_argmin, random_moments

from hessdens.mixture import grid_kernels
from hessdens.mixture.grid import Grid
from hessdens.mixture.grid_kernels import GridTable, objective
from hessdens.mixture.grid_search import BACKENDS, grid_table, points_within, search


@settings(max_examples=400)
@given(cases())
def test_all_backends_find_what_a_plain_loop_finds(case):
    grid, moments = case
    expected = naive_argmin(moments, grid)
    for backend in BACKENDS:
        values, indices = search(moments[None], grid, backend)
        assert (values[0], indices[0]) == expected, backend


def test_ties_go_to_the_lowest_index():
    """All 10⁸ objectives are 4 to the last bit where moments are huge; and the answer does not take long."""
    for backend in ("numba", "numba-exhaustive"):
        values, indices = search(np.full((1, 4), 1e200), Grid.paper(), backend)
        assert (values[0], indices[0]) == (4.0, 0)


def test_where_every_objective_overflows_the_lowest_index_is_returned():
    grid = Grid([0.5, 1], [3, 4, 5], [10, 20, 30], [0, 1])
    for backend in BACKENDS:
        values, indices = search(np.full((1, 4), 1e-307), grid, backend)
        assert (values[0], indices[0]) == (np.inf, 0)


def test_ties_between_rows_of_different_weights():
    """The first row that attains the best value may attain it at a higher weight than a later row."""
    rng = np.random.default_rng(6)
    grid = Grid(np.geomspace(0.1, 1, 9), np.linspace(0.5, 2, 6), np.geomspace(0.5, 2, 5), np.linspace(-4, 4, 7))
    table, crossed = grid_table(grid), 0
    for _ in range(100):
        moments = grid.point([rng.integers(length) for length in grid.shape]).moments(4) * 10 ** rng.uniform(15, 17)
        weights = (table.weights[:, None], table.bulk2[:, None], table.bulk4[:, None])
        values = objective.py_func(*weights, *table.rows, moments, 1 / np.abs(moments))
        flat = int(np.argmin(values))
        crossed += flat % values.shape[1] != np.argmin(values.min(axis=0))
        for backend in BACKENDS:
            found = search(moments[None], grid, backend)
            assert (found[0][0], found[1][0]) == (values.min(), flat), backend
    assert crossed > 10


def test_same_index_as_all_points_of_the_papers_grid():
    moments = random_moments(45, seed=0)
    values, indices = search(moments, Grid.paper(), "numba")
    expected_values, expected_indices = search(moments, Grid.paper(), "numba-exhaustive")
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_array_equal(values, expected_values)


def test_plain_numpy_agrees_on_the_papers_grid():
    moments = random_moments(2, seed=1)
    for fast, slow in zip(search(moments, Grid.paper(), "numba"), search(moments, Grid.paper(), "numpy"), strict=True):
        np.testing.assert_array_equal(fast, slow)


def test_points_of_the_papers_grid_are_recovered_exactly():
    rng = np.random.default_rng(2)
    indices = [*rng.integers(100, size=(200, 4)), (0, 0, 0, 0), (99, 99, 99, 99), (0, 99, 0, 99), (0, 49, 0, 50)]
    moments = np.array([Grid.paper().point(index).moments(4) for index in indices])
    values, found = search(moments, Grid.paper(), "numba")
    np.testing.assert_array_equal(np.transpose(np.unravel_index(found, (100,) * 4)), indices)
    np.testing.assert_array_equal(values, 0)


def test_number_of_threads_changes_nothing(monkeypatch):
    moments = random_moments(12, seed=3)
    grid = Grid(np.geomspace(1e-3, 1, 11), np.linspace(-1, 1, 30), np.geomspace(0.1, 10, 40), np.linspace(-9, 9, 50))
    expected = search(moments, grid, "numba")
    for threads in (1, 3):
        monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
        for backend in ("numba", "numba-exhaustive"):
            np.testing.assert_array_equal(search(moments, grid, backend), expected)
    alone = [search(row[None], grid, "numba") for row in moments]
    np.testing.assert_array_equal(np.concatenate(alone, axis=1), expected)


def test_torch_keeps_its_number_of_threads():
    """In a process of its own: Numba's OpenMP, once started, sets the number for the whole process."""
    program = (
        "import torch; import numpy as np; from hessdens.mixture.grid import Grid; "
        "from hessdens.mixture.grid_search import search; "
        "torch.set_num_threads(1); before = torch.get_num_threads(); "
        "search(np.array([[0.1, 1.0, 0.2, 3.0]] * 2), Grid.paper(), 'numba'); print(before, torch.get_num_threads())"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 3), (5, 4, 7), (9, 1, 16)])
def test_boxes_hold_the_extremes_of_their_rows(shape):
    """Whatever the sizes of the axes: they need not be powers of two."""
    rng = np.random.default_rng(4)
    axes = [np.sort(rng.uniform(0.1, 5, length)) for length in shape]
    table = grid_table(Grid([0.5], *axes))
    rows = table.rows.reshape(4, *shape)
    assert tuple(table.levels[-1, 1:]) == (1, 1, 1)
    assert len(table.boxes) == sum(int(np.prod(counts)) for counts in table.levels[1:, 1:])
    for level, (offset, *counts) in enumerate(table.levels[1:], start=1):
        for box, corner in enumerate(itertools.product(*map(range, counts))):
            inside = rows[(slice(None), *(slice(i << level, (i + 1) << level) for i in corner))].reshape(4, -1)
            expected = np.concatenate([inside.min(axis=1), inside.max(axis=1)])
            np.testing.assert_array_equal(table.boxes[offset + box], expected)


def test_table_is_computed_once_for_a_grid():
    assert grid_table(Grid.paper()) is grid_table(Grid.paper())
    assert isinstance(grid_table(Grid.paper()), GridTable)


def test_overflowing_grid_is_refused():
    with pytest.raises(ValueError, match="fourth moments of a grid's mixtures must be finite; got an overflow"):
        search(np.ones((1, 4)), Grid([0.1], [0], [1e100], [0]), "numba")


def test_compiled_once_for_all_arrays():
    """Numba compiles again, for seconds, where an array is read-only or strided."""
    grid = Grid([0.5, 1], [3, 4, 5], [10, 20, 30], [0, 1])
    moments = np.ones((3, 8))[:, ::2]
    moments.setflags(write=False)
    for backend in ("numba", "numba-exhaustive"):
        for array in (moments, moments.copy(), np.asfortranarray(moments), moments[:1]):
            search(array, grid, backend)
    assert len(grid_kernels.search_boxes.signatures) == 1
    assert len(grid_kernels.search_rows.signatures) == 1


def test_points_within_a_limit_are_those_whose_objective_is_below_it():
    grid = Grid(np.geomspace(0.1, 1, 4), np.linspace(0.5, 2, 5), np.geomspace(0.5, 2, 3), np.linspace(-4, 4, 4))
    moments = random_moments(1, seed=3)[0]
    points = np.array([grid.point(index).moments(4) for index in np.ndindex(*grid.shape)])
    objectives = np.sum(np.abs(points - moments) / np.abs(moments), axis=1)
    limit = np.quantile(objectives, 0.3) * (1 + 1e-9)
    assert points_within(moments, limit, grid, 1000).tolist() == np.flatnonzero(objectives <= limit).tolist()
    assert len(points_within(moments, limit, grid, 7)) == 7
