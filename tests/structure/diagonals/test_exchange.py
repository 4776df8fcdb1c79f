"""Samples of probes that change places, and their covariances: against slow twins, and over many seeds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from matrices import kinds, rotated
from naive import exchanged_diagonals

from hessdens.structure.diagonals.exchange import Exchange, heavy_rows, thinned
from hessdens.structure.parts import Parts, Piece

KINDS = kinds(40)
PARTS = Parts({"a": [Piece("", 0, (40,), ((0, 15),))], "b": [Piece("", 0, (40,), ((20, 40),))]})


def exchange(matrix, count=8, seed=0):
    probes = np.random.default_rng(seed).choice([-1.0, 1.0], (len(matrix), count))
    return Exchange.of(*(torch.tensor(V) for V in (probes, matrix @ probes)))


@pytest.mark.parametrize("name", [name for name in KINDS if name != "diagonal"])
def test_samples_are_those_of_the_twin(name):
    found = exchange(KINDS[name])
    for fold, shift in zip(found.folds, found.shifts, strict=True):
        if shift is None:
            expected = found.probes * found.products
        else:
            expected = exchanged_diagonals(KINDS[name], found.probes.numpy(), shift)
        np.testing.assert_allclose(found.samples(slice(None))[:, fold], expected[:, fold], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", KINDS)
def test_covariances_are_those_of_samples_without_one_probe(name):
    matrix, count = KINDS[name], 8
    found = exchange(matrix, count)
    probes = found.probes.numpy()
    changes = np.zeros((40, count, count))
    for fold, shift in zip(found.folds, found.shifts, strict=True):
        if shift is not None:
            whole = exchanged_diagonals(matrix, probes, shift)
            for j in range(count):
                without = np.insert(exchanged_diagonals(matrix, np.delete(probes, j, axis=1), shift), j, 0, axis=1)
                mine = np.setdiff1d(fold, [j])
                changes[:, mine, j] = (whole - without)[:, mine]
    expected = np.einsum("nij,nji->n", changes, changes) / (count * (count - 1))
    np.testing.assert_allclose(found.covariances(torch.arange(40)), expected, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(found.covariances(torch.tensor([7, 3])), expected[[7, 3]], rtol=1e-4, atol=1e-9)
    of_parts = np.stack([changes[:15].sum(axis=0), changes[20:].sum(axis=0)])
    expected = np.einsum("nij,nji->n", of_parts, of_parts) / (count * (count - 1))
    np.testing.assert_allclose(found.covariances_of_sums(PARTS), expected, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize(("name", "shift"), [("decaying", 0.01j), ("flat", 3j)])
def test_covariances_are_right_in_the_mean(name, shift):
    """Variances of means over 200 seeds are known to 3%, since 40 entries vary almost independently; they differ by a
    fifth and more from what the spread alone says."""
    matrix, count = KINDS[name], 12
    means, spreads, covariances = [], [], []
    for seed in range(200):
        found = exchange(matrix, count, seed)
        found = replace(found, folds=(np.arange(count),), shifts=(shift,))
        samples = found.samples(slice(None))
        means.append(samples.mean(axis=1))
        spreads.append(samples.var(axis=1, ddof=1).sum() / count)
        covariances.append(found.covariances(torch.arange(40)).sum())
    actual = np.sum((np.array(means) - np.diag(matrix)) ** 2, axis=1).mean()
    assert np.mean(spreads) < 0.8 * actual
    assert abs((np.mean(spreads) + np.mean(covariances)) / actual - 1) < 0.1


def test_the_shift_of_a_fold_does_not_depend_on_its_probes():
    matrix = KINDS["definite network"]
    first = exchange(matrix)
    probes = first.probes.clone()
    probes[:, first.folds[0]] = torch.tensor(np.random.default_rng(9).choice([-1.0, 1.0], (40, 2)))
    second = Exchange.of(probes, torch.tensor(matrix) @ probes)
    assert first.shifts[0] == second.shifts[0]
    assert first.shifts[1] != second.shifts[1]


def test_plain_samples_of_a_diagonal_matrix_and_of_few_probes():
    assert exchange(KINDS["diagonal"]).shifts == (None,) * 4
    assert exchange(KINDS["decaying"], count=3).shifts == (None,)
    assert None not in exchange(KINDS["decaying"], count=4).shifts
    assert exchange(np.zeros((40, 40))).shifts == (None,) * 4


def test_shifts_keep_away_from_poles():
    found = exchange(KINDS["network"], 24)
    values = np.linalg.eigvals(np.linalg.solve(found.overlaps, found.forms)).real
    assert values.min() < 0
    assert min(abs(shift) for shift in found.shifts) >= -2.99 * values.min()


@pytest.mark.parametrize("count", [4, 9])
@pytest.mark.parametrize("name", KINDS)
def test_samples_of_the_negative_matrix_are_negative(name, count):
    found, negative = exchange(KINDS[name], count), exchange(-KINDS[name], count)
    assert negative.shifts == pytest.approx(found.shifts)
    np.testing.assert_allclose(negative.samples(slice(None)), -found.samples(slice(None)), rtol=1e-6, atol=1e-9)


def test_heavy_rows_are_the_heaviest_and_even_ones():
    products = torch.ones(5000, 2)
    products[[17, 4321]] = 9.0
    rows = heavy_rows(products).tolist()
    assert {0, 17, 4321, 4999} <= set(rows)
    assert len(rows) <= 512
    assert heavy_rows(torch.ones(300, 2)).tolist() == list(range(300))


def test_rows_are_few_where_probes_are_many():
    assert thinned(torch.arange(500), 8).tolist() == list(range(500))
    assert thinned(np.arange(512.0), 64).tolist() == list(range(0, 512, 2))
    assert thinned(torch.arange(100), 5000).tolist() == [0]


@pytest.mark.parametrize(("decay", "is_plain"), [(0.5, True), (1.5, False)])
def test_an_approximation_serves_where_the_mean_of_its_samples_errs_less(decay, is_plain):
    """Of a slowly falling spectrum it lowers the variance by less than covariances add."""
    matrix = rotated((1.0 + np.arange(40)) ** -decay)
    shifts = [shift for seed in range(8) for shift in exchange(matrix, 8, seed).shifts]
    assert sum((shift is None) == is_plain for shift in shifts) >= 24
