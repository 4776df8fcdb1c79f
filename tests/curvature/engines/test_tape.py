"""What a tape records, and the models that it refuses."""

import pytest
import torch
from curvature_cases import Net
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import hessian_operator
from hessdens.curvature.engines.engine import UnsuitableError
from hessdens.curvature.engines.tape import record

INPUTS = torch.randn(11, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGETS = torch.arange(11) % 3


NOT_FEEDFORWARD = {
    "product of values": lambda m, x: m.last(m.first(x) * m.second(x)),
    "division by a value": lambda m, x: m.last(1.0 / (2 + m.first(x).square())),
    "softmax": lambda m, x: m.last(m.first(x).softmax(dim=1)),
    "parameter as a factor": lambda m, x: m.last(m.first(x) * m.second.bias),
    "parameter as a summand": lambda m, x: m.last(torch.tanh(x + m.second.bias)),
    "computed weight": lambda m, x: m.last(torch.tanh(F.linear(x, 2 * m.first.weight))),
    "rows of rows": lambda m, x: m.last(torch.tanh(m.first(x.unflatten(0, (len(x), 1))))).flatten(0, 1),
    "cut": lambda m, x: m.last(m.first(x).clamp(0, 1)),
    "not the last value": lambda m, x: (m.last(torch.tanh(m.first(x))), m.first(x))[0],
    "outside torch": lambda m, x: m.last(torch.tanh(m.first(x))) + torch.tensor(m.first(x).detach().numpy()).mean(),
}


@pytest.mark.parametrize("name", NOT_FEEDFORWARD)
def test_other_models_take_the_general_path(name):
    model = Net(NOT_FEEDFORWARD[name])
    assert "feedforward" not in hessian_operator(model, F.cross_entropy, [(INPUTS, TARGETS)]).modes


def test_a_tape_says_what_it_does_not_know():
    model = Net(NOT_FEEDFORWARD["softmax"])
    with pytest.raises(UnsuitableError, match="softmax"):
        record(model, dict(model.named_parameters()), INPUTS)
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(4, 3)).double()
    with pytest.raises(UnsuitableError, match="conv1d"):
        record(model, dict(model.named_parameters()), INPUTS.unsqueeze(1))


def test_autocast_inside_the_model_is_seen():
    def forward(m, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return m.last(torch.tanh(m.first(x))).to(x.dtype)

    model = Net(forward).float()
    operator = hessian_operator(model, F.cross_entropy, [(INPUTS.float(), TARGETS)])
    assert "feedforward" not in operator.modes
