"""The module that is to blame is named, however deep it lies."""

import pytest
import torch
from curvature_cases import batches, normal
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812
from zoo.functions import Cube

from hessdens import ggn_operator, hessian_operator

DATA = batches(normal(37, 4), torch.arange(37) % 3)


class Detached(Cube):
    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 3 * x.detach() ** 2 * gradient


class Once(Cube):
    backward = staticmethod(once_differentiable(Cube.backward))


class Cube(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function.apply(x)


def network(function):
    torch.manual_seed(0)
    return nn.Sequential(nn.Sequential(nn.Linear(4, 5), Cube(function)), nn.Tanh(), nn.Linear(5, 3)).double()


@pytest.mark.parametrize("function", [Detached, Once])
def test_the_innermost_module_is_named(function):
    with pytest.warns(UserWarning, match=r"because of Cube '0\.1': "):
        hessian_operator(network(function), F.cross_entropy, DATA)


def test_the_module_is_named_where_it_is_refused():
    with pytest.raises(ValueError, match=r"twice by torch; Cube '0\.1' is not: .*\. Use hessian_operator"):
        ggn_operator(network(Once), F.cross_entropy, DATA)


def test_a_fault_of_the_loss_function_is_no_module_s():
    with pytest.warns(UserWarning, match="because of the loss function: what it gives contradicts"):
        hessian_operator(nn.Linear(4, 3).double(), lambda z, t: F.cross_entropy(Detached.apply(z), t), DATA)


def test_an_operation_of_torch_with_a_wrong_derivative():
    """Torch's fused weight normalisation: its backward pass is right, the derivative of that is not."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), nn.Tanh(), nn.Linear(3, 3)).double()
    with pytest.warns(UserWarning, match=r"because of (Parametrized)?Linear '0'|because of _WeightNorm"):
        hessian_operator(model, F.cross_entropy, DATA)
