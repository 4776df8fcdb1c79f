"""The page for users of other libraries: its code runs, and what it says of the calls here is true."""

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coming_from.md"


@pytest.fixture
def names():
    mpl.use("Agg")
    found = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), found)
    return found


def test_code_of_the_page(names):
    """Its estimates are those of the exact spectrum, as the tables say."""
    H = names["H"]
    matrix = (H @ torch.eye(H.size)).double().numpy()
    exact = np.linalg.eigvalsh(matrix)
    np.testing.assert_allclose(np.sort(names["values"]), exact[-3:], rtol=1e-4)
    moments = names["moments"]
    errors = H.size * moments.standard_errors
    assert abs(names["trace"] - np.trace(matrix)) < 6 * errors[0] + 1e-5
    assert abs(names["squared_frobenius"] - np.sum(matrix**2)) < 6 * errors[1] + 1e-5
    assert names["error"] == errors[0]
    total = sum(found.size * found.values[0] for found in names["by_layer"].values())
    assert total == pytest.approx(np.trace(matrix), rel=0.5)


def test_every_call_on_the_right_exists():
    """Names in the tables' right columns are public names, or arguments and attributes of them."""
    import hessdens

    rows = [line.split("|")[2] for line in PAGE.read_text().splitlines() if line.startswith("| ") and "`" in line]
    called = set(re.findall(r"\b([a-z]+(?:_[a-z]+)+|Plan)\(", " ".join(rows))) - {"to_scipy"}
    assert len(called) > 6
    wings = {name for wing in hessdens.WINGS for name in getattr(getattr(hessdens, wing), "__all__", ())}
    assert called <= set(hessdens.__all__) | wings | {"eigsh"}
