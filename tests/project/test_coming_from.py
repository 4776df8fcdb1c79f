"""The page for users of other libraries: its code runs, and what it says of the calls here is true."""

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch

from hessdens import fisher_operator

PAGE = Path(__file__).resolve().parents[2] / "docs/start/coming_from.md"


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
    by_layer, diagonal, start = names["by_layer"], np.diag(matrix), 0
    for size, value, error in zip(by_layer.sizes, by_layer.values, by_layer.standard_errors, strict=True):
        assert abs(value - diagonal[start : start + size].sum()) < 6 * error + 1e-5
        start += size
    assert start == H.size


def test_every_call_on_the_right_exists():
    """Names in the tables' right columns are public names, or arguments and attributes of them."""
    import hessdens

    rows = [line.split("|")[2] for line in PAGE.read_text().splitlines() if line.startswith("| ") and "`" in line]
    called = set(re.findall(r"\b([a-z]+(?:_[a-z]+)+|Plan)\(", " ".join(rows))) - {"to_scipy"}
    assert len(called) > 6
    wings = {name for wing in hessdens.WINGS for name in getattr(getattr(hessdens, wing), "__all__", ())}
    assert called <= set(hessdens.__all__) | wings | {"eigsh"}


@pytest.mark.parametrize("shape", [(5, 2), (5, 3, 2)], ids=["one prediction each", "several predictions"])
def test_empirical_fisher_of_entries_has_a_factor(shape):
    """The matrix of EFLinearOperator: gradients of sums over C outputs, their products divided by C and predictions."""
    model = torch.nn.Linear(4, 2).double()
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(*shape[:-1], 4, generator=generator, dtype=torch.float64)
    targets = torch.randn(shape, generator=generator, dtype=torch.float64)
    gradients = []
    for x, y in zip(inputs.reshape(-1, 4), targets.reshape(-1, 2), strict=True):
        parts = torch.autograd.grad((model(x) - y).square().sum(), list(model.parameters()))
        gradients.append(torch.cat([part.flatten() for part in parts]))
    rows = torch.stack(gradients)
    options = {}
    if len(shape) > 2:
        options["forward"] = lambda model, batch: (model(batch[0]).flatten(end_dim=-2), batch[1].flatten(end_dim=-2))
        options["num_examples"] = lambda batch: batch[1].shape[:-1].numel()
    data = [(inputs[:3], targets[:3]), (inputs[3:], targets[3:])]
    F = fisher_operator(model, torch.nn.MSELoss(), data, kind="empirical", **options)
    torch.testing.assert_close(2 * (F @ torch.eye(10, dtype=torch.float64)), rows.T @ rows / (2 * len(rows)))
