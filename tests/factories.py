"""Functions for tests of the command line, good and bad: what a user may name as FACTORY."""

import sys
import warnings

import numpy as np
import torch
from torch import nn

from hessdens import hessian_operator

SETTING = 3
WIDTHS = (4, 5, 3)


def problem():
    """A model of 43 parameters in float32, a loss and data of two batches."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(WIDTHS[0], WIDTHS[1]), nn.Tanh(), nn.Linear(*WIDTHS[1:]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    inputs = torch.randn(30, WIDTHS[0], generator=generator)
    targets = torch.randint(0, WIDTHS[2], (30,), generator=generator)
    return model, nn.CrossEntropyLoss(), [(inputs[:20], targets[:20]), (inputs[20:], targets[20:])]


class SharedKeys(nn.Module):
    """Attention of four heads, two of which share a key and a value, with the names of Llama."""

    def __init__(self):
        super().__init__()
        self.attn = nn.ModuleDict({f"{q}_proj": nn.Linear(8, 4 if q in "kv" else 8, bias=False) for q in "qkvo"})

    def forward(self, x):
        q, k, v = (self.attn[f"{name}_proj"](x).unflatten(-1, (-1, 2)).transpose(1, 2) for name in "qkv")
        k, v = (part.repeat_interleave(2, dim=1) for part in (k, v))
        weights = torch.softmax(q @ k.transpose(-1, -2), dim=-1)
        return self.attn["o_proj"]((weights @ v).transpose(1, 2).flatten(2))


def shared_keys():
    torch.manual_seed(0)
    return SharedKeys(), nn.MSELoss(), [(torch.randn(3, 2, 8), torch.randn(3, 2, 8))]


def model_alone():
    return problem()[0]


def loader():
    model, loss_fn, data = problem()
    return model, loss_fn, Loader(data)


class Loader:
    """Batches that can be read again and again, and are no list."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def dictionaries():
    model, loss_fn, data = problem()
    batches = [{"x": inputs, "y": targets} for inputs, targets in data]
    return model, loss_fn, batches, {"forward": lambda model, batch: (model(batch["x"]), batch["y"])}


def operator():
    return hessian_operator(*problem())


def matrix():
    return np.diag(np.concatenate([np.random.default_rng(0).normal(0, 0.01, 40), [3.0, 2.0, -1.0]]))


def warned():
    warnings.warn("the data are old", stacklevel=1)
    return matrix()


def interrupted():
    raise KeyboardInterrupt


calls = []


def counted():
    calls.append(1)
    return matrix()


def exits():
    sys.exit(0)


def quits():
    quit()


def exits_in_the_model():
    model, loss_fn, data = problem()
    return model, loss_fn, data, {"forward": lambda model, batch: sys.exit("no more")}


class Abandoned(BaseException):
    pass


def abandons():
    raise Abandoned("enough")


def raises():
    return {}["missing"]


def without_weights():
    return torch.load("weights_that_are_not_there.pt")


def fails_in_the_model():
    model, loss_fn, data = problem()
    return model, loss_fn, data, {"forward": forward_with_a_mistake}


def forward_with_a_mistake(model, batch):
    raise RuntimeError("no such layer")


def used_up():
    model, loss_fn, data = problem()
    return model, loss_fn, iter(data)


def random_model():
    _, loss_fn, data = problem()
    return nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)), loss_fn, data


def nothing():
    pass


def two():
    return problem()[:2]


def not_a_model():
    return "model", *problem()[1:]


def list_in_fourth_place():
    return *problem(), ["forward"]


def misspelt_keyword():
    return *problem(), {"foward": None}


def a_class():
    return dict


def text():
    return "matrix"


def lopsided():
    return np.array([[1.0, 2.0], [0.0, 1.0]])


def with_arguments(width):
    return width
