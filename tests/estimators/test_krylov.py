"""What Krylov coefficients say of deflation, against dense matrices."""

import numpy as np
import pytest
import torch

from hessdens import as_operator
from hessdens.estimators.krylov import KrylovCoefficients
from hessdens.linalg.block_lanczos import BlockLanczos

RNG = np.random.default_rng(0)


def space_of(matrix, width, steps):
    start = torch.from_numpy(np.random.default_rng(1).standard_normal((width, len(matrix))))
    space = BlockLanczos(as_operator(torch.from_numpy(matrix)), start, steps)
    for _ in range(steps):
        space.step()
    return space, start.numpy()


@pytest.mark.parametrize("order", range(1, 8))
def test_known_part_is_the_difference_of_traces(order):
    half = (order + 1) // 2
    q, _ = np.linalg.qr(RNG.standard_normal((60, 60)))
    matrix = (q * RNG.standard_normal(60)) @ q.T
    space, _ = space_of(matrix, 2, half + 3)
    basis = space.basis(space.num_steps + 1 - half).numpy()
    assert len(basis) == 8
    rest = np.eye(60) - basis.T @ basis
    deflated = rest @ matrix @ rest
    expected = [
        np.trace(np.linalg.matrix_power(matrix, k)) - np.trace(np.linalg.matrix_power(deflated, k))
        for k in range(1, order + 1)
    ]
    np.testing.assert_allclose(
        KrylovCoefficients(space, order).known_part(len(basis))[0], expected, rtol=1e-9, atol=1e-9
    )


def test_remaining_size_is_that_of_each_start_vector_without_the_others():
    q, _ = np.linalg.qr(RNG.standard_normal((50, 50)))
    matrix = (q * np.linspace(-2, 3, 50)) @ q.T
    space, start = space_of(matrix, 3, 5)
    sizes = np.zeros(2)
    for i in range(3):
        blocks = [np.linalg.matrix_power(matrix, j) @ np.delete(start, i, axis=0).T for j in range(3)]
        basis, _ = np.linalg.qr(np.hstack(blocks))
        rest = np.eye(50) - basis @ basis.T
        for k in (1, 2):
            sizes[k - 1] += np.sum((np.linalg.matrix_power(rest @ matrix @ rest, k) @ rest @ start[i]) ** 2)
    largest = np.abs(space.matrix()).max()  # sizes are those of the matrix over its largest entry
    expected = np.mean(np.log(sizes / 3) - [2 * np.log(largest), 4 * np.log(largest)])
    assert KrylovCoefficients(space, 4).remaining_sizes(2, (3, 1))[0] == pytest.approx(expected, rel=1e-9)


def test_quadratic_forms_are_those_of_the_start_vectors():
    matrix = np.diag(np.linspace(-1, 3, 40))
    space, start = space_of(matrix, 3, 2)
    expected = [[x @ np.linalg.matrix_power(matrix, k) @ x for k in range(1, 5)] for x in start]
    np.testing.assert_allclose(KrylovCoefficients(space, 4).quadratic_forms(), expected, rtol=1e-10, atol=1e-10)


def test_outliers_count_once_and_the_bulk_many_times():
    matrix = np.diag(np.concatenate([np.linspace(-0.01, 0.01, 95), [1.0, 2.0, 3.0, 4.0, 5.0]]))
    nodes, counts = KrylovCoefficients(space_of(matrix, 2, 8)[0], 4).nodes_and_counts()
    is_outlier = np.abs(nodes) > 0.1
    assert counts[is_outlier].tolist() == [1.0] * 5
    assert np.all(counts >= 1)
    assert 30 < counts[~is_outlier].sum() < 300


def test_more_steps_pay_beside_outliers_only():
    outliers = np.concatenate([np.zeros(480), np.geomspace(0.3, 30, 20)])
    flat = np.cos(np.pi * RNG.random(500))
    gains = [KrylovCoefficients(space_of(np.diag(x), 2, 4)[0], 4).will_gain(100, 50) for x in (outliers, flat)]
    assert gains == [True, False]


def test_a_tenth_of_the_error_takes_a_hundred_times_the_probes():
    coefficients = KrylovCoefficients(space_of(np.diag(np.linspace(-1, 1, 60)), 2, 4)[0], 4)
    few, many = (coefficients.probes_needed(rtol) for rtol in (1e-2, 1e-3))
    assert few * 99 < many <= few * 100


def test_a_space_that_is_all_knows_all():
    eigenvalues = np.array([1.0, 2.0, 5.0])
    coefficients = KrylovCoefficients(space_of(np.diag(eigenvalues), 3, 1)[0], 3)
    assert coefficients.num_blocks == 1
    np.testing.assert_allclose(coefficients.known_part(3)[0], [8, 30, 134])
