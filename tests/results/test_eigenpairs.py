"""Eigenpairs: which values are told apart, and what their vectors are then worth."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh

from hessdens import eigenpairs, load_result
from hessdens.results import Eigenpairs
from hessdens.results.eigenpairs import MOST_PRINTED, Separation
from hessdens.testing import symmetric_matrices

NOTHING = (np.zeros(0), np.zeros(0))


def separation(values, lengths, others=NOTHING, is_converged=None):
    values, lengths = np.asarray(values), np.asarray(lengths, dtype=float)
    state = np.ones(len(values), dtype=bool) if is_converged is None else np.asarray(is_converged)
    return Separation.of(values, np.diag(lengths), np.zeros(len(values)), state, others)


def test_values_within_three_residuals_are_one_cluster():
    told = separation([5.0, 4.0, 3.99], [0.01, 0.001, 0.004])
    assert told.clusters == (0, 1, 1)
    np.testing.assert_allclose(told.errors, [0.01, 0.004, 0.004])
    np.testing.assert_allclose(told.gaps, [1 - 0.004, 0.99, 0.99])
    assert separation([5.0, 4.0, 3.99], [0.01, 0.001, 0.003]).clusters == (0, 1, 2)


def test_a_cluster_grows_until_it_is_told_apart_from_the_next_one():
    """The residual of two is longer than that of each: so the third, apart from either, is not apart from both."""
    values, vectors = np.array([1.0, 1.02, 1.052]), np.array([[0.01, 0.01, 0.0], [0.0, 0.0, 0.001]])
    alone = Separation.of(values[1:], vectors[:, 1:], np.zeros(2), np.ones(2, dtype=bool), NOTHING)
    assert alone.clusters == (0, 1)
    together = Separation.of(values, vectors, np.zeros(3), np.ones(3, dtype=bool), NOTHING)
    assert together.clusters == (0, 0, 0)
    np.testing.assert_allclose(together.errors, np.hypot(0.01, 0.01), rtol=0.01)


def test_gaps_end_at_what_else_has_shown():
    told = separation([5.0, 4.0], [0.01, 0.01], others=(np.array([3.0, 0.0]), np.array([0.5, 2.0])))
    np.testing.assert_allclose(told.gaps, [0.99, 0.5])
    cut = separation([5.0, 4.0], [0.01, 0.01], others=(np.array([3.9, 0.0]), np.array([0.5, 2.0])))
    assert cut.gaps[1] == 0, "it goes on beyond the values that were asked for"
    assert separation([5.0], [0.01]).gaps[0] == separation([5.0], [0.01]).outer_gaps[0] == np.inf
    np.testing.assert_allclose(told.outer_gaps, [1.5, 0.5])
    np.testing.assert_allclose(cut.outer_gaps, [0.6, 0.0], atol=1e-12)


def test_what_has_converged_is_not_spoilt_by_what_has_not():
    told = separation([5.0, 4.9], [1e-9, 0.5], is_converged=[True, False])
    assert told.clusters == (0, 1)
    assert told.errors[0] == 1e-9
    assert told.gaps[0] == 0, "though its vector may be one of two"


@settings(max_examples=60, deadline=None)
@given(symmetric_matrices(), st.integers(0, 100))
def test_errors_and_angles_bound_those_of_any_orthonormal_vectors(case, seed):
    matrix, eigenvalues = case
    size = len(matrix)
    rng = np.random.default_rng(seed)
    exact = eigh(matrix)[1]
    count = int(rng.integers(1, size + 1))
    noise = 10.0 ** rng.uniform(-8, -0.5)
    basis = np.linalg.qr(exact[:, -count:] + noise * rng.standard_normal((size, count)) / size**0.5)[0]
    values, rotation = np.linalg.eigh(basis.T @ matrix @ basis)
    vectors = basis @ rotation
    residuals = matrix @ vectors - vectors * values
    rounding = np.full(count, 1e-14 * np.abs(eigenvalues).max())
    told = Separation.of(values, residuals, rounding, np.ones(count, dtype=bool), NOTHING)
    scale = 1e-12 * max(np.abs(eigenvalues).max(), 1e-300)
    members = np.array(told.clusters)
    for cluster in set(told.clusters):
        inside = members == cluster
        error, low, high = told.errors[inside][0], values[inside].min(), values[inside].max()
        near = (eigenvalues >= low - error - scale) & (eigenvalues <= high + error + scale)
        assert near.sum() >= inside.sum(), "as many eigenvalues as values, counted with their multiplicity"
        for gap in np.array([2, 10, 1e3]) * max(error, 1e-300):  # of whatever size it is
            space = exact[:, (eigenvalues > low - gap) & (eigenvalues < high + gap)]
            sine = np.linalg.norm(vectors[:, inside] - space @ (space.T @ vectors[:, inside]), 2)
            assert sine <= error / gap * (1 + 1e-9) + 1e-9


def pairs_of(*diagonal, **options):
    return eigenpairs(np.diag(np.array(diagonal)), **{"k": 3, "rtol": 1e-6} | options)


def test_a_vector_of_a_cluster_is_refused_and_its_subspace_given():
    pairs = pairs_of(*np.linspace(0, 1, 20), 4.0, 4.0, 9.0)
    assert pairs.subspaces == ((0,), (1, 2))
    assert abs(pairs.vector(0)).argmax() == 22
    with pytest.raises(ValueError, match=r"eigenvalues 1, 2 are one cluster. Take subspace\(2\), or a smaller rtol"):
        pairs.vector(2)
    np.testing.assert_allclose(np.linalg.norm(pairs.subspace(1)[:, 20:22]), 2**0.5, atol=1e-12)
    with pytest.raises(ValueError, match="index must be from 0 to 2; got 3"):
        pairs.vector(3)
    assert "one cluster: 1, 2" in str(pairs)
    assert "angle (rad)" in str(pairs)
    assert repr(pairs) == f"Eigenpairs(3 largest of 23, {pairs.num_products} products)"


def test_angles_are_unknown_where_the_gap_is_no_longer_than_the_error():
    pairs = dataclasses.replace(pairs_of(1.0, 2.0, 3.0), errors=[1e-3, 1e-3, 0.0], gaps=[1e-3, 1.0, np.inf])
    np.testing.assert_allclose(pairs.angles, [np.pi / 2, 1e-3, 0.0], rtol=1e-6)
    assert [line.split()[3] for line in str(pairs).splitlines()[2:5]] == ["unknown", "1.0e-03", "0.0e+00"]


def test_files_keep_the_precision_of_vectors(tmp_path):
    pairs = eigenpairs(np.diag(np.arange(9.0, dtype=np.float32)), 2)
    pairs.save(tmp_path / "pairs.npz")
    loaded = load_result(tmp_path / "pairs.npz")
    assert loaded.vectors.dtype == np.float32
    np.testing.assert_array_equal(loaded.vectors, pairs.vectors)
    assert not loaded.vectors.flags.writeable


def test_numbers_have_a_row_for_each_pair():
    pairs = pairs_of(1.0, 2.0, 3.0)
    numbers = pairs.numbers()
    assert [row["value"] for row in numbers["pairs"]] == pairs.values.tolist()
    assert [row["cluster"] for row in numbers["pairs"]] == [0, 1, 2]
    assert numbers["num_products"] == pairs.num_products


def test_many_pairs_are_printed_in_part():
    pairs = eigenpairs(np.diag(np.arange(1.0, 30.0)), 25)
    assert f"... and {25 - MOST_PRINTED} more" in str(pairs)


def test_impossible_content_is_refused():
    pairs = pairs_of(1.0, 2.0, 3.0)
    with pytest.raises(ValueError, match="as many eigenvalues as the matrix has; got 3"):
        dataclasses.replace(pairs, size=2, vectors=np.ones((3, 2)))
    with pytest.raises(ValueError, match="at most 3 entries; got 4"):
        dataclasses.replace(pairs, vectors=np.ones((3, 4)))
    assert isinstance(pairs, Eigenpairs)


@settings(max_examples=60, deadline=None)
@given(symmetric_matrices(), st.integers(0, 100))
def test_the_space_of_all_vectors_is_within_the_total_angle(case, seed):
    """Even where no vector of it is told apart, or others lie between their eigenvalues."""
    matrix, eigenvalues = case
    size = len(matrix)
    rng = np.random.default_rng(seed)
    exact = eigh(matrix)[1]
    chosen = np.flatnonzero(rng.random(size) < 0.4)
    if not 0 < len(chosen) < size:
        return
    noise = 10.0 ** rng.uniform(-8, -1)
    basis = np.linalg.qr(exact[:, chosen] + noise * rng.standard_normal((size, len(chosen))) / size**0.5)[0]
    values, rotation = np.linalg.eigh(basis.T @ matrix @ basis)
    vectors = basis @ rotation
    slack = np.full(len(chosen), 1e-14 * np.abs(eigenvalues).max())
    others = np.delete(eigenvalues, chosen), np.zeros(size - len(chosen))
    told = Separation.of(values, matrix @ vectors - vectors * values, slack, np.ones(len(chosen), dtype=bool), others)
    known = (told.errors, told.gaps, told.outer_gaps, told.clusters, vectors.T, np.ones(len(chosen), dtype=bool))
    pairs = Eigenpairs(size, "found", values, *known, np.inf, 1, pairs_of(1.0, 2.0, 3.0).certificates)
    outside = np.delete(exact, chosen, axis=1)
    assert np.linalg.norm(outside.T @ vectors, 2) <= np.sin(pairs.total_angle) + 1e-9


def test_bounds_of_the_spectrum_are_printed_and_kept(tmp_path):
    pairs = eigenpairs(np.diag([*np.linspace(-1, 1, 60), 4.0]), 2, rtol=1e-4)
    line = f"  all eigenvalues lie between {pairs.lowest:.4g} and {pairs.highest:.4g} (at 95%)"
    assert line in str(pairs).splitlines()
    pairs.save(tmp_path / "pairs.npz")
    again = load_result(tmp_path / "pairs.npz")
    assert (again.lowest, again.highest) == (pairs.lowest, pairs.highest)
    older = {name: np.asarray(value) for name, value in pairs.to_arrays().items() if name not in ("lowest", "highest")}
    unknown = Eigenpairs.from_arrays(older, "older.npz")
    assert (unknown.lowest, unknown.highest) == (-np.inf, np.inf)
    assert "lie between" not in str(unknown)
