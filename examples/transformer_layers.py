"""Spectra layer by layer of a transformer: moments of all diagonal blocks at once, densities of single ones.

    python examples/transformer_layers.py

takes about 2 minutes on one core. A transformer that predicts bytes (two layers) is trained briefly on the
documentation that comes with Python. ``layer_moments`` gives the mean and the root-mean-square eigenvalue of the
Hessian's diagonal block of each weight matrix, with standard errors. All blocks share the products. An operator with
``parameters=`` is the diagonal block of one matrix, and ``lanczos_density`` gives its largest eigenvalue. The blocks
differ by orders of magnitude. The head is the sharpest, and the embeddings of places are the flattest. In the
attention of both layers, the largest eigenvalue of keys is several times that of queries. Such differences are one
explanation of why transformers are trained with Adam, which scales each coordinate, and not by plain gradient descent
(Zhang et al. 2024).

Figure: eigenvalues of the Hessian's diagonal block of each weight matrix, for a transformer that predicts bytes.
Diamonds: the largest, from 20 products. Circles and squares: root mean square and mean of all, with 95% intervals. In
brackets: numbers of weights.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from record import parse, plt, save
from text import NUM_TOKENS, windows
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from hessdens import hessian_operator, lanczos_density
from hessdens.results import Moments
from hessdens.structure import layer_moments


class Layer(nn.Module):
    """Causal self-attention and a perceptron, each with a skip connection."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the next layer's input, shape (batch, length, width)."""
        y = self.norms[0](x)
        heads = [
            part(y).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        ]
        mixed = F.scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2).flatten(start_dim=2)
        x = x + self.out(mixed)
        return x + self.down(F.gelu(self.up(self.norms[1](x))))


class Transformer(nn.Module):
    """Predicts the next token at each place."""

    def __init__(self, width: int, num_layers: int, num_heads: int, length: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(NUM_TOKENS, width), nn.Embedding(length, width)
        self.layers = nn.ModuleList([Layer(width, num_heads) for _ in range(num_layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, NUM_TOKENS, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits, shape (batch, NUM_TOKENS, length), as ``nn.CrossEntropyLoss`` takes them."""
        x = self.tokens(tokens) + self.places.weight[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x)).transpose(1, 2)


def train(model: nn.Module, pieces: Tensor, steps: int) -> None:
    """Train with Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(steps):
        chosen = pieces[torch.randint(len(pieces), (32,))]
        optimizer.zero_grad()
        loss = F.cross_entropy(model(chosen[:, :-1]), chosen[:, 1:])
        loss.backward()
        optimizer.step()
    print(f"loss of the last batch {loss.item():.2f} a token", flush=True)


def draw(moments: dict[str, Moments], largest: dict[str, float]) -> Any:
    """Return a figure: largest, root-mean-square and mean eigenvalue of each block."""
    names = list(moments)
    rows = np.arange(len(names))
    figure, ax = plt.subplots(figsize=(8, 0.28 * len(names) + 1.6), layout="constrained")
    mean, square = (np.array([moments[name].values[k] for name in names]) for k in (0, 1))
    ends = np.array([moments[name].interval() for name in names])  # (blocks, 2, moments)
    root = np.sqrt(square)
    around = np.abs(np.sqrt(np.maximum(ends[:, :, 1], 0)).T - root)
    ax.plot([largest[name] for name in names], rows, "D", color="C3", ms=5, label="largest")
    ax.errorbar(root, rows, xerr=around, fmt="o", color="C0", ms=5, capsize=2, label="root mean square")
    spread = np.abs(ends[:, :, 0].T - mean)
    ax.errorbar(mean, rows, xerr=spread, fmt="s", color="0.4", ms=4, capsize=2, label="mean")
    ax.set_yticks(rows, [f"{name}  ({moments[name].size:,})" for name in names])
    ax.invert_yaxis()
    if mean.min() > 0:
        ax.set_xscale("log")
    else:
        ax.set_xscale("symlog", linthresh=1e-4)
    ax.set_xlabel("eigenvalue of the block (mean and root mean square: 95% intervals)")
    ax.set_ylabel("weights (number)")
    ax.grid(axis="y", color="0.92")
    ax.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Train, estimate each block, draw; return the numbers."""
    options = parse(__doc__, "transformer_layers", argv)
    width, num_layers, length, count, steps, probes, products = (
        (8, 1, 12, 8, 3, 4, 8) if options.small else (32, 2, 64, 64, 400, 16, 20)
    )
    torch.manual_seed(0)
    model = Transformer(width, num_layers, num_heads=2, length=length)
    train(model, windows(1_000, length + 1), steps)
    pieces = windows(count, length + 1)
    data = [(pieces[:, :-1], pieces[:, 1:])]
    loss_fn = nn.CrossEntropyLoss()
    # [decisive lines]
    H = hessian_operator(model, loss_fn, data)
    weights = [name for name in H.parameter_names if "norm" not in name and not name.endswith("bias")]
    layers = {name.removesuffix(".weight"): name for name in weights}
    moments = layer_moments(H, 2, layers=layers, method="skilling", num_probes=probes, progress=True)
    largest = {}
    for layer, name in layers.items():
        block = hessian_operator(model, loss_fn, data, parameters=name)
        largest[layer] = float(lanczos_density(block, max_products=products).nodes()[-1])
    # [end]
    print(f"\n{'block':18s} {'size':>7s} {'largest':>10s} {'root mean square':>17s} {'mean ± standard error':>24s}")
    for layer, found in moments.items():
        (mean, square), (error, _) = found.values, found.standard_errors
        row = f"{largest[layer]:10.3g} {square**0.5:17.2e} {mean:14.2e} ± {error:.1e}"
        print(f"{layer:18s} {found.size:7,} {row}")
    return save(draw(moments, largest), options, {
        "parameters": H.size, "sequences": count, "probes": probes, "largest": largest,
        "mean": {layer: found.values[0] for layer, found in moments.items()},
        "mean_error": {layer: found.standard_errors[0] for layer, found in moments.items()},
        "root_mean_square": {layer: found.values[1] ** 0.5 for layer, found in moments.items()},
    })  # fmt: skip


if __name__ == "__main__":
    main()
