"""Hooks that change gradients are refused by name; those that look on are not."""

import pytest
import torch
from curvature_cases import DATA, dense, relative_error
from torch import nn
from torch.nn import functional as F  # noqa: N812
from users_state import changes, state

from hessdens import fisher_operator, ggn_operator, hessian_operator

pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook is firing")
MAKERS = (hessian_operator, ggn_operator, fisher_operator)


class Hooked(nn.Linear):
    """Sets a hook on its output each time, if there are so many examples."""

    def __init__(self, hook, rows=range(9)):
        super().__init__(3, 3)
        self.hook, self.rows = hook, rows

    def forward(self, x):
        output = super().forward(x)
        if output.requires_grad and len(x) in self.rows:
            output.register_hook(self.hook)
        return output


def doubled(gradient):
    return 2 * gradient


def network(first=None):
    torch.manual_seed(0)
    layers = first or nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)
    for layer in layers[::2]:
        for index, parameter in enumerate(layer.parameters()):
            parameter.data = torch.linspace(-1, 1.5 + index, parameter.numel()).view_as(parameter)
    return nn.Sequential(*layers)


def on_tensor(hook):
    return network(Hooked(hook))


def on_module(hook):
    model = network()
    model[0].register_full_backward_pre_hook(lambda module, outside: (hook(outside[0]),))
    return model


def on_inputs(hook):
    model = network()
    model[2].register_full_backward_hook(lambda module, inside, outside: (hook(inside[0]),))
    return model


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("hooked", "name"),
    [(on_tensor, "doubled on a tensor"), (on_module, "of Linear '0'"), (on_inputs, "of Linear '2'")],
)
def test_hooks_that_change_gradients_are_refused(make, hooked, name):
    model = hooked(doubled)
    before = state(model)
    with pytest.raises(ValueError, match=f"backward hooks change it: {name}. Remove them for the time of the operator"):
        make(model, F.cross_entropy, DATA)
    assert not list(changes(before, state(model)))


def test_hooks_of_a_later_batch_are_refused():
    operator = hessian_operator(network(Hooked(doubled, rows=(3,))), F.cross_entropy, DATA)
    with pytest.raises(ValueError, match="backward hooks change it: doubled on a tensor"):
        operator @ torch.ones(operator.size)


@pytest.mark.parametrize("hooked", [on_tensor, on_module, on_inputs])
def test_hooks_that_change_nothing_are_right(hooked):
    expected = dense(hessian_operator(network(), F.cross_entropy, DATA))
    found = dense(hessian_operator(hooked(lambda gradient: gradient.clamp(-1e6, 1e6)), F.cross_entropy, DATA))
    assert relative_error(found, expected) < 1e-5


@pytest.mark.filterwarnings("ignore:Products are central differences")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_hooks_that_make_gradients_right(dtype):
    """A weight times the square root of two without a graph, whose slope a hook gives."""

    def forward(model, batch):
        scaled = 2**0.5 * model.weight.detach() + model.weight - model.weight.detach()
        if scaled.requires_grad:
            scaled.register_hook(lambda gradient: 2**0.5 * gradient)
        return batch[0] * scaled, batch[1]

    model = nn.Linear(1, 1, bias=False).to(dtype)
    model.weight.data.fill_(0.7)
    ones = torch.ones(4, 1, dtype=dtype)
    operator = hessian_operator(model, F.mse_loss, [(ones, 0 * ones)], forward=forward)
    assert operator @ ones[0] == pytest.approx(4.0, rel=1e-3)


def test_hooks_that_look_on_see_gradients():
    expected = dense(hessian_operator(network(), F.cross_entropy, DATA))
    seen = []
    model = on_tensor(seen.append)
    model[2].register_full_backward_hook(lambda module, inside, outside: seen.append(outside))
    assert relative_error(dense(hessian_operator(model, F.cross_entropy, DATA)), expected) < 1e-5
    assert seen


def test_hooks_on_parameters_do_not_matter():
    """They are for the gradients of training: the matrix is that of the loss."""
    model = network()
    model[0].weight.register_hook(doubled)
    expected = dense(hessian_operator(network(), F.cross_entropy, DATA))
    assert relative_error(dense(hessian_operator(model, F.cross_entropy, DATA)), expected) < 1e-5
