"""Weights that are functions of parameters: normalised, orthogonal, low rank, pruned, quantised, generated."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations, parametrize, prune
from zoo.cases import LABELS, Case, Module, Situation, classify, filled, free, normal, pairs, plain


def chain(change, second=None):
    """Return a maker of a network whose first layer is changed."""

    def make():
        first = change(nn.Linear(3, 3))
        last = nn.Linear(3, 3) if second is None else second(nn.Linear(3, 3))
        return plain(nn.Sequential(first, nn.Tanh(), last), nn.CrossEntropyLoss(), normal(5, 3), LABELS)

    return make


def registered(parametrization, **keywords):
    """Return a change of a layer by ``register_parametrization``."""

    def change(layer):
        parametrize.register_parametrization(layer, "weight", parametrization, unsafe=True)
        return layer

    return change


def orthogonal(kind):
    return lambda layer: parametrizations.orthogonal(layer, orthogonal_map=kind, use_trivialization=False)


class Positive(nn.Module):
    def forward(self, x):
        return F.softplus(x)


class Skew(nn.Module):
    def forward(self, x):
        return x.triu(1) - x.triu(1).T


class Standardised(nn.Module):
    def forward(self, w):
        return (w - w.mean(1, keepdim=True)) / (w.std(1, keepdim=True) + 0.1)


class Normed(nn.Module):
    def forward(self, w):
        return w / w.norm(dim=1, keepdim=True)


class Cayley(nn.Module):
    def forward(self, x):
        skew = x.triu(1) - x.triu(1).T
        one = torch.eye(3, dtype=x.dtype)
        return torch.linalg.solve(one + skew, one - skew)


class LowRank(nn.Module):
    """Low-rank adaptation: W + B A with W frozen."""

    def __init__(self):
        super().__init__()
        self.a, self.b = free(1, 3), free(3, 1)

    def forward(self, w):
        return w + self.b @ self.a


def adapted(layer):
    parametrize.register_parametrization(layer, "weight", LowRank())
    layer.parametrizations.weight.original.requires_grad_(False)
    return layer


def old_weight_norm(layer):
    return nn.utils.weight_norm(layer)


def spectral(training):
    """Spectral normalisation; in training mode each forward pass takes a step of its power iteration."""

    def make():
        layer = parametrizations.spectral_norm(nn.Linear(3, 3))
        situation = plain(nn.Sequential(layer, nn.Tanh(), nn.Linear(3, 3)), nn.CrossEntropyLoss(), normal(5, 3), LABELS)
        part = layer.parametrizations.weight[0]
        part._u.copy_(F.normalize(normal(3, seed=5), dim=0)), part._v.copy_(F.normalize(normal(3, seed=6), dim=0))
        situation.model.train(training)
        return situation

    return make


def cached():
    """Parametrised weights computed once for a forward pass that uses them twice."""
    layer = registered(Positive())(nn.Linear(3, 3))

    def forward(self, x):
        with parametrize.cached():
            return self.layer(self.layer(x).tanh())

    return plain(Module(forward, layer=layer), nn.CrossEntropyLoss(), normal(5, 3), LABELS)


def pruned(layer):
    prune.custom_from_mask(layer, "weight", torch.tensor([[1, 0, 1], [0, 1, 1], [1, 1, 0]]))
    return layer


def hyper_network():
    """Weights are outputs of another network, of the example itself."""

    def forward(self, x):
        w = self.maker(x.tanh()).view(-1, 3, 3)
        return torch.einsum("bij,bj->bi", w, x)

    return plain(Module(forward, maker=nn.Linear(3, 9)), nn.CrossEntropyLoss(), normal(5, 3), LABELS)


def functional():
    """The forward pass itself calls a module with other parameters."""
    layer = nn.Linear(3, 3)

    def forward(self, x):
        values = {name: value.sin() for name, value in self.layer.named_parameters()}
        return torch.func.functional_call(self.layer, values, (x,))

    return plain(Module(forward, layer=layer), nn.CrossEntropyLoss(), normal(5, 3), LABELS)


def ensemble():
    """Two members in one stacked parameter, by vmap in the forward pass."""

    def forward(self, x):
        members = torch.vmap(lambda w, b: F.linear(x, w, b))(self.weights, self.biases)
        return members.tanh().mean(0)

    return plain(Module(forward, weights=free(2, 3, 3), biases=free(2, 3)), nn.CrossEntropyLoss(), normal(5, 3), LABELS)


def quantised_base():
    """A frozen 8-bit weight with a scale, under a trained adapter."""
    codes = torch.tensor([[10, -20, 30], [5, 60, -7], [0, 9, 100]], dtype=torch.int8)

    def forward(self, x):
        weight = self.codes.to(x.dtype) * 0.01
        return F.linear(x, weight + self.b @ self.a).tanh() @ self.head

    return plain(Module(forward, codes=codes, a=free(1, 3), b=free(3, 1), head=free(3, 3)), nn.CrossEntropyLoss(),
                 normal(5, 3), LABELS)  # fmt: skip


def integer_parameter():
    """The 8-bit weight is a parameter without gradient, as quantisation libraries have it."""
    codes = nn.Parameter(torch.tensor([[1, -2, 3], [5, 6, -7], [0, 9, 1]], dtype=torch.int8), requires_grad=False)
    model = Module(lambda self, x: F.linear(x, self.codes.to(x.dtype) * 0.1) * self.scale, codes=codes, scale=free(3))
    return plain(model, nn.CrossEntropyLoss(), normal(5, 3), LABELS)


def bottleneck_adapter():
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    adapter = nn.Sequential(nn.Linear(3, 1), nn.GELU(), nn.Linear(1, 3))
    whole = Module(lambda self, x: self.base[2]((h := self.base[1](self.base[0](x))) + self.adapter(h)),
                   base=model, adapter=adapter)  # fmt: skip
    situation = plain(whole, nn.CrossEntropyLoss(), normal(5, 3), LABELS)
    model.requires_grad_(False)
    return situation


def weight_clamped_in_forward():
    """Changes its own weights in each forward pass, as critics with clipped weights do."""

    def forward(self, x):
        self.linear.weight.data.clamp_(-0.3, 0.3)
        return self.linear(x)

    return plain(Module(forward, linear=nn.Linear(3, 3)), nn.CrossEntropyLoss(), normal(5, 3), LABELS)


def embedding(function=lambda x: x.mean(1), inputs=None, options=None, bag=False, **keywords):
    """Return a maker of a classification of four tokens by their embeddings."""

    def make():
        layer = (nn.EmbeddingBag if bag else nn.Embedding)(5, 3, **keywords)
        model = Module(lambda self, x: self.head(function(self.table(x)).tanh()), table=layer, head=nn.Linear(3, 3))
        tokens = torch.tensor([[0, 1, 1, 2], [3, 0, 4, 4], [1, 2, 3, 4], [2, 2, 2, 0], [4, 3, 1, 0]])
        return Situation(filled(model, 1.0), nn.CrossEntropyLoss(), pairs(tokens, LABELS), options or {})

    return make


def renormalised(**options):
    """Rows longer than 1 are shortened in place by each forward pass."""
    return embedding(max_norm=1.0, **options)


def scaled_by_frequency():
    situation = embedding(scale_grad_by_freq=True)()
    return Situation(situation.model, situation.loss_fn, situation.data, twin=embedding()().model)


def scaled_by_frequency_in_forward():
    """The function of torch rather than its module."""

    def make(scales):
        return Module(lambda self, x: self.head(F.embedding(x, self.rows, scale_grad_by_freq=scales).mean(1).tanh()),
                      rows=free(5, 3), head=nn.Linear(3, 3))  # fmt: skip

    data = embedding()().data
    return Situation(filled(make(True)), nn.CrossEntropyLoss(), data, twin=filled(make(False)))


# torch's fused weight normalisation has a second derivative that is wrong and not symmetric (torch 2.13, CPU).
TORCH_IS_WRONG = {"either": True, "differences": True, "by_differences": True}
IN_PLACE = r"in place|max_norm|changes|linear\.weight|table"
CASES = [
    Case("weight norm", chain(parametrizations.weight_norm), ("hessian",), refusal="differentia|derivative",
         **TORCH_IS_WRONG),
    Case("weight norm, gauss-newton", chain(parametrizations.weight_norm), ("ggn",)),
    Case("weight norm, old", chain(old_weight_norm), ("hessian",), refusal="differentia|derivative",
         **TORCH_IS_WRONG),
    Case("weight norm by hand", chain(registered(Normed()))),
    Case("spectral norm in evaluation mode", spectral(False)),
    Case("spectral norm in training mode", spectral(True), ("hessian",)),
    Case("orthogonal by matrix exponential", chain(orthogonal("matrix_exp"))),
    Case("orthogonal by cayley", chain(registered(Cayley()))),
    Case("orthogonal by householder", chain(orthogonal("householder")), ("hessian",), differences=True,
         by_differences=True),
    Case("positive weights", chain(registered(Positive()))),
    Case("skew weights", chain(registered(Skew()), registered(Skew()))),
    Case("standardised weights", chain(registered(Standardised()))),
    Case("two parametrisations", chain(lambda layer: registered(Standardised())(registered(Positive())(layer)))),
    Case("low-rank adaptation", chain(adapted), ("hessian", "ggn", "fisher")),
    Case("bottleneck adapter", bottleneck_adapter),
    Case("cached parametrisation", cached),
    Case("pruned weights", chain(pruned)),
    Case("hypernetwork", hyper_network),
    Case("functional call in forward", functional),
    Case("ensemble by vmap", ensemble),
    Case("quantised base with an adapter", quantised_base),
    Case("integer parameter", integer_parameter),
    Case("weights clamped in forward", weight_clamped_in_forward, ("hessian", "ggn"), refusal=IN_PLACE, either=True),
    Case("embedding", embedding()),
    Case("embedding with padding", embedding(padding_idx=0)),
    Case("embedding bag", embedding(lambda x: x, bag=True), differences=True, by_differences=True),
    Case("embedding bag of maxima", embedding(lambda x: x, bag=True, mode="max"), ("hessian",), differences=True,
         by_differences=True),
    Case("embedding with sparse gradients", embedding(sparse=True)),
    Case("embedding bag with sparse gradients", embedding(lambda x: x, bag=True, sparse=True),
         differences=True, by_differences=True),
    Case("embedding with max_norm", renormalised(), ("hessian", "ggn"), refusal=IN_PLACE, either=True),
    Case("embedding scaled by frequency", scaled_by_frequency, ("hessian",),
         refusal="scale_grad_by_freq", either=True),
    Case("embedding scaled by frequency in forward", scaled_by_frequency_in_forward, ("hessian", "ggn"),
         refusal="scale_grad_by_freq"),
    classify("tied autoencoder", (3,), lambda: [Module(
        lambda self, x: F.linear((F.linear(x, self.w).tanh()), self.w.T, self.b), w=free(2, 3), b=free(3))]),
]  # fmt: skip
