"""Which parameters an operator acts on."""

from collections import OrderedDict

import pytest
import torch
from curvature_cases import (
    DATA,
    INPUTS,
    TARGETS,
    batches,
    dense,
    linear,
    narrow_network,
    normal,
    refuse,
    relative_error,
)
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import fisher_operator, ggn_operator, hessian_operator


def test_parameters():
    frozen = linear().requires_grad_(False)
    refuse("at least one trainable parameter; got 2 selected of 2, none with .*Call requires_grad_", model=frozen)
    refuse(
        "at least one trainable parameter; the model has no parameters. Arguments are model, loss_fn and",
        model=nn.Flatten(),
    )
    refuse("'wieght' matches none. Near: .'weight'", parameters="wieght")
    for wrong in (5, [1]):
        refuse("names, globs or a function of name and parameter; got .*t.$", parameters=wrong, error=TypeError)
    for wrong in (nn.Linear(2, 2).parameters(), nn.Linear(2, 2).weight):
        refuse(r'got .* Write names, such as parameters=\["fc.weight", "layers', parameters=wrong, error=TypeError)
    for nothing in ([], (), lambda name, parameter: False):
        refuse(r"got 0 selected of 2, none .*\. Leave parameters= out for all", parameters=nothing)
    refuse("must depend on the selected parameters", loss_fn=lambda z, t: z.detach().mean() + t.float().mean())


@pytest.mark.parametrize("make", [hessian_operator, ggn_operator, fisher_operator])
def test_frozen_parameters_that_are_named_are_refused(make):
    model = nn.Sequential(linear(), nn.Tanh(), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    loss_fn = nn.CrossEntropyLoss()
    for selection in ("0.weight", "0.*", ["2.weight", "0.*t"]):
        with pytest.raises(ValueError, match=r"'0\..*' matches 0\.weight.*, with requires_grad=False\. Call req"):
            make(model, loss_fn, DATA, parameters=selection)
    for selection in ("*.weight", lambda name, parameter: name.endswith("weight")):
        assert make(model, loss_fn, DATA, parameters=selection).parameter_names == ("2.weight",)


class Scaled(nn.Module):
    """A loss with a learned temperature, that also holds the model."""

    def __init__(self, model):
        super().__init__()
        self.temperature, self.model = nn.Parameter(torch.tensor(1.5)), model

    def forward(self, z, targets):
        return F.cross_entropy(z * self.temperature, targets)


@pytest.mark.parametrize("make", [hessian_operator, ggn_operator])
def test_parameters_of_the_loss_are_constants_and_it_says_so(make):
    model = linear()
    loss_fn = Scaled(model)
    message = r"Parameters of loss_fn are constants, since .*: temperature\. To include them, pass .* forward="
    with pytest.warns(UserWarning, match=message) as caught:
        assert make(model, loss_fn, DATA).size == 8
    assert caught[0].filename == __file__
    make(model, loss_fn, DATA, parameters="*")  # a choice
    loss_fn.temperature.requires_grad_(False)
    make(model, loss_fn, DATA)


def test_unused_selection():
    model = nn.ModuleDict({"used": linear(), "unused": linear()})
    forward = lambda model, batch: (model["used"](batch[0]), batch[1])  # noqa: E731
    refuse(
        "must depend on the selected parameters; it depends on none",
        model=model,
        forward=forward,
        parameters="unused.*",
    )


def test_mixed_dtypes_and_devices():
    model = nn.Sequential(linear(), nn.Linear(2, 2).to(torch.float64))
    forward = lambda model, batch: (model[1](model[0](batch[0]).double()), batch[1])  # noqa: E731
    refuse(r"must have one dtype; got torch.float32 \(0.bias\), torch.float64", model=model, forward=forward)
    model = nn.Sequential(linear(), nn.Linear(2, 2))
    model[1].register_buffer("elsewhere", torch.ones(2, device="meta"))
    refuse(r"The model must be on one device; got meta \(1.elsewhere\), cpu", model=model)


def test_parameters_without_values():
    """As those that accelerate has moved to the disk: model.to(device) would not bring them back."""
    model = nn.Sequential(linear(), nn.Linear(2, 2, device="meta"))
    refuse(r"must have values; '1.weight' is on device 'meta'\. Write model.to_empty\(device='cpu'\)", model=model)
    refuse("Inputs must have the model's dtype, torch.float32; got torch.float64", data=[(INPUTS.double(), TARGETS)])
    refuse("must be on the model's device, cpu; .* has a tensor on meta", data=[(INPUTS.to("meta"), TARGETS)])


def test_parameters_by_name_glob_predicate_and_frozen():
    model, data = narrow_network(), batches(normal(37, 4), torch.arange(37) % 3)
    full = hessian_operator(model, nn.CrossEntropyLoss(), data)
    first = hessian_operator(model, nn.CrossEntropyLoss(), data, parameters="0.*")
    assert first.parameter_names == ("0.weight", "0.bias")
    block = dense(full)[:40, :40]
    assert relative_error(dense(first), block) < 1e-13
    named = hessian_operator(model, nn.CrossEntropyLoss(), data, parameters=["0.bias", "0.weight"])
    assert relative_error(dense(named), block) < 1e-13
    chosen = hessian_operator(model, nn.CrossEntropyLoss(), data, parameters=lambda name, p: p.ndim == 2)
    assert all(name.endswith("weight") for name in chosen.parameter_names)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("0."))
    assert relative_error(dense(hessian_operator(model, nn.CrossEntropyLoss(), data)), block) < 1e-13


