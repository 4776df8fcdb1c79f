"""Values are put into a model for the time of one function, and all is as it was afterwards."""

import pytest
import torch
from curvature_cases import normal
from torch import nn

from hessdens.curvature.engines.replacement import INTERRUPTS, with_values


class Twice(nn.Module):
    """A layer under two names, a tied weight, a buffer that is written to, noise, and an attribute set in forward."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3).double()
        self.b = self.a
        self.c = nn.Linear(3, 3).double()
        self.c.weight = self.a.weight
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        self.latest = self.c(self.b(self.a(x).tanh()))
        return self.latest + 0 * torch.randn(3)


def state(model):
    return {name: (id(t), t.clone(), t.requires_grad) for name, t in model.named_parameters(remove_duplicate=False)}


def assert_same(model, before):
    after = state(model)
    assert after.keys() == before.keys()
    for name, (place, values, requires_grad) in before.items():
        assert (after[name][0], after[name][2]) == (place, requires_grad)
        assert torch.equal(after[name][1], values)


def test_values_are_seen_in_each_place_and_the_model_is_left_as_it_was():
    model, x = Twice(), normal(2, 3)
    before, random = state(model), torch.get_rng_state()
    expected = model(x).tanh().sum() * 0
    zeros = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    torch.set_rng_state(random)
    del model.latest
    assert torch.equal(with_values(model, zeros, lambda: model(x).sum()), expected)
    assert_same(model, before)
    assert not hasattr(model, "latest")
    assert int(model.calls) == 1, "of the call before"
    assert torch.equal(torch.get_rng_state(), random)


def test_errors_leave_the_model_as_it_was():
    model = Twice()
    before = state(model)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        with_values(model, {"a.weight": torch.zeros(3, 3)}, interrupt)
    assert_same(model, before)


def test_an_interrupt_that_waits_is_raised_before_anything_is_replaced():
    INTERRUPTS.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        with_values(Twice(), {}, lambda: pytest.fail("evaluated"))
    assert with_values(Twice(), {}, lambda: 1) == 1
