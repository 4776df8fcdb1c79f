"""Certified counts: they hold as often as promised, are exact where a space is all, and say what they cannot know."""

import numpy as np
import pytest
import torch
from factories import problem
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import NETWORK, diagonal
from scipy.stats import binom

from hessdens import NonFiniteError, Plan, as_operator, exact_spectrum, hessian_operator
from hessdens.estimators import certified_counts, counts
from hessdens.results.counts import SIDES
from hessdens.testing import rotated, symmetric_matrices

EDGE = 0.1
# Spectra that are hard for a window of 0.2: eigenvalues on and next to its edges, and those without any gap.
RNG = np.random.default_rng(0)
HARD = {
    "edges": np.repeat([-EDGE, EDGE, 0.0], [8, 8, 24]),
    "just inside": np.concatenate([np.repeat([EDGE - 1e-9, 1e-9 - EDGE], 12), 0.02 * RNG.standard_normal(20)]),
    "just outside": np.concatenate([np.repeat([EDGE + 1e-9, -1e-9 - EDGE], 12), 0.02 * RNG.standard_normal(20)]),
    "across": np.concatenate([RNG.uniform(0.095, 0.105, 30), RNG.uniform(-0.105, -0.095, 10), np.zeros(10)]),
    "semicircle": np.cos(np.pi * (np.arange(60) + 0.5) / 60) * np.sqrt(RNG.random(60)),
    "two points": np.repeat([1.0, -1.0], [30, 15]),
    "log-uniform": np.geomspace(1e-6, 10, 50),
}


def truth(eigenvalues, half=EDGE):
    inside = np.abs(eigenvalues) < half
    return [int(np.count_nonzero(of)) for of in (eigenvalues <= -half, inside, eigenvalues >= half)]


def ranges(result):
    return [getattr(result, name) for name in SIDES]


def holds(result, exact):
    return all(fewest <= count <= most for (fewest, most), count in zip(ranges(result), exact, strict=True))


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("max_products", [8, 20])
def test_bounds_fail_as_seldom_as_promised(name, max_products):
    """20 runs at level 99% show failures of one in three, with probability 94%; the benchmark has 10,000."""
    eigenvalues = HARD[name]
    operator, exact = diagonal(eigenvalues), truth(eigenvalues)
    results = [certified_counts(operator, max_products=max_products, seed=seed) for seed in range(20)]
    assert sum(not holds(result, exact) for result in results) <= binom.ppf(0.9999, 20, 0.01)


def test_bounds_fail_at_all_at_a_low_level():
    """They are not so wide that the level would not matter: of two points, chance decides alone."""
    operator, exact = diagonal(HARD["two points"]), truth(HARD["two points"])
    failures = [not holds(certified_counts(operator, level=0.01, max_products=8, seed=s), exact) for s in range(40)]
    assert sum(failures) >= 4


@settings(deadline=None, max_examples=60)
@given(symmetric_matrices(), st.floats(1e-3, 1.0), st.integers(0, 99))
def test_counts_are_exact_where_all_vectors_are_multiplied(case, relative, seed):
    matrix, eigenvalues = case
    half = relative * max(1e-6, float(np.abs(eigenvalues).max()))
    result = certified_counts(matrix, window=2 * half, max_products=max(4, len(matrix)), seed=seed)
    assert holds(result, truth(eigenvalues, half))
    assert result.num_products == len(matrix)
    if np.abs(np.abs(eigenvalues) - half).min() > 2 * result.error:
        assert all(fewest == most for fewest, most in ranges(result))


@settings(deadline=None, max_examples=60)
@given(symmetric_matrices(), st.floats(1e-3, 1.0), st.integers(4, 25), st.integers(0, 2**31))
def test_counts_hold_for_any_matrix_at_a_high_level(case, relative, max_products, seed):
    """A failure has a probability below 1e-6 in each example."""
    matrix, eigenvalues = case
    half = relative * max(1e-6, float(np.abs(eigenvalues).max()))
    result = certified_counts(matrix, window=2 * half, level=1 - 1e-6, max_products=max_products, seed=seed)
    inside, outside = (truth(eigenvalues, half + sign * 1e-9 * half) for sign in (1, -1))  # ties may be on either side
    for (fewest, most), *exact in zip(ranges(result), inside, outside, strict=True):
        assert fewest <= max(exact)
        assert most >= min(exact)
    assert result.num_products <= max_products


def test_few_products_bound_the_counts_of_a_network_tightly():
    result = certified_counts(diagonal(NETWORK), max_products=150)
    exact = truth(NETWORK)
    assert holds(result, exact)
    assert result.degenerate[1] - result.degenerate[0] <= 10, "of 1,000"
    assert result.num_products <= 150
    wider = certified_counts(diagonal(NETWORK), max_products=40)
    assert holds(wider, exact)


