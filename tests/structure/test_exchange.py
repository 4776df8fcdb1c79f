"""Samples of probes that change places: against their slow twin, and sums over parts by inner products."""

import numpy as np
import pytest
import torch
from matrices import kinds
from naive import exchanged_diagonals

from hessdens.structure.exchange import Exchange, heavy_rows
from hessdens.structure.grams import part_grams
from hessdens.structure.parts import Parts, Piece

KINDS = kinds(40)
PARTS = Parts({"a": [Piece("", 0, (40,), ((0, 15),))], "b": [Piece("", 0, (40,), ((20, 40),))]}, 40)


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
def test_sums_over_parts_are_those_of_samples(name):
    found = exchange(KINDS[name])
    samples = found.samples(slice(None))
    sums = found.sums(part_grams(PARTS, found.vectors()))
    np.testing.assert_allclose(sums, np.stack([samples[:15].sum(0), samples[20:].sum(0)], axis=1), rtol=1e-3, atol=1e-5)


def test_sums_without_a_probe_are_those_of_the_others_alone():
    matrix, left_out = KINDS["decaying"], 3
    found = exchange(matrix)
    sums = found.sums(part_grams(PARTS, found.vectors()), left_out)
    kept = np.delete(np.arange(8), left_out)
    for fold, shift in zip(found.folds, found.shifts, strict=True):
        mine = np.isin(kept, fold)
        expected = exchanged_diagonals(matrix, found.probes.numpy()[:, kept], shift)[:15].sum(axis=0)
        np.testing.assert_allclose(sums[mine, 0], expected[mine], rtol=1e-6)


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
    assert exchange(KINDS["decaying"], count=5).shifts == (None,)
    assert exchange(np.zeros((40, 40))).shifts == (None,) * 4


def test_shifts_keep_away_from_poles():
    found = exchange(KINDS["network"], 24)
    values = np.linalg.eigvals(np.linalg.solve(found.overlaps, found.forms)).real
    assert values.min() < 0
    assert min(abs(shift) for shift in found.shifts) >= -2.99 * values.min()


def test_heavy_rows_are_the_heaviest_and_even_ones():
    products = torch.ones(5000, 2)
    products[[17, 4321]] = 9.0
    rows = heavy_rows(products).tolist()
    assert {0, 17, 4321, 4999} <= set(rows)
    assert len(rows) <= 512
    assert heavy_rows(torch.ones(300, 2)).tolist() == list(range(300))
