"""Small models and data, and what tests of curvature say of them."""

import weakref

import pytest
import torch
from torch import nn
from torch.func import grad, grad_and_value, jvp, vjp, vmap
from torch.nn import functional as F  # noqa: N812

from hessdens import hessian_operator, spectral_moments

RAGGED = (16, 16, 5)  # a short last batch
INPUTS = torch.linspace(-1, 1, 24).reshape(8, 3)
TARGETS = torch.arange(8) % 2
DATA = [(INPUTS[:5], TARGETS[:5]), (INPUTS[5:], TARGETS[5:])]


def dense(operator):
    return operator @ torch.eye(operator.size, dtype=operator.dtype, device=operator.device)


def relative_error(estimate, reference):
    reference = torch.as_tensor(reference).double()
    return float((estimate.double() - reference).norm() / reference.norm())


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def batches(inputs, targets, lengths=RAGGED):
    return list(zip(inputs.split(lengths), targets.split(lengths), strict=True))


def narrow_network(activation=nn.Tanh):
    """Ten hidden layers as in the paper, with fewer inputs and units so that the reference is quick."""
    torch.manual_seed(0)
    layers = [nn.Linear(4, 8), activation()]
    for _ in range(9):
        layers += [nn.Linear(8, 8), activation()]
    return nn.Sequential(*layers, nn.Linear(8, 3)).double()


def linear():
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def refuse(match, *, model=None, loss_fn=F.cross_entropy, data=DATA, error=ValueError, **keywords):
    """Expect the error at construction or at the first product."""
    with pytest.raises(error, match=match):
        spectral_moments(
            hessian_operator(model or linear(), loss_fn, data, **keywords), method="skilling", num_probes=2
        )


def hessian_products(fn, z, V):
    """Return products with the Hessian of ``fn`` in four ways."""
    forward = vmap(lambda v: jvp(grad_and_value(fn), (z,), (v,))[1][0])(V)
    leaf = z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(fn(leaf), leaf, create_graph=True)
    (batched,) = torch.autograd.grad(gradient, leaf, V, is_grads_batched=True, retain_graph=True)
    single = torch.stack([torch.autograd.grad(gradient, leaf, v, retain_graph=True)[0] for v in V])
    pull = vjp(grad(fn), z)[1]
    return forward, batched, single, vmap(lambda v: pull(v)[0])(V)


class Net(nn.Module):
    """A network given by a function of itself and the inputs."""

    def __init__(self, function, **modules):
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.last = nn.Linear(4, 3)
        self.register_buffer("matrix", torch.randn(4, 4))
        for name, module in modules.items():
            setattr(self, name, module)
        self.double()

    def forward(self, x):
        return self.function(self, x)


class Greedy(nn.Module):
    """Has memory for so many examples only, as a GPU does."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
        self.most, self.seen = 10**9, []

    def forward(self, x):
        hidden = self.network[0](x)
        self.seen.append(weakref.ref(hidden))
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.network[1:](hidden)
