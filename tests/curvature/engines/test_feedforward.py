"""The path for feedforward networks: what it recognises, and that its products are those of the general path."""

import pytest
import torch
from curvature_cases import Net
from hypothesis import given, settings
from hypothesis import strategies as st
from skip_paper.networks.skip_network import ARCHITECTURES, SkipNetwork
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import Plan, ggn_operator, hessian_operator
from hessdens.testing import networks

INPUTS = torch.randn(11, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGETS = torch.arange(11) % 3


def products(
    model, mode, *, make=hessian_operator, loss_fn=F.cross_entropy, targets=TARGETS, inputs=INPUTS, **keywords
):
    """Return the products of some random vectors, and of all unit vectors, most of whose parts are zero, in blocks."""
    plan = Plan(mode, examples_per_block=4, probes_per_block=3)
    operator = make(model, loss_fn, [(inputs, targets)], plan=plan, **keywords)
    V = torch.randn(operator.size, 7, generator=torch.Generator().manual_seed(1), dtype=operator.dtype)
    return operator @ torch.cat([V, torch.eye(operator.size, dtype=operator.dtype)], dim=1)


def assert_same_products(model, **keywords):
    for make in (hessian_operator, ggn_operator):
        found = products(model, "feedforward", make=make, **keywords)
        expected = products(model, "reverse-over-reverse", make=make, **keywords)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
        assert found.norm() > 0


@settings(max_examples=30)
@given(networks(), st.integers(1, 6), st.integers(1, 4))
def test_any_network_and_any_blocks(case, examples_per_block, probes_per_block):
    plan = Plan("feedforward", examples_per_block, probes_per_block)
    operator = hessian_operator(case.model, case.loss_fn, case.data, plan=plan)
    reference = case.dense_hessian()
    found = operator @ torch.eye(operator.size, dtype=torch.float64)
    torch.testing.assert_close(found, reference, rtol=1e-10, atol=1e-12 * float(1 + reference.abs().max()))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_networks_of_the_paper(architecture):
    assert_same_products(SkipNetwork(architecture, 4, 3, depth=5, width=8, seed=0).double())


RECOGNISED = {
    "relu in place": lambda m, x: m.last(F.relu(m.first(x), inplace=True)),
    "tanh": lambda m, x: m.last(torch.tanh(m.first(x))),
    "method": lambda m, x: m.last(m.first(x).sigmoid()),
    "softplus": lambda m, x: m.last(F.softplus(m.first(x), beta=3)),
    "gelu": lambda m, x: m.last(F.gelu(m.first(x), approximate="tanh")),
    "silu": lambda m, x: m.last(F.silu(m.first(x))),
    "elu": lambda m, x: m.last(F.elu(m.first(x), alpha=0.5)),
    "leaky relu": lambda m, x: m.last(F.leaky_relu(m.first(x), 0.3)),
    "square and sine": lambda m, x: m.last(torch.sin(m.first(x).square())),
    "units of the input": lambda m, x: m.last(torch.tanh(x)),
    "units of a used value": lambda m, x: m.last(F.relu(z := m.first(x)) + z),
    "tanh of a used value": lambda m, x: m.last((z := m.first(x)) + torch.tanh(z)),
    "difference": lambda m, x: m.last(torch.tanh(m.first(x)) - m.second(x)),
    "sum in place": lambda m, x: m.last(torch.tanh(add_in_place(m.first(x), m.second(x)))),
    "difference from a constant": lambda m, x: m.last(torch.tanh(torch.sub(m.matrix[0], m.first(x)))),
    "constant taken off": lambda m, x: m.last(torch.tanh(m.first(x) - 1.5)),
    "twice a value": lambda m, x: m.last((z := torch.tanh(m.first(x))) + z),
    "a value less itself": lambda m, x: m.last(torch.tanh(m.first(x))) + m.last((z := m.second(x)) - z),
    "scaled": lambda m, x: m.last(torch.tanh(m.first(x) / 3) * 2.0),
    "constant matrix": lambda m, x: m.last(torch.tanh(m.first(x)) @ m.matrix),
    "parts": lambda m, x: m.last(torch.tanh(m.first(x)).unflatten(1, (2, 2)).flatten(1)),
    "view": lambda m, x: m.last(torch.tanh(m.first(x)).view(len(x), 2, 2).reshape(len(x), -1)),
    "tied": lambda m, x: m.last(torch.tanh(m.first(torch.tanh(m.first(x))))),
    "two layers without units": lambda m, x: m.last(m.first(x)),
    "linear at last": lambda m, x: torch.tanh(m.last(x)),
}


def add_in_place(x, y):
    x += y
    return x


@pytest.mark.parametrize("name", RECOGNISED)
def test_recognised(name):
    model = Net(RECOGNISED[name])
    assert_same_products(model)
    assert_same_products(model, loss_fn=F.mse_loss, targets=INPUTS[:, :3])


def test_selected_and_frozen_parameters():
    model = Net(lambda m, x: m.last(torch.tanh(m.second(torch.tanh(m.first(x))))))
    for selection in ("first.*", "*.bias", "second.weight", ["last.weight", "first.bias"], "second.bias"):
        assert_same_products(model, parameters=selection)
    model.second.requires_grad_(False)
    assert_same_products(model)


def test_layers_without_bias_and_dropout_in_evaluation_mode():
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(4, 5, bias=False), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 3, bias=False)]
    assert_same_products(nn.Sequential(*layers).double().eval(), inputs=INPUTS.view(11, 2, 2))


def test_loss_that_is_linear_in_the_outputs():
    model = Net(lambda m, x: m.last(torch.tanh(m.first(x))))
    assert_same_products(model, loss_fn=lambda z, t: z.square().mean(), targets=TARGETS)
    found = products(model, "feedforward", loss_fn=lambda z, t: z.mean() + t.double().mean())
    expected = products(model, "reverse-over-reverse", loss_fn=lambda z, t: z.mean() + t.double().mean())
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)


def test_buffers_written_in_the_forward_pass_stay_as_they_are():
    def count(m, x):
        m.matrix += 1
        return m.last(torch.tanh(m.first(x)))

    model = Net(count)
    before = model.matrix.clone()
    assert_same_products(model)
    assert torch.equal(model.matrix, before)
