"""Exact Hessian spectra of small networks at several epochs, which `networks.npz` beside this file keeps.

    python benchmarks/spectra/networks.py [--networks "10x16*"]

makes those that the file lacks, from CIFAR-100 with its 20 coarse classes: Hessians of the loss over the first 200 or
2,000 training images, in float64, all eigenvalues by `exact_spectrum`, rounded to float32. So nobody else has to train.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import measuring  # noqa: F401  # puts the examples on the path
import numpy as np
import torch
from skip_paper.data.images import load_images, prepare
from skip_paper.networks.skip_network import SkipNetwork
from skip_paper.networks.training import orders
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from hessdens import exact_spectrum, ggn_operator, hessian_operator

FILE = Path(__file__).with_name("networks.npz")
CLASSES = 20
# What is trained on.
EXAMPLES, IMAGES = 50_000, 20_000


class Convolutional(nn.Sequential):
    """Three convolutions and a linear layer on images of 8 x 8: 3,184 parameters."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU(), nn.Conv2d(12, 16, 3, 1, 1),
            nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES),
        )  # fmt: skip


class Attention(nn.Module):
    """Two layers of self-attention on 16 patches of 2 x 2 pixels: 3,176 parameters."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.embed, self.place = nn.Linear(12, width), nn.Parameter(0.02 * torch.randn(16, width))
        self.mixing = nn.ModuleList(nn.MultiheadAttention(width, 2, batch_first=True) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.up, self.down = (
            nn.ModuleList(nn.Linear(*sizes) for _ in range(2)) for sizes in ((width, 2 * width), (2 * width, width))
        )
        self.head = nn.Linear(width, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of images, shape (n, 3, 8, 8)."""
        patches = images.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 1, 4, 5).reshape(-1, 16, 12)
        x = self.embed(patches) + self.place
        for i, attention in enumerate(self.mixing):
            y = self.norms[2 * i](x)
            x = x + attention(y, y, y, need_weights=False)[0]
            x = x + self.down[i](F.gelu(self.up[i](self.norms[2 * i + 1](x))))
        return self.head(x.mean(dim=1))


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error against one-hot targets."""
    return (outputs - F.one_hot(targets, CLASSES)).square().sum(dim=1).mean()


@dataclass(frozen=True)
class Family:
    """A network, its data, and the epochs of training (of 100 or 200 steps) after which its spectrum is taken."""

    model: Callable[[], nn.Module]
    data: Callable[[], tuple[Tensor, Tensor]]
    epochs: tuple[int, ...]
    examples: int
    batch_size: int = 500
    learning_rate: float = 5e-4
    loss: Callable[[Tensor, Tensor], Tensor] = nn.CrossEntropyLoss()  # noqa: RUF009
    gauss_newton: bool = False


def components(count: int) -> tuple[Tensor, Tensor]:
    """Return principal components of CIFAR-100, with the coarse labels."""
    inputs, targets = prepare(load_images("cifar100"), num_components=count).train
    return inputs[:EXAMPLES], targets[:EXAMPLES]


def small_images() -> tuple[Tensor, Tensor]:
    """Return images of CIFAR-100, averaged to 8 x 8 pixels."""
    inputs, targets = (part[:IMAGES] for part in prepare(load_images("cifar100")).train)
    return F.avg_pool2d(inputs.view(-1, 3, 32, 32), 4), targets


def perceptron(activation: type[nn.Module], inputs: int, width: int, depth: int) -> nn.Module:
    sizes = [inputs, *[width] * depth]
    layers = [each for pair in pairwise(sizes) for each in (nn.Linear(*pair), activation())]
    return nn.Sequential(*layers, nn.Linear(width, CLASSES))


def skip(architecture: str) -> Callable[[], nn.Module]:
    return lambda: SkipNetwork(architecture, 128, CLASSES, depth=10, width=16, seed=0)


FAMILIES = {
    "10x16 plain": Family(skip("plain"), lambda: components(128), (0, 1, 3, 6, 20), 2000),
    "10x16 residual": Family(skip("residual"), lambda: components(128), (0, 1, 3, 6, 20), 2000),
    "convolutional": Family(Convolutional, small_images, (0, 5), 200, 100, 2e-3),
    "attention": Family(Attention, small_images, (0, 5), 200, 100, 2e-3),
    "GELU, squared error": Family(
        lambda: perceptron(nn.GELU, 64, 24, 3), lambda: components(64), (0, 3), 2000, loss=squared_error
    ),
    "10x16 plain, Gauss-Newton": Family(skip("plain"), lambda: components(128), (3,), 2000, gauss_newton=True),
}


def spectra() -> dict[str, Callable[[], np.ndarray]]:
    """Return for each spectrum in the file what reads it."""
    with np.load(FILE) as archive:
        known = set(archive.files)
    return {name: lambda name=name: _read(name) for name in _names() if name in known}


def network(name: str) -> np.ndarray:
    """Return the eigenvalues of one network, as "10x16 plain, epoch 3"."""
    return np.sort(_read(name))


def _read(name: str) -> np.ndarray:
    with np.load(FILE) as archive:
        return archive[name].astype(np.float64)


def _names() -> list[str]:
    return [f"{family}, epoch {epoch}" for family, parts in FAMILIES.items() for epoch in parts.epochs]


def exact(family: Family) -> Iterator[np.ndarray]:
    """Train a network, and yield the eigenvalues after each of its epochs."""
    inputs, targets = family.data()
    torch.manual_seed(0)
    model = family.model()
    batch = inputs[: family.examples].double(), targets[: family.examples]
    make = ggn_operator if family.gauss_newton else hessian_operator
    optimizer = torch.optim.Adam(model.parameters(), lr=family.learning_rate)
    for epoch, order in enumerate(orders(0, len(inputs))):
        if epoch in family.epochs:
            model.double()
            yield exact_spectrum(make(model, family.loss, [batch])).eigenvalues
            model.float()
        if epoch == max(family.epochs):
            return
        for examples in torch.from_numpy(order).split(family.batch_size):
            optimizer.zero_grad()
            family.loss(model(inputs[examples]), targets[examples]).backward()
            optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="*", help="a pattern of names")
    options = parser.parse_args()
    known = dict(np.load(FILE)) if FILE.exists() else {}
    for name, family in FAMILIES.items():
        names = [f"{name}, epoch {epoch}" for epoch in family.epochs]
        if not fnmatch(name, options.networks) or set(names) <= set(known):
            continue
        start = time.perf_counter()
        for spectrum, eigenvalues in zip(names, exact(family), strict=True):
            known[spectrum] = eigenvalues.astype(np.float32)
            np.savez_compressed(FILE, **known)
            print(f"{spectrum}: {len(eigenvalues):,} eigenvalues, {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
