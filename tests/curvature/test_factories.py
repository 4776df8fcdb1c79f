"""Hessian products: against closed forms, finite differences and torch.func.hessian."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import flat_gradient, hessian_by_differences
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

from hessdens import Plan, hessian_operator
from hessdens.testing import networks

RAGGED = (16, 16, 5)  # a short last batch


def dense(operator):
    return operator @ torch.eye(operator.size, dtype=operator.dtype, device=operator.device)


def relative_error(estimate, reference):
    reference = torch.as_tensor(reference)
    return float((estimate - reference).norm() / reference.norm())


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


def test_linear_regression_closed_form():
    """Mean squared error of one output: H = (2/n) [X 1]^T [X 1], whatever the targets."""
    inputs, targets = normal(37, 4), normal(37, 1, seed=1)
    operator = hessian_operator(nn.Linear(4, 1).double(), nn.MSELoss(), batches(inputs, targets))
    design = torch.cat([inputs, torch.ones(37, 1, dtype=torch.float64)], dim=1)
    assert relative_error(dense(operator), 2 / 37 * design.T @ design) < 1e-13


def test_logistic_regression_closed_form():
    """Binary cross-entropy: H = (1/n) sum_i p_i (1 - p_i) [x_i 1][x_i 1]^T."""
    inputs, targets = normal(37, 4), (normal(37, 1, seed=1) > 0).double()
    model = nn.Linear(4, 1).double()
    operator = hessian_operator(model, nn.BCEWithLogitsLoss(), batches(inputs, targets))
    design = torch.cat([inputs, torch.ones(37, 1, dtype=torch.float64)], dim=1)
    p = torch.sigmoid(model(inputs).detach())
    assert relative_error(dense(operator), (design * p * (1 - p)).T @ design / 37) < 1e-13


def test_deep_network_against_torch_func_and_finite_differences():
    model = narrow_network()
    inputs, targets = normal(37, 4), torch.arange(37) % 3
    operator = hessian_operator(model, nn.CrossEntropyLoss(), batches(inputs, targets), plan=Plan(examples_per_block=7))
    hessian = dense(operator)
    gradient = flat_gradient(model, nn.CrossEntropyLoss(), inputs, targets)
    point = torch.cat([p.detach().reshape(-1) for p in model.parameters()])

    def loss(vector):
        pieces = vector.split([p.numel() for p in model.parameters()])
        shapes = dict(model.named_parameters())
        values = {name: piece.reshape(p.shape) for (name, p), piece in zip(shapes.items(), pieces, strict=True)}
        return F.cross_entropy(torch.func.functional_call(model, values, (inputs,)), targets)

    assert relative_error(hessian, torch.func.hessian(loss)(point)) < 1e-10
    assert relative_error(hessian, hessian_by_differences(gradient, point.numpy(), 1e-3)) < 1e-9
    assert relative_error(hessian, hessian.T) < 1e-12


@settings(max_examples=30)
@given(networks(), st.integers(1, 6), st.integers(1, 4))
def test_any_network_and_any_blocks(case, examples_per_block, probes_per_block):
    operator = hessian_operator(
        case.model,
        case.loss_fn,
        case.data,
        plan=Plan(examples_per_block=examples_per_block, probes_per_block=probes_per_block),
    )
    reference = case.dense_hessian()
    torch.testing.assert_close(dense(operator), reference, rtol=1e-10, atol=1e-12 * float(1 + reference.abs().max()))


def test_float32_model():
    model, inputs, targets = narrow_network(), normal(37, 4), torch.arange(37) % 3
    reference = dense(hessian_operator(model, nn.CrossEntropyLoss(), batches(inputs, targets)))
    operator = hessian_operator(model.float(), nn.CrossEntropyLoss(), batches(inputs.float(), targets))
    assert operator.dtype == torch.float32
    assert relative_error(dense(operator).double(), reference) < 1e-5


def test_mode_falls_back_where_torch_has_no_forward_derivative():
    """The Huber loss has no forward derivative in torch, and the mean squared error's fails (pytorch issue 123996)."""
    inputs, targets = normal(37, 4), normal(37, 1, seed=1)
    huber = hessian_operator(nn.Linear(4, 1).double(), nn.HuberLoss(delta=100.0), batches(inputs, targets))
    square = hessian_operator(nn.Linear(4, 1).double(), nn.MSELoss(), batches(inputs, targets))
    assert huber.modes == square.modes == ("feedforward", "reverse-over-reverse")
    assert relative_error(dense(huber), dense(square) / 2) < 1e-13, "far from the kink, Huber is half the square"


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_all_modes_agree(activation):
    model, data = narrow_network(activation), batches(normal(37, 4), torch.arange(37) % 3)
    modes = hessian_operator(model, nn.CrossEntropyLoss(), data).modes
    assert modes == ("feedforward", "forward-over-reverse", "reverse-over-reverse")
    products = [dense(hessian_operator(model, nn.CrossEntropyLoss(), data, plan=Plan(mode))) for mode in modes]
    assert relative_error(products[1], products[0]) < 1e-12
    assert relative_error(products[2], products[0]) < 1e-12


