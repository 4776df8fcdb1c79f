"""Steps of a network: gradients go back through each, and derivatives forward, as torch has them."""

import pytest
import torch
from curvature_cases import normal

from hessdens.curvature.engines.chunk import Chunk, Derivatives, Workspace
from hessdens.curvature.engines.steps import Linear, Map, Step, Sum, Units

X, W = normal(5, 3), normal(4, 3, seed=1)
STEPS = {
    "linear": (lambda x: x @ W.T, lambda y: Linear(y, (0,), inputs=X, matrix=W, weight="w", bias=None)),
    "tanh": (torch.tanh, lambda y: Units(y, (0,), inputs=X, function=torch.tanh, is_piecewise_linear=False)),
    "relu": (torch.relu, lambda y: Units(y, (0,), inputs=X, function=torch.relu, is_piecewise_linear=True)),
    "sum": (lambda x: x - 3 * x, lambda y: Sum(y, (0, 0), factors=(1.0, -3.0))),
    "map": (lambda x: x[:, :2], lambda y: Map(y, (0,), inputs=X, function=lambda x: x[:, :2])),
}


def derivatives_of_zero_probes():
    return Derivatives(Chunk({"w": W}, torch.zeros(1, W.numel()).double()), Workspace(), [True] * 2, {0: 2})


@pytest.mark.parametrize("name", STEPS)
def test_gradients_and_tangents_are_those_of_torch(name):
    function, make = STEPS[name]
    value, tangent = torch.func.jvp(function, (X,), (torch.ones_like(X),))
    step = make(value)
    gradient = normal(*value.shape, seed=2)
    pulled = sum(step.pull_back(gradient))
    expected = torch.func.vjp(function, X)[1](gradient)[0]
    torch.testing.assert_close(pulled, expected)
    derivatives = derivatives_of_zero_probes()
    derivatives.tangents[0] = torch.ones_like(X).unsqueeze(1)
    torch.testing.assert_close(step.tangent(derivatives), tangent.unsqueeze(1))
    step.carry_back(derivatives, gradient.unsqueeze(1).clone(), None)
    torch.testing.assert_close(derivatives.gradients[0], expected.unsqueeze(1))


@pytest.mark.parametrize("name", STEPS)
def test_without_a_tangent_at_the_source_there_is_none(name):
    function, make = STEPS[name]
    assert make(function(X)).tangent(derivatives_of_zero_probes()) is None


def test_only_linear_steps_have_parameters():
    linear = STEPS["linear"][1](X @ W.T)
    assert linear.depends_on({"w"})
    assert not linear.depends_on({"v"})
    assert not Step(X).depends_on({"w"})
