"""Block Lanczos: orthonormal blocks, the operator's coefficients in them, and the end of the space."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdens import NonFiniteError, as_operator
from hessdens.linalg.block_lanczos import BlockLanczos
from hessdens.testing import symmetric_matrices


def start_rows(width, size, dtype=torch.float64, seed=0):
    return torch.randn(width, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def grown(matrix, width, steps, dtype=torch.float64):
    matrix = torch.as_tensor(matrix, dtype=dtype)
    start = start_rows(width, len(matrix), dtype)
    space = BlockLanczos(as_operator(matrix), start, steps)
    while space.num_steps < steps and not space.is_invariant:
        space.step()
    return matrix, start, space


@settings(deadline=None)
@given(symmetric_matrices(), st.integers(1, 4), st.integers(1, 12))
def test_coefficients_are_those_of_the_matrix(case, width, steps):
    matrix, start, space = grown(case[0], width, steps)
    basis, coefficients = space.basis(space.num_steps + 1), torch.from_numpy(space.matrix())
    tolerance = 1e-12 * max(1e-300, float(torch.linalg.matrix_norm(matrix, 2)))
    assert len(basis) <= min(len(matrix), (steps + 1) * width)
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis), dtype=torch.float64), rtol=0, atol=1e-12)
    known = space.num_products
    torch.testing.assert_close(basis[:known] @ matrix, coefficients[:known] @ basis, rtol=0, atol=100 * tolerance)
    assert torch.equal(coefficients, coefficients.T)
    coordinates = torch.from_numpy(space.start_coordinates)
    torch.testing.assert_close(coordinates @ space.basis(1), start, rtol=1e-12, atol=1e-12)


def test_space_ends_where_it_is_invariant():
    eigenvalues = np.array([5.0, 5.0, 5.0, -1.0, -1.0, *[0.0] * 20])
    _, _, space = grown(np.diag(eigenvalues), 2, 10)
    assert space.is_invariant
    assert space.num_steps == 3, "two vectors see each of the three eigenvalues twice"
    np.testing.assert_allclose(np.linalg.eigvalsh(space.matrix()), [-1, -1, 0, 0, 5, 5], atol=1e-12)


@pytest.mark.parametrize("matrix", [np.zeros((4, 4)), 3.0 * np.eye(4), np.array([[2.0]])])
def test_space_of_one_step(matrix):
    _, _, space = grown(matrix, min(2, len(matrix)), 5)
    assert space.is_invariant
    assert space.num_steps == 1


def test_space_is_never_larger_than_the_matrix():
    _, _, space = grown(np.diag(np.arange(7.0)), 3, 20)
    assert space.is_invariant
    assert len(space.basis(space.num_steps)) == 7
    np.testing.assert_allclose(np.linalg.eigvalsh(space.matrix()), np.arange(7.0), atol=1e-12)


def test_dependent_start_vectors():
    start = start_rows(2, 9)
    space = BlockLanczos(as_operator(torch.diag(torch.arange(9.0, dtype=torch.float64))), torch.cat([start, start]), 1)
    assert len(space.basis(1)) in (2, 3, 4)
    torch.testing.assert_close(
        torch.from_numpy(space.start_coordinates) @ space.basis(1), torch.cat([start, start]), rtol=0, atol=1e-12
    )


def test_orthogonality_in_single_precision_beside_large_outliers():
    eigenvalues = np.concatenate([[1e5, -3e4, 1e4], np.linspace(-1, 1, 200)])
    _, _, space = grown(np.diag(eigenvalues), 3, 20, torch.float32)
    basis = space.basis(space.num_steps + 1).double()
    defect = basis @ basis.T - torch.eye(len(basis), dtype=torch.float64)
    assert float(defect.abs().max()) < 1e-5


def test_products_that_are_not_finite():
    operator = as_operator(lambda V: V * torch.inf, size=3, check_symmetric=False)
    space = BlockLanczos(operator, start_rows(2, 3, operator.dtype), 3)
    with pytest.raises(NonFiniteError, match="that of vector 0 in Lanczos step 1 is not"):
        space.step()


@pytest.mark.parametrize("matrix", [100 * np.eye(100) - 1, 0.05 * np.eye(400)], ids=["two eigenvalues", "one"])
def test_rounding_at_an_invariant_space_is_no_direction(matrix):
    # With what the second pass leaves of rounding, 3 and 4 of these 40 seeds had Ritz values beyond all eigenvalues.
    eigenvalues = np.linalg.eigvalsh(matrix)
    for seed in range(40):
        space = BlockLanczos(as_operator(matrix), start_rows(9, len(matrix), seed=seed), 8)
        while space.num_steps < 8 and not space.is_invariant:
            space.step()
        ritz = np.linalg.eigvalsh(space.matrix()[: space.num_products, : space.num_products])
        np.testing.assert_allclose([ritz[0], ritz[-1]], eigenvalues[[0, -1]], atol=1e-9, err_msg=f"seed {seed}")
        assert space.orthogonality_defect() < 1e-12


def test_errors_of_products_make_no_vectors_beyond_the_whole_space():
    """Not even where they are far above rounding."""
    matrix, noise = torch.diag(torch.arange(1.0, 8.0, dtype=torch.float64)), start_rows(7, 7, seed=1)
    operator = as_operator(lambda V: (matrix + 1e-6 * noise) @ V, size=7, dtype=torch.float64, check_symmetric=False)
    space = BlockLanczos(operator, start_rows(3, 7), 5)
    while not space.is_invariant:
        space.step()
    assert space.num_products == len(space.basis(space.num_steps + 1)) == 7


def test_defects_are_those_of_products_and_of_the_basis():
    matrix = np.diag([4.0, 1.0, 2.0, 3.0])
    matrix[0, 1] = 1e-3  # not symmetric by that, where products are up to 4 long
    operator = as_operator(lambda V: torch.from_numpy(matrix) @ V, size=4, dtype=torch.float64, check_symmetric=False)
    space = BlockLanczos(operator, torch.eye(4, dtype=torch.float64)[:2], 3)
    space.step()
    assert space.symmetry_defect() == pytest.approx(1e-3 / 4, rel=1e-6)
    assert space.norm == pytest.approx(4, rel=1e-6)
    assert space.orthogonality_defect() < 1e-15
    _, _, grown_space = grown(np.diag(np.arange(20.0)), 2, 4)
    grown_space.basis(5)[-1] += 0.01 * grown_space.basis(5)[0]
    assert grown_space.orthogonality_defect() == pytest.approx(0.01, rel=1e-6)


def test_rounding_is_ten_errors_of_the_longest_product():
    _, _, space = grown(7.0 * np.eye(3), 1, 1, torch.float32)
    assert space.rounding == pytest.approx(10 * 2.0**-23 * 7, rel=1e-6)


def test_coefficients_hold_what_the_second_pass_takes_out():
    """Without that part their error beside large outliers would be twice that of a product in single precision."""
    eigenvalues = np.concatenate([[1e5, -3e4, 1e4], np.linspace(-1, 1, 200)])
    matrix, _, space = grown(np.diag(eigenvalues), 3, 12, torch.float32)
    known, basis = space.num_products, space.basis(13).double()
    misses = basis[:known] @ matrix.double() - torch.from_numpy(space.matrix())[:known] @ basis
    assert float(misses.norm()) < 2.0**-23 * 1e5


@settings(deadline=None)
@given(symmetric_matrices(), st.integers(1, 3), st.integers(1, 5), st.integers(1, 3))
def test_a_restart_goes_on_in_the_complement(case, width, steps, probes):
    matrix, _, space = grown(case[0], width, steps)
    size = len(matrix)
    space = BlockLanczos(as_operator(matrix), start_rows(width, size), steps + 3, 3 * probes)
    for _ in range(steps):
        if not space.is_invariant:
            space.step()
    kept, blocks = space.num_products, space.num_steps
    for seed in (5, 6):  # the second takes the place of the first
        start = start_rows(probes, size, seed=seed)
        space.restart(blocks, start)
        for _ in range(2):
            if not space.is_invariant:
                space.step()
        basis, coefficients = space.basis(space.num_steps + 1), torch.from_numpy(space.matrix())
        tolerance = 1e-10 * max(1e-300, float(torch.linalg.matrix_norm(matrix, 2)))
        torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis), dtype=torch.float64), rtol=0, atol=1e-10)
        known = space.num_products
        inside = basis[:known] @ matrix @ basis[:known].T
        torch.testing.assert_close(inside, coefficients[:known, :known], rtol=0, atol=tolerance)
        beyond = basis[kept:known] @ matrix - coefficients[kept:known] @ basis
        torch.testing.assert_close(beyond, torch.zeros_like(beyond), rtol=0, atol=tolerance)
        coordinates = torch.from_numpy(space.start_coordinates)
        first = basis[kept : kept + coordinates.shape[1]]
        rest = start - start @ basis[:kept].T @ basis[:kept]
        torch.testing.assert_close(coordinates @ first, rest, rtol=1e-9, atol=1e-9)


def test_asymmetry_is_the_norm_of_the_antisymmetric_part():
    matrix = torch.diag(torch.arange(6.0, dtype=torch.float64))
    matrix[0, 3] = 1e-3
    space = BlockLanczos(as_operator(matrix, check_symmetric=False), start_rows(2, 6), 5)
    while not space.is_invariant:
        space.step()
    assert space.asymmetry() == pytest.approx(0.5e-3, rel=1e-6)


@settings(deadline=None)
@given(symmetric_matrices(), st.integers(1, 3), st.integers(2, 6), st.integers(0, 100))
def test_a_compressed_space_goes_on_as_a_part_of_the_whole(case, width, steps, seed):
    """Kept are Ritz vectors, whatever they are; the next block is the last one."""
    matrix, size = case[0], len(case[0])
    space = BlockLanczos(as_operator(matrix), start_rows(width, size, seed=seed), steps)
    while space.has_room and not space.is_invariant:
        space.step()
    before, known, rows = space.basis(space.num_steps + 1).clone(), space.num_products, len(space.matrix())
    values, vectors = np.linalg.eigh(space.matrix()[:known, :known])
    count = max(1, known // 2)
    kept = np.concatenate([vectors[:, -count:], np.zeros((rows - known, count))])
    space.compress(kept, np.eye(rows)[:, known:])
    scale = max(1e-300, float(np.abs(matrix).max()) * size)
    torch.testing.assert_close(space.basis(1), torch.from_numpy(kept.T) @ before, rtol=0, atol=1e-12)
    torch.testing.assert_close(space.basis(2)[count:], before[known:], rtol=0, atol=0)
    np.testing.assert_allclose(space.matrix()[:count, :count], np.diag(values[-count:]), atol=1e-12 * scale)
    assert space.num_products == count
    if not space.is_invariant and space.has_room:
        space.step()
        basis, known = space.basis(space.num_steps + 1).numpy(), space.num_products
        np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-11)
        inside = basis[:known] @ matrix @ basis[:known].T
        np.testing.assert_allclose(space.matrix()[:known, :known], inside, atol=1e-11 * scale)


def test_combinations_of_many_columns_are_those_of_all(monkeypatch):
    """Vectors are combined some entries at a time; sums are in float64."""
    _, _, space = grown(np.diag(np.linspace(1.0, 2.0, 70)), 3, 4, torch.float32)
    coordinates = np.random.default_rng(0).standard_normal((15, 4))
    expected = torch.from_numpy(coordinates.T) @ space.basis(5).double()
    monkeypatch.setattr("hessdens.linalg.block_lanczos.COLUMNS_PER_CHUNK", 16)
    found = space.combinations(coordinates)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-7)


def test_room_ends_where_a_whole_block_would_not_fit():
    operator = as_operator(torch.diag(torch.arange(40.0, dtype=torch.float64)))
    space = BlockLanczos(operator, start_rows(3, 40), 2)
    states = []
    for _ in range(2):
        space.step()
        states.append(space.has_room)
    assert states == [True, False]
    whole = BlockLanczos(operator, start_rows(3, 40), 20)
    while not whole.is_invariant:
        assert whole.has_room
        whole.step()


def test_steps_are_counted_through_a_restart():
    calls = []

    def product(V):
        calls.append(1)
        return torch.arange(40.0, dtype=torch.float64)[:, None] * V * (torch.nan if len(calls) == 6 else 1.0)

    operator = as_operator(product, size=40, dtype=torch.float64, check_symmetric=False)
    del calls[:]
    space = BlockLanczos(operator, start_rows(1, 40), 4)
    for _ in range(4):
        space.step()
    space.compress(np.eye(5)[:, :2], np.eye(5)[:, 4:])
    space.step()
    with pytest.raises(NonFiniteError, match="vector 0 in Lanczos step 6 is not"):
        space.step()


@settings(deadline=None)
@given(symmetric_matrices(), st.integers(2, 4), st.integers(1, 6), st.integers(0, 1000), st.booleans())
def test_parts_of_blocks_leave_the_rest_for_later(case, width, steps, seed, restarts):
    """Coefficients are those of the matrix, in whatever order directions are multiplied."""
    matrix, size, rng = case[0], len(case[0]), np.random.default_rng(seed)
    space = BlockLanczos(as_operator(matrix), start_rows(width, size, seed=seed), 2 * steps + 2)
    space.step()
    for number in range(2 * steps):
        if space.is_invariant or not space.has_room:
            break
        if restarts and number == steps:
            count, rows = space.num_products, len(space.matrix())
            _, vectors = np.linalg.eigh(space.matrix()[:count, :count])
            kept = np.concatenate([vectors[:, count // 2 :], np.zeros((rows - count, count - count // 2))])
            space.compress(kept, np.eye(rows)[:, count:])
        last, before = len(space.matrix()) - space.num_products, space.num_products
        directions = np.linalg.qr(rng.standard_normal((last, last)))[0][:, : int(rng.integers(1, last + 1))]
        asked = space.basis(space.num_steps + 1)[before:].T.numpy() @ directions
        space.step(directions)
        assert space.num_products == before + directions.shape[1]
        basis, known = space.basis(space.num_steps + 1).numpy(), space.num_products
        multiplied = basis[before:known].T
        np.testing.assert_allclose(multiplied @ (multiplied.T @ asked), asked, atol=1e-12)
        tolerance = 1e-11 * max(1e-300, float(np.abs(matrix).max()) * size)
        np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-11)
        np.testing.assert_allclose(basis[:known] @ matrix, space.matrix()[:known] @ basis, atol=tolerance)
        assert space.asymmetry() <= tolerance


def test_parts_of_blocks_in_single_precision():
    eigenvalues = np.concatenate([[1e5, -3e4, 1e4], np.linspace(-1, 1, 200)])
    matrix = torch.diag(torch.tensor(eigenvalues, dtype=torch.float32))
    space = BlockLanczos(as_operator(matrix), start_rows(3, 203, torch.float32), 30)
    space.step()
    rng = np.random.default_rng(0)
    for _ in range(40):
        space.step(np.linalg.qr(rng.standard_normal((3, 1 + int(rng.integers(3)))))[0])
    basis, known = space.basis(space.num_steps + 1).double(), space.num_products
    defect = basis @ basis.T - torch.eye(len(basis), dtype=torch.float64)
    assert float(defect.abs().max()) < 1e-5
    misses = basis[:known] @ matrix.double() - torch.from_numpy(space.matrix())[:known] @ basis
    assert float(misses.norm()) < 3 * 2.0**-23 * 1e5
