"""Measured memory of losses that differentiate the network themselves."""

import torch
from torch import nn
from torch.func import functional_call, hessian, jvp, vmap

from hessdens import hessian_operator
from hessdens.curvature.memory_model import peak_memory


def test_zeros_that_are_not_stored():
    """Torch crashes, rather than raising, where a dispatch mode meets one in this operation."""
    zeros = torch._efficientzerotensor((1000,), dtype=torch.float64)
    assert peak_memory(lambda: torch.ops.aten.mul.Scalar(zeros, -2)) == 8 * 1000


def test_products_of_a_loss_with_second_derivatives_of_the_network():
    """The loss of a physics-informed network: its backward pass has such zeros, and its memory is predicted."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1, bias=False)).double()
    points = torch.linspace(0, 1, 6, dtype=torch.float64)[:, None]

    def forward(network, batch):
        def slope(x):
            return jvp(network, (x,), (torch.ones_like(x),))[1]

        return vmap(lambda x: jvp(slope, (x,), (torch.ones_like(x),))[1])(batch["x"]) + 1, None

    operator = hessian_operator(model, lambda residuals, _: residuals.square().mean(), [{"x": points}], forward=forward)

    def loss(vector):
        sizes = [parameter.numel() for parameter in model.parameters()]
        pieces = zip(model.named_parameters(), vector.split(sizes), strict=True)
        values = {name: piece.reshape(parameter.shape) for (name, parameter), piece in pieces}

        class Network(nn.Module):
            def forward(self, x):
                return functional_call(model, values, (x,))

        return forward(Network(), {"x": points})[0].square().mean()

    dense = hessian(loss)(nn.utils.parameters_to_vector(model.parameters()).detach())
    torch.testing.assert_close(operator @ torch.eye(operator.size, dtype=torch.float64), dense)
