"""The graph of a loss tells what it reads, and through which functions."""

import torch
from curvature_cases import normal
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812
from zoo.functions import Cube

from hessdens.curvature.engines.loss_module import LossModule
from hessdens.curvature.trials.graph import graph_of, is_differentiable_once_only, operations

BATCH = (normal(5, 3), torch.arange(5) % 2)


def graph(loss_fn=F.cross_entropy, forward=None, model=None):
    model = model or nn.Linear(3, 2).double()
    return graph_of(LossModule(model, loss_fn, forward), dict(model.named_parameters()), BATCH)


def test_plain_loss():
    plain = graph()
    assert (plain.loss_reads_parameters, plain.custom_functions) == (False, ())
    assert ("AddmmBackward0", "torch::autograd::AccumulateGrad") in plain.links
    assert len(plain.links) == 5
    ended = graph(lambda z, t: F.cross_entropy(z, t) * z.data.sum() * z.detach().mean())
    assert {link for link in ended.links if link[0] == "the end"} == {("the end", "__get__")}


def test_losses_that_read_parameters_past_the_outputs():
    model = nn.Linear(3, 2).double()
    assert graph(lambda z, t: F.cross_entropy(z, t) + model.weight.square().sum(), model=model).loss_reads_parameters
    assert not graph(lambda z, t: F.cross_entropy(z, t) + 0.1 * z.clamp_(max=1).square().sum()).loss_reads_parameters

    def outputs(model, batch):
        return (model(batch[0]), model.weight), batch[1]

    def penalised(z, t):
        return F.cross_entropy(z[0], t) + z[1].square().sum()

    assert not graph(penalised, outputs).loss_reads_parameters, "a parameter that is an output"


def test_custom_functions_and_those_that_are_differentiable_once():
    class Once(Cube):
        backward = staticmethod(once_differentiable(Cube.backward))

    def through(function):
        return lambda model, batch: (function.apply(model(batch[0])), batch[1])

    assert graph(forward=through(Cube)).custom_functions == ("Cube",)
    assert graph(forward=through(Once)).custom_functions == ("Once",)
    for function in (Cube, Once):
        loss = LossModule(nn.Linear(3, 2).double(), F.cross_entropy, through(function))
        assert is_differentiable_once_only(loss, dict(loss.model.named_parameters()), BATCH) == (function is Once)


def test_operations_end_where_they_should():
    x = torch.ones(2, requires_grad=True)
    y = x.sin()
    z = y.cos() + x
    names = [type(node).__name__ for node in operations([z])]
    assert sorted(names) == ["AccumulateGrad", "AddBackward0", "CosBackward0", "SinBackward0"]
    past = [type(node).__name__ for node in operations([z], [y.grad_fn])]
    assert sorted(past) == ["AccumulateGrad", "AddBackward0", "CosBackward0"]
    assert list(operations([z], [z.grad_fn])) == list(operations([torch.ones(1)])) == []
