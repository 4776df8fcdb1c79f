"""Deflated moments: what is known exactly, what probes add, how products are shared out, and honest errors."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import hutch_plus_plus, xnystrace, xtrace

from hessdens import as_operator, spectral_moments
from hessdens.estimators.budget import Budget
from hessdens.estimators.deflation import _group_samples, _width_and_most_steps, deflate, projected
from hessdens.estimators.run import Run
from hessdens.testing import assert_moments_agree, symmetric_matrices

RNG = np.random.default_rng(0)
OUTLIERS = np.concatenate([0.01 * RNG.standard_normal(480), np.geomspace(0.3, 30, 20)])
FLAT = np.cos(np.pi * RNG.random(500))
MILD_OUTLIERS = np.concatenate([np.linspace(-0.5, 0.5, 390), np.arange(1.0, 11.0)])


def exact(eigenvalues, order):
    return np.array([np.mean(eigenvalues**k) for k in range(1, order + 1)])


@settings(deadline=None, max_examples=50)
@given(symmetric_matrices(), st.integers(1, 6), st.integers(0, 60), st.integers(0, 3))
def test_moments_agree_with_exact_eigenvalues(case, order, extra, seed):
    matrix, eigenvalues = case
    budget = 4 * ((order + 1) // 2) + extra
    moments = spectral_moments(matrix, order, max_products=budget, seed=seed)
    assert moments.num_products <= budget
    if moments.num_probes > 12 or moments.num_deflated == len(matrix):
        assert_moments_agree(moments, eigenvalues, num_standard_errors=10)


def test_estimates_are_unbiased_and_intervals_true():
    """Means over seeds agree with the exact moments, and errors are in units of the reported standard errors."""
    matrix = np.diag(OUTLIERS)
    runs = [spectral_moments(matrix, 4, max_products=40, seed=seed) for seed in range(100)]
    values, errors = (np.array([getattr(r, name) for r in runs]) for name in ("values", "standard_errors"))
    z = (values - exact(OUTLIERS, 4)) / errors
    assert all(run.num_deflated > 0 for run in runs)
    spread = values.std(axis=0, ddof=1) / np.sqrt(len(runs))
    np.testing.assert_array_less(np.abs(values.mean(axis=0) - exact(OUTLIERS, 4)), 4 * spread)
    assert np.all(np.median(np.abs(z), axis=0) < 1.2)


def rms_error(method, order):
    matrix = np.diag(OUTLIERS)
    runs = [spectral_moments(matrix, order, max_products=50, method=method, seed=seed).values for seed in range(20)]
    return np.sqrt(np.mean((np.array(runs) - exact(OUTLIERS, order)) ** 2, axis=0))


@pytest.mark.parametrize("order", [1, 2, 4])
def test_far_better_than_skilling_beside_outliers(order):
    """Also where a probe takes one product, after which a Krylov space has shown nothing yet."""
    gains = np.array([5, 100, 1000, 10_000])[:order]
    assert np.all(rms_error("skilling", order) > gains * rms_error("deflated", order))


UNBIASED = {
    "outliers": OUTLIERS,
    "flat": FLAT,
    "positive, far from 0": np.linspace(0.1, 0.9, 400),
    "positive, slowly falling": np.geomspace(1e-6, 1, 400),
    "negative": -1 / np.arange(1, 401.0),
}


@pytest.mark.parametrize(
    ("name", "order", "products"),
    [*((name, 1, 60) for name in UNBIASED), ("outliers", 4, 60), ("flat", 4, 24), ("negative", 1, 24)],
)
def test_mean_standard_error_and_coverage_over_300_seeds(name, order, products):
    """The mean of 300 estimates is within 4 standard errors of exact; reported errors are the spread, to a third.

    Of intervals of 95% at least 90% hold the exact moment.
    """
    eigenvalues = UNBIASED[name]
    runs = [spectral_moments(np.diag(eigenvalues), order, max_products=products, seed=seed) for seed in range(300)]
    values = np.array([run.values for run in runs])
    expected, spread = exact(eigenvalues, order), values.std(axis=0, ddof=1)
    np.testing.assert_array_less(np.abs(values.mean(axis=0) - expected), 4 * spread / np.sqrt(300))
    reported = np.sqrt(np.mean([run.standard_errors**2 for run in runs], axis=0))
    assert np.all((reported / spread > 0.75) & (reported / spread < 1.5))
    low, high = np.stack([run.interval() for run in runs], axis=1)
    assert np.all(np.mean((low <= expected) & (expected <= high), axis=0) >= 0.9)


MARCHENKO_PASTUR = np.linalg.eigvalsh(np.cov(RNG.standard_normal((400, 1600))))
SEMICIRCLE = np.linalg.eigvalsh(RNG.standard_normal((400, 400)) + RNG.standard_normal((400, 400)).T) / 40


@pytest.mark.parametrize(
    ("eigenvalues", "most"),
    [(MARCHENKO_PASTUR, 1.1), (SEMICIRCLE, 0.9), (OUTLIERS, 1.2), (np.geomspace(1e-6, 1, 400), 1.2)],
    ids=["Marchenko-Pastur", "semicircle", "outliers", "log-uniform"],
)
def test_traces_are_as_accurate_as_those_of_the_best_other_estimator(eigenvalues, most):
    """Root-mean-square errors of 200 seeds, against that of Hutch++, XTrace, and XNysTrace where it may be used.

    Start vectors of the Krylov space are no probes, which a small budget feels.
    """
    others = [hutch_plus_plus, xtrace] + [xnystrace] * int(eigenvalues.min() > 0)
    for products in (50, 100):
        runs = [spectral_moments(np.diag(eigenvalues), 1, max_products=products, seed=seed) for seed in range(200)]
        error = np.sqrt(np.mean([(len(eigenvalues) * run.values[0] - eigenvalues.sum()) ** 2 for run in runs]))
        rng = np.random.default_rng(0)
        errors = [
            np.sqrt(np.mean([(other(eigenvalues, products, rng) - eigenvalues.sum()) ** 2 for _ in range(200)]))
            for other in others
        ]
        assert error < most * min(errors)


@pytest.mark.parametrize("order", [1, 4])
def test_equal_eigenvalues_have_exact_moments(order):
    """Probes have one length."""
    moments = spectral_moments(np.diag(np.full(200, 0.3)) + 1e-3 * np.diag(np.eye(200)[0]), order, max_products=24)
    expected = exact(np.append(np.full(199, 0.3), 0.301), order)
    np.testing.assert_allclose(moments.values, expected, rtol=1e-4)


def test_groups_of_probes_that_fit_memory_or_time(monkeypatch):
    """Each group is an estimate of its own: a probe is orthogonal to those of its group."""
    whole = spectral_moments(np.diag(FLAT), 2, max_products=60, block_size=4)
    for name, value in (("MOST_EXCHANGED", 20), ("usual_bytes", lambda device: 2 * 8 * 500 * 20)):
        with monkeypatch.context() as patch:
            patch.setattr(f"hessdens.estimators.deflation.{name}", value)
            parts = spectral_moments(np.diag(FLAT), 2, max_products=60, block_size=4)
        assert parts.num_products == whole.num_products == 60
        assert parts.num_probes == whole.num_probes == 56
        assert not np.allclose(parts.values[0], whole.values[0], rtol=1e-6)
        deflation, run = deflated(FLAT, order=2, max_products=60)
        budget = Budget(60, 2)
        first = deflation.num_start
        groups = [(first, first + 18), (first + 18, first + 37), (first + 37, first + 56)]
        expected = [_group_samples(run, budget, deflation, *group, run.bar(1)) for group in groups]
        np.testing.assert_allclose(parts.samples, np.concatenate(expected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("left", [1, 2, 7])
def test_as_many_probes_as_dimensions_are_left_know_all(left, monkeypatch):
    eigenvalues = np.linspace(-1, 2, 20)
    monkeypatch.setattr("hessdens.estimators.deflation._width_and_most_steps", lambda *_: (20 - left, 2))
    moments = spectral_moments(np.diag(eigenvalues), 1, max_products=200)
    assert moments.num_deflated in (20, 20 - left)
    np.testing.assert_allclose(moments.values, exact(eigenvalues, 1), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "eigenvalues", [np.zeros(30), np.full(30, 2.5), np.array([3.0]), np.array([1.0, -4.0]), np.linspace(-1, 1, 8)]
)
def test_small_and_degenerate_matrices(eigenvalues):
    moments = spectral_moments(np.diag(eigenvalues), 4, max_products=40)
    assert moments.num_products <= 40
    allowed = 6 * moments.standard_errors + 1e-12
    assert np.all(np.abs(moments.values - exact(eigenvalues, 4)) <= allowed)
    if len(eigenvalues) < 10:
        assert moments.num_deflated == len(eigenvalues)
        np.testing.assert_allclose(moments.values, exact(eigenvalues, 4), rtol=1e-12, atol=1e-14)


def test_single_precision():
    matrix = torch.diag(torch.from_numpy(OUTLIERS).float())
    moments = spectral_moments(matrix, 4, max_products=60)
    deviation = np.abs(moments.values - exact(OUTLIERS, 4))
    assert np.all(deviation < 1e-3 * exact(OUTLIERS, 4))
    assert np.all(deviation < 5 * moments.standard_errors), "rounding is part of the error"
    sampling = moments.samples.std(axis=0, ddof=1) / np.sqrt(moments.num_probes)
    assert np.all(moments.standard_errors > sampling)
    assert moments.standard_errors[3] > 2 * sampling[3]


@pytest.mark.parametrize("method", ["deflated", "skilling"])
@pytest.mark.parametrize("spectrum", ["outliers", "flat"])
def test_accuracy_asked_for_is_reached_without_bias(method, spectrum):
    eigenvalues = {"outliers": MILD_OUTLIERS, "flat": FLAT}[spectrum]
    with warnings.catch_warnings():  # a few pilots see too little
        warnings.filterwarnings("ignore", "rtol=0.05 was not reached")
        runs = [spectral_moments(np.diag(eigenvalues), 4, method=method, rtol=0.05, seed=seed) for seed in range(40)]
    expected, scale = exact(eigenvalues, 4), exact(np.abs(eigenvalues), 4)
    errors = (np.array([run.values for run in runs]) - expected) / scale
    assert np.all(np.sqrt(np.mean(errors**2, axis=0)) < 0.035)
    assert np.mean(np.all(np.abs(errors) < 0.05, axis=1)) >= 0.95
    assert np.all(np.abs(errors.mean(axis=0)) < 4 * errors.std(axis=0, ddof=1) / np.sqrt(len(runs)) + 1e-12)
    products = np.array([run.num_products for run in runs])
    assert np.all(products < 10_000)
    worst = np.array([np.max(run.standard_errors / scale) for run in runs])
    assert np.median(worst) > 0.025 / 5, "far more products than asked for"


@pytest.mark.parametrize("budget", [20, 21, 24])
def test_smallest_limits_with_an_accuracy(budget):
    with pytest.warns(UserWarning, match="was not reached"):
        moments = spectral_moments(np.diag(FLAT), 4, rtol=1e-4, max_products=budget)
    assert moments.num_products <= budget


def test_more_accuracy_takes_more_products():
    loose, tight = (spectral_moments(np.diag(FLAT), 4, rtol=rtol).num_products for rtol in (0.1, 0.02))
    assert tight > 2 * loose


@pytest.mark.parametrize("budget", [44, 45, 50])
@pytest.mark.parametrize("method", ["deflated", "skilling"])
def test_limit_that_stops_short_of_the_accuracy(budget, method):
    with pytest.warns(
        UserWarning, match=r"rtol=0.0001 was not reached: m_\d has a relative standard error of .* after "
    ):
        moments = spectral_moments(np.diag(FLAT), 4, method=method, rtol=1e-4, max_products=budget)
    assert moments.num_products <= budget


@pytest.mark.parametrize("eigenvalues", [np.zeros(300), np.full(300, -2.0)])
def test_accuracy_of_degenerate_matrices(eigenvalues):
    moments = spectral_moments(np.diag(eigenvalues), 4, rtol=0.05)
    assert np.all(np.abs(moments.values - exact(eigenvalues, 4)) <= 5 * moments.standard_errors)


def test_memory_limits_the_basis(monkeypatch):
    monkeypatch.setattr("hessdens.estimators.deflation.usual_bytes", lambda device: 0)
    moments = spectral_moments(np.diag(OUTLIERS), 4, max_products=50)
    assert moments.num_deflated <= 3
    assert moments.num_products == 50


def test_progress_counts_products(capsys):
    moments = spectral_moments(np.diag(OUTLIERS), 4, max_products=50, progress=True)
    assert f"{moments.num_products}/50" in capsys.readouterr().err


def test_summary_names_the_deflated_space():
    moments = spectral_moments(np.diag(OUTLIERS), 4, max_products=50)
    beside = f"{moments.num_probes} probes besides {moments.num_deflated} deflated dimensions"
    assert f"{beside}, {moments.num_products} products" in str(moments)


def test_moments_beyond_float64():
    with pytest.raises(ValueError, match="within the range of float64; m_4 overflows"):
        spectral_moments(1e80 * np.diag(OUTLIERS), 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_products": 7}, "max_products must be at least 8 for 4 moments by method='deflated'; got 7"),
        (
            {"max_products": 3, "method": "skilling"},
            "max_products must be at least 4 for 4 moments by method='skilling'",
        ),
        ({"num_probes": 3}, "num_probes must be at least 4 for method='deflated'; got 3"),
        ({"num_probes": 1, "method": "skilling"}, "num_probes must be at least 2 for method='skilling'; got 1"),
        ({"num_probes": 8, "max_products": 8}, "may be given, not both; got 8 and 8. A probe takes 2 products"),
        ({"rtol": 0.0}, "rtol must lie between 0 and 1; got 0.0"),
        ({"rtol": 1.0}, "rtol must lie between 0 and 1; got 1.0"),
        ({"rtol": 0.1, "num_probes": 9}, "num_probes or rtol may be given, not both; got 9 and 0.1"),
        (
            {"rtol": 0.1, "max_products": 19},
            "max_products must be at least 20 for 4 moments by method='deflated' with rtol; got 19",
        ),
        ({"method": "xtrace"}, "method must be one of skilling, deflated; got 'xtrace'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        spectral_moments(np.eye(20), **arguments)


def test_vectors_without_a_subspace():
    basis, V = np.eye(500)[-2:], torch.ones(500, 3, dtype=torch.float64)
    rest = np.eye(500) - basis.T @ basis
    np.testing.assert_allclose(projected(V, torch.from_numpy(basis)), rest @ V.numpy())
    products = torch.from_numpy(np.diag(OUTLIERS)) @ projected(V, torch.from_numpy(basis))
    expected = rest @ np.diag(OUTLIERS) @ rest @ V.numpy()
    np.testing.assert_allclose(projected(products, torch.from_numpy(basis)), expected, atol=1e-12)
    assert projected(V, torch.empty(0, 500)) is V


def test_what_rounding_leaves_in_the_subspace_is_taken_out_too():
    """Of vectors that are almost inside it, once would leave as much as the rest itself is long."""
    basis = torch.linalg.qr(torch.from_numpy(np.random.default_rng(3).standard_normal((50, 4)))).Q.T
    V = 1e9 * basis.sum(dim=0)[:, None] + torch.ones(50, 1, dtype=torch.float64)
    rest = projected(V, basis)
    assert float((basis @ rest).norm()) < 1e-14 * float(rest.norm())


@pytest.mark.parametrize("rtol", [None, 0.1])
@pytest.mark.parametrize("num_moments", [1, 4, 7])
def test_steps_leave_six_probes_where_the_budget_allows(num_moments, rtol):
    """Or a third of the budget's, and two at least; they take all else that products pay."""
    operator = as_operator(np.eye(500))
    for products in range(30, 700, 9):
        budget = Budget(products, num_moments, rtol)
        width, steps = _width_and_most_steps(operator, budget, products)
        per_probe = (num_moments + 1) // 2
        left = (products - width * steps) / per_probe
        probes = min(6, max(2, products // (3 * per_probe)))
        assert left >= probes or steps == per_probe
        assert left - width / per_probe < probes, "one more step would be possible"
        assert width == max(2, min(4, products // (4 * per_probe)) if rtol else round(0.3 * products**0.5))


def test_spaces_are_limited_by_size_vectors_and_memory(monkeypatch):
    assert _width_and_most_steps(as_operator(np.eye(3)), Budget(10_000, 4), 10_000)[0] == 3
    width, steps = _width_and_most_steps(as_operator(np.eye(500)), Budget(10_000, 4), 10_000)
    assert (width, steps) == (30, 2000 // 30)
    monkeypatch.setattr("hessdens.estimators.deflation.usual_bytes", lambda device: 8 * 500 * 30 * 21)
    assert _width_and_most_steps(as_operator(np.eye(500)), Budget(10_000, 4), 10_000) == (30, 20)  # and the start


def deflated(eigenvalues, order=4, **arguments):
    """Return what is deflated of a diagonal matrix, and the run."""
    limits = (arguments.get(name) for name in ("max_products", "num_probes", "rtol"))
    budget = Budget.of_moments("deflated", order, *limits)
    run = Run(np.diag(eigenvalues), order, block_size=4)
    return deflate(run, budget, run.bar(1)), run


def test_deflation_of_outliers_knows_what_it_takes_away():
    deflation, _ = deflated(OUTLIERS, max_products=60)
    basis, matrix = deflation.basis.numpy(), np.diag(OUTLIERS)
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-13)
    rest = np.eye(500) - basis.T @ basis
    powers = [np.linalg.matrix_power(rest @ matrix @ rest, k) for k in range(1, 5)]
    expected = [np.sum(OUTLIERS**k) - np.trace(power) for k, power in enumerate(powers, start=1)]
    np.testing.assert_allclose(deflation.known, expected, rtol=1e-9)
    # The space has one more block than is deflated, for the walks of four steps, and as many vectors as products.
    assert deflation.num_products == len(basis) + deflation.num_start
    assert deflation.num_start == round(0.3 * 60**0.5)
    assert max(deflation.symmetry, deflation.orthogonality) < 1e-13
    largest = np.array([np.sum(np.abs(OUTLIERS) ** k) for k in (3, 4)])  # which outliers decide
    np.testing.assert_allclose(deflation.rounding[2:], np.finfo(float).eps * largest, rtol=1e-3)


def test_a_space_grows_while_it_is_worth_it():
    """To ten outliers and not much further beside a flat bulk; to almost all of its budget where it has no end."""
    few = np.concatenate([0.01 * FLAT[:490], np.geomspace(1, 30, 10)])
    for products in (100, 200):
        assert 10 <= len(deflated(few, max_products=products)[0].basis) <= 40
    endless = np.geomspace(1e-3, 100, 500)
    assert len(deflated(endless, max_products=200)[0].basis) > 150
    for eigenvalues, most in ((few, 40), (endless, 320)):
        sizes = [len(deflated(eigenvalues, rtol=rtol)[0].basis) for rtol in (0.4, 0.1, 0.02, 0.002)]
        assert sizes == sorted(sizes)
        assert sizes[0] <= 12 < 2.5 * sizes[0] < sizes[-1] < most, "no larger than the accuracy needs"
