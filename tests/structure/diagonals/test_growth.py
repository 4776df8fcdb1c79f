"""Sums that grow until they are accurate: when they stop, what serves them, and groups where memory is short."""

import numpy as np
import pytest
import torch
from matrices import kinds
from scipy import stats

from hessdens.estimators.run import Run
from hessdens.structure.accuracy import TraceAccuracy
from hessdens.structure.diagonals import growth
from hessdens.structure.diagonals.growth import PlainSums, SharedSums, foreseen, sums_to_accuracy
from hessdens.structure.parts import Parts

KINDS = kinds()
HALVES = {"first": slice(0, 20), "second": slice(20, 60)}


def frame(matrix, seed=0):
    run = Run(torch.from_numpy(matrix), 1, seed, "rademacher", 8)
    return run, Parts.of(run.operator, HALVES)


def sums(matrix, accuracy, most=2_000, low_memory=False, seed=0, **options):
    run, parts = frame(matrix, seed)
    with run.bar(most) as bar:
        return sums_to_accuracy(run, parts, accuracy, most, low_memory, bar, **options)


def looks(matrix, rtol, monkeypatch, **options):
    """Return the result, and products and error at each look."""
    history = []
    monkeypatch.setattr(growth, "foreseen", lambda pairs: history.extend(pairs) or 0.0)
    return sums(matrix, TraceAccuracy(rtol, None), **options), history


@pytest.mark.parametrize("low_memory", [False, True])
def test_it_stops_at_the_first_look_that_surely_has_the_accuracy(low_memory, monkeypatch):
    """With the upper limit of the spread of normal samples, at 90%."""
    found, history = looks(KINDS["decaying"] + 0.1 * np.eye(60), 0.1, monkeypatch, low_memory=low_memory)
    counts, errors = np.array(history).T
    limits = errors * np.sqrt((counts - 1) / stats.chi2.ppf(0.1, counts - 1))
    assert found.excess == errors[-1]
    assert limits[-1] <= 1 < limits[:-1].min()
    assert found.num_products == len(found.samples) == counts[-1]
    assert counts[0] == 8
    assert (counts[1:] <= np.ceil(1.2 * counts[:-1])).all()


def test_a_loose_accuracy_takes_the_first_look_alone():
    assert sums(KINDS["decaying"] + np.eye(60), TraceAccuracy(0.9, None)).num_products == 8


def test_products_end_where_they_must():
    for most in (4, 9, 50):
        found = sums(KINDS["flat"], TraceAccuracy(1e-9, None), most=most)
        assert most - 3 <= found.num_products <= most
        assert found.excess > 1
        assert found.needed > most


def test_products_end_where_they_are_not_worth_it():
    far = sums(KINDS["flat"], TraceAccuracy(1e-9, None), worth=1_000)
    assert far.excess > 1
    assert far.num_products < 20
    near = sums(KINDS["decaying"] + np.eye(60), TraceAccuracy(0.05, None), worth=1_000)
    assert near.excess <= 1


def test_a_basis_serves_where_it_promises_more(monkeypatch):
    run, parts = frame(KINDS["indefinite"])
    with run.bar(100) as bar:
        grown = SharedSums(run, parts, bar, together=100)
        grown.grow(12)
        assert len(grown.samples) == grown.num_products == 12
        grown.grow(15, excess=1.3)  # as many probes will do
        assert len(grown.samples) == grown.num_products == 15
        grown.grow(18, excess=3.0)
        assert (len(grown.samples), grown.num_products) == (15, 30)
        grown.grow(36, excess=3.0)
        assert (len(grown.samples), grown.num_products) == (18, 36)
    exact = [np.trace(KINDS["indefinite"][:20, :20]), np.trace(KINDS["indefinite"][20:, 20:])]
    errors = grown.samples.std(axis=0, ddof=1) / 18**0.5
    assert (np.abs(grown.samples.mean(axis=0) - exact) < 4 * errors).all()


def test_groups_are_independent_and_their_errors_true(monkeypatch):
    """Groups of 8 products: means of 60 seeds within four standard errors, reported errors within 25%."""
    monkeypatch.setattr(growth, "MOST_TOGETHER", 8)
    matrix = KINDS["decaying"]
    exact = np.array([np.trace(matrix[:20, :20]), np.trace(matrix[20:, 20:])])
    found = [sums(matrix, TraceAccuracy(1e-9, None), most=24, seed=seed) for seed in range(60)]
    assert {result.num_products for result in found} == {24}
    errors = np.array([result.samples.mean(axis=0) for result in found]) - exact
    spread = errors.std(axis=0, ddof=1)
    assert np.abs(errors.mean(axis=0) / spread).max() < 4 / 60**0.5
    reported = np.mean([result.samples.var(axis=0, ddof=1) / len(result.samples) for result in found], axis=0) ** 0.5
    assert (np.abs(reported / spread - 1) < 0.25).all()


def test_plain_sums_are_taken_where_memory_is_short(monkeypatch):
    matrix = KINDS["fast decay"]
    run, parts = frame(matrix)
    for room, is_plain in ((7, True), (8, False)):
        monkeypatch.setattr(growth, "usual_bytes", lambda device, n=room: n * 4 * 60 * 8)
        found = sums(matrix, TraceAccuracy(0.9, None))
        with run.bar(8) as bar:
            plain = PlainSums(run, parts, bar)
            plain.grow(8)
        assert (np.array_equal(found.samples[:8], plain.samples[:8])) == is_plain


def test_what_it_takes_follows_from_how_fast_errors_fell():
    assert foreseen([(10, 8.0), (20, 4.0)]) == pytest.approx(80)
    assert foreseen([(10, 8.0), (12, 5.0), (20, 4.0)]) == pytest.approx(80)
    assert foreseen([(10, 8.0), (20, 8.0)]) == pytest.approx(20 * 64)  # not slower than the root
    assert foreseen([(10, 1e9), (20, 16.0)]) == pytest.approx(40)  # nor faster than the fourth power
    assert foreseen([(10, 3.0)]) == pytest.approx(90)
    assert foreseen([(10, np.inf)]) == np.inf
