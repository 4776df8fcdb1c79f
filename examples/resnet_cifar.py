"""Hessian of a small ResNet on CIFAR-10: density, outlying eigenvalues, and fractions with intervals.

    python examples/resnet_cifar.py

takes about 5 minutes on one core. The network (batch normalisation in evaluation mode) is trained for three epochs on
10,000 images. The density has a narrow bulk around 0. On the positive side there is a long tail, whose largest
eigenvalues are found one by one; it has no gap at the number of classes. Negative eigenvalues reach about a hundredth
as far. How many eigenvalues count as degenerate depends on the window, so the fractions are drawn for windows of many
sizes. With 120 products they are known well for windows wider than the usual 0.2, and hardly for narrower ones.
Without CIFAR-10 on disk or network, the digits of scikit-learn are used, and figure and output say so.

Figure: Hessian of a ResNet of 77,850 parameters on CIFAR-10. Left: the density from 120 products, with its 95%
interval; marks are single eigenvalues. Middle: eigenvalues that were found one by one, by their rank in size. Right:
the shares of eigenvalues outside of a window and negative beyond it, over the size of the window, with 95% intervals;
the dotted line is the usual window of 0.2.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from record import parse, plt, save
from skip_paper.data.images import load_images
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from hessdens import hessian_operator, lanczos_density, plot_density
from hessdens.densities import LanczosDensity

WINDOWS = np.geomspace(1e-2, 10, 25)


class Block(nn.Module):
    """Two convolutions with a shortcut; the first halves the image where the number of channels grows."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)])
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the images of the next layer."""
        inner = F.relu(self.norms[0](self.first(x)))
        return F.relu(self.norms[1](self.second(inner)) + self.shortcut(x))


class ResNet(nn.Sequential):
    """Three stages of one block each, on images of half the size of the input."""

    def __init__(self, channels: int, num_classes: int, width: int = 16) -> None:
        super().__init__(
            nn.Conv2d(channels, width, 3, 2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            Block(width, width),
            Block(width, 2 * width),
            Block(2 * width, 4 * width),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * width, num_classes),
        )


def train(model: nn.Module, inputs: Tensor, targets: Tensor, epochs: int) -> None:
    """Train by stochastic gradient descent with momentum, learning rate falling to 0."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    steps = epochs * -(-len(inputs) // 100)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(epochs):
        for chosen in torch.randperm(len(inputs)).split(100):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs[chosen]), targets[chosen])
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}: loss of the last batch {loss.item():.3f}", flush=True)
    model.eval()  # dropout off, batch normalisation by its running statistics: the loss of one example is its own


def draw(density: LanczosDensity, title: str) -> Any:
    """Return the figure: density, outliers and fractions."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    plot_density(density, ax=left, label=f"{density.num_products} products")
    left.set_title(title, fontsize=10)
    ranked = density.eigenvalues_found[np.argsort(-np.abs(density.eigenvalues_found))][:30]
    for sign, colour, marker, name in ((1, "C0", "o", "positive"), (-1, "C3", "v", "negative")):
        ranks = np.flatnonzero(sign * ranked > 0)
        if len(ranks):
            middle.plot(1 + ranks, np.abs(ranked[ranks]), marker, color=colour, ms=5, label=name)
    middle.set(xlabel="rank by magnitude", ylabel="|eigenvalue|", yscale="log")
    middle.set_title("single eigenvalues", fontsize=10)
    middle.legend(frameon=False, fontsize="small")
    for name, value, interval, colour in (
        ("outside the window", lambda w: 1 - density.fraction_degenerate(w),
         lambda w: 1 - density.degenerate_interval(w)[::-1], "C0"),
        ("negative, outside the window", density.fraction_negative, density.negative_interval, "C3"),
    ):  # fmt: skip
        fractions, (low, high) = np.array([value(w) for w in WINDOWS]), np.array([interval(w) for w in WINDOWS]).T
        right.plot(WINDOWS, np.where(fractions > 0, fractions, np.nan), color=colour, label=name)
        right.fill_between(WINDOWS, low, high, where=high > 0, color=colour, alpha=0.13, lw=0)
    right.axvline(0.2, color="0.5", ls=":", lw=1)
    right.set(xscale="log", yscale="log", xlabel="size of the window around 0", ylabel="share of the eigenvalues")
    right.set_ylim(bottom=0.5 / density.size)
    right.set_title("fractions with 95% intervals", fontsize=10)
    right.legend(frameon=False, fontsize="small")
    return figure


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Train, estimate, draw; return the numbers."""
    options = parse(__doc__, "resnet_cifar", argv)
    images = load_images("cifar10")
    num_train, num_curvature, epochs, products = (300, 50, 1, 24) if options.small else (10_000, 1_000, 3, 120)
    inputs = torch.from_numpy(images.train[0][:num_train]).reshape(-1, *images.shape) / 255 - 0.5
    targets = torch.from_numpy(images.train[1][:num_train])
    torch.manual_seed(0)
    model = ResNet(images.shape[0], images.num_classes, width=4 if options.small else 16)
    train(model, inputs, targets, epochs)
    accuracy = (model(inputs).argmax(dim=1) == targets).float().mean().item()

    data = [(inputs[:num_curvature], targets[:num_curvature])]
    # [decisive lines]
    H = hessian_operator(model, nn.CrossEntropyLoss(), data)
    density = lanczos_density(H, max_products=products, progress=True)
    # [end]
    print(f"\n{images.title}, training accuracy {accuracy:.1%}\n{density}")
    print("largest eigenvalues:", np.array2string(density.nodes()[-12:][::-1], precision=3))
    figure = draw(density, f"{images.title}: {H.size:,} eigenvalues")
    return save(figure, options, {
        "data": images.title, "accuracy": accuracy, "parameters": H.size, "products": density.num_products,
        "degenerate": density.fraction_degenerate(), "degenerate_interval": density.degenerate_interval().tolist(),
        "negative": density.fraction_negative(), "negative_interval": density.negative_interval().tolist(),
        "largest": density.nodes()[-12:][::-1].tolist(), "smallest": density.nodes()[0],
        "bandwidth": density.bandwidth(), "found": len(density.eigenvalues_found),
    })  # fmt: skip


if __name__ == "__main__":
    main()
