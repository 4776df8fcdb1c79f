"""Bounds of counts: each deterministic part against exact eigenvalues, and the part of chance against simulation."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import betainc

from hessdens.densities import count_bounds
from hessdens.densities.bounds import Jacobi, masses
from hessdens.densities.count_bounds import Deflated, Evidence, fewest_of_share, jacobi_of, most_of_share
from hessdens.testing import symmetric_matrices


def number_beyond(matrix, sign, edge):
    return int(np.count_nonzero(sign * np.linalg.eigvalsh(matrix) >= edge))


def deflated_by(matrix, num_deflated, seed):
    """Return what a Krylov space of so many vectors, at most, says of a matrix, and its whole orthonormal basis."""
    size = len(matrix)
    vector = np.random.default_rng(seed).standard_normal(size)
    basis = np.zeros((size, 0))
    while basis.shape[1] < num_deflated:
        for _ in range(2):
            vector = vector - basis @ (basis.T @ vector)
        length = np.linalg.norm(vector)
        if length <= 1e-10 * max(1.0, np.abs(matrix).max()):
            break
        basis = np.column_stack([basis, vector / length])
        vector = matrix @ basis[:, -1]
    whole = np.linalg.qr(np.column_stack([basis, np.random.default_rng(seed + 1).standard_normal((size, size))]))[0]
    whole[:, : basis.shape[1]] = basis
    rest = whole[:, basis.shape[1] :]
    outside = rest.T @ matrix @ basis
    _, lengths, right = np.linalg.svd(outside)
    coupling = lengths[0] * right[0] if lengths.size else np.zeros(basis.shape[1])
    points = np.linalg.eigvalsh(basis.T @ matrix @ basis)
    counts = np.full(len(points), size / len(points))
    return Deflated(basis.T @ matrix @ basis, coupling, size, points, counts, np.zeros(len(points), bool)), rest


@given(symmetric_matrices(), st.integers(1, 12), st.floats(-1.2, 1.2), st.sampled_from([-1, 1]), st.booleans())
def test_counts_of_blocks_bound_those_of_the_matrix(case, num_deflated, relative, sign, costs_one):
    """Haynsworth, with the correction as one eigenvalue or as a shift of the edge (Weyl), whichever is taken."""
    matrix, eigenvalues = case
    scale = max(1e-6, float(np.abs(eigenvalues).max()))
    edge = relative * scale
    assume(np.abs(sign * eigenvalues - edge).min() > 1e-9 * scale)
    deflated, rest = deflated_by(matrix, num_deflated, 3)
    truth = number_beyond(matrix, sign, edge)
    for outwards in (1, -1):
        with pytest.MonkeyPatch.context() as patch:
            if costs_one:  # no shift is worth it
                patch.setattr(count_bounds, "WORTH_ONE", 0.0)
            counted, moved = count_bounds._edge(deflated, sign, edge, outwards)
        assert outwards * (moved - edge) >= 0
        if costs_one:
            assert moved == edge
        bound = counted + number_beyond(rest.T @ matrix @ rest, sign, moved - outwards * 1e-12 * scale)
        assert outwards * (truth - bound) >= 0


@given(symmetric_matrices(), st.integers(1, 3), st.integers(1, 6), st.floats(-1.1, 1.1))
def test_masses_of_a_vector_in_a_block_space_are_bracketed(case, width, num_steps, relative):
    """Chebyshev, Markov, Stieltjes: without chance, for each vector."""
    matrix, eigenvalues = case
    size, scale = len(matrix), max(1e-6, float(np.abs(eigenvalues).max()))
    x = relative * scale
    assume(np.abs(eigenvalues - x).min() > 1e-7 * scale)
    start = np.random.default_rng(5).standard_normal((size, min(width, size)))
    space, ends = np.linalg.qr(start)[0], []
    block = space
    for _ in range(num_steps):
        ends.append(space.shape[1])
        block = matrix @ block
        for _ in range(2):
            block = block - space @ (space.T @ block)
        left, lengths, _ = np.linalg.svd(block, full_matrices=False)
        block = left[:, lengths > 1e-9 * scale]
        space = np.column_stack([space, block])
    known = ends[-1]
    inside = space.T @ matrix @ space
    inside[known:, known:] = 0.0
    values, vectors = np.linalg.eigh(matrix)
    for row in (start.T @ space)[:, : ends[0]]:
        jacobi = jacobi_of(inside, row, num_steps, 1e-12 * scale)
        left, with_x = masses(jacobi, np.array([x]))
        weights = (vectors.T @ (space[:, : ends[0]] @ row)) ** 2 / (row @ row)
        truth = weights[values < x].sum()
        assert left[0] - 1e-7 <= truth <= with_x[0] + 1e-7


@pytest.mark.parametrize("share", [0.0, 1e-9, 0.01, 0.3, 0.999, 1.0])
@pytest.mark.parametrize(("dimension", "num_probes"), [(7, 1), (40, 3), (1000, 8)])
def test_counts_of_a_share_are_the_last_that_are_likely(share, dimension, num_probes):
    """Against a search from one end to the other."""
    failure, halves = 0.01, num_probes / 2
    inner = np.arange(1, dimension)
    likely = betainc(halves * inner, halves * (dimension - inner), share)
    below, above = [1.0, *likely, float(share >= 1)], [float(share == 0), *(1 - likely), 1.0]
    most = max(n for n in range(dimension + 1) if below[n] >= failure)
    fewest = min(n for n in range(dimension + 1) if above[n] >= failure)
    assert most_of_share(share, dimension, num_probes, failure) == most
    assert fewest_of_share(share, dimension, num_probes, failure) == fewest


@pytest.mark.parametrize(("dimension", "count", "num_probes"), [(50, 0, 2), (50, 3, 1), (50, 20, 4), (50, 50, 2)])
def test_shares_of_gaussian_vectors_give_counts_that_fail_as_seldom_as_promised(dimension, count, num_probes):
    draws = np.random.default_rng(0).standard_normal((4000, num_probes, dimension)) ** 2
    shares = draws[:, :, :count].sum(axis=(1, 2)) / draws.sum(axis=(1, 2))
    low = np.array([fewest_of_share(share, dimension, num_probes, 0.1) for share in shares])
    high = np.array([most_of_share(share, dimension, num_probes, 0.1) for share in shares])
    for failures in (np.count_nonzero(low > count), np.count_nonzero(high < count)):
        assert failures <= 400 + 4 * 19, "four standard deviations of a binomial variable"
    if 0 < count < dimension:
        assert np.count_nonzero(low > count) + np.count_nonzero(high < count) > 400, "no wider than they must be"


def test_counts_contradict_each_other_only_where_chance_fails():
    """A mass of 1e-7 at 5 is more than no eigenvalue has, and less than one is likely to have: nothing is concluded."""
    deflated = Deflated(np.array([[-3.0]]), np.zeros(1), 10, np.zeros(1), np.array([10.0]), np.zeros(1, bool))
    mass = 1e-7
    jacobi = Jacobi(5 * np.array([mass, 1 - mass]), np.array([5 * np.sqrt(mass * (1 - mass)), 1e-14]), 5.0)
    evidence = Evidence(deflated, ((jacobi, 9.0), (jacobi, 9.0)), (np.array([-3.0]),), 0.0)
    assert count_bounds.count_bounds(evidence, 0.1, 0.01) == ((1, 10), (0, 9), (0, 9))


def test_errors_larger_than_the_window_leave_nothing_to_say_of_it():
    """Edges are beyond 0 then: each eigenvalue is on one side at least, and so is all mass."""
    values = np.array([-1.0, 0.0, 0.0, 1.0])
    jacobi = Jacobi(np.array([0.0, 0.0]), np.array([0.7, 0.7]), 1.0)
    deflated = Deflated(np.diag(values), np.zeros(4), 10, values, np.ones(4), np.zeros(4, bool))
    evidence = Evidence(deflated, ((jacobi, 6.0),) * 3, (values,), 0.5)
    (_, negative), degenerate, (_, positive) = count_bounds.count_bounds(evidence, 0.1, 0.01)
    assert degenerate[0] == 0
    assert negative + positive >= 10


def test_without_probes_only_what_was_multiplied_counts():
    values = np.array([-2.0, -0.1, 0.0, 0.05, 0.1, 3.0])
    deflated = Deflated(np.diag(values), np.zeros(6), 6, values, np.ones(6), np.zeros(6, bool))
    assert count_bounds.count_bounds(Evidence(deflated, (), (values,), 0.0), 0.1, 0.01) == ((2, 2), (2, 2), (2, 2))
    ranges = count_bounds.count_bounds(Evidence(deflated, (), (values,), 1e-3), 0.1, 0.01)
    assert ranges == ((1, 2), (2, 4), (1, 2)), "those at the edge are on either side of it, to rounding"
    wide = count_bounds.count_bounds(Evidence(deflated, (), (values,), 0.5), 0.1, 0.01)
    assert wide == ((1, 5), (0, 4), (1, 5)), "nothing is known of what is smaller than the errors"
