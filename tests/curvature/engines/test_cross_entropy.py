"""Closed forms in place of torch's chains: the same values and derivatives, to any order where a model may need it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import grad, grad_and_value, jvp, vjp, vmap
from torch.nn import functional as F  # noqa: N812

from hessdens import Plan, hessian_operator
from hessdens.curvature.engines.cross_entropy import with_closed_form
from hessdens.curvature.engines.smooth_units import SmoothUnits

UNITS = {
    "gelu": F.gelu,
    "tanh gelu": lambda x: F.gelu(x, approximate="tanh"),
    "gelu module": nn.GELU("tanh"),
    "silu": F.silu,
    "silu module": nn.SiLU(),
}


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def hessian_products(fn, z, V):
    """Return products with the Hessian of ``fn`` in four ways."""
    forward = vmap(lambda v: jvp(grad_and_value(fn), (z,), (v,))[1][0])(V)
    leaf = z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(fn(leaf), leaf, create_graph=True)
    (batched,) = torch.autograd.grad(gradient, leaf, V, is_grads_batched=True, retain_graph=True)
    single = torch.stack([torch.autograd.grad(gradient, leaf, v, retain_graph=True)[0] for v in V])
    pull = vjp(grad(fn), z)[1]
    return forward, batched, single, vmap(lambda v: pull(v)[0])(V)


@pytest.mark.parametrize("shape", [(7, 5), (4, 5, 3), (2, 5, 3, 2)])
@pytest.mark.parametrize("ignored", [-100, 2])
def test_cross_entropy_is_that_of_torch(shape, ignored):
    z, V = 3 * random(*shape), random(4, *shape, seed=1)
    targets = torch.randint(0, 5, (shape[0], *shape[2:]), generator=torch.Generator().manual_seed(2))
    targets[0] = ignored
    theirs = nn.CrossEntropyLoss(ignore_index=ignored)
    ours = with_closed_form(theirs)
    assert ours is not theirs
    torch.testing.assert_close(ours(z, targets), theirs(z, targets), rtol=1e-14, atol=0)
    torch.testing.assert_close(
        jvp(lambda z: ours(z, targets), (z,), (V[0],))[1], jvp(lambda z: theirs(z, targets), (z,), (V[0],))[1]
    )
    reference = hessian_products(lambda z: theirs(z, targets), z, V)[0]
    for products in hessian_products(lambda z: ours(z, targets), z, V):
        torch.testing.assert_close(products, reference, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "loss_fn",
    [
        nn.CrossEntropyLoss(weight=torch.ones(5)),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        nn.CrossEntropyLoss(reduction="sum"),
        nn.MSELoss(),
        lambda z, y: F.cross_entropy(z, y),
    ],
)
def test_other_losses_stay_as_they_are(loss_fn):
    assert with_closed_form(loss_fn) is loss_fn


class Spy(nn.CrossEntropyLoss):
    """A subclass may compute anything."""


def test_unusual_outputs_and_targets_are_left_to_torch():
    assert type(with_closed_form(Spy())) is Spy
    ours = with_closed_form(F.cross_entropy)
    z, probabilities = random(4, 3), random(4, 3, seed=1).softmax(dim=1)
    assert float(ours(z, probabilities)) == float(F.cross_entropy(z, probabilities))
    assert float(ours(z[0], torch.tensor(1))) == float(F.cross_entropy(z[0], torch.tensor(1)))
    half = ours(z.bfloat16(), torch.arange(4) % 3)
    assert half.dtype == torch.bfloat16
    with pytest.raises(ValueError, match="batch_size"):
        ours(z, torch.arange(3))
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(z.bfloat16(), torch.arange(4) % 3).dtype == torch.float32


def test_batch_without_a_target_has_no_loss():
    assert with_closed_form(F.cross_entropy)(random(2, 3), torch.tensor([-100, -100])).isnan()


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_derivatives_of_units_of_any_order(name, order):
    """A model may differentiate in its forward pass, so that more than two are needed."""
    x = 2 * random(50)

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
    x = random(5)
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
    x, y = random(9, 2), random(9, 2, seed=1)
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
