"""What Krylov coefficients say of deflation, against dense matrices."""

import numpy as np
import pytest
import torch

from hessdens import as_operator
from hessdens.estimators.krylov import FASTEST, SLOWEST, Forecast, KrylovCoefficients, _log_variance
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
    at_its_end = KrylovCoefficients(space_of(np.diag(outliers), 2, 4)[0], 4)
    assert at_its_end.will_gain(100, 4)  # one more step is looked at all the same
    assert not at_its_end.will_gain(2, 50)  # which the next step would spend


@pytest.mark.parametrize("num_probes", [3, 30, 300])
def test_variance_that_exchanged_probes_leave(num_probes):
    """Of a power law, against the spectra of what random vectors leave; no probe sees the mean of the eigenvalues."""
    eigenvalues = 1 / np.arange(1, 401.0)
    left = []
    for _ in range(10):
        products = eigenvalues[:, None] * RNG.standard_normal((400, num_probes))
        factor = np.linalg.qr(products / np.sqrt(eigenvalues)[:, None]).Q
        rest = np.sqrt(eigenvalues)[:, None] * (np.eye(400) - factor @ factor.T) * np.sqrt(eigenvalues)
        left.append(np.sum(rest**2) - np.trace(rest) ** 2 / 400)
    expected = np.log(np.mean(left) / num_probes)
    assert _log_variance(eigenvalues, np.ones(400), 1, num_probes) == pytest.approx(expected, abs=0.1)
    squares = np.log(400 * np.var(eigenvalues**2) / num_probes)
    both = _log_variance(eigenvalues, np.ones(400), 2, num_probes)
    assert both == pytest.approx((_log_variance(eigenvalues, np.ones(400), 1, num_probes) + squares) / 2, rel=1e-9)


@pytest.mark.parametrize("num_probes", [10, 100])
def test_forecast_of_a_known_spectrum(num_probes):
    """m_2 is a mean of forms; m_1, whose probes change places, falls faster where eigenvalues decay."""
    for eigenvalues, falls in ((1 / np.arange(1, 401.0), True), (np.repeat([1.0, 2.0], 200), False)):
        each = np.ones(400)
        forecast = Forecast(eigenvalues / eigenvalues.max(), each, each, eigenvalues.max(), 400, 2, 3)
        expected = np.sqrt(2 * 400 * np.var(eigenvalues**2) / num_probes) / 400
        assert forecast.standard_errors(num_probes)[1] == pytest.approx(expected)
        np.testing.assert_allclose(forecast.moments()[1], np.mean(eigenvalues**2))
        exponents = forecast.exponents(num_probes)
        assert exponents[1] == SLOWEST
        assert (SLOWEST + 0.05 < exponents[0] <= FASTEST) if falls else exponents[0] < SLOWEST + 0.02


def test_a_trace_that_cancels_is_no_nearer_to_zero_than_start_vectors_tell():
    forecast = Forecast(np.array([1.0, -1.0]), np.full(2, 50.0), np.full(2, 50.0), 3.0, 100, 1, 2)
    np.testing.assert_allclose(forecast.moments(), [3 * np.sqrt(2 * 100 / 2) / 100])


def test_forecast_of_what_is_not_deflated():
    eigenvalues = np.concatenate([np.zeros(480), np.geomspace(0.3, 30, 20)])
    coefficients = KrylovCoefficients(space_of(np.diag(eigenvalues), 2, 6)[0], 2)
    whole, some = (coefficients.forecast(count, 500) for count in (0, 10))
    np.testing.assert_allclose(whole.counts_left, whole.counts)
    assert some.counts_left.sum() == pytest.approx(whole.counts.sum() - 6)
    assert some.counts_left[0] == 0, "the largest first"
    assert (some.standard_errors(20) < whole.standard_errors(20)).all()
    assert some.unit == pytest.approx(np.abs(coefficients.matrix).max())


def test_nothing_varies_where_all_eigenvalues_are_equal_or_probes_take_them_all():
    assert _log_variance(np.full(3, 2.0), np.ones(3), 4, 1.0) < -500
    assert _log_variance(np.array([3.0, -1.0, 2.0]), np.ones(3), 1, 3.0) < -30


def test_a_tenth_of_the_error_takes_a_hundred_times_the_probes():
    coefficients = KrylovCoefficients(space_of(np.diag(np.linspace(-1, 1, 60)), 2, 4)[0], 4)
    few, many = (coefficients.probes_needed(rtol) for rtol in (1e-2, 1e-3))
    assert few * 99 < many <= few * 100


@pytest.mark.parametrize("rtol", [1e-20, 1e-200, 1e-300])
def test_an_accuracy_beyond_numbers_takes_more_than_any_budget(rtol):
    assert KrylovCoefficients(space_of(np.diag(np.linspace(-1, 1, 60)), 2, 4)[0], 4).probes_needed(rtol) == 2**62


