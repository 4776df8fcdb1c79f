"""The engines of a matrix agree with one another."""

import pytest
import torch
from curvature_cases import batches, dense, narrow_network, normal, relative_error
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import Plan, ggn_operator, hessian_operator


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_all_modes_agree(activation):
    model, data = narrow_network(activation), batches(normal(37, 4), torch.arange(37) % 3)
    modes = hessian_operator(model, nn.CrossEntropyLoss(), data).modes
    assert modes == ("feedforward", "forward-over-reverse", "reverse-over-reverse")
    products = [dense(hessian_operator(model, nn.CrossEntropyLoss(), data, plan=Plan(mode))) for mode in modes]
    assert relative_error(products[1], products[0]) < 1e-12
    assert relative_error(products[2], products[0]) < 1e-12


@pytest.mark.parametrize("mode", ["forward-over-reverse", "reverse-over-reverse", "feedforward"])
def test_equals_the_hessian_where_the_outputs_are_linear_in_the_parameters(mode):
    model = nn.Linear(4, 3).double()
    ggn = ggn_operator(model, F.cross_entropy, [(normal(11, 4), torch.arange(11) % 3)], plan=Plan(mode))
    torch.testing.assert_close(
        dense(ggn), dense(hessian_operator(model, F.cross_entropy, [(normal(11, 4), torch.arange(11) % 3)]))
    )
