"""What a pilot shows, and what is estimated on each level, against dense matrices."""

import numpy as np
import pytest
from levels import SIZE, TOTAL, Matrices, setting

from hessdens.multilevel import levels
from hessdens.multilevel.levels import Levels, pilot
from hessdens.multilevel.plan import LevelPlan

MATRICES = Matrices(3)


def change(fine, coarse, power=1):
    A, B = (np.linalg.matrix_power(MATRICES.matrix(n), power) for n in (fine, coarse))
    return A - B


def test_a_pilot_predicts_the_variance_of_levels():
    """That of a quadratic form in signs, 2 |D|² off the diagonal."""
    variances, basis = pilot(setting(2, 0), MATRICES, 256)
    assert variances.ranks == (0, 2, 4, 8)
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-10)
    D = change(TOTAL, 512) / SIZE
    exact = 2 * (np.sum(D**2) - np.sum(np.diag(D) ** 2))
    scale = np.sqrt(np.trace(MATRICES.matrix(256) @ MATRICES.matrix(256)) / SIZE)
    predicted = variances.of_levels((512, TOTAL), 0)[0, 0]
    assert exact / scale**2 / 3 < predicted < 30 * exact / scale**2
    assert (np.diff(variances.change[:, 1]) < 0).all()


def test_memory_limits_what_is_deflated(monkeypatch):
    for vectors, ranks in ((0, (0,)), (13, (0, 2)), (49, (0, 2, 4, 8))):
        monkeypatch.setattr(levels, "usual_bytes", lambda device, n=vectors: n * SIZE * 8)
        assert pilot(setting(2, 0), MATRICES, 256)[0].ranks == ranks


def test_levels_give_what_changes():
    plan = LevelPlan((256, 1_024, TOTAL), 3, (900, 900), 0.0, 0.0)
    frame = setting(2, 1)
    basis = pilot(frame, MATRICES, 256)[1]
    found = Levels(frame, MATRICES, plan, basis[:3], np.array([[1e-9, 1e-9], [1e-9, 9.0]]))
    known = found.deflated()
    changes = found.changes(np.array([10, 10]), np.array([900, 900]), known)
    total = sum(level.values for level in changes)
    error = np.sqrt(sum(level.standard_errors**2 for level in changes))
    exact = [np.trace(change(TOTAL, 256, k)) / SIZE for k in (1, 2)]
    assert (np.abs(total - exact) < 4 * np.minimum(error, 0.01)).all()
    assert (known != 0).all()
    assert [level.num_products for level in changes] == [910, 913]
    # An error is that of the samples, or what the pilot predicts where that is more.
    assert changes[1].standard_errors[1] == pytest.approx(9.0 / 900**0.5)
    assert changes[1].standard_errors[0] < 1e-2
    first = found.first(40.0)
    few = [np.trace(np.linalg.matrix_power(MATRICES.matrix(256), k)) / SIZE for k in (1, 2)]
    np.testing.assert_allclose(first.values, few, rtol=1e-6)  # more products than dimensions