FORWARD_MODE = """
import warnings
import torch
from hessdens import Plan, {maker}
warnings.simplefilter("error")
data = [(torch.eye(2), torch.tensor([0, 1]))]
H = {maker}(torch.nn.Linear(2, 2), torch.nn.CrossEntropyLoss(), data, plan=Plan("forward-over-reverse"))
print((H @ torch.ones(6)).abs().sum().item())
"""


@pytest.mark.parametrize("maker", ["hessian_operator", "ggn_operator"])
def test_first_forward_derivative_warns_of_nothing(maker):
    """In a process of its own: torch compiles its rules once. Ones move both logits alike, so that nothing changes."""
    program = FORWARD_MODE.format(maker=maker)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert float(done.stdout) < 1e-6


class Cubed(torch.autograd.Function):
    """A custom operation in the old style, differentiable twice, but not forward and not under vmap."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradient


class CubedOnce(Cubed):
    """The same, whose backward pass torch must not differentiate."""

    backward = staticmethod(once_differentiable(Cubed.backward))


class CubedWrongly(torch.autograd.Function):
    """The same with a forward derivative that is wrong."""

    generate_vmap_rule = True
    forward = staticmethod(lambda x: x**3)
    backward = Cubed.backward

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def jvp(ctx, tangent):
        return 2 * tangent


@pytest.mark.parametrize("operation", [Cubed, CubedOnce, CubedWrongly])
def test_custom_operations_have_right_products_or_a_measured_error(operation, recwarn):
    warnings.simplefilter("always")
    model, data = nn.Linear(4, 3).double(), batches(normal(37, 4), torch.arange(37) % 3)

    def operator(cube):
        return hessian_operator(
            model, nn.CrossEntropyLoss(), data, forward=lambda model, batch: (cube(model(batch[0])), batch[1])
        )

    reference, found = dense(operator(lambda x: x**3)), operator(operation.apply)
    error = relative_error(dense(found), reference)
    if operation is CubedOnce:
        assert found.modes == ("central-differences",)
        assert "torch cannot differentiate this loss twice" in str(recwarn[0].message)
        assert error < found.product_error < 1e-5
    else:
        assert found.modes == ("reverse-over-reverse",)
        assert found.product_error is None
        assert error < 1e-13
        assert not recwarn


def test_single_example_batches():
    model, inputs, targets = nn.Linear(3, 2).double(), normal(5, 3), normal(5, 2, seed=1)
    one = hessian_operator(model, nn.MSELoss(), batches(inputs, targets, (1,) * 5))
    assert relative_error(dense(one), dense(hessian_operator(model, nn.MSELoss(), [(inputs, targets)]))) < 1e-14


def test_forward_adapts_dictionaries_and_num_examples_weighs_tokens():
    """Masked tokens: the mean over all unmasked ones, not the mean of the batches' means."""
    model = nn.Linear(3, 4).double()
    tokens, labels = normal(10, 6, 3), torch.arange(60).reshape(10, 6) % 4
    labels[:, 4:] = -100
    labels[7:, 1:] = -100

    def forward(model, batch):
        return model(batch["tokens"]).flatten(0, 1), batch["labels"].flatten()

    data = [{"tokens": tokens[:7], "labels": labels[:7]}, {"tokens": tokens[7:], "labels": labels[7:]}]
    operator = hessian_operator(
        model,
        nn.CrossEntropyLoss(),
        data,
        forward=forward,
        num_examples=lambda batch: int((batch["labels"] >= 0).sum()),
        plan=Plan(examples_per_block=2),
    )
    kept = labels.flatten() >= 0
    reference = hessian_operator(model, nn.CrossEntropyLoss(), [(tokens.flatten(0, 1)[kept], labels.flatten()[kept])])
    assert relative_error(dense(operator), dense(reference)) < 1e-13


