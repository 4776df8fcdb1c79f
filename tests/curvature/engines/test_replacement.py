"""Values are put into a model for the time of one function, and all is as it was afterwards."""

import contextlib

import pytest
import torch
from curvature_cases import dense, normal
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from hessdens import hessian_operator
from hessdens.curvature.engines.replacement import INTERRUPTS, Constants, is_of_the_model, raise_interrupt, with_values


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


def under_no_grad(w):
    with torch.no_grad():
        return w.sin()


def under_inference_mode(w):
    with torch.inference_mode():
        sine = w.sin()
    return sine.clone()


def by_several_steps(w):
    with torch.no_grad():
        sine = w.sin()
        with torch.enable_grad():
            sine = torch.where(w > -9, sine, sine)
    return sine


def in_place(w):
    constant = torch.zeros_like(w)
    with torch.no_grad():
        return constant.copy_(w).sin_()


def by_the_largest(w):
    with torch.no_grad():
        return w.sin().max(dim=0).values


class Nested(torch.autograd.Function):
    """Calls another custom function where it has enabled gradients, and detaches before and after."""

    @staticmethod
    def forward(ctx, w):
        ctx.save_for_backward(w)
        with torch.enable_grad():
            inner = w.detach().requires_grad_()
            sine = Sine.apply(inner) + 0 * inner.detach()
        return sine.detach() + 0 * w.data

    @staticmethod
    def backward(ctx, gradient):
        return ctx.saved_tensors[0].cos() * gradient


class Failing(torch.autograd.Function):
    """Ends with an error where it has enabled gradients."""

    @staticmethod
    def forward(ctx, w):
        with torch.enable_grad():
            raise ValueError(f"{w.detach().sum()}")


class Sine(torch.autograd.Function):
    """Looks at its input in all ways, which is none of an outsider's business."""

    @staticmethod
    def forward(ctx, w):
        with torch.enable_grad():
            leaf = w.detach().requires_grad_()
            ctx.slope = torch.autograd.grad(leaf.sin().sum(), leaf)[0]
        with torch.no_grad():
            return w.data.sin() * bool((w > -9).all())

    @staticmethod
    def backward(ctx, gradient):
        return ctx.slope * gradient


def with_a_custom_function(w):
    with torch.no_grad():
        return Sine.apply(w)


CONSTANTS = {
    "detach": lambda w: w.sin().detach(),
    "detach in place": lambda w: w.sin().detach_(),
    "data": lambda w: w.sin().data,
    "numbers": lambda w: torch.tensor([w[0].sin().item(), *w[1:].sin().tolist()]).to(w),
    "numpy": lambda w: torch.from_numpy(w.sin().detach().numpy()),
    "no_grad": under_no_grad,
    "inference_mode": under_inference_mode,
    "no_grad as a decorator": torch.no_grad()(torch.sin),
    "grad inside no_grad": by_several_steps,
    "in place": in_place,
    "of several results": by_the_largest,
    "derivative without a graph": lambda w: torch.autograd.grad(-w.cos().sum(), w)[0],
    "custom function": with_a_custom_function,
}


def at(w, mode, loss):
    """Return a loss and its gradient."""
    w = w.clone().requires_grad_()
    with mode:
        value = loss(w)
    return value.detach(), torch.autograd.grad(value, w)[0]


@pytest.mark.parametrize("name", CONSTANTS)
def test_what_is_detached_stays_as_it_was(name):
    first, other = normal(3), normal(3, seed=1)
    constants = Constants()
    loss = lambda w: (CONSTANTS[name](w) * w.exp()).sum()  # noqa: E731
    torch.testing.assert_close(at(first, constants, loss), at(first, Constants(), loss))
    kept = CONSTANTS[name](first.clone().requires_grad_())
    expected = (kept * other.exp()).sum(), kept * other.exp()
    for _ in range(2):
        torch.testing.assert_close(at(other, Constants(constants), loss), expected)


def test_custom_functions_and_functions_of_torch_move():
    constants, first, other = Constants(), normal(3), normal(3, seed=1)
    at(first, constants, lambda w: (Sine.apply(w) * w.relu()).sum())
    assert constants.kept == []
    moved = at(other, Constants(constants), lambda w: (Sine.apply(w) * w.relu()).sum())
    torch.testing.assert_close(moved, at(other, Constants(), lambda w: (w.sin() * w.relu()).sum()))
    vmapped = torch.vmap(lambda w: w.detach() * w)
    at(first, constants, lambda w: vmapped(w).sum())
    assert constants.kept == [], "torch.func has wrappers that end with it"


@pytest.mark.parametrize("function", [Sine, Nested])
def test_what_precedes_and_follows_a_custom_function_stays_as_it_was(function):
    def loss(w):
        with contextlib.suppress(ValueError):
            Failing.apply(w)
        with torch.no_grad():
            constant = w.cos()
        return ((w.detach() + function.apply(w) + constant + w.sin().data) * w.exp()).sum()

    constants, first, w = Constants(), normal(3), normal(3, seed=1)
    at(first, constants, loss)
    fixed, growth = first + first.cos() + first.sin(), w.exp()
    expected = ((fixed + w.sin()) * growth).sum(), (fixed + w.sin() + w.cos()) * growth
    torch.testing.assert_close(at(w, Constants(constants), loss), expected)


def test_another_way_is_noticed():
    constants, first = Constants(), normal(3)
    at(first, constants, lambda w: w.sum())
    with pytest.raises(RuntimeError, match="takes another way at other parameters"):
        at(first, Constants(constants), lambda w: (w.detach() * w).sum())


def test_errors_of_the_model_and_others():
    assert is_of_the_model(ValueError("value outside the support"))
    assert not is_of_the_model(torch.OutOfMemoryError("CUDA out of memory."))
    INTERRUPTS.append(TimeoutError("the alarm rang"))
    with pytest.raises(TimeoutError) as caught:
        raise_interrupt()
    assert not is_of_the_model(caught.value)


@pytest.mark.parametrize("is_warm", [True, False])
def test_weights_that_parametrisations_have_cached_are_those_of_other_values(is_warm):
    model = parametrizations.orthogonal(nn.Linear(3, 3).double())
    data = [(normal(5, 3), torch.arange(5) % 3)]
    expected = dense(hessian_operator(model, nn.CrossEntropyLoss(), data))
    with parametrize.cached():
        before = model.weight if is_warm else None
        torch.testing.assert_close(dense(hessian_operator(model, nn.CrossEntropyLoss(), data)), expected)
        assert model.weight is model.weight
        assert before is None or model.weight is before
