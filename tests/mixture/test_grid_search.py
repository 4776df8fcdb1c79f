"""The three backends against a loop over `Grid.point`, and against each other on the paper's 10⁸ points."""

import itertools
import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdens.mixture import grid_search
from hessdens.mixture.grid import Grid
from hessdens.mixture.grid_search import BACKENDS, GridTable, box_bounds, grid_table, objective, search, search_rows

COMPILED = ("box_bounds", "children", "distance", "evaluate", "expand", "first_guess", "objective", "search_boxes")


def naive_argmin(moments, grid):
    """Lowest of the equal best points, in plain Python; the objective of eq. 6 in the order it is written."""
    best = (np.inf, 0)
    for flat, index in enumerate(itertools.product(*map(range, grid.shape))):
        model = grid.point(index).moments(4)
        terms = [abs(float(q) - float(m)) * (1 / abs(float(m))) for q, m in zip(model, moments, strict=True)]
        best = min(best, (terms[0] + terms[1] + terms[2] + terms[3], flat))
    return best


def axis(numbers, max_size=5):
    return st.lists(numbers, min_size=1, max_size=max_size, unique=True).map(sorted)


# Shapes beyond 1e8 have δ = 1 to the last bit, weights and locations may differ in the last bit: equal and nearly equal
# objectives are then common.
grids = st.builds(
    Grid,
    weights=axis(st.floats(1e-9, 1) | st.sampled_from([0.25, np.nextafter(0.25, 1), 0.5, 1.0])),
    locations=axis(st.floats(-10, 10) | st.sampled_from([-1.0, 1.0, np.nextafter(1.0, 2)])),
    scales=axis(st.floats(1e-3, 1e3) | st.sampled_from([1.0, 2.0])),
    shapes=axis(st.floats(-50, 50) | st.sampled_from([-1e12, -1e10, 1e10, 1e12])),
    narrow_scale=st.sampled_from([1e-3, 1.0]),
)


# From 1e14 on, most of 4 - Σ model m_k / m_k is lost in rounding: the best of few different values has many points.
magnifications = st.floats(14, 18).map(lambda digits: np.full(4, 10**digits)) | st.sampled_from(
    [np.ones(4), np.full(4, 1e200), np.full(4, 1e-100), np.array([-1, 1, -1, 1.0]), 1e3 ** np.arange(4)]
)


@st.composite
def cases(draw):
    """A grid and moments: of one of its points, nearly so, between two points, or of any size and sign."""
    grid = draw(grids)
    index = st.tuples(*(st.integers(0, length - 1) for length in grid.shape))
    first, second = (grid.point(draw(index)).moments(4) for _ in range(2))
    noise = st.lists(st.floats(0.5, 2), min_size=4, max_size=4).map(np.array)
    factors = draw(st.one_of(magnifications, noise, st.builds(np.multiply, magnifications, noise)))
    moments = factors * draw(st.sampled_from([first, (first + second) / 2, first * (1 + 1e-15)]))
    return grid, np.where(np.abs(moments) < 1e-300, 1e-3, moments)


@settings(max_examples=400)
@given(cases())
def test_all_backends_find_what_a_plain_loop_finds(case):
    grid, moments = case
    expected = naive_argmin(moments, grid)
    for backend in BACKENDS:
        values, indices = search(moments[None], grid, backend)
        assert (values[0], indices[0]) == expected, backend


@given(cases(), st.data())
def test_bounds_hold_for_computed_values(case, data):
    """To the last bit, without slack: also between numbers that are equal but for rounding."""
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


def plain(name, patch):
    """Replace the compiled functions by the Python functions that they were compiled from."""
    for function in name:
        patch.setattr(grid_search, function, getattr(grid_search, function).py_func)


@settings(max_examples=50)
@given(cases())
def test_compiled_functions_do_what_their_python_does(case):
    grid, moments = case
    table, inverse = grid_table(grid), 1 / np.abs(moments)
    expected = naive_argmin(moments, grid)
    with pytest.MonkeyPatch.context() as patch:
        plain(COMPILED, patch)
        assert grid_search.search_boxes(moments, inverse, table) == expected
        assert grid_search.search_rows.py_func(moments, inverse, table, 0, table.rows.shape[1]) == expected


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


def random_moments(num, seed):
    """Moments of mixtures off the paper's grid with noise, on it, and of any size and sign."""
    rng = np.random.default_rng(seed)
    grid = Grid.paper()
    result = []
    for i in range(num):
        moments = grid.point(rng.integers(100, size=4)).moments(4)
        if i % 3 == 1:
            moments = moments * (1 + 0.2 * rng.standard_normal(4))
        if i % 3 == 2:
            moments = rng.standard_normal(4) * 10 ** rng.uniform(-8, 8, 4)
        result.append(moments)
    return np.array(result)


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


def test_table_is_computed_once_for_a_grid():
    assert grid_table(Grid.paper()) is grid_table(Grid.paper())
    assert isinstance(grid_table(Grid.paper()), GridTable)


def test_compiled_once_for_all_arrays():
    """Numba compiles again, for seconds, where an array is read-only or strided."""
    grid = Grid([0.5, 1], [3, 4, 5], [10, 20, 30], [0, 1])
    moments = np.ones((3, 8))[:, ::2]
    moments.setflags(write=False)
    for backend in ("numba", "numba-exhaustive"):
        for array in (moments, moments.copy(), np.asfortranarray(moments), moments[:1]):
            search(array, grid, backend)
    assert len(grid_search.search_boxes.signatures) == 1
    assert len(grid_search.search_rows.signatures) == 1


def test_overflowing_grid_is_refused():
    with pytest.raises(ValueError, match="fourth moments of a grid's mixtures must be finite; got an overflow"):
        search(np.ones((1, 4)), Grid([0.1], [0], [1e100], [0]), "numba")
