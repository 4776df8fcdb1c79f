"""The Gauss-Newton matrix: against its definition, closed forms and the Hessian where they are equal."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import Plan, exact_spectrum, ggn_operator, hessian_operator
from hessdens.testing import networks

INPUTS = torch.randn(11, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGETS = torch.arange(11) % 3


def dense(operator):
    return operator @ torch.eye(operator.size, dtype=operator.dtype)


def by_definition(case):
    """Return J^T B J from the Jacobian and the loss's Hessian, both dense."""
    inputs, targets = (torch.cat(parts) for parts in zip(*case.data, strict=True))
    named = {name: p.detach() for name, p in case.model.named_parameters()}
    jacobians = torch.func.jacrev(lambda values: torch.func.functional_call(case.model, values, (inputs,)))(named)
    outputs = case.model(inputs).detach()
    J = torch.cat([part.reshape(outputs.numel(), -1) for part in jacobians.values()], dim=1)
    B = torch.func.hessian(lambda z: case.loss_fn(z.view_as(outputs), targets))(outputs.flatten())
    return J.T @ B @ J


@settings(max_examples=30)
@given(networks(), st.integers(1, 6), st.integers(1, 4), st.booleans())
def test_any_network_by_definition(case, examples_per_block, probes_per_block, is_general):
    plan = Plan("reverse-over-reverse" if is_general else "feedforward", examples_per_block, probes_per_block)
    operator = ggn_operator(case.model, case.loss_fn, case.data, plan=plan)
    expected = by_definition(case)
    torch.testing.assert_close(dense(operator), expected, rtol=1e-10, atol=1e-12 * float(1 + expected.abs().max()))


def test_positive_semi_definite_where_the_hessian_is_not():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    data = [(INPUTS, TARGETS)]
    assert exact_spectrum(hessian_operator(model, F.cross_entropy, data)).eigenvalues[0] < -1e-3
    assert exact_spectrum(ggn_operator(model, F.cross_entropy, data)).eigenvalues[0] > -1e-12


def test_outputs_in_a_dictionary():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()

    def forward(model, batch):
        z = model(batch["x"])
        return {"left": z[:, :1], "right": z[:, 1:]}, batch["y"]

    def loss(outputs, targets):
        return F.cross_entropy(torch.cat([outputs["left"], outputs["right"]], dim=1), targets)

    found = ggn_operator(model, loss, [{"x": INPUTS, "y": TARGETS}], forward=forward)
    assert "feedforward" not in found.modes
    torch.testing.assert_close(dense(found), dense(ggn_operator(model, F.cross_entropy, [(INPUTS, TARGETS)])))


def test_convolution_attention_and_normalisation():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv1d(1, 4, 2), nn.BatchNorm1d(4)
            self.attention, self.out = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 3)

        def forward(self, x):
            tokens = torch.tanh(self.norm(self.conv(x.unsqueeze(1)))).transpose(1, 2)
            return self.out(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(dim=1))

    torch.manual_seed(0)
    model = Model().double().eval()
    modes = (None, "reverse-over-reverse")
    for make in (ggn_operator, hessian_operator):
        operators = [make(model, F.cross_entropy, [(INPUTS, TARGETS)], plan=Plan(mode)) for mode in modes]
        assert operators[0].modes == ("forward-over-reverse", "reverse-over-reverse")
        V = torch.randn(operators[0].size, 3, dtype=torch.float64)
        torch.testing.assert_close(operators[0] @ V, operators[1] @ V, rtol=1e-9, atol=1e-12)


FORWARD_MODE = """
import warnings
import torch
from hessdens import Plan, {maker}
warnings.simplefilter("error")
data = [(torch.eye(2), torch.tensor([0, 1]))]
H = {maker}(torch.nn.Linear(2, 2), torch.nn.CrossEntropyLoss(), data, plan=Plan("forward-over-reverse"))
print((H @ torch.ones(6)).abs().sum().item())
"""


@pytest.mark.parametrize("maker", ["hessian_operator", "ggn_operator"])
def test_first_forward_derivative_warns_of_nothing(maker):
    """In a process of its own: torch compiles its rules once. Ones move both logits alike, so that nothing changes."""
    program = FORWARD_MODE.format(maker=maker)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert float(done.stdout) < 1e-6
