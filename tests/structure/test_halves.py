"""What two halves of a matrix say of themselves."""

from dataclasses import replace

import numpy as np
import pytest
from matrices import rotated

from hessdens import load_result
from hessdens.densities import trace
from hessdens.structure import curvature_halves
from hessdens.structure.halves import bound_of_parts

G = np.diag([9.0, 4.0, *np.zeros(38)])
FOUND = curvature_halves(G + np.diag([0.0, 0.4, *np.zeros(37), -1.0]), G, max_products=40)


def test_shares_texts_and_numbers(tmp_path):
    np.testing.assert_allclose(FOUND.shares, [1, 4 / 4.4, 0], atol=1e-10)
    assert FOUND.summary().splitlines()[0] == "3 outliers of 40, and how much of each lies in G"
    assert FOUND.summary().splitlines()[2].endswith(": 90.909 ± 0.010%")
    traces = f"  traces: H {trace(FOUND.hessian)}, G {trace(FOUND.gauss_newton)}, R {trace(FOUND.rest)}"
    assert FOUND.summary().splitlines()[-2:] == [traces, f"  cost: {FOUND.num_products} products with H or G"]
    assert repr(FOUND) == "CurvatureHalves(size=40, outliers=3)"
    assert [row["value"] for row in FOUND.numbers()["outliers"]] == FOUND.outliers.tolist()
    FOUND.save(tmp_path / "halves.npz")
    assert str(load_result(tmp_path / "halves.npz")) == str(FOUND)


def test_a_share_that_may_be_anything_is_called_unknown():
    halves = replace(FOUND, part_errors=np.array([0.09, 5.0, 0.5]))
    first, second, third = halves.summary().splitlines()[1:4]
    assert first.endswith(": 100.0 ± 1.0%")
    assert second.endswith(": unknown, since it is not told apart from its neighbours")
    assert third.endswith(": 0 ± 50%")


def test_many_outliers_are_not_all_named():
    halves = curvature_halves(np.diag(np.arange(1.0, 21.0)), np.zeros((20, 20)), max_products=60)
    assert len(halves.outliers) == 20
    assert halves.summary().splitlines()[-3] == "  and 8 more"


def test_bounds_of_parts_hold_for_all_vectors_at_an_angle():
    matrix, rng = rotated(np.geomspace(0.1, 5, 12)), np.random.default_rng(0)
    for angle in (1e-3, 0.3, np.pi / 2):
        worst = 0.0
        for _ in range(200):
            u, w = np.linalg.qr(rng.standard_normal((12, 2))).Q.T
            v = np.cos(angle) * u + np.sin(angle) * w
            worst = max(worst, abs(v @ matrix @ v - u @ matrix @ u))
        bound = bound_of_parts(np.array([angle]), 5.0)[0]
        assert worst <= bound
        assert bound == pytest.approx(5.0 * np.sin(angle))
