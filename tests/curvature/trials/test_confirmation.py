"""Products are believed where differences of gradients confirm them."""

import re

import pytest
import torch
from curvature_cases import batches, dense, normal, relative_error
from torch import nn
from torch.nn import functional as F  # noqa: N812
from zoo.functions import Cube, CubeOnce

from hessdens import Plan, fisher_operator, ggn_operator, hessian_operator


class CubedDetached(Cube):
    """The gradient is right, its derivative lacks a term."""

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 3 * x.detach() ** 2 * gradient


class Reversed(torch.autograd.Function):
    """Gradient reversal: the gradient of no loss."""

    forward = staticmethod(lambda ctx, x: x.view_as(x))
    backward = staticmethod(lambda ctx, gradient: -gradient)


def net(operation):
    return lambda model, batch: (model[2](operation(model[0](batch[0]).tanh())), batch[1])


def test_second_derivative_that_differences_contradict_is_not_believed():
    model, data = narrow(), batches(normal(37, 4), torch.arange(37) % 3)
    exact = dense(hessian_operator(model, F.cross_entropy, data, forward=net(lambda x: x**3)))
    with pytest.warns(UserWarning, match=r"contradicts central differences \(custom functions: CubedDetached\)"):
        operator = hessian_operator(model, F.cross_entropy, data, forward=net(CubedDetached.apply))
    assert operator.modes == ("central-differences",)
    assert relative_error(dense(operator), exact) < operator.product_error < 1e-4
    contradiction = r"the loss function is not: .*contradicts central differences \(custom functions: CubedDetached\)"
    with pytest.raises(ValueError, match=contradiction):
        ggn_operator(narrow(), lambda z, t: F.cross_entropy(CubedDetached.apply(z), t), data)


def test_gradient_that_is_not_of_the_loss():
    model, data = narrow(), batches(normal(37, 4), torch.arange(37) % 3)
    with pytest.raises(ValueError, match=r"must be the derivative of the loss; .*custom functions: Reversed"):
        hessian_operator(model, F.cross_entropy, data, forward=net(Reversed.apply))
    with pytest.raises(ValueError, match=r"must be the derivative of the loss; .*custom functions: Reversed"):
        ggn_operator(model, F.cross_entropy, data, forward=net(Reversed.apply))


def test_custom_functions_have_gauss_newton_matrices():
    data = batches(normal(37, 4), torch.arange(37) % 3)
    model = narrow()
    exact = dense(ggn_operator(model, F.cross_entropy, data, forward=net(lambda x: x**3)))
    operator = ggn_operator(model, F.cross_entropy, data, forward=net(Cube.apply))
    assert operator.modes == ("reverse-over-reverse",)
    assert relative_error(dense(operator), exact) < 1e-13


def narrow():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def test_operators_say_what_confirmed_them():
    model, data = narrow(), batches(normal(37, 4), torch.arange(37) % 3)
    shallow = hessian_operator(model, F.cross_entropy, data).confirmation
    assert re.fullmatch(r"reverse-over-reverse: \de-\d\d from differences of gradients in float64", shallow)
    single = hessian_operator(model.float(), F.cross_entropy, [(x.float(), y) for x, y in data]).confirmation
    assert re.fullmatch(r"reverse-over-reverse: \de-\d\d from differences of gradients in float64", single)
    assert fisher_operator(model, F.cross_entropy, [(x.float(), y) for x, y in data]).confirmation.endswith(
        "of operations of torch alone"
    )
    with pytest.warns(UserWarning, match="contradicts"):
        last = hessian_operator(narrow(), F.cross_entropy, data, forward=net(CubedDetached.apply))
    assert last.confirmation == "central-differences: product_error is their measured error"


class _Private(CubedDetached):
    """Users call such classes so, too."""


def test_custom_functions_of_any_name_are_doubted():
    data = batches(normal(37, 4), torch.arange(37) % 3)
    with pytest.warns(UserWarning, match=r"contradicts .* \(custom functions: _Private\)"):
        hessian_operator(narrow(), F.cross_entropy, data, forward=net(_Private.apply))


def test_a_small_part_that_is_wrong_is_not_hidden_by_a_large_one():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.big = nn.Parameter(torch.full((2,), 0.05)), nn.Linear(4, 2)

        def forward(self, x):
            return 40 * self.big(x) + CubedDetached.apply(self.gate)

    torch.manual_seed(0)
    model, data = Gated().double(), [(normal(20, 4), normal(20, 2, seed=1))]
    with pytest.warns(UserWarning, match="contradicts"):
        operator = hessian_operator(model, nn.MSELoss(), data)
    assert operator.modes == ("central-differences",)


class Late(Cube):
    """The derivative of the gradient is wrong for large inputs only."""

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 3 * torch.where(x > 5, x.detach(), x) ** 2 * gradient


