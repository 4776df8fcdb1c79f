"""Models, losses and data whose Gauss-Newton matrices the Gram matrix must give."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import fisher_operator, ggn_operator

GENERATOR = torch.Generator().manual_seed(0)


def normal(*shape):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


INPUTS, LABELS, TARGETS = normal(6, 4), torch.tensor([0, 1, 2, 0, 1, 1]), normal(6, 3)
PAIRS = [(INPUTS[:4], LABELS[:4]), (INPUTS[4:], LABELS[4:])]


def perceptron():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()


class Tied(nn.Module):
    """An embedding that is the last layer too, a layer that is used twice, and a norm."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.layer, self.norm = nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4)

    def forward(self, tokens):
        hidden = self.layer(self.norm(self.layer(self.embedding(tokens))))
        return F.linear(hidden, self.embedding.weight).transpose(1, 2)


class Scaled(nn.Module):
    """A model with parameters of its own, one of them without axes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.scale, self.shift, self.layer = (
            nn.Parameter(torch.tensor(1.5)),
            nn.Parameter(torch.ones(3)),
            nn.Linear(4, 3),
        )

    def forward(self, x):
        return torch.tanh(self.layer(x) + self.shift) * self.scale


class Late(nn.Module):
    """A layer whose weight is used in another way for the second example only."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x) + (self.layer.weight.sum() if x[0, 0] > 0 else 0)


def convolutional():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8, 3)).double()


def encoder():
    torch.manual_seed(0)
    return nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True).double().eval()


def cosine(outputs, targets):
    return torch.cos(outputs).mean()


def weighted(outputs, targets):
    return F.cross_entropy(outputs, targets, weight=torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))


def make_cases():
    tokens = torch.tensor([[0, 1, 2, 3], [4, 0, 1, 1], [2, 2, 3, 0]])
    unsplit = {"split_batches": False, "num_examples": lambda batch: 1.0}
    return {
        "perceptron": ggn_operator(perceptron(), nn.CrossEntropyLoss(), PAIRS),
        "mean squares and decay": ggn_operator(perceptron(), nn.MSELoss(), [(INPUTS, TARGETS)], weight_decay=0.1),
        "some parameters": ggn_operator(perceptron(), F.cross_entropy, PAIRS, parameters=["0.bias", "2.weight"]),
        "not convex": ggn_operator(perceptron(), cosine, PAIRS),
        "not split": ggn_operator(perceptron(), weighted, [(INPUTS, LABELS)], **unsplit),
        "convolution": ggn_operator(convolutional(), F.cross_entropy, [(normal(5, 1, 4, 4), LABELS[:5])]),
        "tied": ggn_operator(Tied().double(), F.cross_entropy, [(tokens, tokens.flip(0))]),
        "another use later": ggn_operator(Late().double(), F.cross_entropy, PAIRS),
        "own parameters": ggn_operator(Scaled().double(), F.cross_entropy, PAIRS),
        "encoder": ggn_operator(encoder(), nn.MSELoss(), [(normal(2, 3, 4), normal(2, 3, 4))]),
        "empirical Fisher": fisher_operator(perceptron(), F.cross_entropy, PAIRS, kind="empirical"),
        "sampled Fisher": fisher_operator(perceptron(), F.cross_entropy, PAIRS, kind="monte-carlo", num_samples=2),
        "more rows than parameters": ggn_operator(
            nn.Linear(2, 3, bias=False).double(), nn.MSELoss(), [(normal(20, 2), normal(20, 3))]
        ),
    }
