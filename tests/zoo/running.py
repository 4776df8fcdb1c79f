"""How a model is run: checkpointed, compiled, scripted, traced, exported, with hooks."""

import copy

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint, checkpoint_sequential
from zoo.cases import LABELS, Case, Module, Situation, filled, normal, pairs, plain, refused
from zoo.functions import Cube


def network(wrap=lambda model: model, units=nn.Tanh):
    """Return a maker of a network that is wrapped: compiled, traced; the twin is the network itself."""

    def make():
        model = filled(nn.Sequential(nn.Linear(3, 3), units(), nn.Linear(3, 3)))
        twin = copy.deepcopy(model)
        return Situation(wrap(model), nn.CrossEntropyLoss(), pairs(normal(5, 3), LABELS), twin=twin)

    return make


def checkpointed(**keywords):
    def forward(self, x):
        return self.b(checkpoint(lambda h: self.a(h).tanh(), x, **keywords))

    def make():
        def model(function):
            return filled(Module(function, a=nn.Linear(3, 3), b=nn.Linear(3, 3)))

        inputs = normal(5, 3).requires_grad_(keywords["use_reentrant"])
        return Situation(model(forward), nn.CrossEntropyLoss(), pairs(inputs, LABELS),
                         twin=model(lambda self, x: self.b(self.a(x).tanh())))  # fmt: skip

    return make


def detached_inside(last=lambda h: h):
    """A checkpoint that keeps a part of what it computes from its derivative."""

    def make():
        def part(self, x):
            h = last(self.a(x))
            return h * h.detach().sigmoid()

        def forward(self, x):
            return self.b(checkpoint(part, self, x, use_reentrant=False))

        parts = {"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)}
        return plain(Module(forward, **parts), nn.CrossEntropyLoss(), normal(5, 3), LABELS)

    return make


def selected():
    """Of the layers that a checkpoint computes anew, one is selected."""

    def forward(self, x):
        return self.last(checkpoint(self.layers, x, use_reentrant=False))

    def model():
        layers = nn.Sequential(nn.Linear(3, 3), nn.GELU(), nn.Linear(3, 3), nn.Tanh())
        return filled(Module(forward, layers=layers, last=nn.Linear(3, 3)))

    twin = model()
    twin.layers[2].requires_grad_(False)
    twin.last.requires_grad_(False)
    return Situation(
        model(), nn.CrossEntropyLoss(), pairs(normal(5, 3), LABELS), {"parameters": "layers.0.*"}, twin=twin
    )


def in_segments():
    layers = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh())
    return plain(Module(lambda self, x: checkpoint_sequential(self.layers, 2, x, use_reentrant=False), layers=layers),
                 nn.CrossEntropyLoss(), normal(5, 3), LABELS)  # fmt: skip


def data_parallel():
    model = nn.DataParallel(filled(nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))))
    return Situation(model, nn.CrossEntropyLoss(), pairs(normal(5, 3), LABELS))


def compiled_part(model):
    model[2] = torch.compile(model[2], backend="eager")
    return model


def compiled_loss():
    loss_fn = torch.compile(lambda z, t: F.cross_entropy(z.tanh(), t), backend="eager")
    return Situation(filled(nn.Linear(3, 3)), loss_fn, pairs(normal(5, 3), LABELS),
                     twin_loss=lambda z, t: F.cross_entropy(z.tanh(), t))  # fmt: skip


def exported(model):
    dtype = next(model.parameters()).dtype
    rows = torch.export.Dim("rows", min=1, max=64)
    return torch.export.export(model, (torch.ones(4, 3, dtype=dtype),), dynamic_shapes=({0: rows},)).module()


def hooked(kind):
    """Hooks that change what passes through a module."""

    def wrap(model):
        if kind == "forward":
            model[0].register_forward_hook(lambda module, args, output: output.sin())
        elif kind == "before":
            model[0].register_forward_pre_hook(lambda module, args: (args[0].cos(),))
        elif kind == "scaling":
            model[2].register_full_backward_hook(lambda module, inside, outside: tuple(2 * part for part in inside))
        elif kind == "on a tensor":
            model[0].register_forward_hook(lambda module, args, output: tensor_hook(output))
        else:
            model[2].register_full_backward_hook(lambda module, inside, outside: None)
        return model

    def make():
        situation = network()()
        wrap(situation.model)
        return Situation(situation.model, situation.loss_fn, situation.data)

    return make


def tensor_hook(output):
    if output.requires_grad:
        output.register_hook(halved)


def halved(gradient):
    return gradient / 2


def scripted(model):
    return torch.jit.script(model)


def traced(model):
    return torch.jit.trace(model, torch.ones(4, 3, dtype=next(model.parameters()).dtype))


LATE = {"warning": "TorchScript|torch.jit|deprecated"}
CASES = [
    Case("checkpoint", checkpointed(use_reentrant=False), ("hessian", "ggn", "fisher")),
    Case("checkpoint, reentrant", checkpointed(use_reentrant=True), ("hessian",), refusal="[Cc]heckpoint|reentrant",
         either=True, differences=True),
    Case("checkpoint with a detached part", detached_inside(), ("hessian", "ggn")),
    refused("checkpoint with a detached part and a custom function", "Switch checkpointing off",
            detached_inside(Cube.apply)),
    Case("checkpoint with one layer selected", selected, ("hessian", "ggn", "fisher")),
    Case("checkpoint in segments", in_segments),
    Case("compiled, eager", network(lambda model: torch.compile(model, backend="eager")), ("hessian", "ggn")),
    Case("compiled, aot_eager", network(lambda model: torch.compile(model, backend="aot_eager")), ("hessian", "ggn")),
    Case("compiled, with gelu", network(lambda model: torch.compile(model, backend="eager"), nn.GELU), ("hessian",)),
    Case("compiled part", network(compiled_part), ("hessian",)),
    Case("compiled loss", compiled_loss, ("hessian",)),
    Case("scripted", network(scripted), **LATE),
    Case("traced", network(traced), **LATE),
    Case("symbolic trace", network(torch.fx.symbolic_trace)),
    Case("exported", network(exported), ("hessian",)),
    Case("data parallel", data_parallel, ("hessian",)),
    Case("forward hook", hooked("forward")),
    Case("hook before forward", hooked("before")),
    Case("backward hook that looks on", hooked("backward")),
    refused("backward hook that scales gradients", "hooks change it: of Linear '2'", hooked("scaling"),
            ("hessian", "ggn", "fisher")),
    refused("hook on a tensor that scales gradients", "hooks change it: halved on a tensor", hooked("on a tensor"),
            ("hessian", "ggn", "fisher")),
]  # fmt: skip
