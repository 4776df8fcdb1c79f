"""Measured memory of losses that differentiate the network themselves."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian, jvp, vmap
from torch.nn import functional as F  # noqa: N812

from hessdens import Plan, hessian_operator
from hessdens.curvature.planning.memory_model import MemoryModel, peak_memory


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


@pytest.mark.parametrize("mode", ["feedforward", "forward-over-reverse", "reverse-over-reverse"])
def test_predicted_memory(mode):
    """Within a factor of the measured peak of the block, for a block much larger than those it is predicted from."""
    model = nn.Sequential(nn.Linear(30, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 3))
    data = [(torch.randn(300, 30), torch.arange(300) % 3)]
    operator = hessian_operator(model, F.cross_entropy, data, plan=Plan(mode, 300, 8), memory_limit=2**40)
    V = torch.randn(operator.size, 8)
    measured = peak_memory(lambda: operator @ V)
    operator @ V
    assert 0.5 * measured < operator.plan.memory < 2 * measured


def test_peak_memory_counts_what_lives_at_one_time():
    def work():
        a = torch.zeros(1000)
        b = a + 1
        view = b[:10]
        del a, b
        return torch.ones(500), view

    assert peak_memory(work) == 8000
    assert peak_memory(lambda: torch.zeros(10)[:5].clone()) == 60


def test_memory_model_is_bilinear():
    truth = lambda b, p: 5 + 3 * p + 2 * b + 7 * b * p  # noqa: E731
    assert MemoryModel(truth, (1, 3), (2, 3))(100, 50) == truth(100, 50)
    assert MemoryModel(lambda b, p: 4 * b * p, (1, 3), (1,))(10, 20) == 800


def test_peak_memory_of_sparse_tensors():
    """10 entries in float32, and two places in int64 for each."""
    assert peak_memory(lambda: torch.eye(10).to_sparse() * 2) >= 10 * (4 + 16)
