"""The models that `hvp.py` times, with their data."""

from collections.abc import Callable
from dataclasses import dataclass

import measuring  # noqa: F401  # puts the examples on the path
import torch
from skip_paper.data.images import Examples, Images, load_images, prepare
from skip_paper.networks.skip_network import SkipNetwork
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


@dataclass(frozen=True)
class Case:
    """A model with its data. ``batch_sizes`` are those that every contender is tried at."""

    model: nn.Module
    inputs: Tensor
    targets: Tensor
    num_probes: int
    batch_sizes: tuple[int, ...]
    data: str


def skip_network(architecture: str, depth: int, width: int, components: int | None, examples: int, probes: int) -> Case:
    """Return a network of the paper on CIFAR-100."""
    images = load_images("cifar100")
    prepared = prepare(images, num_components=components)
    inputs, targets = (part[:examples] for part in prepared.train)
    model = SkipNetwork(architecture, prepared.num_inputs, images.num_classes, depth=depth, width=width, seed=0)
    sizes = tuple(size for size in (500, 1000, 2500) if size <= examples)
    return Case(model, inputs, targets, probes, sizes, images.title)


class Block(nn.Module):
    """The basic block of He et al. (2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.short: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.short = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        return F.relu(self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))) + self.short(x))


def _cifar(name: str, model: str) -> tuple[Images, Examples]:
    """Return images of CIFAR, and what a model takes of them; SystemExit where only digits are found."""
    images = load_images(name)
    if images.shape != (3, 32, 32):
        raise SystemExit(f"{model} needs CIFAR; only digits were found.")
    return images, prepare(images)


def resnet18() -> Case:
    """ResNet-18 for 32x32 images, in evaluation mode, on CIFAR-100."""
    images, prepared = _cifar("cifar100", "ResNet-18")
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    width = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(width, outputs, stride), Block(outputs, outputs, 1)]
        width = outputs
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, images.num_classes)]
    inputs = prepared.train[0][:32].view(-1, 3, 32, 32)
    return Case(nn.Sequential(*layers).eval(), inputs, prepared.train[1][:32], 4, (8, 16, 32), images.title)


def convolutional() -> Case:
    """Return a convolutional network of 61,162 parameters on a thousand images of CIFAR-10."""
    images, prepared = _cifar("cifar10", "The convolutional network")
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs, stride in ((3, 16, 1), (16, 32, 2), (32, 64, 2), (64, 64, 2)):
        layers += [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GELU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    inputs, targets = (part[:1000] for part in prepared.train)
    return Case(model, inputs.view(-1, 3, 32, 32), targets, 4, (100, 250, 1000), images.title)


def wide_perceptron() -> Case:
    """Return a perceptron of 398,858 parameters on 2,000 images of CIFAR-10, reduced to 256 components."""
    images = load_images("cifar10")
    prepared = prepare(images, num_components=256)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 512), nn.GELU(), nn.Linear(512, 512), nn.GELU(), nn.Linear(512, 10))
    inputs, targets = (part[:2000] for part in prepared.train)
    return Case(model, inputs, targets, 4, (250, 1000, 2000), images.title)


class Attention(nn.Module):
    """Causal self-attention and a feedforward layer, as in GPT-2."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, shape (batch, tokens, width)."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norm1(x)).chunk(3, -1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(-2))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Transformer(nn.Module):
    """A GPT-2-shaped language model with tied embeddings; logits have shape (batch, vocabulary, tokens)."""

    def __init__(self, vocabulary: int, tokens: int, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.embedding, self.position = nn.Embedding(vocabulary, width), nn.Embedding(tokens, width)
        self.layers = nn.Sequential(*(Attention(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the next token."""
        x = self.embedding(tokens) + self.position.weight[: tokens.shape[1]]
        return (self.norm(self.layers(x)) @ self.embedding.weight.T).transpose(1, 2)


def transformer(vocabulary: int, length: int, width: int, heads: int, depth: int, sequences: int) -> Case:
    """Return a randomly initialised transformer on random tokens."""
    torch.manual_seed(0)
    model = Transformer(vocabulary, length, width, heads, depth)
    tokens = torch.randint(0, vocabulary, (sequences, length + 1))
    sizes = tuple(sorted({max(1, sequences // 4), max(1, sequences // 2), sequences}))
    return Case(model, tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), 4, sizes, "random tokens")


CASES: dict[str, Callable[[], Case]] = {
    "20x128": lambda: skip_network("plain", 20, 128, None, 10_000, 16),
    "20x128 hyper-residual": lambda: skip_network("hyper-residual", 20, 128, None, 2_500, 16),
    "10x16": lambda: skip_network("plain", 10, 16, 128, 5_000, 32),
    "ResNet-18": resnet18,
    "transformer": lambda: transformer(2_000, 64, 128, 4, 4, 32),
    "GPT-2 (124M)": lambda: transformer(50_257, 128, 768, 12, 12, 2),
}
