"""Grids and moments for tests of the search, with ties and numbers that differ in the last bit."""

import itertools

import numpy as np
from hypothesis import strategies as st

from hessdens.mixture.grid import Grid


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
