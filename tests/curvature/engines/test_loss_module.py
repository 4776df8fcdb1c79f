"""The loss as a function of the parameters leaves the model as it is."""

import torch
from curvature_cases import dense, normal
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from hessdens import hessian_operator


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
