"""Budgets, choices of levels, and rounds until an accuracy is reached."""

import numpy as np
import pytest
from levels import TOTAL, Matrices, setting

from hessdens.multilevel import estimate
from hessdens.multilevel.estimate import checked_limit, estimated
from hessdens.multilevel.plan import candidates


def test_budgets_have_defaults():
    assert checked_limit(None, has_accuracy=False) == 20
    assert checked_limit(None, has_accuracy=True) == 1_000
    assert checked_limit(7, has_accuracy=True) == 7
    for wrong in (0, -1, np.inf, np.nan):
        with pytest.raises(ValueError, match="max_products must be positive and finite; got"):
            checked_limit(wrong, has_accuracy=True)


def test_an_error_that_comes_out_large_takes_fresh_probes(monkeypatch):
    """Plans with a tenth of the probes: later rounds make up for it, and what is drawn before only says how many."""
    monkeypatch.setattr(estimate, "MARGIN", 1.2)
    choices, matrices = sorted(candidates(256, TOTAL)), Matrices(2)
    enough, needed = estimated(setting(2, 0, 0.02), matrices, choices, 1e4)
    assert needed == 0
    plan = estimate.plan_for_accuracy
    monkeypatch.setattr(estimate, "plan_for_accuracy", lambda v, c, rtol, n: plan(v, c, 4 * rtol, n))
    found, needed = estimated(setting(2, 0, 0.02), matrices, choices, 1e4)
    assert needed == 0
    assert setting(2, 0, 0.02).quantity.excess(found) <= 1.1
    last = found.levels[-1]
    assert last.num_products > last.num_probes + last.num_deflated
    assert enough.levels[-1].num_products == enough.levels[-1].num_probes + enough.levels[-1].num_deflated
    _, needed = estimated(setting(2, 0, 1e-4), matrices, choices, 30.0)
    assert needed > 30
