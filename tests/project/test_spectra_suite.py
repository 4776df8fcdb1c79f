"""The suite of `benchmarks/spectra`: spectra, measures, short references, and how an estimator is added."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import wasserstein_distance
from spectra import run, verdict
from spectra.answers import Blend, Line, Steps, Trace, interpolated
from spectra.catalogue import Case, catalogue
from spectra.estimators import traces
from spectra.matrix import Matrix
from spectra.measures import cell, degenerate, distance, errors, intervals, negative
from spectra.registry import ESTIMATORS, estimator, estimators

EIGENVALUES = np.r_[np.zeros(40), np.linspace(-0.4, 0.5, 18), 3.0, 5.0]
CASE = Case("small", "adversarial", lambda: EIGENVALUES, 0)
POSITIVE = Case("positive", "adversarial", lambda: np.r_[np.zeros(20), np.linspace(0, 1, 40)], 1)
INSTALLED = [each for each in estimators() if each.is_installed and each.kind != "peer"]


def test_spectra_are_many_and_of_all_kinds():
    cases = catalogue()
    assert len(cases) == len({run.slug(case.name) for case in cases}) >= 40
    assert {case.kind for case in cases} == {"network", "closed form", "adversarial"}
    for case in cases:
        assert case.exact.size <= 1_000_000
        assert np.isfinite(case.scale), case.name
        assert len(case.marks) <= 20_000
    assert max(case.exact.size for case in cases) == 1_000_000


@pytest.mark.parametrize("each", INSTALLED, ids=lambda each: each.name)
def test_estimators_answer_within_the_budget(each):
    for split in each.splits or (0,):
        for answer in each.answers(POSITIVE.exact.eigenvalues, 50, split, 0).values():
            found = errors(answer, POSITIVE)
            assert all(np.isfinite(error) for error in found.values())
            assert found["m_1"] < 0.5
            if each.gives == "density":
                assert answer.cdf(np.array([-1e3, 1e3])) == pytest.approx([0, 1], abs=1e-9)
                assert found["distance"] < 0.5 * POSITIVE.scale


@pytest.mark.parametrize("turned", [False, True])
def test_matrices_have_their_eigenvalues_and_count(turned):
    matrix = Matrix(EIGENVALUES, 60, turned=turned)
    dense = matrix @ np.eye(60)
    assert np.linalg.eigvalsh(dense) == pytest.approx(np.sort(EIGENVALUES), abs=1e-12)
    assert np.allclose(dense, dense.T)
    assert matrix.products == 60
    with pytest.raises(RuntimeError, match="60 products at most; it asks for 61"):
        matrix @ np.ones(60)


def test_measures_of_a_known_density():
    case = Case("two", "closed form", lambda: np.array([-1.0, -0.1, 0.05, 2.0]), 0)
    found = errors(Steps(np.array([2.0, 0.0]), np.array([1.0, 3.0])), case)
    assert found["outside"] == pytest.approx(abs(0.25 - 0.75) / 0.75)
    assert found["negative"] == pytest.approx(1.0)
    assert found["distance"] == pytest.approx((1 + 0.1 + 0.05) / 4)
    assert found["m_1"] == pytest.approx(abs(0.5 - 0.2375) / (3.15 / 4))
    assert found["m_2"] == pytest.approx(abs(1.0 - 5.0125 / 4) / (5.0125 / 4))


def test_windows_are_open_and_negative_is_closed():
    atoms = Steps(np.array([-0.1, 0.0, 0.1]), np.array([0.2, 0.3, 0.5]))
    assert degenerate(atoms, 0.2) == pytest.approx(0.3)
    assert negative(atoms, 0.2) == pytest.approx(0.2)


def test_distances_are_those_of_scipy():
    rng = np.random.default_rng(0)
    points, weights = rng.standard_normal(9), rng.random(9)
    expected = wasserstein_distance(EIGENVALUES, points, v_weights=weights)
    assert distance(Steps(points, weights), CASE) == pytest.approx(expected)


def test_distances_of_many_eigenvalues():
    (million,) = catalogue(["Laplacian of a path, a million"])
    assert distance(million.exact, million) == 0
    assert np.isin(million.exact.eigenvalues[[0, 1, 500, -30, -2, -1]], million.marks).all()
    moved = Steps(million.exact.eigenvalues + 0.01, np.ones(million.exact.size))
    assert distance(moved, million) == pytest.approx(0.01, rel=1e-3)


def test_lines_and_blends():
    line = interpolated(np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    assert line.cdf(np.array([-0.1, 0.0, 0.5, 1.0, 1.1])) == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])
    # A quarter at either end, and a half evenly between.
    assert line.moments(2) == pytest.approx([0.5, 0.25 + 0.5 / 3])
    both = Blend([line, Steps(np.array([3.0]), np.ones(1))], np.array([0.5, 0.5]))
    assert both.cdf(np.array([2.0])) == pytest.approx(0.5)
    assert both.moments(1) == pytest.approx([1.75])
    assert Line(np.array([0.0, 2.0]), np.array([0.0, 1.0])).moments(3) == pytest.approx([1, 4 / 3, 2])


def test_intervals_become_cells():
    rows = [
        intervals(Trace(mean, 0.1), CASE)["m_1"] for mean in CASE.exact.moments(1) + np.array([0.0, -0.3, 0.15, 0.3])
    ]
    coverage, width, error = cell("m_1", rows, CASE)
    assert coverage == pytest.approx(2 / 4)
    assert width == pytest.approx(0.392, rel=1e-3)
    assert error == pytest.approx(np.sqrt((0.15**2 + 2 * 0.3**2) / 4))


def _left_out(matrix, probes, i, projector):
    """Return the estimate of a trace in which probe i tests what the other probes have found."""
    others = np.delete(probes, i, axis=1)
    found, beyond = projector(matrix, others)
    rest = probes[:, i] - beyond @ (np.linalg.pinv(beyond) @ probes[:, i])
    form = probes[:, i] @ (matrix - found) @ probes[:, i]
    return np.trace(found) + (len(matrix) - others.shape[1]) * form / (rest @ rest)


def test_xtrace_and_xnystrace_are_means_over_what_is_left_out():
    eigenvalues = np.sort(np.abs(EIGENVALUES)) + 0.01
    matrix = np.diag(eigenvalues)

    def nystrom(A, probes):
        return A @ probes @ np.linalg.inv(probes.T @ A @ probes) @ probes.T @ A, probes

    probes = traces.spherical(Matrix(eigenvalues, 0), 6, 3)
    expected = np.mean([_left_out(matrix, probes, i, nystrom) for i in range(6)]) / 60
    assert traces.xnystrace(Matrix(eigenvalues, 6), 6, 3).mean == pytest.approx(expected)
    samples = []
    for i in range(6):
        Q, _ = np.linalg.qr(matrix @ np.delete(probes, i, axis=1))
        beyond = probes[:, i] - Q @ (Q.T @ probes[:, i])
        samples.append(np.trace(Q.T @ matrix @ Q) + (60 - 5) * (beyond @ matrix @ beyond) / (beyond @ beyond))
    found = traces.xtrace(Matrix(eigenvalues, 12), 12, 3)
    assert found.mean == pytest.approx(np.mean(samples) / 60)
    assert found.standard_error == pytest.approx(np.std(samples, ddof=1) / np.sqrt(6) / 60)


@pytest.mark.parametrize("method", [traces.hutch_plus_plus, traces.xtrace, traces.xnystrace])
def test_traces_are_exact_at_low_rank(method):
    eigenvalues = np.r_[np.zeros(50), 1.0, 2.0, 4.0]
    assert method(Matrix(eigenvalues, 12), 12, 0).mean == pytest.approx(7 / 53)


@pytest.fixture
def spread():
    """An estimator of a stranger: the Ritz values of a random subspace, with equal weights."""

    @estimator("random subspace", "reference", splits=(1, 2))
    def answer(matrix, products, seed, probes):
        if matrix.support[1] > 4.9 and products == 30:
            raise ValueError("It cannot.")
        basis, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((matrix.size, products)))
        values = np.linalg.eigvalsh(basis.T @ (matrix @ basis))
        return Steps(values, np.ones(products))

    yield ESTIMATORS["random subspace"]
    del ESTIMATORS["random subspace"]


def test_an_estimator_is_a_function_and_runs_go_on(spread, capsys):
    options = SimpleNamespace(budgets=[20, 30], seeds=2)
    stored = run.facts_of(CASE)
    assert run.measure("densities", CASE, spread, stored, options)
    stored = json.loads(run.text_of(stored))
    entry = stored["densities"]["random subspace"]
    assert list(entry["budgets"]["20"]) == ["1", "2"]
    assert entry["budgets"]["20"]["1"]["random subspace"]["answered"] == 2
    assert entry["budgets"]["30"]["1"]["random subspace"] == {"answered": 0, "seconds": 0.0}
    assert "random subspace refuses seed 1: It cannot." in capsys.readouterr().out
    assert not run.measure("densities", CASE, spread, stored, options)
    del entry["budgets"]["20"]  # a killed run
    assert run.measure("densities", CASE, spread, stored, options)
    options.seeds = 3
    assert run.measure("densities", CASE, spread, stored, options)
    entry["version"] = "another"
    assert run.measure("densities", CASE, spread, stored, options)


def test_verdicts():
    def entry(kind, name, values):
        budgets = {b: {"0": {name: {"answered": 1, "outside": v}}} for b, v in values.items()}
        return {"kind": kind, "seeds": 100, "budgets": budgets}

    content = {
        "name": "one", "kind": "network", "size": 100, "floors": {"outside": 0.01, "negative": 0.01, "distance": 0.1},
        "densities": {
            "mine": entry("ours", "mine", {"50": 0.2, "100": 0.3}),
            "good": entry("peer", "good", {"50": 0.1, "100": 0.6}),
            "bad": entry("peer", "bad", {"50": 0.4, "100": 0.7}),
            "lucky": entry("peer", "lucky", {"50": 0.0}) | {"seeds": 3},
            "nearly": entry("ours", "nearly", {"50": 0.001}),
        },
        "intervals": {"mine": {"seeds": 100, "budgets": {"50": {"0": {"mine": {
            "degenerate, 0.2": [0.8, 0.392, 0.05], "negative, 0.2": [1.0, 0.1, 0.001], "m_1": [0.96, 0.392, 0.1],
        }}}}}},
    }  # fmt: skip
    found = verdict.duels([content], "densities", "mine", ("outside",))
    assert [(duel.products, duel.winner, round(duel.ratio, 6)) for duel in found] == [
        (50, "good", 2),
        (100, "good", 0.5),
    ]
    assert verdict.summary(found, 1.15) == {"duels": 2, "within": 1, "better": 1, "median": 1.25, "largest": 2}
    assert verdict.duels([content], "densities", "nearly", ("outside",))[0].ratio == pytest.approx(0.1)
    assert verdict.Duel("one", "network", "outside", 50, 0.02, 0.0, "good", 0.01).ratio == 2
    assert verdict.rises([content], "mine") == [("one", "outside", 100, pytest.approx(1.5))]
    held = verdict.coverage([content])["mine", "all"]
    assert (held["cells"], held["least"], held["low"]) == (3, 0.8, 1)
    assert held["median_width"] == pytest.approx((0.392 / (3.92 * 0.05) + 1) / 2)
    assert held["beyond_chance"] == 1
    assert {kind: row["cells"] for (_, kind), row in verdict.coverage([content]).items()} == {
        "all": 3, "degenerate": 1, "negative": 1, "moments": 1,
    }  # fmt: skip
