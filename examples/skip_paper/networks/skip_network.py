"""The three architectures of section 2.3: plain, residual and hyper-residual multilayer perceptrons."""

import itertools
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from skip_paper.networks.training import BiasPenalty, bias_penalty

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
        Distinct columns of Q_k. Default: a quarter of ``width``. In a residual network: of skip matrices in the place
        of the identity, one a layer; by default the identity itself.
    skip_correlation
        The paper's tau: skip matrices of a residual network with the spectrum of an orthogonal matrix and correlated
        eigenvectors (figure 8; see `correlated_matrices`).
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
        num_skip_vectors: int | None = None,
        skip_correlation: float | None = None,
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
        self._start(generator_of(seed, stream=0), hidden_start, malicious)
        skips = torch.empty(0)
        if architecture == "hyper-residual":
            distinct = max(1, width // 4) if num_skip_vectors is None else num_skip_vectors
            skips = skip_matrices(generator_of(seed, stream=1), max(depth - 2, 0), width, distinct)
        elif architecture == "residual" and skip_correlation is not None:
            skips = correlated_matrices(generator_of(seed, stream=1), depth - 1, width, skip_correlation)
        elif architecture == "residual" and num_skip_vectors is not None:
            skips = skip_matrices(generator_of(seed, stream=1), depth - 1, width, num_skip_vectors)
        self.register_buffer("skip_vectors", skips)

    @torch.no_grad()
    def _start(self, generator: torch.Generator, hidden_start: float, malicious: bool) -> None:
        for index, layer in enumerate([*self.hidden, self.output]):
            scale = (2 / (layer.in_features + layer.out_features)) ** 0.5
            if 1 <= index < len(self.hidden):
                scale *= hidden_start
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
    return _orthogonal(generator, count, width)[:, :, :distinct].to(torch.get_default_dtype()).contiguous()


def correlated_matrices(generator: torch.Generator, count: int, width: int, tau: float) -> Tensor:
    """Return matrices with eigenvalues on the unit circle and correlated eigenvectors, shape (count, width, width).

    S = Q diag(exp(-tau (i - 1))) Q^T with Q random orthogonal, R = D^{-1/2} S D^{-1/2} with D = diag(S), R = T T^T
    (Cholesky), and the matrix is T O T^{-1} with O another random orthogonal matrix: the paper's T U L U^{-1} T^{-1},
    where O = U L U^{-1}. tau = 0 gives O.

    Notes
    -----
    Source: Orhan & Pitkow (2018), note 6.
    """
    if not tau >= 0:
        raise ValueError(f"skip_correlation must be at least 0; got {tau}.")
    q, o = _orthogonal(generator, count, width), _orthogonal(generator, count, width)
    covariance = (q * torch.exp(-tau * torch.arange(width, dtype=torch.float64))) @ q.mT
    deviations = torch.diagonal(covariance, dim1=-2, dim2=-1).sqrt()
    t = torch.linalg.cholesky(covariance / deviations.unsqueeze(-1) / deviations.unsqueeze(-2))
    matrices = torch.linalg.solve_triangular(t, t @ o, upper=False, left=False)
    return matrices.to(torch.get_default_dtype()).contiguous()


def _orthogonal(generator: torch.Generator, count: int, width: int) -> Tensor:
    """Return random orthogonal matrices, uniform over the group, shape (count, width, width), float64."""
    # QR with a positive diagonal of R gives matrices that are uniform over the orthogonal group (Mezzadri 2007).
    q, r = torch.linalg.qr(torch.randn(count, width, width, generator=generator, dtype=torch.float64))
    return q * torch.sign(torch.diagonal(r, dim1=-2, dim2=-1)).unsqueeze(-2)


@dataclass(frozen=True)
class NetworkSpec:
    """A network of the paper except its inputs and seed: the arguments of `SkipNetwork`, and BiasReg's penalty.

    ``bias_strength`` is lambda, and N(``bias_mean``, ``bias_scale``) the distribution of the targets.
    """

    architecture: Architecture
    depth: int
    width: int
    hidden_start: float = 1.0
    num_skip_vectors: int | None = None
    skip_correlation: float | None = None
    malicious: bool = False
    batch_norm_layer: int = 0
    bias_strength: float = 0.0
    bias_mean: float = 0.0
    bias_scale: float = 0.0

    def build(self, num_inputs: int, num_classes: int, seed: int) -> SkipNetwork:
        """Return the network at its start."""
        options = asdict(self)
        for name in ("architecture", "bias_strength", "bias_mean", "bias_scale"):
            options.pop(name)
        return SkipNetwork(self.architecture, num_inputs, num_classes, seed=seed, **options)

    def penalty(self, seed: int) -> BiasPenalty:
        """Return the penalty on the biases, of strength 0 for most networks."""
        return bias_penalty(
            seed,
            depth=self.depth,
            width=self.width,
            mean=self.bias_mean,
            scale=self.bias_scale,
            strength=self.bias_strength,
        )


def count_parameters(network: nn.Module) -> int:
    """Return the number of trained parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def generator_of(seed: int, *, stream: int) -> torch.Generator:
    """Return a generator for one purpose (weights, skips) of a seed, independent of every other."""
    state = np.random.SeedSequence(seed, spawn_key=(stream,)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))
