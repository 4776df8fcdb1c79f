"""What a Krylov space leaves open: bounds of moments, and nothing once no step can follow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import diagonal

from hessdens.densities import cdf_bounds
from hessdens.densities.krylov import Krylov
from hessdens.linalg.block_lanczos import BlockLanczos
from hessdens.linalg.probes import operator_probes
from hessdens.testing import symmetric_matrices


def krylov(eigenvalues, num_probes, num_steps, seed=0):
    """Return what block Lanczos leaves open of a diagonal matrix, and the squares of its probes."""
    operator = diagonal(np.asarray(eigenvalues))
    probes = operator_probes(operator, seed, 0, num_probes, "gaussian").T
    space = BlockLanczos(operator, probes, num_steps)
    while space.num_steps < num_steps and not space.is_invariant:
        space.step()
    matrix, known = space.matrix(), space.num_products
    ritz, vectors = np.linalg.eigh(matrix[:known, :known])
    start = space.start_coordinates @ vectors[: space.start_coordinates.shape[1]]
    return Krylov(ritz, matrix[known:, :known] @ vectors, start, space.rounding), probes.numpy() ** 2


@settings(max_examples=25, deadline=None)
@given(symmetric_matrices(), st.integers(1, 4), st.integers(1, 6))
def test_bounds_hold_the_squares_of_all_probes(case, num_probes, num_steps):
    eigenvalues = case[1]
    space, squares = krylov(eigenvalues, num_probes, num_steps)
    scale = max(float(np.abs(eigenvalues).max()), 1e-300)
    points = np.linspace(-1.049, 1.051, 9) * scale
    points = points[np.abs(points[:, None] - eigenvalues).min(axis=1) > 1e-6 * scale]
    low, high = space.squares_left_of(points)
    exact = np.array([squares[:, eigenvalues < x].sum() for x in points])
    # Of several probes they may fail by little: see below.
    slack = (1e-7 if num_probes == 1 or not len(space.coupling) else 0.05) * squares.sum()
    assert ((low <= exact + slack) & (exact <= high + slack)).all()
    assert space.square == pytest.approx(squares.sum())


def test_bounds_of_blocks_are_broken_seldom_and_by_little():
    """There is no theorem for the sum over several probes; docs/background/method.md has these numbers."""
    generator, excesses = np.random.default_rng(0), []
    for trial in range(3000):
        num_probes, num_steps = int(generator.integers(2, 4)), int(generator.integers(1, 9))
        size = num_probes * (num_steps + 1) + int(generator.integers(0, 5))
        values = generator.normal(size=size)
        if trial % 3 == 0:
            values = np.sign(values) * generator.exponential(size=size) ** 3
        scales = np.exp(2 * generator.normal(size=(size, 1))) if trial % 2 else 1.0
        probes = generator.normal(size=(size, num_probes)) * scales
        blocks = [np.linalg.qr(probes)[0]]
        for _ in range(num_steps):
            basis = np.hstack(blocks)
            block = values[:, None] * blocks[-1]
            for _ in range(2):
                block = block - basis @ (basis.T @ block)
            blocks.append(np.linalg.qr(block)[0])
        basis, known = np.hstack(blocks), num_probes * num_steps
        matrix = basis.T @ (values[:, None] * basis)
        ritz, vectors = np.linalg.eigh(matrix[:known, :known])
        krylov = Krylov(ritz, matrix[known:, :known] @ vectors, (probes.T @ basis[:, :known]) @ vectors, 1e-13)
        x = generator.uniform(values.min(), values.max())
        (low,), (high,) = krylov.squares_left_of(np.array([x]))
        left = np.sum(probes[values < x] ** 2)
        excesses.append(max(low - left, left - high) / np.sum(probes**2))
    broken = np.array(excesses) > 1e-8
    assert abs(broken.sum() - 17) <= 2, "some are near the limit, where rounding decides"
    assert max(excesses) == pytest.approx(0.02, abs=0.005)


@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_one_probe_has_the_bounds_of_its_moments(num_steps):
    """Of s steps those of 2s moments (Chebyshev, Markov, Stieltjes), which `cdf_bounds` takes from the moments."""
    eigenvalues = np.linspace(-1, 2, 40)
    space, squares = krylov(eigenvalues, 1, num_steps)
    moments = [squares[0] @ eigenvalues**k / squares.sum() for k in range(1, 2 * num_steps + 1)]
    x = np.array([-2.0, -0.6, 0.1, 0.35, 1.2, 3.0])
    np.testing.assert_allclose(space.squares_left_of(x) / squares.sum(), cdf_bounds(moments, x), atol=1e-7)


def test_nothing_is_open_where_no_step_can_follow():
    """Except at an eigenvalue itself, on either side of which it may be."""
    space, squares = krylov(np.repeat([-1.0, 0.5], [30, 70]), 3, 5)
    total, left = squares.sum(), squares[:, :30].sum()
    assert len(space.coupling) == 0
    found = space.squares_left_of(np.array([-np.inf, -2.0, -1.0, 0.0, 0.5, 1.0, np.inf]))
    np.testing.assert_allclose(found, [[0, 0, 0, left, left, total, total], [0, 0, left, left, total, total, total]])
    assert space.squares_left_of(np.empty(0)).shape == (2, 0)


def test_an_eigenvalue_within_rounding_of_a_point_may_be_on_either_side():
    ritz, probes = np.array([0.0, 1.0]), np.array([[0.6, 0.8]])
    for x, is_open in ((1 + 4e-6, False), (1 + 2e-6, True), (1.0, True), (1 - 2e-6, True), (1 - 4e-6, False)):
        for coupling in (np.zeros((0, 2)), np.array([[1e-9, 0.0]])):
            low, high = Krylov(ritz, coupling, probes, 1e-6).squares_left_of(np.array([x]))
            assert (high[0] - low[0] > 0.1) == is_open


def test_a_point_at_a_ritz_value_leaves_open_what_points_beside_it_do():
    space, _ = krylov(np.linspace(-1, 1, 50), 2, 4)
    ritz = space.ritz_values[3]
    at, beside = (space.squares_left_of(np.array([x])) for x in (ritz, ritz + 1e-7))
    np.testing.assert_allclose(at, beside, rtol=1e-4)


def test_coupling_that_is_rounding_is_none():
    """An eigenvalue at x with a coupling of 1e-15 leaves no node elsewhere, whatever couples besides."""
    ritz, probes = np.array([0.0, 1.0, 4.0]), np.array([[0.6, 0.8, 2.0]])
    for distance in (0.0, 1e-17, -1e-16):
        space = Krylov(ritz + np.array([0, distance, 0]), np.array([[0.0, 1e-15, 6e-15]]), probes, 1e-14)
        np.testing.assert_allclose(space.squares_left_of(np.array([1.0]))[:, 0], [0.36, 1.0], atol=1e-12)


def test_probes_that_are_found_whole_leave_nothing():
    nothing = Krylov(np.empty(0), np.empty((2, 0)), np.empty((3, 0)), 1e-15)
    assert nothing.square == 0
    np.testing.assert_array_equal(nothing.squares_left_of(np.array([-1.0, np.inf])), 0)


def test_ritz_values_ascend():
    with pytest.raises(ValueError, match="ritz_values must ascend; they do not"):
        Krylov(np.array([1.0, 0.0]), np.zeros((1, 2)), np.zeros((1, 2)), 0.0)


@pytest.mark.parametrize(("num_probes", "steps"), [(1, 12), (2, 9), (3, 8)])
def test_the_earlier_space_is_that_of_half_of_the_steps(num_probes, steps):
    eigenvalues = np.random.default_rng(0).normal(size=60)
    space, _ = krylov(eigenvalues, num_probes, steps)
    half, _ = krylov(eigenvalues, num_probes, steps // 2)
    earlier, growth = space.earlier()
    assert growth == steps / (steps // 2)
    np.testing.assert_allclose(earlier.ritz_values, half.ritz_values, atol=1e-12)
    points = np.linspace(-2, 2, 5)
    np.testing.assert_allclose(earlier.squares_left_of(points), half.squares_left_of(points), rtol=1e-9)
    wider, narrower = (np.diff(each.squares_left_of(points), axis=0) for each in (earlier, space))
    assert (narrower <= wider + 1e-12).all()


def test_a_space_of_one_block_or_of_nothing_has_no_earlier_one():
    space, _ = krylov([1.0, 2.0, 3.0, 4.0], 2, 1)
    earlier, growth = space.earlier()
    assert growth == 1
    np.testing.assert_allclose(earlier.ritz_values, space.ritz_values)
    empty = Krylov(np.empty(0), np.empty((2, 0)), np.empty((2, 0)), 0.0)
    assert empty.earlier()[1] == 0
