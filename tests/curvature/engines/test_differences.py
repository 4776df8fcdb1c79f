"""Central differences: right for gradients of the fourth degree, and an error that bounds what is left."""

import copy

import pytest
import torch
from curvature_cases import batches, dense, normal, relative_error
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import NonFiniteError, Plan, ggn_operator, hessian_operator
from hessdens.curvature.engines.differences import differences, largest_error, relative_step, step_sizes
from hessdens.curvature.engines.replacement import INTERRUPTS


def test_step_and_zero_vectors():
    eps = torch.finfo(torch.float32).eps
    steps = step_sizes(torch.tensor([2.0, 0.0]), 10.0, relative_step(torch.float64))
    torch.testing.assert_close(steps, torch.tensor([10 * 1e-8 / 2, 1.0]))
    assert float(step_sizes(torch.tensor([2.0]), 0.1, relative_step(torch.float64))) == pytest.approx(1e-8 / 2)
    assert float(step_sizes(torch.tensor([2.0]), 0.1, relative_step(torch.float32))) == pytest.approx(
        eps ** (1 / 3) / 2
    )


def test_one_kink_changes_the_product_by_twice_the_difference_of_two_steps():
    def gradient(t):
        return torch.tensor([3 * t + 5 * max(t - 0.125, 0.0)], dtype=torch.float64)

    near, difference, last = differences(gradient, 0.25)
    assert (float(near), float(last)) == (3 + 5 / 4, -1.5)
    assert abs(float(near) - 3) <= 2 * abs(float(difference))
    assert largest_error(difference.abs(), near.abs()) == pytest.approx(abs(float(difference)) / float(near))
    assert largest_error(torch.ones(1), torch.zeros(1)) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("unit", [nn.ReLU, nn.GELU])
def test_stated_error_holds_on_networks_with_kinks(unit, dtype):
    torch.manual_seed(1)
    layers = nn.Conv2d(1, 4, 3, padding=1), unit(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 5)
    model, inputs, labels = nn.Sequential(*layers), torch.randn(50, 1, 8, 8), torch.arange(50) % 5
    vectors = torch.randn(sum(p.numel() for p in model.parameters()), 3)
    wide = copy.deepcopy(model).double()
    exact = hessian_operator(wide, nn.CrossEntropyLoss(), [(inputs.double(), labels)]) @ vectors.double()
    data = [(inputs.to(dtype), labels)]
    operator = hessian_operator(model.to(dtype), nn.CrossEntropyLoss(), data, plan=Plan("central-differences"))
    errors = (operator @ vectors.to(dtype) - exact).norm(dim=0) / exact.norm(dim=0)
    assert float(errors.max()) <= operator.product_error < 1e-4


def test_model_with_a_cast_keeps_its_own_precision():
    model, data = nn.Linear(4, 3), [(normal(20, 4).float(), torch.arange(20) % 3)]
    plan = Plan("central-differences")
    exact = dense(hessian_operator(model, nn.CrossEntropyLoss(), data))
    operator = hessian_operator(
        model, nn.CrossEntropyLoss(), data, forward=lambda m, b: (m(b[0]).float(), b[1]), plan=plan
    )
    assert relative_error(dense(operator), exact) < operator.product_error < 1e-2


def test_products_have_a_measured_error():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    data = batches(normal(37, 4), torch.arange(37) % 3)
    exact = dense(hessian_operator(model, nn.CrossEntropyLoss(), data))
    operator = hessian_operator(model, nn.CrossEntropyLoss(), data, plan=Plan("central-differences"))
    error = relative_error(dense(operator), exact)
    assert 0 < error < operator.product_error < 1e-5
    assert operator.modes == ("central-differences",)


def test_gauss_newton_has_none():
    data = batches(normal(37, 4), torch.arange(37) % 3)
    with pytest.raises(ValueError, match=r"allow the modes feedforward, .*; got plan.mode='central-differences'"):
        ggn_operator(nn.Linear(4, 3).double(), nn.CrossEntropyLoss(), data, plan=Plan("central-differences"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_is_detached_is_a_constant(dtype):
    """Also for vectors along which it hardly moves the loss: all columns of the matrix."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype), normal(37, 4).to(dtype)
    exact = dense(hessian_operator(model, nn.MSELoss(), [(x, model(x).detach().sin())]))
    plan = Plan("central-differences", examples_per_block=10)
    operator = hessian_operator(model, lambda z, t: F.mse_loss(z, z.detach().sin()), [(x, x)], plan=plan)
    errors = (dense(operator) - exact).norm(dim=0) / exact.norm(dim=0)
    assert float(errors.max()) <= max(operator.product_error, 1e-6)
    assert operator.product_error < 1e-4


def bounded(distance):
    """Return a loss that is defined where the first weight is so near to 1 only, and knows nothing else of it."""

    def loss_fn(z, weight):
        torch.linalg.cholesky(torch.diag(torch.stack([weight - 1 + distance, 1 + distance - weight])))
        return z.square().mean()

    return {"loss_fn": loss_fn, "forward": lambda model, batch: (model(batch), model.weight[0, 0])}


def test_steps_are_smaller_where_the_loss_is_not_defined_nearby():
    model, x = nn.Linear(2, 1, bias=False).double(), normal(20, 2)
    nn.init.ones_(model.weight)
    plan = Plan("central-differences")
    operator = hessian_operator(model, data=[x], plan=plan, **bounded(2e-9))
    assert relative_error(dense(operator), 2 * x.T @ x / 20) < operator.product_error < 1e-3
    assert operator.confirmation.startswith("reverse-over-reverse: ")
    operator = hessian_operator(model, data=[x], plan=plan, **bounded(1e-15))
    assert "linalg.cholesky" in operator.confirmation
    with pytest.raises(NonFiniteError, match=r"need a finite gradient near the parameters: linalg\.cholesky"):
        dense(operator)
    exact = hessian_operator(model, data=[x], **bounded(1e-15))
    assert relative_error(dense(exact), 2 * x.T @ x / 20) < 1e-12


def test_interrupts_are_no_errors_of_the_loss():
    model, x, is_armed = nn.Linear(2, 1).double(), normal(20, 2), []

    def loss_fn(z, _):
        if is_armed:
            INTERRUPTS.append(TimeoutError("the alarm rang"))
            is_armed.clear()
        return z.square().mean()

    operator = hessian_operator(model, loss_fn, [(x, x)], plan=Plan("central-differences", examples_per_block=20))
    dense(operator)
    is_armed.append(True)
    with pytest.raises(TimeoutError, match="the alarm rang"):
        dense(operator)


def test_not_finite_gradients_are_those_of_a_batch():
    model, x = nn.Linear(2, 1, bias=False).double(), normal(20, 2)
    operator = hessian_operator(model, nn.MSELoss(), [(x, x[:, :1])], plan=Plan("central-differences"))
    nn.init.constant_(model.weight, float("nan"))
    with pytest.raises(NonFiniteError, match="the loss of batch 0 is not"):
        dense(operator)
