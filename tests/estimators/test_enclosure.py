"""Bounds of a whole spectrum: they hold as often as they say, and what they exclude has a short part in the start."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matrices import rotated
from scipy.stats import beta, binom

from hessdens import as_operator, eigenpairs, lanczos_density
from hessdens.estimators.enclosure import _longest_start, enclosure, excludes

SPECTRA = {
    "semicircle": np.cos(np.linspace(0, np.pi, 150)),
    "close pair at both ends": np.r_[-1, -0.95, np.linspace(-0.5, 0.5, 146), 0.95, 1],
    "decay": 0.9 ** np.arange(150),
    "negative outliers": np.r_[-np.geomspace(1, 20, 5), np.linspace(-0.1, 0.1, 145)],
}


def krylov(eigenvalues, width, steps, seed):
    """Return diag(eigenvalues) in a block Krylov basis of so many products, by the slow way, and the first block."""
    A, rng = np.diag(eigenvalues), np.random.default_rng(seed)
    blocks = [np.linalg.qr(rng.standard_normal((len(A), width)))[0]]
    for _ in range(steps):
        rest = A @ blocks[-1]
        for _ in range(2):
            for block in blocks:
                rest = rest - block @ (block.T @ rest)
        blocks.append(np.linalg.qr(rest)[0])
    basis = np.concatenate(blocks, axis=1)
    matrix = basis.T @ A @ basis
    matrix[-width:, -width:] = 0  # which no product has shown
    return matrix, blocks[0]


@given(
    st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 8), st.sampled_from(sorted(SPECTRA)),
    st.floats(1e-4, 0.5), st.sampled_from([0, -1]),
)  # fmt: skip
def test_what_is_excluded_has_a_short_part_in_the_start(seed, width, steps, name, risk, end):
    """The true eigenvector is then among so few of all directions: this holds without exception."""
    eigenvalues = np.sort(SPECTRA[name])
    matrix, start = krylov(eigenvalues, width, steps, seed)
    ritz = np.linalg.eigvalsh(matrix[: width * steps, : width * steps])[end]
    outermost = eigenvalues[end]
    if abs(outermost - ritz) > 1e-9 and excludes(matrix, width * steps, width, 150, outermost, risk):
        assert np.sum(start[np.arange(150)[end]] ** 2) <= beta.ppf(risk, width / 2, (150 - width) / 2) * (1 + 1e-6)


@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 8), st.sampled_from(sorted(SPECTRA)))
def test_farther_values_are_excluded_too(seed, width, steps, name):
    matrix, _ = krylov(np.sort(SPECTRA[name]), width, steps, seed)
    known = width * steps
    low, high = enclosure(matrix, known, width, 150, 0.95)
    ritz = np.linalg.eigvalsh(matrix[:known, :known])
    assert low < ritz[0]
    assert high > ritz[-1]
    for bound, value in ((low, ritz[0]), (high, ritz[-1])):
        if np.isfinite(bound):
            for factor in (1.001, 2.0, 30.0, 1e4):
                assert excludes(matrix, known, width, 150, value + factor * (bound - value), 0.025)
            near = value + 0.99 * (bound - value)
            assert abs(near - value) < 1e-10 or not excludes(matrix, known, width, 150, near, 0.025)


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("width", [1, 2])
def test_bounds_hold_as_often_as_they_say(name, width):
    eigenvalues, seeds = np.sort(SPECTRA[name]), 400
    matrix, misses = np.diag(eigenvalues), np.zeros(2, dtype=int)
    widest = 0.0
    for seed in range(seeds):
        pairs = eigenpairs(matrix, 1, rtol=0.3, block_size=width, seed=seed)
        slack = 1e-12 * np.abs(eigenvalues).max()
        misses += [pairs.lowest > eigenvalues[0] + slack, pairs.highest < eigenvalues[-1] - slack]
        widest = max(widest, pairs.highest - pairs.lowest)
    assert (misses <= binom.ppf(0.999, seeds, 0.025)).all(), misses
    assert widest < np.inf


@pytest.mark.parametrize("which", ["largest", "smallest", "magnitude"])
def test_one_eigenvalue_is_the_outermost_one(which):
    """With a single vector and a loose accuracy, the second of a close pair is taken for the first now and then."""
    eigenvalues = {"largest": 1.0, "smallest": -1.0, "magnitude": -1.0}[which] * np.r_[
        1, 0.9, np.linspace(-0.4, 0.5, 298)
    ]
    missed = {
        block: sum(
            abs(
                eigenpairs(np.diag(eigenvalues), 1, which=which, block_size=block, seed=seed).values[0] - eigenvalues[0]
            )
            > 0.01
            for seed in range(150)
        )
        for block in (1, None)
    }
    assert missed[None] <= binom.ppf(0.999, 150, 0.025)
    assert missed[None] < missed[1]


def test_a_single_eigenvalue_takes_single_vectors():
    matrix = rotated(np.r_[5.0, np.linspace(-1, 1, 199)], 0)
    alone, pair = eigenpairs(matrix, 1), eigenpairs(matrix, 1, block_size=2)
    assert alone.num_products == alone.num_passes
    assert pair.num_products == 2 * pair.num_passes > alone.num_products
    assert 5 <= alone.highest < 5.05
    assert -2 < alone.lowest <= -1


def test_bounds_of_spaces_that_restart_are_those_before():
    matrix = rotated(np.cos(np.linspace(0, np.pi, 300)), 1)
    few = eigenpairs(matrix, 2, rtol=0.01, num_vectors=12, seed=1)
    first = eigenpairs(matrix, 2, rtol=0.999, num_vectors=12, seed=1)
    assert few.num_products > 24
    assert first.num_products < 12
    assert few.highest <= first.highest
    assert few.highest >= 1
    assert few.lowest <= -1


def test_the_end_of_a_space_bounds_the_spectrum():
    for eigenvalues in (np.r_[3.0, 1.0, np.zeros(60)], np.array([2.0, -1.0, 0.5]), np.ones(7)):
        pairs = eigenpairs(np.diag(eigenvalues), 1)
        np.testing.assert_allclose(pairs.highest, eigenvalues.max(), atol=1e-8)
        np.testing.assert_allclose(pairs.lowest, eigenvalues.min(), atol=1e-8)
    inner = eigenpairs(np.diag(np.linspace(-1, 1, 100)), 1, which=0.3, rtol=0.5)
    assert inner.lowest <= -1
    assert inner.highest >= 1


def test_nothing_is_known_without_growth():
    """One product of one vector: its Ritz value is a mean, and any matrix may have made it."""
    matrix, _ = krylov(np.linspace(-1, 1, 150), 1, 1, 0)
    assert not excludes(matrix, 1, 1, 150, 1.0, 0.025)
    assert not excludes(np.zeros((2, 2)), 1, 1, 150, 1.0, 0.025), "no recursion to follow"
    assert enclosure(np.zeros((2, 2)), 1, 1, 150, 0.95) == (-np.inf, np.inf)


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("num_probes", [3])
def test_bounds_by_a_density_hold_as_often_as_they_say(name, num_probes):
    eigenvalues, seeds = np.sort(SPECTRA[name]), 200
    matrix, misses, widest = np.diag(eigenvalues), np.zeros(2, dtype=int), 0.0
    for seed in range(seeds):
        density = lanczos_density(matrix, num_steps=6, num_probes=num_probes, eigenvectors=True, seed=seed)
        low, high = density.eigenpairs.lowest, density.eigenpairs.highest
        slack = 1e-12 * np.abs(eigenvalues).max()
        misses += [low > eigenvalues[0] + slack, high < eigenvalues[-1] - slack]
        widest = max(widest, high - low)
    assert (misses <= binom.ppf(0.999, seeds, 0.025)).all(), misses
    assert widest < 30 * np.ptp(eigenvalues)


def test_a_density_knows_no_bounds_from_start_vectors_whose_directions_are_not_random():
    """A vector of signs has as large a part in each eigenvector of a diagonal matrix."""
    matrix = np.diag(np.linspace(-1, 1, 150))
    signs = lanczos_density(matrix, num_steps=6, distribution="rademacher", eigenvectors=True).eigenpairs
    assert (signs.lowest, signs.highest) == (-np.inf, np.inf)
    assert "lie between" not in str(signs)
    known = lanczos_density(matrix, num_steps=6, eigenvectors=True).eigenpairs
    assert f"all eigenvalues lie between {known.lowest:.4g} and {known.highest:.4g} (at 95%)" in str(known)


def test_a_density_of_few_eigenvalues_has_ends_that_are_known():
    pairs = lanczos_density(np.diag(np.r_[np.zeros(60), 3.0, -1.0]), eigenvectors=True).eigenpairs
    np.testing.assert_allclose([pairs.lowest, pairs.highest], [-1, 3], atol=1e-10)


def test_products_that_are_not_symmetric_widen_the_bounds():
    matrix = np.diag(np.linspace(-1, 1, 60)) + 1e-2 * np.triu(np.ones((60, 60)), 1)
    operator = as_operator(matrix, check_symmetric=False)
    assert np.ptp(np.linalg.eigvalsh((matrix + matrix.T) / 2)) > 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pairs = lanczos_density(operator, num_probes=2, num_steps=30, eigenvectors=True).eigenpairs
    assert pairs.highest > 1 + 0.01


@pytest.mark.parametrize("name", ["few", "low rank"])
def test_bounds_hold_where_directions_of_the_start_have_ended(name):
    """Two vectors see one copy more of a multiple eigenvalue than of a single one: the last block is narrower."""
    eigenvalues = {"few": np.r_[np.ones(40), 0.5, -3.0], "low rank": np.r_[np.zeros(80), 1.0, 4.0, 7.0]}[name]
    widest = 0.0
    for seed in range(100):
        pairs = eigenpairs(np.diag(eigenvalues), 3, seed=seed)
        assert pairs.lowest <= eigenvalues.min()
        assert pairs.highest >= eigenvalues.max()
        widest = max(widest, pairs.highest - pairs.lowest)
    assert widest < 2 * np.ptp(eigenvalues)


@given(st.integers(0, 2**32), st.integers(2, 6))
def test_a_narrower_last_block_bounds_the_start_too(seed, steps):
    """As if a vector of the last block had been multiplied: the part of an eigenvector in the start is as short."""
    eigenvalues = np.sort(SPECTRA["semicircle"])
    matrix, start = krylov(eigenvalues, 2, steps, seed)
    assert excludes(matrix, 2 * steps, 2, 150, 40.0, 0.025)
    known = matrix[:, : 2 * steps].T - eigenvalues[-1] * np.eye(2 * steps, len(matrix))
    assert np.linalg.norm(start[-1]) <= _longest_start(known, 2) * (1 + 1e-9)
