"""The loss as a function of the parameters leaves the model as it is."""

import pytest
import torch
from curvature_cases import dense, normal
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

from hessdens import Plan, fisher_operator, ggn_operator, hessian_operator
from hessdens.curvature.engines import loss_module
from hessdens.curvature.engines.loss_module import LossModule


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


def test_loss_that_reads_parameters_is_differentiated():
    model = nn.Linear(3, 2).double()
    data = [(normal(5, 3), torch.arange(5) % 2)]

    def penalised(z, t):
        return F.cross_entropy(z, t) + sum(p.pow(4).sum() for p in model.parameters())

    operator = hessian_operator(model, penalised, data)
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    expected = dense(hessian_operator(model, F.cross_entropy, data)) + torch.diag(12 * flat**2)
    torch.testing.assert_close(dense(operator), expected)
    assert "feedforward" not in operator.modes
    with pytest.raises(ValueError, match=r"loss_fn of the outputs alone; .*Return the penalty, .*from forward="):
        ggn_operator(model, penalised, data)


def test_parameters_used_past_the_model_are_refused():
    model = nn.Linear(3, 3).double()
    weight, data = model.weight, [(normal(5, 3), torch.arange(5) % 3)]
    with pytest.raises(ValueError, match="'weight' is used past it"):
        hessian_operator(model, nn.CrossEntropyLoss(), data, forward=lambda m, b: (m(b[0]) @ weight, b[1]))


def test_gradient_in_float64_of_a_float32_model_and_loss():
    model, loss_fn = nn.Linear(3, 2), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0]))
    batch = (normal(5, 3).float(), torch.arange(5) % 2)
    loss, values = LossModule(model, loss_fn, None), dict(model.named_parameters())
    values = {name: value.detach() for name, value in values.items()}
    wide = {name: v.double() for name, v in values.items()}
    value, gradient = loss.gradient(batch, wide, wide=True, watch=True)
    assert value.dtype == gradient[0].dtype == torch.float64
    assert model.weight.dtype == loss_fn.weight.dtype == torch.float32
    with pytest.raises(TypeError, match="not in float64"):
        LossModule(model, loss_fn, lambda m, b: (m(b[0]).float(), b[1])).gradient(batch, wide, wide=True, watch=True)


def test_compiled_models_and_losses_are_used_as_written():
    model, loss_fn = nn.Linear(3, 2), nn.CrossEntropyLoss()
    loss = LossModule(torch.compile(model, backend="eager"), torch.compile(loss_fn, backend="eager"), None)
    assert (loss.model, loss.loss_fn) == (model, loss_fn)


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


def test_gradients_are_zero_where_nothing_depends_and_dense_always():
    table, x, other = nn.Embedding(3, 2, sparse=True).weight, torch.ones(2, requires_grad=True), torch.ones(2, 0)
    other.requires_grad_()
    value = (F.embedding(torch.tensor([1, 1]), table, sparse=True) @ x).sum()
    at_table, at_x, at_other = loss_module.gradients(value, [table, x, other], create_graph=True)
    assert torch.equal(at_table, torch.tensor([[0.0, 0.0], [2.0, 2.0], [0.0, 0.0]]))
    assert torch.equal(at_x, 2 * table[1])
    assert at_other.shape == (2, 0)
    (zero,) = loss_module.gradients(torch.ones(()), [x])
    assert torch.equal(zero, torch.zeros(2))
    assert torch.equal(loss_module.dense(torch.eye(2).to_sparse()), torch.eye(2))


class Centred(nn.Module):
    """Subtracts a running mean of the outputs, as self-distillation does."""

    def __init__(self):
        super().__init__()
        self.register_buffer("centre", torch.zeros(3, dtype=torch.float64))

    def forward(self, z, t):
        value = F.cross_entropy((z - self.centre).tanh(), t)
        self.centre.lerp_(z.detach().mean(dim=0), 0.5)
        return value


@pytest.mark.parametrize(
    "make",
    [hessian_operator, ggn_operator, lambda *rest, **options: fisher_operator(*rest, kind="empirical", **options)],
)
def test_running_statistics_of_a_loss_are_those_that_it_has(make):
    model, loss_fn, data = nn.Linear(4, 3).double(), Centred(), [(normal(7, 4), torch.arange(7) % 3)]
    loss_fn.centre += 1

    def at_the_centre(z, t):
        return F.cross_entropy((z - 1).tanh(), t)

    operator = make(model, loss_fn, data, plan=Plan(examples_per_block=2))
    torch.testing.assert_close(dense(operator), dense(make(model, at_the_centre, data)))
    assert torch.equal(loss_fn.centre, torch.ones(3, dtype=torch.float64))
