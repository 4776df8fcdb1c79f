"""The exact argmin of the fit's objective over a `Grid`: best-first search of boxes, and two exhaustive twins."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

from hessdens._types import FloatArray, IntArray
from hessdens.mixture.grid import Grid
from hessdens.mixture.grid_kernels import ROWS_PER_BLOCK, GridTable, objective, search_boxes, search_rows, search_within
from hessdens.mixture.model import narrow_moments, skew_normal_moments

# Rows that a thread takes at a time; the 10⁶ rows of the paper's grid are 62 such parts.
ROWS_PER_THREAD = 16 * ROWS_PER_BLOCK
config: Any = numba.config  # has its attributes at run time only


def search(moments: FloatArray, grid: Grid, backend: str) -> tuple[FloatArray, IntArray]:
    """Return the least objective, shape (F,), and its lowest flat index, shape (F,), for moments of shape (F, 4).

    The flat index counts points with the weight slowest and the shape fastest. Moments must be finite, not 0, and their
    reciprocals finite.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(map(repr, BACKENDS))}; got {backend!r}.")
    # A copy, because Numba compiles once more for read-only or strided arrays.
    moments = np.array(moments, order="C")
    inverse, table = 1 / np.abs(moments), grid_table(grid)

    def search_one(m: FloatArray, r: FloatArray) -> tuple[float, int]:
        return BACKENDS[backend](m, r, table)

    if backend == "numba" and len(moments) > 1:  # one fit per thread
        with ThreadPoolExecutor(config.NUMBA_NUM_THREADS) as pool:
            points = list(pool.map(search_one, moments, inverse))
    else:
        points = list(map(search_one, moments, inverse))
    return np.array([value for value, _ in points]), np.array([index for _, index in points], dtype=np.int64)


def points_within(moments: FloatArray, limit: float, grid: Grid, most: int) -> IntArray:
    """Return ascending flat indices of points whose objective is at most ``limit``; some ``most`` if there are more.

    ``moments`` has shape (4,), as for `search`.
    """
    moments = np.array(moments, order="C")
    return np.sort(search_within(moments, 1 / np.abs(moments), limit, grid_table(grid), most))


@functools.lru_cache(maxsize=2)
def grid_table(grid: Grid) -> GridTable:
    """Return the table of ``grid``: 42 MB and 0.3 s for 10⁶ rows. Two are kept, the paper's and another."""
    with np.errstate(over="ignore", invalid="ignore"):
        moments = skew_normal_moments(grid.locations[:, None, None], grid.scales[:, None], grid.shapes, 4)
    if not np.isfinite(moments).all():
        raise ValueError("The fourth moments of a grid's mixtures must be finite; got an overflow. Use smaller scales.")
    narrow = narrow_moments(grid.narrow_scale, 4)
    low = high = moments
    levels = [(0, *moments.shape[1:])]
    boxes: list[FloatArray] = []
    while not boxes or low[0].size > 1:
        low, high = _halve(np.minimum, low), _halve(np.maximum, high)
        levels.append((sum(map(len, boxes)), *low.shape[1:]))
        boxes.append(np.concatenate([low, high]).reshape(8, -1).T)
    return GridTable(
        grid.weights,
        (1 - grid.weights) * narrow[1],
        (1 - grid.weights) * narrow[3],
        moments.reshape(4, -1),
        np.ascontiguousarray(np.concatenate(boxes)),
        np.array(levels, dtype=np.int64),
    )


def _halve(extreme: np.ufunc, moments: FloatArray) -> FloatArray:
    """Return the extremes over blocks of 2 x 2 x 2 of axes 1 to 3; the last block of an odd axis is smaller."""
    for axis in (1, 2, 3):
        moments = extreme.reduceat(moments, np.arange(0, moments.shape[axis], 2), axis=axis)
    return moments


def _search_numpy(moments: FloatArray, inverse: FloatArray, table: GridTable) -> tuple[float, int]:
    """All points, one weight at a time."""
    best = (np.inf, 0)
    with np.errstate(over="ignore"):
        for i, weight in enumerate(table.weights):
            values = objective.py_func(weight, table.bulk2[i], table.bulk4[i], *table.rows, moments, inverse)
            row = int(np.argmin(values))
            best = min(best, (float(values[row]), i * len(values) + row))
    return best


def _search_all(moments: FloatArray, inverse: FloatArray, table: GridTable) -> tuple[float, int]:
    """All points, blocks of rows shared among threads."""
    starts = range(0, table.rows.shape[1], ROWS_PER_THREAD)
    stops = [start + ROWS_PER_THREAD for start in starts]
    with ThreadPoolExecutor(config.NUMBA_NUM_THREADS) as pool:
        return min(pool.map(functools.partial(search_rows, moments, inverse, table), starts, stops))


BACKENDS: dict[str, Callable[[FloatArray, FloatArray, GridTable], tuple[float, int]]] = {
    "numba": search_boxes,
    "numba-exhaustive": _search_all,
    "numpy": _search_numpy,
}
