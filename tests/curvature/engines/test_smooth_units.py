"""GELU and SiLU in closed form: torch's values and derivatives, to any order where a model may need it."""

import pytest
import torch
from curvature_cases import hessian_products, normal
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import grad, jvp, vmap
from torch.nn import functional as F  # noqa: N812

from hessdens import Plan, hessian_operator
from hessdens.curvature.engines.smooth_units import SmoothUnits

UNITS = {
    "gelu": F.gelu,
    "tanh gelu": lambda x: F.gelu(x, approximate="tanh"),
    "gelu module": nn.GELU("tanh"),
    "silu": F.silu,
    "silu module": nn.SiLU(),
}


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_derivatives_of_units_of_any_order(name, order):
    """A model may differentiate in its forward pass, so that more than two are needed."""
    x = 2 * normal(50)

    def derivative(fn, x):
        leaf = x.clone().requires_grad_()
        value = fn(leaf)
        for _ in range(order):
            (value,) = torch.autograd.grad(value.sum(), leaf, create_graph=True)
        return value.detach()

    def nested(fn, x):
        for _ in range(order):
            fn = (lambda inner: lambda x: jvp(inner, (x,), (torch.ones_like(x),))[1])(fn)
        return fn(x)

    def with_smooth_units(x):
        with SmoothUnits():
            return UNITS[name](x)

    reference = derivative(UNITS[name], x)
    torch.testing.assert_close(derivative(with_smooth_units, x), reference, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(nested(with_smooth_units, x), reference, rtol=1e-11, atol=1e-12)


@given(st.sampled_from(list(UNITS)), st.floats(-30, 30))
def test_second_derivative_of_units(name, value):
    x = torch.tensor([value], dtype=torch.float64)

    def square(x):
        with SmoothUnits():
            return UNITS[name](x).square().sum()

    reference = hessian_products(lambda x: UNITS[name](x).square().sum(), x, torch.ones(1, 1, dtype=torch.float64))[0]
    for products in hessian_products(square, x, torch.ones(1, 1, dtype=torch.float64)):
        torch.testing.assert_close(products, reference, rtol=1e-9, atol=1e-12)


def test_units_that_are_not_replaced():
    x = normal(5)
    with SmoothUnits():
        assert F.gelu(x.bfloat16()).dtype == torch.bfloat16
        inplace = F.silu(x, inplace=True)
    assert inplace.data_ptr() == x.data_ptr()


class InputGradient(nn.Module):
    """Its outputs are derivatives of a network in its inputs, as in physics-informed networks."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Linear(2, 6), nn.GELU(), nn.Linear(6, 6), nn.SiLU(), nn.Linear(6, 1, bias=False)
        ).double()

    def forward(self, x):
        return vmap(grad(lambda row: self.net(row).sum()))(x)


class InputGradientByAutograd(InputGradient):
    def forward(self, x):
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            return torch.autograd.grad(self.net(leaf).sum(), leaf, create_graph=True)[0]


@pytest.mark.parametrize("kind", [InputGradient, InputGradientByAutograd])
def test_models_that_differentiate_themselves(kind):
    x, y = normal(9, 2), normal(9, 2, seed=1)
    operator = hessian_operator(kind(), nn.MSELoss(), [(x, y)], plan=Plan("reverse-over-reverse"))
    twin = InputGradient()
    sizes = operator.parameter_sizes

    def loss(theta):
        pieces = zip(sizes, theta.split(list(sizes.values())), strict=True)
        values = {name: piece.view_as(twin.get_parameter(name)) for name, piece in pieces}
        return F.mse_loss(torch.func.functional_call(twin, values, (x,)), y)

    reference = torch.func.hessian(loss)(torch.cat([p.detach().flatten() for p in twin.parameters()]))
    eye = torch.eye(operator.size, dtype=torch.float64)
    torch.testing.assert_close(operator @ eye, reference, rtol=1e-9, atol=1e-12)
