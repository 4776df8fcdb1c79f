"""Numbers of eigenvalues by exchange of probes, without bias, and bounds of masses."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hessdens import as_operator
from hessdens.densities.krylov import Krylov
from hessdens.linalg.block_lanczos import BlockLanczos
from hessdens.testing import symmetric_matrices

ATOMS = np.repeat([-0.1, 0.0, 0.05, 1.0, 7.0], [60, 500, 200, 9, 1])
NET = np.concatenate([1e-3 * np.random.default_rng(0).standard_normal(270), np.geomspace(0.02, 20, 30)])


def krylov(matrix, num_probes, num_steps, seed=0):
    matrix = torch.as_tensor(matrix, dtype=torch.float64)
    probes = np.random.default_rng(seed).standard_normal((num_probes, len(matrix)))
    space = BlockLanczos(as_operator(matrix), torch.from_numpy(probes), num_steps)
    while space.num_steps < num_steps and not space.is_invariant:
        space.step()
    offsets = np.array([space.num_rows(blocks) for blocks in range(space.num_steps + 2)])
    return Krylov(space.matrix(), offsets, space.start_coordinates, len(matrix), space.rounding), probes


@settings(max_examples=15, deadline=None)
@given(symmetric_matrices(), st.integers(1, 4), st.integers(2, 6))
def test_bounds_hold_the_mass_of_each_probe(case, num_probes, num_steps):
    matrix, _ = case
    space, probes = krylov(matrix, num_probes, num_steps)
    values, vectors = np.linalg.eigh(np.asarray(matrix, dtype=np.float64))
    scale = max(float(np.abs(values).max()), 1e-300)
    masses = (probes @ vectors) ** 2
    # Exact for one probe; for blocks the weights do not commute.
    slack = (1e-7 if num_probes == 1 else 0.1) * masses.sum(axis=1)
    for x in np.linspace(-1.049, 1.051, 9) * scale:
        if np.abs(values - x).min() > 1e-6 * scale:
            low, high = space.bounds(x)
            truth = masses[:, values <= x].sum(axis=1)
            assert ((low <= truth + slack) & (truth <= high + slack)).all()


@pytest.mark.parametrize("eigenvalues", [ATOMS, NET], ids=["atoms", "net"])
def test_weights_are_positive_and_sum_to_all_eigenvalues(eigenvalues):
    space, _ = krylov(np.diag(eigenvalues), 4, 10)
    totals, rests = space.weights()
    assert (rests >= 0).all()
    assert (totals >= rests).all()
    np.testing.assert_allclose(totals.sum(axis=1), len(eigenvalues), rtol=1e-9)


def test_exchange_counts_what_all_probes_have_found_and_has_no_bias():
    # 40 seeds see a bias of 0.6 of the spread of one estimate with a probability of about 0.8.
    truth = np.sum(NET > 0.1)
    counts, plain = [], []
    for seed in range(40):
        space, _ = krylov(np.diag(NET), 4, 12, seed)
        nodes, parts = space.continued
        counts.append(space.weights()[0][:, nodes > 0.1].sum(axis=1).mean())
        squares = (space.probes @ parts) ** 2
        plain.append(len(NET) * squares[:, nodes > 0.1].sum() / squares.sum())
    error = np.std(counts, ddof=1)
    assert abs(np.mean(counts) - truth) < 2.5 * error / np.sqrt(40) + 0.05
    assert error < np.std(plain, ddof=1) / 3


def test_an_exhausted_space_is_exact():
    eigenvalues = np.concatenate([np.zeros(300), [5.0, 1.0, -0.3]])
    space, _ = krylov(np.diag(eigenvalues), 4, 10)
    nodes, _ = space.continued
    np.testing.assert_allclose(space.weights()[0][:, nodes < -0.1].sum(axis=1), 1, atol=1e-9)
    np.testing.assert_allclose(space.weights()[0][:, np.abs(nodes) < 0.1].sum(axis=1), 300, rtol=1e-9)
    low, high = space.bounds(0.1)
    np.testing.assert_allclose(low, high)
