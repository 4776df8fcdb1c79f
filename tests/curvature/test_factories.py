"""Hessian products: against closed forms, finite differences and torch.func.hessian."""

import pytest
import torch
from curvature_cases import batches, dense, narrow_network, normal, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import flat_gradient, hessian_by_differences
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import Plan, hessian_operator
from hessdens.testing import networks


def test_linear_regression_closed_form():
    """Mean squared error of one output: H = (2/n) [X 1]^T [X 1], whatever the targets."""
    inputs, targets = normal(37, 4), normal(37, 1, seed=1)
    operator = hessian_operator(nn.Linear(4, 1).double(), nn.MSELoss(), batches(inputs, targets))
    design = torch.cat([inputs, torch.ones(37, 1, dtype=torch.float64)], dim=1)
    assert relative_error(dense(operator), 2 / 37 * design.T @ design) < 1e-13


def test_logistic_regression_closed_form():
    """Binary cross-entropy: H = (1/n) sum_i p_i (1 - p_i) [x_i 1][x_i 1]^T."""
    inputs, targets = normal(37, 4), (normal(37, 1, seed=1) > 0).double()
    model = nn.Linear(4, 1).double()
    operator = hessian_operator(model, nn.BCEWithLogitsLoss(), batches(inputs, targets))
    design = torch.cat([inputs, torch.ones(37, 1, dtype=torch.float64)], dim=1)
    p = torch.sigmoid(model(inputs).detach())
    assert relative_error(dense(operator), (design * p * (1 - p)).T @ design / 37) < 1e-13


def test_deep_network_against_torch_func_and_finite_differences():
    model = narrow_network()
    inputs, targets = normal(37, 4), torch.arange(37) % 3
    operator = hessian_operator(model, nn.CrossEntropyLoss(), batches(inputs, targets), plan=Plan(examples_per_block=7))
    hessian = dense(operator)
    gradient = flat_gradient(model, nn.CrossEntropyLoss(), inputs, targets)
    point = torch.cat([p.detach().reshape(-1) for p in model.parameters()])

    def loss(vector):
        pieces = vector.split([p.numel() for p in model.parameters()])
        shapes = dict(model.named_parameters())
        values = {name: piece.reshape(p.shape) for (name, p), piece in zip(shapes.items(), pieces, strict=True)}
        return F.cross_entropy(torch.func.functional_call(model, values, (inputs,)), targets)

    assert relative_error(hessian, torch.func.hessian(loss)(point)) < 1e-10
    assert relative_error(hessian, hessian_by_differences(gradient, point.numpy(), 1e-3)) < 1e-9
    assert relative_error(hessian, hessian.T) < 1e-12


@settings(max_examples=30)
@given(networks(), st.integers(1, 6), st.integers(1, 4))
def test_any_network_and_any_blocks(case, examples_per_block, probes_per_block):
    operator = hessian_operator(
        case.model,
        case.loss_fn,
        case.data,
        plan=Plan(examples_per_block=examples_per_block, probes_per_block=probes_per_block),
    )
    reference = case.dense_hessian()
    torch.testing.assert_close(dense(operator), reference, rtol=1e-10, atol=1e-12 * float(1 + reference.abs().max()))


def test_float32_model():
    model, inputs, targets = narrow_network(), normal(37, 4), torch.arange(37) % 3
    reference = dense(hessian_operator(model, nn.CrossEntropyLoss(), batches(inputs, targets)))
    operator = hessian_operator(model.float(), nn.CrossEntropyLoss(), batches(inputs.float(), targets))
    assert operator.dtype == torch.float32
    assert relative_error(dense(operator).double(), reference) < 1e-5


@pytest.mark.gpu
def test_products_on_cuda_equal_those_on_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model, inputs, targets = narrow_network(), normal(37, 4), torch.arange(37) % 3
    on_cpu = dense(hessian_operator(model, nn.CrossEntropyLoss(), batches(inputs, targets)))
    data = batches(inputs.cuda(), targets.cuda())
    on_cuda = dense(hessian_operator(model.cuda(), nn.CrossEntropyLoss(), data))
    assert relative_error(on_cuda.cpu(), on_cpu) < 1e-12