def test_forward_may_call_any_method_of_the_model():
    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = nn.Linear(3, 2).double(), nn.Linear(2, 3).double()

        def reconstruct(self, x):
            return self.decoder(torch.tanh(self.encoder(x)))

    inputs = normal(9, 3)
    operator = hessian_operator(
        Autoencoder(), nn.MSELoss(), [inputs], forward=lambda model, batch: (model.reconstruct(batch), batch)
    )
    assert operator.parameter_names[0] == "encoder.weight"
    assert dense(operator).norm() > 0


def test_split_batches_off_takes_a_loss_that_is_no_mean_over_examples():
    """Class weights: the batch's loss is taken as it is, and batches are averaged by number of examples."""
    model, inputs, targets = nn.Linear(3, 2).double(), normal(12, 3), torch.arange(12) % 2
    loss_fn = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0], dtype=torch.float64))
    data = batches(inputs, targets, (8, 4))
    operator = hessian_operator(model, loss_fn, data, split_batches=False, plan=Plan(examples_per_block=1))
    parts = [dense(hessian_operator(model, loss_fn, [batch], split_batches=False)) for batch in data]
    assert relative_error(dense(operator), (8 * parts[0] + 4 * parts[1]) / 12) < 1e-14


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
    operator = hessian_operator(model, nn.MSELoss(), [(inputs, targets)])
    assert operator.parameter_names == ("first.weight",)
    W = model.first.weight.detach()
    reference = torch.func.hessian(
        lambda w: F.mse_loss(torch.tanh(inputs @ w.reshape(3, 3).T) @ w.reshape(3, 3).T, targets)
    )(W.reshape(-1))
    assert relative_error(dense(operator), reference) < 1e-13


def test_batch_norm_in_evaluation_mode():
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)).double()
    model(normal(50, 4, seed=4))
    model.eval()
    inputs, targets = normal(37, 4), torch.arange(37) % 3
    operator = hessian_operator(model, nn.CrossEntropyLoss(), batches(inputs, targets))
    gradient = flat_gradient(model, nn.CrossEntropyLoss(), inputs, targets)
    point = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    assert relative_error(dense(operator), hessian_by_differences(gradient, point.numpy(), 1e-3)) < 1e-9


def test_model_and_random_state_are_left_as_they_were():
    class Counting(nn.Module):
        """Writes to a buffer in each forward pass."""

        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 3).double()
            self.register_buffer("calls", torch.zeros(1, dtype=torch.float64))

        def forward(self, x):
            self.calls += 1
            return self.linear(x)

    model = Counting().train()
    loader = DataLoader(TensorDataset(normal(37, 4), torch.arange(37) % 3), batch_size=10)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    dense(hessian_operator(model, nn.CrossEntropyLoss(), loader))
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(p.grad, torch.ones_like(p)) and p.requires_grad for p in model.parameters())


def test_operator_follows_the_model():
    model = nn.Linear(2, 1).double()
    operator = hessian_operator(model, nn.BCEWithLogitsLoss(), [(normal(5, 2), torch.ones(5, 1).double())])
    before = dense(operator)
    with torch.no_grad():
        model.weight += 1
    assert relative_error(dense(operator), before) > 1e-3


def test_product_is_linear_and_serves_scipy():
    from scipy.sparse.linalg import eigsh

    operator = hessian_operator(narrow_network(), nn.CrossEntropyLoss(), batches(normal(37, 4), torch.arange(37) % 3))
    hessian = dense(operator)
    v = normal(operator.size)
    torch.testing.assert_close(operator @ v, hessian @ v, rtol=1e-9, atol=1e-12)
    top = eigsh(operator.to_scipy(), k=2, which="LM", return_eigenvectors=False, v0=np.ones(operator.size))
    exact = np.linalg.eigvalsh(hessian.numpy())
    np.testing.assert_allclose(np.max(np.abs(top)), np.max(np.abs(exact)), rtol=1e-8)


@pytest.mark.gpu
def test_products_on_cuda_equal_those_on_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model, inputs, targets = narrow_network(), normal(37, 4), torch.arange(37) % 3
    on_cpu = dense(hessian_operator(model, nn.CrossEntropyLoss(), batches(inputs, targets)))
    data = batches(inputs.cuda(), targets.cuda())
    on_cuda = dense(hessian_operator(model.cuda(), nn.CrossEntropyLoss(), data))
    assert relative_error(on_cuda.cpu(), on_cpu) < 1e-12