@pytest.mark.parametrize("place", [9, 30])
@pytest.mark.parametrize("make", [hessian_operator, ggn_operator])
def test_what_only_a_later_example_shows_is_not_believed(place, make):
    inputs = normal(37, 4).clamp(-1, 1)
    inputs[place] = 9
    data, model = batches(inputs, normal(37, 4)), nn.Linear(4, 4, bias=False).double()
    nn.init.eye_(model.weight)
    options = {"loss_fn": nn.MSELoss(), "forward": lambda model, batch: (Late.apply(model(batch[0])), batch[1])}
    if make is ggn_operator:  # right: it needs no second derivative of the model
        assert make(model, data=data, **options).matvec(torch.ones(16).double()).isfinite().all()
        return
    with pytest.raises(
        ValueError, match=r"contradicts central differences \(custom functions: Late\), that of the fir"
    ):
        make(model, data=data, **options).matvec(torch.ones(16).double())
    plan = Plan("central-differences")
    exact = hessian_operator(model, nn.MSELoss(), data, forward=lambda model, batch: (model(batch[0]) ** 3, batch[1]))
    assert relative_error(dense(make(model, data=data, plan=plan, **options)), dense(exact)) < 1e-6


def test_what_only_a_later_batch_shows_is_asked_for_in_the_first():
    inputs, targets = normal(20, 4), torch.arange(20) % 4
    model = nn.Linear(4, 4).double()

    def forward(model, batch):
        outputs = model(batch[0])
        return (outputs if len(outputs) == 12 else Cube.apply(outputs)), batch[1]

    data = [(inputs[:12], targets[:12]), (inputs[12:], targets[12:])]
    operator = hessian_operator(model, F.cross_entropy, data, forward=forward, split_batches=False)
    with pytest.raises(ValueError, match=r"batch 1 has the custom functions Cube\. Put this batch first"):
        operator.matvec(torch.ones(20).double())
    dense(hessian_operator(model, F.cross_entropy, data[::-1], forward=forward, split_batches=False))

    def loss_fn(outputs, targets):
        penalty = model.weight.square().sum() if len(targets) == 8 else 0.0
        return F.cross_entropy(outputs, targets) + penalty

    operator = hessian_operator(model, loss_fn, data, split_batches=False)
    with pytest.raises(ValueError, match="batch 1 has a loss function, or targets, that read parameters of the model"):
        operator.matvec(torch.ones(20).double())


def test_differences_that_are_not_finite_confirm_nothing():
    model = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(model.weight, 709.78271289)  # the exponential of a little more is infinite
    H = hessian_operator(model, lambda outputs, _: outputs.exp().mean() / 10, [(torch.ones(1, 1).double(), None)])
    assert H.confirmation.endswith("need a finite gradient near the parameters.")


def latent(operation):
    """BYOL with the network itself as target."""

    def forward(model, batch):
        with torch.no_grad():
            target = net(operation)(model, (batch[1], None))[0]
        return net(operation)(model, batch)[0], target

    return forward


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_right_functions_are_believed_where_parts_are_detached_and_wrong_ones_are_not(dtype):
    model, data = narrow().to(dtype), [(normal(9, 4).to(dtype), normal(9, 4, seed=1).to(dtype))]
    for make in (hessian_operator, ggn_operator):
        exact = make(model, nn.MSELoss(), data, forward=latent(lambda x: x**3))
        right = make(model, nn.MSELoss(), data, forward=latent(Cube.apply))
        assert re.search("central differences in float64", right.confirmation)
        assert relative_error(dense(right), dense(exact)) < (1e-13 if dtype == torch.float64 else 1e-5)
    for wrong in (CubedDetached, CubeOnce):
        with pytest.warns(UserWarning, match="Products are central differences of gradients"):
            operator = hessian_operator(model, nn.MSELoss(), data, forward=latent(wrong.apply))
        exact = hessian_operator(model, nn.MSELoss(), data, forward=latent(lambda x: x**3))
        assert relative_error(dense(operator), dense(exact)) < max(operator.product_error, 1e-6) < 1e-3
    with pytest.raises(ValueError, match="marked as once differentiable"):
        ggn_operator(model, nn.MSELoss(), data, forward=latent(CubeOnce.apply))


@pytest.mark.parametrize("make", [hessian_operator, ggn_operator])
def test_custom_functions_are_not_believed_without_differences(make):
    model = nn.Linear(1, 1, bias=False).double()
    nn.init.ones_(model.weight)

    def forward(model, batch):
        torch.linalg.cholesky(1e-15 - (model.weight - 1).abs())
        return Cube.apply(model(batch)), batch

    with pytest.raises(ValueError, match=r"must be confirmed .* failed \(custom functions: Cube\): .*linalg.cholesky"):
        make(model, nn.MSELoss(), [torch.ones(2, 1).double()], forward=forward)