def test_a_space_that_is_all_knows_all():
    eigenvalues = np.array([1.0, -2.0, 5.0])
    coefficients = KrylovCoefficients(space_of(np.diag(eigenvalues), 3, 1)[0], 3)
    assert coefficients.num_blocks == 1
    known, sizes = coefficients.known_part(3)
    np.testing.assert_allclose(known, [4, 30, 118])
    np.testing.assert_allclose(sizes, [8, 30, 134])  # of absolute eigenvalues


def test_nothing_remains_of_a_matrix_that_the_other_start_vectors_span():
    """Their spaces end with the matrix: rounding adds no vectors to them."""
    coefficients = KrylovCoefficients(space_of(np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), 4, 2)[0], 4)
    traces = coefficients.remaining_traces(2, (0, 1, 5))
    assert (traces[0] > traces[1]).all()
    assert (traces[1] > 1e-6).all()
    assert (traces[2] < 1e-25).all()


def test_a_basis_has_gained_where_its_latest_blocks_take_more_variance_than_their_products_would():
    """The variance of P probes falls as 1/P, so that of all products left, each block must take width / left of it."""
    matrix = np.diag(np.concatenate([np.zeros(480), np.geomspace(0.3, 30, 20)]))
    coefficients = KrylovCoefficients(space_of(matrix, 4, 4)[0], 4)
    before, now = coefficients.remaining_sizes(2, (coefficients.num_blocks - 2, coefficients.num_blocks))
    break_even = 4 / (1 - np.exp(-(before - now) / 2))
    assert 8 < break_even < 20
    assert [coefficients.has_gained(left) for left in (3, 4, int(break_even), int(break_even) + 1)] == [0, 0, 0, 1]
    flat = KrylovCoefficients(space_of(np.diag(np.cos(np.pi * RNG.random(500))), 4, 4)[0], 4)
    assert not flat.has_gained(50)


def test_probes_needed_are_those_of_the_largest_relative_error():
    """By the traces of B, known here, against moments of absolute eigenvalues: variance 2 tr B^2k per probe."""
    matrix = np.diag(np.linspace(-1, 3, 40))
    coefficients = KrylovCoefficients(space_of(matrix, 4, 6)[0], 4)
    nodes, counts = coefficients.nodes_and_counts()
    traces = coefficients.remaining_traces(4, (coefficients.num_blocks,))[0]
    relative = [2 * traces[k - 1] / np.sum(counts * np.abs(nodes) ** k) ** 2 for k in range(1, 5)]
    assert coefficients.probes_needed(0.01) == np.ceil(max(relative) / 0.01**2)


def test_more_start_vectors_than_dimensions():
    """Their space is all, and they are not independent."""
    matrix = np.diag([3.0, -1.0, 2.0])
    space, start = space_of(matrix, 5, 1)
    coefficients = KrylovCoefficients(space, 4)
    nodes, counts = coefficients.nodes_and_counts()
    largest = np.abs(space.matrix()).max()
    np.testing.assert_allclose(nodes * largest, [-1, 2, 3], rtol=1e-12)
    assert counts.tolist() == [1, 1, 1]
    traces = coefficients.remaining_traces(2, (0,))[0]
    sizes = [np.mean([np.sum((np.linalg.matrix_power(matrix / largest, k) @ x) ** 2) for x in start]) for k in (1, 2)]
    np.testing.assert_allclose(traces, sizes, rtol=1e-9)


def test_a_bulk_far_below_an_outlier_is_seen():
    """Vectors are dependent only where they are short against others of their block, whatever the size of a block."""
    eigenvalues = np.append(1e-6 * np.linspace(-1, 1, 49), 1.0)
    space, start = space_of(np.diag(eigenvalues), 3, 5)
    traces = np.zeros(2)
    for i in range(3):
        basis = last = np.linalg.qr(np.delete(start, i, axis=0).T).Q
        for _ in range(2):
            last = eigenvalues[:, None] * last
            for _ in range(2):
                last = np.linalg.qr(last - basis @ (basis.T @ last)).Q
            basis = np.hstack([basis, last])
        vector = start[i]
        for k in range(3):
            vector = vector - basis @ (basis.T @ vector)
            traces[k - 1] += 0 if k == 0 else vector @ vector / 3
            vector = eigenvalues * vector
    largest = np.abs(space.matrix()).max()
    found = KrylovCoefficients(space, 4).remaining_traces(2, (3,))[0]
    np.testing.assert_allclose(found * [largest**2, largest**4], traces, rtol=1e-3)


@pytest.mark.parametrize("seed", range(8))
def test_no_node_counts_less_than_one(seed):
    """Also where start vectors hardly see it, long before it is an eigenvalue."""
    matrix = np.diag(np.random.default_rng(seed).laplace(size=300) ** 3)
    for steps in (3, 4, 5, 6):
        _, counts = KrylovCoefficients(space_of(matrix, 2, steps)[0], 4).nodes_and_counts()
        assert counts.min() >= 1
