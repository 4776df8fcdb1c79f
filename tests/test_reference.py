"""The dense Hessian against its closed form."""

import torch
from torch import nn

from hessdens.reference import dense_hessian, outputs_by_parameters


def test_hessian_of_linear_regression():
    """2 / n of the sum of x x^T, where an input has a 1 for the bias."""
    inputs = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = nn.Linear(3, 1).double()
    x = torch.cat([inputs, torch.ones(9, 1, dtype=torch.float64)], dim=1)
    hessian = dense_hessian(model, nn.MSELoss(), inputs, torch.zeros(9, 1, dtype=torch.float64))
    torch.testing.assert_close(hessian, 2 * x.T @ x / 9, rtol=1e-14, atol=1e-14)


def test_outputs_are_those_of_the_model_and_follow_the_vector():
    model, inputs = nn.Linear(3, 2), torch.eye(3)
    outputs, parameters = outputs_by_parameters(model, inputs)
    torch.testing.assert_close(outputs(parameters), model(inputs))
    torch.testing.assert_close(outputs(torch.zeros_like(parameters)), torch.zeros(3, 2))
    assert not parameters.requires_grad