@pytest.mark.parametrize(
    ("eigenvalues", "products"),
    [
        (np.concatenate([np.zeros(9_997), [5.0, 1.0, -0.3]]), 60),
        (np.full(1000, 0.05), 3),
        (np.full(1000, 0.5), 3),
        (np.zeros(500), 3),
    ],
    ids=["rank 3", "all degenerate", "all positive", "zero"],
)
def test_products_stop_where_counts_are_exact(eigenvalues, products):
    result = certified_counts(diagonal(eigenvalues))
    assert ranges(result) == [(count, count) for count in truth(eigenvalues)]
    assert result.num_products <= products


def test_a_window_wider_than_the_spectrum_has_all_of_it():
    result = certified_counts(diagonal(NETWORK), window=100.0, max_products=40)
    assert ranges(result) == [(0, 0), (1000, 1000), (0, 0)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_goes_outwards(dtype):
    """Eigenvalues within rounding of the edge may be on either side; float32 says so where float64 knows."""
    eigenvalues = np.concatenate([np.full(5, EDGE * (1 + 1e-6)), np.linspace(-0.01, 0.01, 30), [20.0]])
    matrix = torch.from_numpy(rotated(eigenvalues, np.random.default_rng(0))).to(dtype)
    result = certified_counts(matrix, max_products=40)
    expected = (1, 6) if dtype == torch.float32 else (6, 6)
    assert result.positive == expected
    assert result.degenerate == (36 - expected[1], 36 - expected[0])


class Inexact(counts.Wrapped):
    """An operator whose products have a known relative error."""

    product_error = 1e-3

    def _matmat(self, V):
        return self._operator.matmat(V)


def test_errors_of_products_move_the_edges():
    eigenvalues = np.array([*np.linspace(-0.01, 0.01, 30), 0.1001, 5.0])
    assert certified_counts(diagonal(eigenvalues), max_products=40).positive == (2, 2)
    result = certified_counts(Inexact(diagonal(eigenvalues)), max_products=40)
    assert result.positive == (1, 2)
    assert result.error >= 1e-3 * 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_central_differences_of_a_network_hold_with_their_measured_error(dtype):
    model, loss_fn, data = problem()
    model.to(dtype)
    data = [(inputs.to(dtype), targets) for inputs, targets in data]
    exact = hessian_operator(model, loss_fn, data)
    differences = hessian_operator(model, loss_fn, data, plan=Plan("central-differences"))
    eigenvalues = exact_spectrum(exact).eigenvalues
    half = float(np.median(np.abs(eigenvalues)))
    for operator, least in ((exact, 0.0), (differences, 1e-10)):
        for max_products in (20, 60):  # all 43 vectors, and fewer
            result = certified_counts(operator, window=2 * half, max_products=max_products)
            inside = [truth(eigenvalues, half * (1 + sign * 1e-5)) for sign in (-1, 1)]
            for (fewest, most), *ends in zip(ranges(result), *inside, strict=True):
                assert fewest <= max(ends)
                assert most >= min(ends)
            assert result.error > least


def test_a_checkpoint_keeps_the_error_of_its_products(tmp_path):
    class Once(Inexact):
        """An operator whose second product is the least exact one."""

        calls = 0

        def _matmat(self, V):
            self.calls += 1
            self.product_error = 1e-2 if self.calls == 4 else 1e-6
            return super()._matmat(V)

    first, again = (
        certified_counts(Once(diagonal(NETWORK)), max_products=20, checkpoint=tmp_path / "run") for _ in range(2)
    )
    assert first.error > 1e-2
    assert again.error == first.error, "though hardly any product was made again"


def test_errors_of_parts_say_nothing_of_a_sum():
    operator = Inexact(diagonal(NETWORK))
    assert certified_counts(2.0 * operator, max_products=10).error > 1e-3
    with pytest.raises(ValueError, match=r"need to know the error of products; an operator inside a sum, .* alone"):
        certified_counts(operator + 1.0, max_products=10)
    certified_counts(diagonal(NETWORK) + 1.0, max_products=10)


def test_asymmetric_products_are_refused():
    matrix = torch.diag(torch.linspace(-1, 1, 30, dtype=torch.float64))
    matrix[3, 20] = 1e-6
    with pytest.raises(ValueError, match=r"need symmetric products; got v·Aw and w·Av that differ by \d.*e-07 of the"):
        certified_counts(as_operator(matrix, check_symmetric=False), max_products=40)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": -0.1}, "window must be finite and at least 0; got -0.1"),
        ({"window": float("nan")}, "window must be finite and at least 0; got nan"),
        ({"window": float("inf")}, "window must be finite and at least 0; got inf"),
        ({"window": 0.0}, "window must be above 0: .* got 0"),
        ({"level": 0.0}, "level must lie between 0 and 1; got 0.0"),
        ({"level": 1.0}, "level must lie between 0 and 1; got 1.0"),
        ({"level": float("nan")}, "level must lie between 0 and 1; got nan"),
        ({"max_products": 3}, "max_products must be at least 4; got 3"),
        ({"seed": -1}, "seed must be a non-negative integer; got -1"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        certified_counts(diagonal(NETWORK), **arguments)


def test_products_that_are_not_finite_are_refused():
    with pytest.raises(NonFiniteError, match="that of vector 0 in Lanczos step 1 is not"):
        certified_counts(as_operator(lambda V: V * np.nan, size=9, check_symmetric=False))


def test_memory_is_checked_first(monkeypatch):
    monkeypatch.setattr("hessdens.estimators.run.free_bytes", lambda device: 1000)
    with pytest.raises(MemoryError, match="certified_counts with max_products=200 needs about"):
        certified_counts(diagonal(NETWORK))


def test_no_tested_probe_has_a_say_in_the_split(monkeypatch):
    """Nor in the deflated space: other probes with the same start vector give the same one."""
    splits, drawn = [], []
    original = counts.Run.probes

    def other(self, first, last):
        drawn.append((first, last))
        return original(self, first, last) if first >= counts.START_PROBE else original(self, first + 500, last + 500)

    for changed in (False, True):
        if changed:
            monkeypatch.setattr(counts.Run, "probes", other)
        result = certified_counts(diagonal(NETWORK), max_products=60)
        splits.append((result.num_deflated, result.num_probes, result.num_steps))
    assert splits[0] == splits[1]
    assert drawn[0] == (counts.START_PROBE, counts.START_PROBE + 1)
    tested = [probe for first, last in drawn[1:] for probe in range(first, last)]
    assert tested == list(range(splits[1][1]))


def test_a_checkpoint_is_extended_and_its_looks_hold_together(tmp_path):
    calls = []

    def product(V):
        calls.append(V.shape[1])
        return torch.from_numpy(NETWORK)[:, None] * V

    operator = as_operator(product, size=len(NETWORK))
    options = {"checkpoint": tmp_path / "run", "seed": 3}
    first = certified_counts(operator, max_products=40, **options)
    again = certified_counts(operator, max_products=40, **options)
    assert ranges(again) == ranges(first)
    assert again.look == first.look == 1
    before = sum(calls)
    second = certified_counts(operator, max_products=80, **options)
    assert second.look == 2
    assert sum(calls) - before < 80, "products of the deflated space are read"
    for (low, high), (fewest, most) in zip(ranges(second), ranges(first), strict=True):
        assert fewest <= low <= high <= most, "never wider than an earlier one"
    assert ranges(certified_counts(operator, max_products=40, **options)) == ranges(first)
    alone = certified_counts(diagonal(NETWORK), max_products=40, seed=3)
    for (low, high), (fewest, most) in zip(ranges(alone), ranges(first), strict=True):
        assert fewest <= low <= high <= most, "a first look takes half of the failures"
    third = certified_counts(operator, max_products=80, level=0.9, **options)
    assert third.look == 3, "whatever is asked"


def test_looks_take_other_probes_and_share_the_probability_of_failure(tmp_path):
    found = []
    for asked in ((0.2, 0.99, 40), (0.2, 0.99, 50), (0.3, 0.9, 50), (0.2, 0.99, 60), (0.2, 0.99, 50)):
        looks = counts._Looks(FakeCheckpoint(tmp_path), *asked)
        wide, narrow = ((0, 9), (0, 9), (0, 9)), ((1, 9), (0, 7), (2, 9))
        kept = looks.with_earlier(narrow if asked == (0.2, 0.99, 50) and len(found) < 4 else wide)
        found.append((looks.number, looks.first_probe, round(looks.failure, 12), kept == narrow))
    assert found == [
        (1, 0, 0.005, False),
        (2, 2**20, round(0.01 / 6, 12), True),
        (3, 2**21, round(0.1 / 12, 12), False),
        (4, 3 * 2**20, 0.0005, True),
        (2, 2**20, round(0.01 / 6, 12), True),
    ]
    alone = counts._Looks(None, 0.2, 0.99, 40)
    assert (alone.number, alone.first_probe) == (1, 0)
    assert alone.failure == pytest.approx(0.01)


class FakeCheckpoint:
    def __init__(self, folder):
        self.path = folder / "looks.npz"

    def load(self, key, layout):
        return dict(np.load(self.path)) if self.path.exists() else None

    def save(self, key, arrays):
        np.savez(self.path, **arrays)


def test_progress_counts_products(capsys):
    certified_counts(diagonal(NETWORK), max_products=20, progress=True)
    assert "20/20" in capsys.readouterr().err
