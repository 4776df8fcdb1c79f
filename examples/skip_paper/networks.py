"""The three architectures of section 2.3: plain, residual and hyper-residual multilayer perceptrons."""

import itertools
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

Architecture = Literal["plain", "residual", "hyper-residual"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)


class SkipNetwork(nn.Module):
    """Multilayer perceptron with ReLU units and fixed skip connections; the output is one logit a class.

    With f the ReLU and x_0 the input, x_1 = f(W_0 x_0 + b_1) and, for l >= 1,

    - plain: x_{l+1} = f(W_l x_l + b_{l+1});
    - residual: the same + x_l;
    - hyper-residual: the same + x_l + 1/(l-1) * sum_{k=1}^{l-1} Q_k x_k (the sum from l = 2 on).

    Q_k belongs to its source layer k, so one running sum serves all later layers. It consists of ``num_skip_vectors``
    orthonormal columns B_k, repeated width / num_skip_vectors times (the paper's type "32" of 128), so Q_k x is B_k
    times the sum of the equal parts of x.

    Parameters
    ----------
    architecture
        "plain", "residual" or "hyper-residual".
    num_inputs, num_classes
        Sizes of the input and of the output.
    depth, width
        Hidden layers L and units n in each.
    seed
        Decides the weights and Q_k, whatever the state of torch's global generator. The weights are the same for
        all three architectures.
    hidden_start
        Factor on the start of W_1..W_{L-1}, which are Glorot normal with factor 1. Biases start at 0.
    num_skip_vectors
        Distinct columns of Q_k. Default: a quarter of ``width``.

    Notes
    -----
    Source: Orhan & Pitkow (2018), section 2.3 and note 2; Glorot & Bengio (2010).
    """

    skip_vectors: Tensor

    def __init__(
        self,
        architecture: Architecture,
        num_inputs: int,
        num_classes: int,
        *,
        depth: int,
        width: int,
        seed: int,
        hidden_start: float = 1.0,
        num_skip_vectors: int | None = None,
    ) -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise ValueError(f"architecture must be one of {', '.join(ARCHITECTURES)}; got {architecture!r}.")
        if depth < 1 or width < 1:
            raise ValueError(f"depth and width must be at least 1; got {depth} and {width}.")
        self.architecture = architecture
        sizes = [num_inputs] + [width] * depth
        self.hidden = nn.ModuleList(skip_init(nn.Linear, before, after) for before, after in itertools.pairwise(sizes))
        self.output = skip_init(nn.Linear, width, num_classes)
        self._start(_generator(seed, stream=0), hidden_start)
        skips = torch.empty(0)
        if architecture == "hyper-residual":
            distinct = max(1, width // 4) if num_skip_vectors is None else num_skip_vectors
            skips = skip_matrices(_generator(seed, stream=1), max(depth - 2, 0), width, distinct)
        self.register_buffer("skip_vectors", skips)

    @torch.no_grad()
    def _start(self, generator: torch.Generator, hidden_start: float) -> None:
        for index, layer in enumerate([*self.hidden, self.output]):
            scale = (2 / (layer.in_features + layer.out_features)) ** 0.5
            if 1 <= index < len(self.hidden):
                scale *= hidden_start
            layer.weight.copy_(scale * torch.randn(layer.weight.shape, generator=generator))
            layer.bias.zero_()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits, shape (examples, classes), of inputs of shape (examples, inputs)."""
        x = torch.relu(self.hidden[0](inputs))
        if self.architecture == "plain":
            for layer in self.hidden[1:]:
                x = torch.relu(layer(x))
        elif self.architecture == "residual":
            for layer in self.hidden[1:]:
                x = torch.relu(layer(x)) + x
        else:
            x = self._hyper_residual(x)
        return self.output(x)

    def _hyper_residual(self, x: Tensor) -> Tensor:
        previous, running_sum = x, 0.0
        for l, layer in enumerate(self.hidden[1:], start=1):  # noqa: E741 (the paper's letter)
            after = torch.relu(layer(x)) + x
            if l >= 2:
                running_sum = running_sum + self._skip(l - 1, previous)
                after = after + running_sum / (l - 1)
            previous, x = x, after
        return x

    def _skip(self, k: int, x: Tensor) -> Tensor:
        """Return Q_k x."""
        vectors = self.skip_vectors[k - 1]
        parts = x.unflatten(-1, (-1, vectors.shape[1]))
        return parts.sum(dim=-2) @ vectors.T


def skip_matrices(generator: torch.Generator, count: int, width: int, distinct: int) -> Tensor:
    """Return ``count`` random orthonormal sets of ``distinct`` columns, shape (count, width, distinct).

    The skip matrix Q repeats each set width / distinct times, side by side.
    """
    if not 1 <= distinct <= width or width % distinct:
        raise ValueError(
            f"num_skip_vectors must divide width={width}; got {distinct}. Choose another width or number of vectors."
        )
    # QR with a positive diagonal of R gives matrices that are uniform over the orthogonal group (Mezzadri 2007).
    q, r = torch.linalg.qr(torch.randn(count, width, width, generator=generator, dtype=torch.float64))
    q = q * torch.sign(torch.diagonal(r, dim1=-2, dim2=-1)).unsqueeze(-2)
    return q[:, :, :distinct].to(torch.get_default_dtype()).contiguous()


def count_parameters(network: nn.Module) -> int:
    """Return the number of trained parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def _generator(seed: int, *, stream: int) -> torch.Generator:
    """Return a generator for one purpose (weights, skips) of a seed, independent of every other."""
    state = np.random.SeedSequence(seed, spawn_key=(stream,)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))
