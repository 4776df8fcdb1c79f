"""What directions are: shares in subspaces, angles with limits, and the layers that carry them."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles as scipy_angles
from torch import nn

from hessdens import as_operator, eigenpairs, ggn_operator, lanczos_density
from hessdens.eigenvectors import carriers, overlap, subspace_angles
from hessdens.testing import rotated

VALUES = np.concatenate([np.linspace(-1, 1, 60), [3.0, 3.0, 4.0, 7.0]])


def test_shares_are_of_clusters_and_sum_to_the_whole():
    pairs = eigenpairs(np.diag(VALUES), 4, rtol=1e-9)
    direction = np.zeros(64)
    direction[[63, 62, 61, 60, 0]] = [2.0, 1.0, 1.0, 3.0, 5.0]
    shares = overlap(pairs, torch.tensor(direction))
    np.testing.assert_allclose(shares.shares, np.array([4, 1, 10]) / 40, atol=1e-12)
    np.testing.assert_allclose(shares.values, [7, 4, 3])
    assert shares.members == (1, 1, 2)
    np.testing.assert_allclose(shares.total, 15 / 40, atol=1e-12)
    np.testing.assert_allclose(overlap(pairs, 1e-200 * direction).shares, shares.shares)
    assert (
        "37.50% (37.50% to 37.50%) of the squared length lies along 4 eigenvectors; of a random direction 6.25%"
        in str(shares)
    )
    assert "3 (2 of them): 25.00%" in str(shares)


@pytest.mark.parametrize("rtol", [0.1, 1e-2, 1e-4])
def test_limits_hold_the_shares_in_exact_subspaces(rtol):
    """With loose tolerances, where vectors are far off."""
    rng = np.random.default_rng(0)
    widest = 0.0
    for seed in range(20):
        pairs = eigenpairs(np.diag(VALUES), 4, rtol=rtol, seed=seed)
        direction = rng.standard_normal(64) + 5 * pairs.vectors.sum(axis=0)
        exact = direction**2 / (direction @ direction)
        shares = overlap(pairs, direction)
        for members, low, high in zip(pairs.subspaces, shares.low, shares.high, strict=True):
            inside = [int(np.argmin(np.abs(VALUES - value))) for value in pairs.values[list(members)]]
            true = exact[60:62].sum() if min(inside) in (60, 61) else exact[inside].sum()
            assert low - 1e-9 <= true <= high + 1e-9
        assert shares.total[1] - 1e-9 <= exact[60:].sum() <= shares.total[2] + 1e-9
        widest = max(widest, shares.total[2] - shares.total[1])
    assert widest < 20 * rtol, "and are worth something"


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 8), st.integers(1, 4), st.integers(1, 4), st.integers(0, 1000))
def test_angles_of_exact_subspaces_are_those_of_scipy(size, first, second, seed):
    rng = np.random.default_rng(seed)
    A, B = (np.linalg.qr(rng.standard_normal((size, min(n, size))))[0] for n in (first, second))
    angles = subspace_angles(A.T, B.T)
    np.testing.assert_allclose(angles.angles, np.sort(scipy_angles(A, B)), atol=1e-7)
    np.testing.assert_allclose(angles.low, angles.angles, atol=1e-7)
    np.testing.assert_allclose(angles.high, angles.angles, atol=1e-7)


def test_limits_of_angles_between_two_runs_hold_the_exact_ones():
    rng = np.random.default_rng(1)
    first, second = rotated(VALUES, rng), rotated(VALUES, rng)
    second = first + 0.05 * second
    exact = np.sort(scipy_angles(*(np.linalg.eigh(matrix)[1][:, -4:] for matrix in (first, second))))
    for rtol in (0.03, 1e-3, 1e-8):
        angles = subspace_angles(*(eigenpairs(matrix, 4, rtol=rtol) for matrix in (first, second)))
        assert (angles.low - 1e-9 <= exact).all()
        assert (exact <= angles.high + 1e-9).all()
    np.testing.assert_allclose(angles.angles, exact, atol=1e-6)
    assert 0.9 < angles.shared < 1
    assert str(angles).startswith("4 principal angles, 9")


def test_random_subspaces_share_what_angles_say_of_them():
    """20,000 pairs of 2 and 3 of 7 dimensions: 3 / 7 on average, to 0.0016 at one standard error."""
    rng = np.random.default_rng(0)
    A, B = (np.linalg.qr(rng.standard_normal((20_000, 7, n)))[0] for n in (2, 3))
    shared = np.sum((A.transpose(0, 2, 1) @ B) ** 2, axis=(1, 2)) / 2
    angles = subspace_angles(A[0].T, B[0].T)
    assert angles.shared == pytest.approx(shared[0])
    assert abs(angles.shared_by_chance - shared.mean()) < 4 * shared.std() / 20_000**0.5
    assert subspace_angles(B[0].T, A[0].T).shared_by_chance == 3 / 7


def test_small_angles_are_not_lost_to_rounding():
    angles = subspace_angles(np.array([1.0, 0.0]), np.array([1.0, 1e-12]))
    np.testing.assert_allclose(angles.angles, 1e-12, rtol=1e-6)


def model_operator():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    inputs = torch.randn(20, 5, dtype=torch.float64)
    return ggn_operator(model, nn.CrossEntropyLoss(), [(inputs, torch.arange(20) % 3)])


def test_layers_that_carry_a_direction():
    H = model_operator()
    parts = {name: torch.zeros(shape) for name, shape in {"0.weight": (4, 5), "0.bias": (4,), "2.bias": (3,)}.items()}
    parts["2.weight"] = torch.full((3, 4), 2.0)
    parts["0.bias"][1] = 4.0
    found = carriers(H, H.flatten(parts))
    assert found.layers == ("0.weight", "0.bias", "2.weight", "2.bias")
    assert found.sizes == (20, 4, 12, 3)
    np.testing.assert_allclose(found.shares, [0, 0.25, 0.75, 0], atol=1e-15)
    np.testing.assert_allclose(found.participation, 1 / (12 * (4 / 64) ** 2 + (16 / 64) ** 2))
    joined = carriers(H, H.flatten(parts), layers={"first": "0.*", "biases": ["*.bias"]})
    np.testing.assert_allclose(joined.shares, [0.25, 0.25])
    assert joined.sizes == (24, 7)
    by_parameter = carriers(H, H.unflatten(H.flatten(parts)))
    np.testing.assert_array_equal(by_parameter.shares, found.shares)
    units = carriers(H, H.flatten(parts), layers={"second": {"0.*": np.s_[1]}, "rows": {"2.weight": np.s_[0:2]}})
    np.testing.assert_allclose(units.shares, [0.25, 0.5])
    assert units.sizes == (6, 8)
    assert "2.weight  75.00% by 12 parameters: 2.4 times their part" in str(found)


def test_carriers_of_a_subspace_do_not_depend_on_its_basis():
    H = model_operator()
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((39, 3)))[0]
    turned = basis @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
    one, other = carriers(H, basis.T), carriers(H, turned.T)
    np.testing.assert_allclose(one.shares, other.shares)
    np.testing.assert_allclose(one.participation, other.participation)
    assert one.shares.sum() == pytest.approx(1)
    random = carriers(H, rng.standard_normal(39))
    assert 39 / 6 < random.participation < 39 / 1.5


def test_directions_that_are_none():
    pairs, H = eigenpairs(np.diag(VALUES), 2), model_operator()
    for direction, message in [
        (np.ones(3), r"direction must have shape \(64,\); got \(3,\)"),
        (np.zeros(64), "direction must not be zero"),
        (np.full(64, np.nan), "direction must be finite; got 64 entries that are not"),
    ]:
        with pytest.raises(ValueError, match=message):
            overlap(pairs, direction)
    with pytest.raises(ValueError, match=r"direction must have shape \(39,\)"):
        carriers(H, np.ones(40))
    with pytest.raises(ValueError, match=r"second must have orthonormal rows; got shape \(2, 64\)"):
        subspace_angles(pairs, np.ones((2, 64)))
    with pytest.raises(ValueError, match="second must not be zero"):
        subspace_angles(pairs, np.zeros(64))
    with pytest.raises(ValueError, match="vectors of one size; got 64 and 3"):
        subspace_angles(pairs, np.eye(3))
    for matrix in (as_operator(np.eye(4)), np.eye(4)):
        with pytest.raises(TypeError, match="A must be an operator of a model"):
            carriers(matrix, np.ones(4))
    with pytest.raises(ValueError, match="second must have at least one eigenvector; it has none"):
        subspace_angles(np.ones(9), lanczos_density(np.zeros((9, 9)), max_products=4, eigenvectors=True).eigenpairs)
    with pytest.raises(ValueError, match=r"'3\.\*' matches none"):
        carriers(H, np.ones(39), layers={"third": "3.*"})


def test_vectors_are_real_ones():
    pairs, H = eigenpairs(np.diag(VALUES), 2), model_operator()
    with pytest.raises(TypeError, match=r"pairs must be from eigenpairs; got ndarray. Write overlap\(pairs, dir"):
        overlap(pairs.vectors, np.ones(64))
    with pytest.raises(TypeError, match=r"direction must be a vector of real numbers; got Eigenpairs. Write pairs.vec"):
        overlap(pairs, pairs)
    with pytest.raises(TypeError, match=r"second must be a vector of real numbers; got the Gauss-Newton matrix\.$"):
        subspace_angles(pairs, H)
    for wrong in (1j * np.ones(64), 1j * torch.ones(64), ["a"] * 64):
        with pytest.raises(TypeError, match="direction must have real numbers; got "):
            overlap(pairs, wrong)
    by_parameter = H.unflatten(torch.ones(39))
    for call in (lambda: overlap(pairs, by_parameter), lambda: subspace_angles(pairs, by_parameter)):
        with pytest.raises(TypeError, match=r"must be a vector; got dict\. H.flatten makes one of it"):
            call()


def test_numbers_are_plain():
    pairs = eigenpairs(np.diag(VALUES), 3)
    for result in (
        overlap(pairs, np.ones(64)),
        subspace_angles(pairs, np.ones(64)),
        carriers(model_operator(), np.ones(39)),
    ):
        numbers = result.numbers()
        assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers
        assert numbers["kind"] == type(result).__name__
