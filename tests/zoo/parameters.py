"""Kinds of parameters: of dimension 0, empty, frozen, unused, tied, aliased, in half precision; shifted matrices."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from zoo.cases import LABELS, Case, Module, Situation, classify, filled, free, normal, pairs, plain, refused, regress

from hessdens.structure import layer_moments


def module(function, **parts):
    """Return a maker of a classification with a hand-made model of three inputs and outputs."""
    return lambda: plain(
        Module(function, **{name: part() for name, part in parts.items()}), nn.CrossEntropyLoss(), normal(5, 3), LABELS
    )


def linear():
    return nn.Linear(3, 3)


def scalar():
    return free()


def smallest_scalar():
    model = Module(lambda self, x: self.w * x, w=nn.Parameter(torch.tensor(2.0)))
    return Situation(model, nn.MSELoss(), [(normal(3, 1), normal(3, 1, seed=1))])


def clip():
    """Two towers and a learned 0-dimensional temperature; the loss couples the examples."""
    model = Module(None, image=nn.Linear(3, 2), text=nn.Linear(2, 2), logit_scale=free())

    def forward(model, batch):
        first, second = (F.normalize(tower(x), dim=1) for tower, x in zip((model.image, model.text), batch,
                                                                          strict=True))  # fmt: skip
        logits = model.logit_scale.exp() * first @ second.T
        return (logits, logits.T), torch.arange(len(logits))

    def loss_fn(z, t):
        return (F.cross_entropy(z[0], t) + F.cross_entropy(z[1], t)) / 2

    return Situation(
        filled(model), loss_fn, pairs(normal(5, 3), normal(5, 2, seed=1)), {"forward": forward, "split_batches": False}
    )


def tied():
    model = nn.Sequential(linear(), nn.Tanh(), linear())
    model[2].weight = model[0].weight
    return plain(model, nn.CrossEntropyLoss(), normal(5, 3), LABELS)


def shared_layer():
    layer = linear()
    model = Module(lambda self, x: self.b(self.a(x).tanh()), a=layer, b=layer)
    return plain(model, nn.CrossEntropyLoss(), normal(5, 3), LABELS)


def used(layer):
    """Return a lazy layer after its first call, which makes its parameters."""
    layer(normal(1, 3))
    return layer


def frozen():
    situation = plain(nn.Sequential(linear(), nn.Tanh(), linear()), nn.CrossEntropyLoss(), normal(5, 3), LABELS)
    situation.model[0].requires_grad_(False)
    return situation


def frozen_and_named():
    situation = frozen()
    return Situation(situation.model, situation.loss_fn, situation.data, {"parameters": ["0.weight", "2.weight"]})


def chosen(selection, keep):
    """Return a maker of a selection of parameters; the reference freezes the others."""

    def make():
        twin = filled(nn.Sequential(linear(), nn.Tanh(), linear()))
        for name, parameter in twin.named_parameters():
            parameter.requires_grad_(keep(name))
        model = filled(nn.Sequential(linear(), nn.Tanh(), linear()))
        return Situation(model, nn.CrossEntropyLoss(), pairs(normal(5, 3), LABELS), {"parameters": selection},
                         twin=twin)  # fmt: skip

    return make


def two_dtypes():
    """A half-precision layer that is trained beside one in the usual dtype."""
    dtype = torch.get_default_dtype()
    model = Module(lambda self, x: self.b(self.a(x.to(torch.bfloat16)).to(dtype)), a=linear(), b=linear())
    filled(model).a.to(torch.bfloat16)
    return Situation(model, nn.CrossEntropyLoss(), pairs(normal(5, 3), LABELS))


def aliased():
    """A plain list holds a weight, so that nobody who replaces parameters by name reaches it."""
    model = Module(lambda self, x: self.linear(x).tanh() @ self.shortcut[0], linear=linear())
    situation = plain(model, nn.CrossEntropyLoss(), normal(5, 3), LABELS)
    model.shortcut = [model.linear.weight]
    return situation


def captured():
    """The function ``forward`` takes a parameter from the model that is around it, not from its argument."""
    model = filled(nn.ModuleDict({"a": linear(), "b": linear()}))
    weight = model["a"].weight
    return Situation(model, nn.CrossEntropyLoss(), pairs(normal(5, 3), LABELS), {
        "forward": lambda m, batch: (m["b"]((batch[0] @ weight.T + m["a"].bias).tanh()), batch[1])})  # fmt: skip


def outer_model():
    """The function ``forward`` uses the model that is around it, not its argument."""
    model = filled(nn.Sequential(linear(), nn.Tanh(), linear()))
    return Situation(model, nn.CrossEntropyLoss(), pairs(normal(5, 3), LABELS), {
        "forward": lambda m, batch: (model(batch[0]), batch[1])})  # fmt: skip


def averaged():
    model = torch.optim.swa_utils.AveragedModel(filled(nn.Sequential(linear(), nn.Tanh(), linear())))
    return Situation(model.eval().requires_grad_(True), nn.CrossEntropyLoss(), pairs(normal(5, 3), LABELS))


def sparse_weight():
    matrix = torch.tensor([[0.5, 0, 0], [0, 0, 1.0], [0.25, -1, 0]])
    model = Module(lambda self, x: torch.sparse.mm(self.weight, x.T).T.tanh() @ self.head,
                   weight=nn.Parameter(matrix.to(torch.get_default_dtype()).to_sparse()), head=free(3, 3))  # fmt: skip
    model.head.data.copy_(normal(3, 3))
    return Situation(model, nn.CrossEntropyLoss(), pairs(normal(5, 3), LABELS))


def strange_memory():
    """Weights that are transposed, strided or in another order of channels."""
    model = Module(lambda self, x: (self.conv(x).flatten(1) @ self.turned)[:, :3],
                   conv=nn.Conv2d(1, 2, 2), turned=nn.Parameter(torch.zeros(4, 2).T))  # fmt: skip
    model.conv.to(memory_format=torch.channels_last)
    return plain(model, nn.CrossEntropyLoss(), normal(5, 1, 2, 2), LABELS)


def shifted(then, then_matrix):
    def make():
        s = plain(nn.Sequential(linear(), nn.Tanh(), linear()), nn.CrossEntropyLoss(), normal(5, 3), LABELS)
        return Situation(s.model, s.loss_fn, s.data, then=then, then_matrix=then_matrix)

    return make


def identity(matrix):
    return torch.eye(len(matrix), dtype=matrix.dtype)


def checked_layers(of):
    """Return a step that asks for the moments of layers on the way, which must take the operator."""

    def then(operator):
        other = of(operator)
        assert list(layer_moments(other, 2, num_probes=4)) == ["0", "2"]
        return other

    return then


class Own(nn.Parameter):
    """A class of parameters of somebody's own."""


