"""Which of two ways to spend products is taken, and sums over parts with the errors of their means."""

import math

import numpy as np
import pytest
import torch
from matrices import kinds, rotated

from hessdens.estimators.run import Run
from hessdens.structure.diagonals.exchange import Exchange
from hessdens.structure.diagonals.range_finder import RangeFinder
from hessdens.structure.diagonals.sampling import Products, diagonal_samples, fits_memory, largest_covariance
from hessdens.structure.parts import Parts

KINDS = kinds()


def samples_of(matrix, max_products=24, seed=0):
    run = Run(matrix, 1, seed, "rademacher", 8)
    with run.bar(max_products) as bar:
        found = diagonal_samples(run, max_products, bar)
        assert bar.n == 0 or bar.n == max_products
    return run, found


@pytest.mark.parametrize(
    ("name", "kind"),
    [("decaying", Exchange), ("flat", Exchange), ("diagonal", Exchange), ("indefinite", RangeFinder)],
)
def test_the_way_that_promises_less(name, kind):
    kinds_taken = [type(samples_of(KINDS[name], seed=seed)[1].sampler) for seed in range(5)]
    assert kinds_taken.count(kind) >= 4


@pytest.mark.parametrize("name", ["decaying", "indefinite"])
def test_chunks_are_all_rows(name, monkeypatch):
    _, found = samples_of(KINDS[name])
    whole = found.sampler.samples(slice(None))
    monkeypatch.setattr("hessdens.structure.diagonals.sampling.ENTRIES_PER_CHUNK", 7 * found.count)
    pieces = list(found.chunks())
    assert [rows.stop - rows.start for rows, _ in pieces] == [7] * 8 + [4]
    np.testing.assert_allclose(np.concatenate([part for _, part in pieces]), whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["decaying", "indefinite"])
def test_sums_keep_their_mean(name):
    run, found = samples_of(KINDS[name])
    parts = Parts.of(run.operator, {"a": slice(0, 20), "b": slice(20, 60)})
    plain = found.sampler.samples(slice(None))
    sums = found.sums(parts)
    np.testing.assert_allclose(sums.mean(axis=0), [plain[:20].sum(0).mean(), plain[20:].sum(0).mean()], rtol=1e-9)
    spread = np.stack([plain[:20].sum(axis=0), plain[20:].sum(axis=0)]).std(axis=1)
    assert (sums.std(axis=0) > 1.05 * spread).all()
    assert 1.01 < found.entry_scale() < 2


@pytest.mark.parametrize(("name", "has_basis"), [("decaying", False), ("indefinite", True), ("decaying", True)])
def test_products_that_are_added_are_those_of_one_call(name, has_basis):
    found = []
    for counts in ((12,), (3, 5, 4)):
        run = Run(KINDS[name], 1, 0, "rademacher", 4)
        with run.bar(24) as bar:
            made = Products(run, bar)
            for count in counts:
                made.add_probes(count)
                if has_basis:
                    made.add_basis()
        assert (made.num_probes, made.num_products, made.has_basis) == (12, 12 + 12 * has_basis, has_basis)
        found.append(made.samples().sampler.samples(slice(None)))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6, atol=1e-8)


def test_a_basis_of_no_products_is_one():
    run = Run(np.zeros((20, 20)), 1, 0, "rademacher")
    with run.bar(8) as bar:
        found = diagonal_samples(run, 8, bar)
    assert type(found.sampler) is RangeFinder
    assert found.num_products == 4
    assert not found.sampler.samples(slice(None)).any()


def test_covariances_below_zero_are_noise(monkeypatch):
    run, found = samples_of(KINDS["decaying"])
    monkeypatch.setattr(Exchange, "covariances", lambda self, rows: np.full(len(rows), -1.0))
    monkeypatch.setattr(Exchange, "covariances_of_sums", lambda self, parts: np.array([-1.0]))
    assert found.entry_scale() == 1
    sums = found.sums(Parts.of(run.operator, {"a": slice(0, 20)}))
    np.testing.assert_allclose(sums[:, 0], found.sampler.samples(slice(None))[:20].sum(axis=0))


def test_covariances_above_what_samples_allow_are_noise(monkeypatch):
    """With terms in which a probe meets at most six of 23 others, c <= 6 v / 17, where c + v is that of a sample."""
    run, found = samples_of(KINDS["decaying"])
    assert found.count == 24
    monkeypatch.setattr(Exchange, "covariances_of_sums", lambda self, parts: np.array([1e9]))
    sums = found.sums(Parts({"all": Parts.of(run.operator, {"all": slice(0, 60)}).pieces[0]}))
    spread = found.sampler.samples(slice(None)).sum(axis=0).var()
    np.testing.assert_allclose(sums.var(axis=0), spread * (1 + 24 * 6 / 17))


def test_a_basis_that_misses_a_direction_says_so():
    """With the one of 200 seeds that takes a basis where it would miss one of eight equal eigenvalues."""
    matrix = rotated(np.where(np.arange(60) < 8, 1.0, 1e-3), 5)
    run, found = samples_of(matrix, 16, seed=151)
    assert type(found.sampler) is RangeFinder
    sums = found.sums(Parts.of(run.operator, {"all": slice(0, 60)}))[:, 0]
    error = sums.mean() - np.trace(matrix)
    assert -1.1 < error < -0.9
    assert abs(error) < 3 * sums.std(ddof=1) / 8**0.5


@pytest.mark.parametrize(("count", "meeting"), [(3, 2), (4, 3), (6, 4), (8, 5), (9, 5), (24, 7), (50, 13)])
def test_the_limit_is_reached_by_products_of_probes(count, meeting):
    """Samples that are sums of the products of all sets of so many ±1, with their own in it: covariances are equal."""
    others = meeting - 1
    variance, covariance = math.comb(count - 1, others), math.comb(count - 2, others - 1)
    assert largest_covariance(count) == pytest.approx(covariance / (variance - covariance))


def test_a_basis_of_few_probes_is_taken_only_where_it_is_the_whole_range():
    """Below four probes, others are not known to give more than plain samples."""
    low_rank = np.outer(np.arange(60.0), np.arange(60.0))
    for matrix, kind in ((KINDS["indefinite"], Exchange), (KINDS["network"], Exchange), (low_rank, RangeFinder)):
        assert {type(samples_of(matrix, 6, seed=seed)[1].sampler) for seed in range(10)} == {kind}


def test_a_basis_that_misses_a_direction_is_not_taken_where_no_probe_shows_it():
    """Of eight equal eigenvalues, eight probes that almost lie in seven directions leave one out: their products have
    little outside of one another, and a basis of them would be wrong by a whole eigenvalue."""
    matrix = rotated(np.where(np.arange(60) < 8, 1.0, 1e-3), 5)
    chosen = [type(samples_of(matrix, 16, seed=seed)[1].sampler) for seed in (1004, 1013, 1017, 1037, 1067, 1085, 1128)]
    assert chosen.count(Exchange) >= 5


def test_memory_for_all_vectors(monkeypatch):
    run = Run(torch.eye(10, dtype=torch.float64), 1, 0, "rademacher")
    monkeypatch.setattr("hessdens.structure.diagonals.sampling.usual_bytes", lambda device: 2.5 * 4 * 10 * 8)
    assert fits_memory(run, 4)
    assert not fits_memory(run, 5)
