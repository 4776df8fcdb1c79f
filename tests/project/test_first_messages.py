"""What new users meet first: each message is two lines at most, and has the code to write instead."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from hessdens import hessian_operator, lanczos_density, plot_density
from hessdens.cli.main import main
from hessdens.curvature import from_transformers

# Letters of two lines of a terminal.
TWO_LINES = 300
INPUTS, TARGETS = torch.ones(6, 4).cumsum(0), torch.arange(6) % 2
LOSS = nn.CrossEntropyLoss()


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Dropout(0.1), nn.Linear(3, 2)).eval()


def operator(data=None, **options):
    return hessian_operator(network(), LOSS, [(INPUTS, TARGETS)] if data is None else data, **options)


def shuffled():
    torch.manual_seed(0)
    return DataLoader(TensorDataset(INPUTS, TARGETS), batch_size=3, shuffle=True)


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (lambda: lanczos_density(network()), "Pass hessian_operator(model, loss_fn, data)"),
        (lambda: operator((INPUTS, TARGETS)), "Pass [(inputs, targets)] for a single batch"),
        (lambda: operator([(INPUTS.to("meta"), TARGETS)]), "Write model.to(device) and batch.to(device)"),
        (lambda: hessian_operator(network().train(), LOSS, [(INPUTS, TARGETS)]), "Call model.eval()"),
        (lambda: lanczos_density(operator(shuffled())), "shuffle=False), or pass list(data)"),
        (
            lambda: hessian_operator(network(), nn.CrossEntropyLoss(reduction="sum"), [(INPUTS, TARGETS)]),
            "Write nn.CrossEntropyLoss() or the like",
        ),
        (
            lambda: hessian_operator(network(), None, [(INPUTS, TARGETS)]),
            "Pass torch.nn.CrossEntropyLoss() or the like",
        ),
        (lambda: operator(parameters=network()[0]), "parameters='layers.0.*'"),
        (lambda: plot_density(operator()), "Write lanczos_density(H)"),
        (lambda: operator() @ ([1.0] * operator().size), "torch.as_tensor(V, dtype=operator.dtype)"),
        (lambda: from_transformers(network(), {"input_ids": INPUTS}), "Write [batch]"),
    ],
)
def test_message_has_the_code_to_write_instead(call, instead):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    message = str(caught.value)
    assert instead in message
    assert len(message) <= TWO_LINES
    assert "\n" not in message


@pytest.mark.parametrize("returned", ["model", "model, loss_fn", "None", "model, loss_fn, inputs, targets"])
def test_factory_that_returns_too_little_or_too_much(returned, tmp_path, capsys):
    lines = [
        "import torch",
        "inputs, targets = torch.ones(3, 2), torch.ones(3, 1)",
        "model, loss_fn = torch.nn.Linear(2, 1), torch.nn.MSELoss()",
        f"def problem(): return {returned}",
    ]
    (tmp_path / "p.py").write_text("\n".join(lines))
    assert main(["density", f"{tmp_path}/p.py:problem"]) != 0
    message = capsys.readouterr().err.replace(str(tmp_path), "")
    assert "Write, for example: return model, torch.nn.CrossEntropyLoss(), batches." in message
    assert len(message) <= TWO_LINES