def test_unused_parameters_are_left_out_and_tied_ones_count_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.unused = (nn.Linear(3, 3, bias=False).double() for _ in range(3))
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.second(torch.tanh(self.first(x)))

    model, inputs, targets = Tied(), normal(9, 3), normal(9, 3, seed=1)
    with pytest.warns(UserWarning, match="Parameters that no batch uses are left out: unused.weight"):
        operator = hessian_operator(model, nn.MSELoss(), [(inputs, targets)])
    assert operator.parameter_names == ("first.weight",)
    W = model.first.weight.detach()
    reference = torch.func.hessian(
        lambda w: F.mse_loss(torch.tanh(inputs @ w.reshape(3, 3).T) @ w.reshape(3, 3).T, targets)
    )(W.reshape(-1))
    assert relative_error(dense(operator), reference) < 1e-13


def test_parameters_that_a_later_batch_uses():
    """Two heads, of which each batch uses one: the matrix is that of both, and zero between them."""
    model = nn.ModuleDict({"a": nn.Linear(3, 2), "b": nn.Linear(3, 2), "never": nn.Linear(1, 1)}).double()
    x, y = normal(4, 3), torch.arange(4) % 2
    data = [(x, y, "a"), (2 * x, 1 - y, "b")]
    with pytest.warns(UserWarning, match=r"are left out: never\.weight, never\.bias\."):
        H = hessian_operator(model, F.cross_entropy, data, forward=lambda model, b: (model[b[2]](b[0]), b[1]))
    assert H.parameter_names == ("a.weight", "a.bias", "b.weight", "b.bias")
    parts = [dense(hessian_operator(model[name], F.cross_entropy, [(x, y)])) for x, y, name in data]
    assert relative_error(dense(H), torch.block_diag(*parts) / 2) < 1e-14


