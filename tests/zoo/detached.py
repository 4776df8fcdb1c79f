"""Losses with detached parts, next to custom functions whose second derivative is right or wrong."""

import copy

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from zoo.cases import LABELS, Case, Module, Situation, filled, free, normal, pairs
from zoo.functions import NAMED, WRONG, Cube, CubeDetached, CubeOnce, Reversed


def power(x):
    return x**3


def network(cube, **parts):
    """Return an encoder with a cube in it, a predictor, and what else is given."""
    parts |= {"a": nn.Linear(3, 2, bias=False), "b": nn.Linear(2, 2), "head": nn.Linear(2, 2, bias=False)}
    return filled(Module(lambda self, x: self.b(cube(self.a(x))), **parts))


def siamese(model, batch):
    first, second = batch
    z = model(first), model(second)
    return (model.head(z[0]), model.head(z[1])), (z[0].detach(), z[1].detach())


def both_ways(p, z):
    return -(F.cosine_similarity(p[0], z[1]).mean() + F.cosine_similarity(p[1], z[0]).mean()) / 2


def own_latent(model, batch):
    """BYOL with the network itself as target, which torch evaluates without a graph."""
    with torch.no_grad():
        target = model(batch[1])
    return model.head(model(batch[0])), target


def by_data(model, batch):
    return model.head(model(batch[0])), model(batch[1]).data


def averaged(model, batch):
    """BYOL with a target network of other weights, which have gradients too."""
    with torch.no_grad():
        target = model.head(model.b(Cube.apply(F.linear(batch[1], model.slow))))
    return model.head(model(batch[0])), target


def temporal(model, batch):
    """Deep Q-learning: the target is the value of the best action in the next state."""
    values = model(batch[0])
    with torch.no_grad():
        target = 1 + 0.9 * model(batch[1]).max(dim=1).values
    return values.max(dim=1).values, target


def supervised(model, batch):
    return model(batch[0]), batch[1]


def focal(z, t):
    losses = F.cross_entropy(z, t, reduction="none")
    weights = (1 - torch.exp(-losses)).detach().square()
    return (weights * losses).mean()


def focal_by_numbers(z, t):
    losses = F.cross_entropy(z, t, reduction="none")
    weights = torch.tensor([(1 - torch.exp(-loss)).item() ** 2 for loss in losses], dtype=z.dtype)
    return (weights * losses).mean()


def distilled(z, t):
    """The network's own predictions, sharpened, are mixed with the labels."""
    labels = F.one_hot(t, 2).to(z.dtype)
    with torch.no_grad():
        labels = 0.7 * labels + 0.3 * (2 * z).softmax(dim=1)
    return F.cross_entropy(z, labels)


def quantised(model, batch):
    """A codebook with the straight-through estimator, trained by its distance to what is detached, and back."""
    h = model.a(batch[0])
    codes = model.codes[torch.cdist(h, model.codes).argmin(dim=1)]
    return (model.b(model.cube(h + (codes - h).detach())), h, codes), batch[1]


def commitment(z, t):
    outputs, h, codes = z
    return F.cross_entropy(outputs, t) + F.mse_loss(codes, h.detach()) + 0.25 * F.mse_loss(h, codes.detach())


def made(forward, loss_fn, cube, second=None, twin=power):
    """Return a maker of a situation with a cube, whose twin has torch's own."""

    def make():
        parts = {quantised: {"codes": free(4, 2)}, averaged: {"slow": free(2, 3)}}.get(forward, {})
        models = [network(function, **copy.deepcopy(parts)) for function in (cube, twin)]
        for model, function in zip(models, (cube, twin), strict=True):
            model.cube = function
        data = pairs(normal(5, 3), LABELS % 2 if second is None else second())
        return Situation(models[0], loss_fn, data, {"forward": forward}, twin=models[1])

    return make


def views():
    return normal(5, 3, seed=3)


KINDS = {
    "simsiam": (siamese, both_ways, views),
    "byol": (own_latent, nn.MSELoss(), views),
    "target by data": (by_data, nn.MSELoss(), views),
    "byol with another network": (averaged, nn.MSELoss(), views),
    "deep q-learning": (temporal, nn.MSELoss(), views),
    "focal weights": (supervised, focal, None),
    "focal weights by numbers": (supervised, focal_by_numbers, None),
    "self-distillation": (supervised, distilled, None),
    "straight-through codebook": (quantised, commitment, None),
}
TWO_BLOCKS = {"blocks": (3, None)}
CASES = [
    *(Case(f"{name}, right function", made(forward, loss_fn, Cube.apply, second), **TWO_BLOCKS)
      for name, (forward, loss_fn, second) in KINDS.items()),
    *(Case(f"{name}, wrong function", made(KINDS[name][0], KINDS[name][1], CubeDetached.apply, KINDS[name][2]),
           ("hessian",), **WRONG, **TWO_BLOCKS)
      for name in ("byol", "deep q-learning", "focal weights", "straight-through codebook")),
    Case("simsiam, once differentiable", made(siamese, both_ways, CubeOnce.apply, views), ("hessian",),
         differences=True, **TWO_BLOCKS),
    Case("byol, once differentiable", made(own_latent, nn.MSELoss(), CubeOnce.apply, views), ("ggn",),
         refusal="must be differentiable twice", either=True),
    Case("byol, gradient reversal", made(own_latent, nn.MSELoss(), lambda x: Reversed.apply(x.tanh()), views),
         refusal=NAMED),
]  # fmt: skip
