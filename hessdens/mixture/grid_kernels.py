"""Compiled loops over the points and boxes of a grid, in one file: Numba's cache sees no change of another."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, NamedTuple

import numba
import numpy as np

from hessdens._types import FloatArray, IntArray

# Level, box, and the first and the end of the weights.
Node = tuple[int, int, int, int]
Heap = list[tuple[float, int, int, int, int, int]]
# Rows that stay in the first-level cache while all weights pass over them.
ROWS_PER_BLOCK = 1024
# Without `fastmath`, LLVM neither reorders nor fuses operations: every backend rounds alike. Threads come from the
# standard library (the kernels release the GIL). Numba's own would conflict with fork, and to ask for their number with
# numba.get_num_threads() starts its OpenMP, which changes torch's number of threads.
compiled: Callable[[Any], Any] = numba.njit(cache=True, nogil=True, error_model="numpy")


class GridTable(NamedTuple):
    """What depends on the grid alone. A row is a (location, scale, shape); R rows, shape fastest.

    Level 0 is the rows; a box of level l holds up to 2 x 2 x 2 boxes of level l - 1; the last level is one box.
    """

    weights: FloatArray  # (W,)
    bulk2: FloatArray  # (W,): (1 - w) σ²
    bulk4: FloatArray  # (W,): (1 - w) 3σ⁴
    rows: FloatArray  # (4, R): moments of the skew normals
    boxes: FloatArray  # (boxes of all levels >= 1, 8): least m_1..m_4, then greatest
    levels: IntArray  # (levels, 4): offset of a level in `boxes`; boxes along location, scale, shape


@compiled
def objective(
    weight: Any, bulk2: Any, bulk4: Any, first: Any, second: Any, third: Any, fourth: Any, moments: Any, inverse: Any
) -> Any:
    """Eq. 6, with the order of operations that all backends share; plain or NumPy numbers, or arrays of them.

    ``inverse`` is 1 / |m_k|; ``first`` to ``fourth`` are moments of skew normals.
    """
    return (
        abs(weight * first - moments[0]) * inverse[0]
        + abs(weight * second + bulk2 - moments[1]) * inverse[1]
        + abs(weight * third - moments[2]) * inverse[2]
        + abs(weight * fourth + bulk4 - moments[3]) * inverse[3]
    )


@compiled
def search_rows(moments: FloatArray, inverse: FloatArray, table: GridTable, start: int, stop: int) -> tuple[float, int]:
    """Return the least objective and its lowest flat index over all weights and rows ``start`` to ``stop``."""
    num_rows = table.rows.shape[1]
    best = np.inf
    best_index = 0
    for begin in range(start, min(stop, num_rows), ROWS_PER_BLOCK):
        size = min(ROWS_PER_BLOCK, stop - begin, num_rows - begin)
        rows = table.rows[:, begin : begin + size]
        values = np.full(size, np.inf)
        weights = np.zeros(size, dtype=np.int64)
        for w in range(len(table.weights)):
            weight, bulk2, bulk4 = table.weights[w], table.bulk2[w], table.bulk4[w]
            for i in range(size):
                value = objective(
                    weight, bulk2, bulk4, rows[0, i], rows[1, i], rows[2, i], rows[3, i], moments, inverse
                )
                less = value < values[i]
                values[i] = value if less else values[i]
                weights[i] = w if less else weights[i]
        for i in range(size):
            index = weights[i] * num_rows + begin + i
            if values[i] < best or (values[i] == best and index < best_index):
                best = values[i]
                best_index = index
    return best, best_index


@compiled
def box_bounds(
    out: FloatArray, box: int, first: int, end: int, moments: FloatArray, inverse: FloatArray, table: GridTable
) -> None:
    """Write to ``out[first:end]`` a lower bound, for each weight, of the computed objective of all points of a box.

    Rounding is monotone, so the objective's own operations, applied to the ends of the intervals that hold the moments,
    bound what they give inside. There is no slack to add for rounding.
    """
    low1, low2, low3, low4 = table.boxes[box, 0], table.boxes[box, 1], table.boxes[box, 2], table.boxes[box, 3]
    high1, high2, high3, high4 = table.boxes[box, 4], table.boxes[box, 5], table.boxes[box, 6], table.boxes[box, 7]
    m1, m2, m3, m4 = moments[0], moments[1], moments[2], moments[3]
    r1, r2, r3, r4 = inverse[0], inverse[1], inverse[2], inverse[3]
    weights, bulk2, bulk4 = table.weights, table.bulk2, table.bulk4
    for w in range(first, end):
        weight = weights[w]
        out[w] = (
            distance(weight * low1 - m1, weight * high1 - m1) * r1
            + distance(weight * low2 + bulk2[w] - m2, weight * high2 + bulk2[w] - m2) * r2
            + distance(weight * low3 - m3, weight * high3 - m3) * r3
            + distance(weight * low4 + bulk4[w] - m4, weight * high4 + bulk4[w] - m4) * r4
        )


@compiled
def distance(low: float, high: float) -> float:
    """Return the least absolute value in [low, high]."""
    below = -high if -high > 0.0 else 0.0
    return low if low > below else below


@compiled
def children(level: int, box: int, levels: IntArray) -> tuple[int, int, int, int, int, int]:
    """Return the ranges of location, scale and shape of the boxes of the level below: three starts, three ends."""
    num_scales, num_shapes = levels[level, 2], levels[level, 3]
    i, j, k = box // (num_scales * num_shapes), box // num_shapes % num_scales, box % num_shapes
    ends = levels[level - 1]
    return 2 * i, 2 * j, 2 * k, min(2 * i + 2, ends[1]), min(2 * j + 2, ends[2]), min(2 * k + 2, ends[3])


@compiled
def expand(
    heap: Heap,
    bounds: FloatArray,
    node: Node,
    best: float,
    best_index: int,
    moments: FloatArray,
    inverse: FloatArray,
    table: GridTable,
) -> None:
    """Push those boxes within a box, and that range of their weights, that can still come before the best point."""
    level, box, first, end = node
    below = level - 1
    offset, num_scales, num_shapes = table.levels[below, 0], table.levels[below, 2], table.levels[below, 3]
    num_rows, row_scales, row_shapes = table.rows.shape[1], table.levels[0, 2], table.levels[0, 3]
    i0, j0, k0, i1, j1, k1 = children(level, box, table.levels)
    for i in range(i0, i1):
        for j in range(j0, j1):
            for k in range(k0, k1):
                child = (i * num_scales + j) * num_shapes + k
                row = (((i << below) * row_scales) + (j << below)) * row_shapes + (k << below)
                box_bounds(bounds, offset + child, first, end, moments, inverse, table)
                least, least_weight, child_first, child_end = np.inf, end, end, first
                for w in range(first, end):
                    bound = bounds[w]
                    if bound < best or (bound == best and w * num_rows + row < best_index):
                        child_first = min(child_first, w)
                        child_end = w + 1
                        if bound < least:
                            least, least_weight = bound, w
                if child_first < child_end:
                    heappush(heap, (least, least_weight * num_rows + row, below, child, child_first, child_end))


@compiled
def evaluate(
    node: Node, best: float, best_index: int, moments: FloatArray, inverse: FloatArray, table: GridTable
) -> tuple[float, int]:
    """Return the best point and its flat index after looking at all points of a box of the lowest level."""
    level, box, first, end = node
    weights, bulk2, bulk4, rows = table.weights, table.bulk2, table.bulk4, table.rows
    num_rows, num_scales, num_shapes = rows.shape[1], table.levels[0, 2], table.levels[0, 3]
    i0, j0, k0, i1, j1, k1 = children(level, box, table.levels)
    for i in range(i0, i1):
        for j in range(j0, j1):
            for k in range(k0, k1):
                row = (i * num_scales + j) * num_shapes + k
                a, b, c, d = rows[0, row], rows[1, row], rows[2, row], rows[3, row]
                for w in range(first, end):
                    value = objective(weights[w], bulk2[w], bulk4[w], a, b, c, d, moments, inverse)
                    index = w * num_rows + row
                    if value < best or (value == best and index < best_index):
                        best = value
                        best_index = index
    return best, best_index


@compiled
def first_guess(bounds: FloatArray, moments: FloatArray, inverse: FloatArray, table: GridTable) -> tuple[float, int]:
    """Return a good point: from the box of all, always on to the part with the least bound. Halves the search."""
    node = (len(table.levels) - 1, 0, 0, len(bounds))
    while node[0] > 1:
        heap = [(0.0, 0, 0, 0, 0, 0) for _ in range(0)]
        expand(heap, bounds, node, np.inf, 0, moments, inverse, table)
        if len(heap) == 0:  # every bound is infinite
            return np.inf, 0
        _, _, level, box, first, end = heappop(heap)
        node = (level, box, first, end)
    return evaluate(node, np.inf, 0, moments, inverse, table)


@compiled
def search_boxes(moments: FloatArray, inverse: FloatArray, table: GridTable) -> tuple[float, int]:
    """Return the least objective and its lowest flat index over the whole grid.

    Boxes wait in a heap by (lower bound, lowest flat index that can attain it), the same order by which points are
    compared. So the first box that does not come before the best point ends the search, also where very many points
    are equal.
    """
    num_weights = len(table.weights)
    bounds = np.empty(num_weights)
    top = len(table.levels) - 1
    best, best_index = first_guess(bounds, moments, inverse, table)
    heap = [(0.0, 0, top, 0, 0, num_weights)]
    while len(heap) > 0:
        bound, lowest, level, box, first, end = heappop(heap)
        if bound > best or (bound == best and lowest >= best_index):
            break
        node = (level, box, first, end)
        if level == 1:
            best, best_index = evaluate(node, best, best_index, moments, inverse, table)
        else:
            expand(heap, bounds, node, best, best_index, moments, inverse, table)
    return best, best_index


@compiled
def search_within(moments: FloatArray, inverse: FloatArray, limit: float, table: GridTable, most: int) -> IntArray:
    """Return flat indices of points whose objective is at most ``limit``; boxes with a higher bound are left out."""
    weights, bulk2, bulk4, rows = table.weights, table.bulk2, table.bulk4, table.rows
    num_weights, num_rows = len(weights), rows.shape[1]
    bounds = np.empty(num_weights)
    points = np.empty(most, dtype=np.int64)
    count = 0
    stack = [(len(table.levels) - 1, 0)]
    while len(stack) > 0 and count < most:
        level, box = stack.pop()
        below = level - 1
        offset, num_scales, num_shapes = table.levels[below, 0], table.levels[below, 2], table.levels[below, 3]
        i0, j0, k0, i1, j1, k1 = children(level, box, table.levels)
        for i in range(i0, i1):
            for j in range(j0, j1):
                for k in range(k0, k1):
                    child = (i * num_scales + j) * num_shapes + k
                    if below > 0:
                        box_bounds(bounds, offset + child, 0, num_weights, moments, inverse, table)
                        if bounds.min() <= limit:
                            stack.append((below, child))
                        continue
                    a, b, c, d = rows[0, child], rows[1, child], rows[2, child], rows[3, child]
                    for w in range(num_weights):
                        value = objective(weights[w], bulk2[w], bulk4[w], a, b, c, d, moments, inverse)
                        if value <= limit and count < most:
                            points[count] = w * num_rows + child
                            count += 1
    return points[:count]
