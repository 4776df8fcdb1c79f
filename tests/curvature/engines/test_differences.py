"""Central differences: right for gradients of the fourth degree, and an error that bounds what is left."""

import pytest
import torch
from curvature_cases import batches, dense, normal, relative_error
from torch import nn

from hessdens import Plan, ggn_operator, hessian_operator
from hessdens.curvature.engines.differences import add_differences, extrapolated, largest_error, step_sizes


def test_step_and_zero_vectors():
    eps = torch.finfo(torch.float64).eps
    steps = step_sizes(torch.tensor([2.0, 0.0]), 10.0, torch.float64)
    torch.testing.assert_close(steps, torch.tensor([10 * eps**0.2 / 2, 1.0]))
    assert float(step_sizes(torch.tensor([2.0]), 0.1, torch.float64)) == pytest.approx(eps**0.2 / 2)


def test_extrapolation_is_exact_for_gradients_of_degree_four():
    near, far = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    add_differences(lambda t: torch.tensor([(1.0 + t) ** 4], dtype=torch.float64), 0.25, near, far)
    assert largest_error((near - 4).abs(), torch.tensor([4.0])) == pytest.approx(0.25**2), "4 h^2, of the third degree"
    assert float(extrapolated(near, far)) == pytest.approx(4, rel=1e-14)


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
