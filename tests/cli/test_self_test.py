"""The self-test passes here, and fails where products are wrong."""

import json
import re

import pytest

from hessdens.cli import self_test
from hessdens.curvature import CurvatureOperator


def test_validate(run):
    status, out, err = run("validate --json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert found["passed"] is True
    checked = [check for check in found["checks"] if check["limit"] is not None]
    assert len(checked) >= 15
    assert all(check["passed"] and check["value"] <= check["limit"] for check in checked)
    assert [check["unit"] for check in found["checks"] if check["limit"] is None] == ["ms", "gradients"]


def test_validate_fails_where_products_are_wrong(run, monkeypatch):
    monkeypatch.setattr(self_test, "CHECKS", (self_test.exact_eigenvalues, self_test.files))
    right = CurvatureOperator._matmat
    monkeypatch.setattr(CurvatureOperator, "_matmat", lambda self, V: right(self, V) * (1 + 1e-9))
    status, out, err = run("validate")
    assert status == 1
    assert re.match(r"FAIL eigenvalues of linear regression: 1e-09 relative error \(at most 1e-12\)\nok   files", out)
    assert err == "hessdens: a check failed: results on this machine and device are not to be trusted.\n"
    monkeypatch.setattr(CurvatureOperator, "_matmat", lambda self, V: V.nonsense)
    status, out, err = run("validate --json")
    assert status == 1
    assert json.loads(out)["checks"][0] == {
        "name": "exact eigenvalues",
        "value": None,
        "limit": 0.0,
        "unit": "(it raised the error above)",
        "passed": False,
    }
    assert "AttributeError" in err


@pytest.mark.parametrize(
    ("status", "line", "message"),
    [
        (2, "validate --device abacus", "--device must be a device that this machine has; got 'abacus'"),
    ],
)
def test_errors_are_one_line(assert_refused, status, line, message):
    assert_refused(status, line, message)