def own_class():
    model = Module(lambda self, x: x @ self.weight, weight=Own(torch.zeros(3, 3)))
    return plain(model, nn.CrossEntropyLoss(), normal(5, 3), LABELS)


def attributes_of_parameters():
    """Reads what a parameter says of itself, and its kind."""

    def forward(self, x):
        (weight,) = (p for p in self.parameters() if isinstance(p, nn.Parameter) and p.ndim == 2)
        return F.linear(x, weight * weight.scale, self.bias).tanh()

    situation = plain(Module(forward, weight=free(3, 3), bias=free(3)), nn.CrossEntropyLoss(), normal(5, 3), LABELS)
    situation.model.weight.scale = 2.0
    return situation


CASES = [
    Case("attributes of parameters", attributes_of_parameters, ("hessian", "ggn")),
    Case("smallest 0-dimensional parameter", smallest_scalar, ("hessian", "ggn", "fisher", "empirical")),
    Case("learned temperature", module(lambda self, x: self.scale.exp() * self.linear(x), scale=scalar, linear=linear)),
    Case("rezero", module(lambda self, x: x + self.gate * self.linear(x).tanh(), gate=scalar, linear=linear)),
    Case("0-dimensional parameter alone", module(lambda self, x: self.scale * x, scale=scalar)),
    Case("contrastive with a temperature", clip, ("hessian", "ggn")),
    Case("empty parameter", module(
        lambda self, x: self.linear(x) + self.none.sum(), linear=linear, none=lambda: free(0, 3))),
    Case("empty layer", module(lambda self, x: self.linear(torch.cat([x, self.wide(x)], 1)),
                               linear=linear, wide=lambda: nn.Linear(3, 0))),
    Case("unused parameter", module(lambda self, x: self.linear(x), linear=linear, unused=linear)),
    Case("parameter times zero", module(lambda self, x: self.linear(x) + 0 * self.idle, linear=linear,
                                        idle=lambda: free(3))),
    Case("tied weights", tied),
    Case("one layer twice", module(lambda self, x: self.layer(self.layer(x).tanh()), layer=linear)),
    Case("tied to its transpose", module(lambda self, x: (x @ self.w).tanh() @ self.w.T, w=lambda: free(3, 2))),
    Case("same layer under two names", shared_layer),
    Case("frozen layer", frozen, ("hessian", "ggn", "fisher")),
    Case("selection by glob", chosen("2.*", lambda name: name.startswith("2."))),
    Case("selection of biases", chosen(lambda name, p: p.ndim == 1, lambda name: name.endswith("bias"))),
    Case("selection by names", chosen(["2.bias", "0.weight"], lambda name: name in ("0.weight", "2.bias"))),
    refused("selection of a frozen parameter", "'0.weight' matches 0.weight, with requires_grad=False. Call",
            frozen_and_named, ("hessian", "ggn", "fisher")),
    refused("selection of nothing", "matches none", chosen("3.*", lambda name: True)),
    Case("two dtypes of parameters", two_dtypes, ("hessian",), refusal="must have one dtype",
         dtypes=(torch.float32,)),
    Case("alias in a list", aliased, ("hessian", "ggn"), refusal="linear.weight", either=True),
    Case("parameter captured by forward", captured, ("hessian", "ggn"), refusal="forward|a.weight", either=True),
    Case("model captured by forward", outer_model),
    Case("averaged model", averaged),
    Case("sparse weight", sparse_weight, ("hessian",), refusal="[Ss]parse", either=True),
    Case("transposed and channels-last weights", strange_memory),
    Case("class of parameters", own_class),
    Case("lists and dictionaries of parameters", module(
        lambda self, x: x @ self.many[0] + x.sin() @ self.named["b"],
        many=lambda: nn.ParameterList([free(3, 3)]), named=lambda: nn.ParameterDict({"b": free(3, 3)}))),
    Case("flat parameter", module(
        lambda self, x: (x @ self.flat[:9].view(3, 3)).tanh() @ self.flat[9:].view(3, 3), flat=lambda: free(18))),
    Case("changing buffer", module(
        lambda self, x: self.linear(x) * self.calls.add_(1).clamp_max(1.0), linear=linear,
        calls=lambda: torch.ones(1, dtype=torch.get_default_dtype()))),
    regress("lazy layer, used", (3,), 2, lambda: used(nn.LazyLinear(2))),
    refused("lazy layer, not used", "is lazy: run the model once on a batch", lambda: Situation(
        nn.LazyLinear(3), nn.CrossEntropyLoss(), pairs(normal(5, 3), LABELS), batches=[], weights=[])),
    classify("identity and empty containers", (3,), lambda: [nn.Sequential(), nn.Identity(), linear()]),
    Case("shift", shifted(lambda H: H + 0.5, lambda m: m + 0.5 * identity(m))),
    Case("shift by the identity", shifted(checked_layers(lambda H: H + 0.5 * H.identity()),
                                          lambda m: m + 0.5 * identity(m))),
    Case("scaled", shifted(checked_layers(lambda H: 2 * H), lambda m: 2 * m)),
    Case("shift from the left, and a difference", shifted(lambda H: 1.0 + H - 0.25, lambda m: m + 0.75 * identity(m))),
]  # fmt: skip
