"""Samples and deflated parts against dense matrices."""

import numpy as np
import pytest
import torch

from hessdens import NonFiniteError, as_operator
from hessdens.linalg.operator import FunctionOperator
from hessdens.multilevel.coupling import Setting, deflated_part, dominant_directions, samples, samples_of_ranks
from hessdens.multilevel.quantities import MomentsOfAll

RNG = np.random.default_rng(0)
A = RNG.standard_normal((12, 12))
A = A + A.T + np.diag([30.0, -20.0, *np.zeros(10)])
OPERATOR = as_operator(torch.from_numpy(A))


class Bar:
    """Counts products."""

    def __init__(self):
        self.total = 0

    def update(self, amount):
        self.total += amount


def setting(num_moments=2, checkpoint=None):
    return Setting(MomentsOfAll(num_moments), 0, 4, checkpoint, Bar())


def outside(basis):
    projection = np.eye(12) - basis.numpy().T @ basis.numpy()
    return projection @ A @ projection


def test_dominant_directions_are_orthonormal_and_dominant():
    basis = dominant_directions(setting(), OPERATOR, 4, "directions")
    np.testing.assert_allclose(basis @ basis.T, np.eye(4), atol=1e-12)
    assert np.abs(np.linalg.eigvalsh(A)).max() > 25
    assert np.abs(np.linalg.eigvalsh(outside(basis))).max() < 8
    assert len(dominant_directions(setting(), OPERATOR, 0, "directions")) == 0


@pytest.mark.parametrize("rank", [0, 3])
def test_samples_and_deflated_part_give_the_moments(rank):
    frame = setting(2 if rank else 4)
    basis = dominant_directions(setting(), OPERATOR, rank, "directions")
    B = outside(basis)
    exact = [np.trace(np.linalg.matrix_power(B, k)) for k in range(1, frame.quantity.count + 1)]
    found = samples(frame, OPERATOR, "level", (7, 4007), basis) * 12
    z = (found.mean(axis=0) - exact) / (found.std(axis=0) / 4_000**0.5)
    assert np.abs(z).max() < 4
    assert frame.bar.total == 4_000 * frame.quantity.per_probe
    if rank:
        whole = [np.trace(A), np.trace(A @ A)]
        np.testing.assert_allclose(12 * deflated_part(frame, OPERATOR, "deflated", basis) + exact, whole)


def test_products_with_all_directions_serve_each_number_of_them():
    frame = setting()
    basis = dominant_directions(setting(), OPERATOR, 4, "directions")
    found = samples_of_ranks(frame, OPERATOR, "pilot", (3, 12), basis, (0, 2, 4))
    assert frame.bar.total == 9 + 4
    for rank, some in zip((0, 2, 4), found, strict=True):
        np.testing.assert_allclose(some, samples(setting(), OPERATOR, "pilot", (3, 12), basis[:rank]))
    frame = setting(4)
    (plain,) = samples_of_ranks(frame, OPERATOR, "pilot", (3, 12), basis, (0,))
    assert frame.bar.total == 18
    np.testing.assert_allclose(plain, samples(setting(4), OPERATOR, "pilot", (3, 12), basis[:0]))


def test_samples_depend_on_their_probe_alone():
    basis = torch.empty(0, 12, dtype=torch.float64)
    many, few = (samples(setting(), OPERATOR, "level", numbers, basis) for numbers in ((0, 9), (5, 7)))
    np.testing.assert_allclose(many[5:7], few)


def test_finished_products_are_read_from_a_checkpoint(tmp_path):
    basis = torch.empty(0, 12, dtype=torch.float64)
    first = samples(setting(checkpoint=tmp_path), OPERATOR, "level", (0, 8), basis)
    assert len(list((tmp_path / "level").glob("product-*"))) == 2
    np.testing.assert_array_equal(first, samples(setting(checkpoint=tmp_path), OPERATOR, "level", (0, 8), basis))


def test_products_that_are_not_finite_are_refused():
    kind = {"size": 12, "dtype": torch.float64, "device": torch.device("cpu")}
    bad = FunctionOperator(lambda V: V * torch.nan, **kind)
    with pytest.raises(NonFiniteError, match="product 1 of probe"):
        samples(setting(), bad, "level", (0, 2), torch.empty(0, 12, dtype=torch.float64))
    with pytest.raises(NonFiniteError, match="with a deflated direction"):
        deflated_part(setting(), bad, "deflated", torch.eye(12, dtype=torch.float64)[:2])
    spoiled = FunctionOperator(lambda V: V * torch.tensor([1.0, torch.nan, 1.0, 1.0])[: V.shape[1]], **kind)
    with pytest.raises(NonFiniteError, match="product 1 of probe 1"):
        samples_of_ranks(setting(), spoiled, "pilot", (0, 4), torch.eye(12, dtype=torch.float64)[:1], (0, 1))
