"""The three architectures of section 2.3: plain, residual and hyper-residual multilayer perceptrons."""

import itertools
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from skip_paper.networks.skip_matrices import correlated_matrices, generator_of, skip_matrices

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
    truncated
        Draw all weights from a normal distribution truncated at two deviations, as Keras did in 2017: their deviation
        is 0.88 of Glorot's.
    num_skip_vectors
        Distinct columns of Q_k. Default: a quarter of ``width``. In a residual network: of the skip matrix in the place
        of the identity; by default the identity itself.
    skip_correlation
        The paper's tau: skip matrices of a residual network with the spectrum of an orthogonal matrix and correlated
        eigenvectors (figure 8; see `correlated_matrices`).
    shared_skips
        Whether all layers of a residual network have one skip matrix. Its powers are bounded where its eigenvalues lie
        on the unit circle; a product of different ones is not.
    malicious
        Subtract the identity from the start of W_1..W_{L-1} (ResMalInit).
    batch_norm_layer
        Layer (1 is the first hidden one) whose inputs W x + b are batch normalised before its ReLU; 0 is none.

    Notes
    -----
    Source: Orhan & Pitkow (2018), section 2.3 and notes 2 and 6; Glorot & Bengio (2010).
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
        truncated: bool = False,
        num_skip_vectors: int | None = None,
        skip_correlation: float | None = None,
        shared_skips: bool = True,
        malicious: bool = False,
        batch_norm_layer: int = 0,
    ) -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise ValueError(f"architecture must be one of {', '.join(ARCHITECTURES)}; got {architecture!r}.")
        if depth < 1 or width < 1:
            raise ValueError(f"depth and width must be at least 1; got {depth} and {width}.")
        if not 0 <= batch_norm_layer <= depth:
            raise ValueError(f"batch_norm_layer must be 0 (none) or a layer of 1..{depth}; got {batch_norm_layer}.")
        self.architecture = architecture
        self.batch_norm_layer = batch_norm_layer
        sizes = [num_inputs] + [width] * depth
        self.hidden = nn.ModuleList(skip_init(nn.Linear, before, after) for before, after in itertools.pairwise(sizes))
        self.output = skip_init(nn.Linear, width, num_classes)
        if batch_norm_layer:
            self.batch_norm = nn.BatchNorm1d(width)
        self._start(generator_of(seed, stream=0), hidden_start, malicious, truncated)
        self.register_buffer(
            "skip_vectors", self._skips(seed, depth, width, num_skip_vectors, skip_correlation, shared_skips)
        )

    def _skips(
        self, seed: int, depth: int, width: int, distinct: int | None, correlation: float | None, shared: bool
    ) -> Tensor:
        """Return the matrices of skips, one for each source layer or one for all; empty where there are none."""
        generator = generator_of(seed, stream=1)
        count = 1 if shared else depth - 1
        if self.architecture == "hyper-residual":
            quarter = max(1, width // 4)
            return skip_matrices(generator, max(depth - 2, 0), width, quarter if distinct is None else distinct)
        if self.architecture == "residual" and correlation is not None:
            return correlated_matrices(generator, count, width, correlation)
        if self.architecture == "residual" and distinct is not None:
            return skip_matrices(generator, count, width, distinct)
        return torch.empty(0)

    @torch.no_grad()
    def _start(self, generator: torch.Generator, hidden_start: float, malicious: bool, truncated: bool) -> None:
        for index, layer in enumerate([*self.hidden, self.output]):
            scale = (2 / (layer.in_features + layer.out_features)) ** 0.5
            if 1 <= index < len(self.hidden):
                scale *= hidden_start
            if truncated:
                nn.init.trunc_normal_(layer.weight, std=scale, a=-2 * scale, b=2 * scale, generator=generator)
            else:
                layer.weight.copy_(scale * torch.randn(layer.weight.shape, generator=generator))
            if malicious and 1 <= index < len(self.hidden):
                layer.weight.sub_(torch.eye(layer.in_features))
            layer.bias.zero_()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits, shape (examples, classes), of inputs of shape (examples, inputs)."""
        if self.architecture == "hyper-residual":
            return self.output(self._hyper_residual(inputs))
        x = self._layer(0, inputs)
        for l in range(1, len(self.hidden)):  # noqa: E741 (the paper's letter)
            after = self._layer(l, x)
            if self.architecture == "residual":
                after = after + (self._skip(l, x) if self.skip_vectors.numel() else x)
            x = after
        return self.output(x)

    def _hyper_residual(self, inputs: Tensor) -> Tensor:
        x = self._layer(0, inputs)
        previous, running_sum = x, 0.0
        for l in range(1, len(self.hidden)):  # noqa: E741 (the paper's letter)
            after = self._layer(l, x) + x
            if l >= 2:
                running_sum = running_sum + self._skip(l - 1, previous)
                after = after + running_sum / (l - 1)
            previous, x = x, after
        return x

    def _layer(self, l: int, x: Tensor) -> Tensor:  # noqa: E741
        """Return f(W_l x + b_{l+1})."""
        inputs = self.hidden[l](x)
        return torch.relu(self.batch_norm(inputs) if l + 1 == self.batch_norm_layer else inputs)

    def _skip(self, k: int, x: Tensor) -> Tensor:
        """Return Q_k x."""
        vectors = self.skip_vectors[(k - 1) % len(self.skip_vectors)]
        parts = x.unflatten(-1, (-1, vectors.shape[1]))
        return parts.sum(dim=-2) @ vectors.T


def count_parameters(network: nn.Module) -> int:
    """Return the number of trained parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
