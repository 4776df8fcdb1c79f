"""Products are believed where differences of gradients confirm them."""

import re

import pytest
import torch
from curvature_cases import Cubed, batches, dense, normal, relative_error
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import fisher_operator, ggn_operator, hessian_operator


class CubedDetached(Cubed):
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
    detached = hessian_operator(model, lambda z, t: F.mse_loss(z, z.detach().sin()), data)
    assert detached.product_error is None, "what is detached is a constant"


def test_custom_functions_have_gauss_newton_matrices():
    data = batches(normal(37, 4), torch.arange(37) % 3)
    model = narrow()
    exact = dense(ggn_operator(model, F.cross_entropy, data, forward=net(lambda x: x**3)))
    operator = ggn_operator(model, F.cross_entropy, data, forward=net(Cubed.apply))
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