@pytest.mark.parametrize(("kind", "weight"), [("complex", torch.ones(2) * 1j), ("sparse", torch.eye(2).to_sparse())])
def test_parameters_that_are_not_real_and_dense(kind, weight):
    class Strange(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.strange = linear(), nn.Parameter(weight)

        def forward(self, x):
            return self.linear(x) + (self.strange.abs() if kind == "complex" else self.strange.to_dense()).sum()

    refuse(f"must be real and dense; 'strange' is {kind}", model=Strange())
    assert hessian_operator(Strange(), F.cross_entropy, [(INPUTS, TARGETS)], parameters="linear.*").size == 8


@pytest.mark.parametrize("selection", ["b.weight", "a.weight", ["b.*"], lambda name, parameter: name == "b.weight"])
def test_tied_parameters_have_all_their_names(selection):
    model = nn.ModuleDict({"a": nn.Linear(3, 3, bias=False), "b": nn.Linear(3, 3, bias=False)})
    model["b"].weight = model["a"].weight
    operator = hessian_operator(
        model,
        F.cross_entropy,
        [(torch.eye(3), torch.arange(3))],
        forward=lambda model, batch: (model["b"](model["a"](batch[0])), batch[1]),
        parameters=selection,
    )
    assert operator.parameter_names == ("a.weight",)


class OnlyInput(torch.autograd.Function):
    """Takes a factor into account, of which it gives no derivative."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(factor)
        return x * factor

    @staticmethod
    def backward(ctx, gradient):
        (factor,) = ctx.saved_tensors
        return gradient * factor, None


def test_parameters_of_which_a_custom_function_gives_no_derivative_are_left_out():
    model = nn.ParameterDict({"weight": torch.ones(3, dtype=torch.float64), "factor": torch.ones(3).double()})
    data = [(torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))]

    def forward(model, batch):
        return (OnlyInput.apply(batch[0] * model["weight"], model["factor"])).sum(1), batch[1]

    with pytest.warns(UserWarning, match="no batch uses are left out: factor"):
        operator = hessian_operator(model, nn.MSELoss(), data, forward=forward)
    assert operator.parameter_names == ("weight",)


def test_forward_passes_that_differentiate_what_is_not_selected():
    class Watched(nn.Sequential):
        def forward(self, x):
            h = self[0](x)
            h.retain_grad()
            return self[1](h)

    model, data = Watched(nn.Linear(3, 3), nn.Linear(3, 3)), [(torch.ones(4, 3), torch.arange(4) % 3)]
    assert hessian_operator(model, nn.CrossEntropyLoss(), data).size == 24
    match = (
        r"no derivatives in parameters that are not selected, since .* got: can't retain_grad.*\. Leave parameters= out"
    )
    with pytest.raises(ValueError, match=match):
        hessian_operator(model, nn.CrossEntropyLoss(), data, parameters="1.*")


def normed(*names):
    """Return a network with as many layers of batch normalisation, fresh."""
    layers = {name: nn.BatchNorm1d(3) for name in names}
    return nn.Sequential(OrderedDict({**layers, "head": nn.Linear(3, 2)})).eval()


@pytest.mark.filterwarnings("always::UserWarning")
def test_statistics_that_were_never_updated_are_warned_of():
    """Before training, eigenvalues in evaluation mode are those of another network, at about the same loss."""
    loss, data = nn.CrossEntropyLoss(), [(torch.ones(6, 3).cumsum(0), torch.arange(6) % 2)]
    message = (
        r"never updated, of 'a', 'b', 'c' and 1 more: .* Write torch\.optim\.swa_utils\.update_bn\(batches, model\)"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        hessian_operator(normed("a", "b", "c", "d"), loss, data)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=r"never updated, of 'a': "):
        ggn_operator(normed("a"), loss, data)


@pytest.mark.filterwarnings("error")
def test_statistics_that_were_updated_or_loaded_are_not():
    loss, data = nn.CrossEntropyLoss(), [(torch.ones(6, 3).cumsum(0), torch.arange(6) % 2)]
    updated = normed("a")
    torch.optim.swa_utils.update_bn(data, updated)
    hessian_operator(updated.eval(), loss, data)
    loaded = normed("a")  # from a library that does not count batches
    loaded.a.running_mean.fill_(0.5)
    hessian_operator(loaded, loss, data)
