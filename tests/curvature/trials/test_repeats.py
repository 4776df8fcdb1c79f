"""Random losses are refused, with the place where they begin to be so."""

import torch
from curvature_cases import DATA, linear, refuse
from torch import nn
from torch.nn import functional as F  # noqa: N812


def test_noise_names_the_module():
    class Noise(nn.Module):
        def forward(self, x):
            return x + torch.rand_like(x)

    refuse("must not be random; .*, from Noise '1' on", model=nn.Sequential(linear(), Noise(), nn.Tanh()))


def test_noise_in_the_forward_pass():
    refuse(
        "must not be random; the same batch gave .* outside of the model's modules",
        data=[DATA[0]],
        forward=lambda model, batch: (F.dropout(model(batch[0])), batch[1]),
    )


def test_random_numbers_before_a_head_of_zeros_are_found_out():
    head = linear()
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    refuse(
        "must not be random; ",
        model=nn.Sequential(nn.Tanh(), head),
        forward=lambda model, batch: (model[1](F.dropout(batch[0], training=True)), batch[1]),
    )
