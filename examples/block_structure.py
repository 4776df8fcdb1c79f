"""Is the Hessian block-diagonal? A GPT-2 shape and a residual network, over training.

    pip install transformers
    python examples/block_structure.py

takes some ten minutes on one core. Optimisers for large models treat each layer alone, as if the Hessian were
block-diagonal. ``block_norms`` tests that: it estimates the squared Frobenius norm of every block, the share of them
outside of the diagonal blocks, and the cosine between H v and its block-diagonal part, with intervals. A GPT-2 from
transformers (two layers, one token per byte) learns to predict the documentation that comes with Python; a small
residual network learns 10,000 images of CIFAR-10. A share of 0 and a cosine of 1 would mean that layers are not
coupled. The verdict is printed for both at each step, with intervals: neither is block-diagonal, at the start or
later. Most of the squared norm lies outside of the diagonal blocks of both. Without CIFAR-10 on disk or network, the
digits of scikit-learn are used, and figure and output say so.

Figure: how strongly parameters of different layers are coupled. Left: the share of the Hessian's squared norm outside
of the diagonal blocks, over training, with 95% intervals, for a GPT-2 shape and a residual network. Middle and right:
the norm of each block of both after training, divided by the geometric mean of the norms of its two diagonal blocks.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from gpt2 import forward, make_batches, make_model, mean_over_tokens, num_tokens
from record import parse, plt, save
from resnet_cifar import ResNet
from skip_paper.data.images import Images, load_images
from text import paragraphs
from torch import Tensor, nn

from hessdens import hessian_operator
from hessdens.curvature import CurvatureOperator
from hessdens.plotting import plot_block_norms
from hessdens.results import BlockNorms
from hessdens.structure import block_norms

# Lower ends of intervals above this share, and upper ends below it, decide.
MUCH, LITTLE = 0.1, 0.01
# Images that the residual network learns.
NUM_IMAGES = 10_000


def verdict(norms: BlockNorms) -> str:
    """Return whether a matrix is block-diagonal, by the interval of what lies outside."""
    low, high = norms.share_outside_interval()
    if low > MUCH:
        return "not block-diagonal"
    return "nearly block-diagonal" if high < LITTLE else "in between, or not decided"


def follow(
    model: nn.Module,
    loss_of: Callable[[int], Tensor],
    operator: Callable[[], CurvatureOperator],
    steps: Sequence[int],
    probes: int,
) -> dict[int, BlockNorms]:
    """Train with Adam, and return the norms of all blocks after some numbers of steps."""
    optimizer, found = torch.optim.AdamW(model.parameters(), lr=2e-3), {}
    for step in range(max(steps) + 1):
        if step in steps:
            model.eval()  # no dropout, and batch normalisation by its running statistics
            # [decisive lines]
            H = operator()
            found[step] = block_norms(H, num_probes=probes)
            # [end]
            print(f"step {step}: {found[step].summary()}\n  {verdict(found[step])}", flush=True)
            model.train()
        optimizer.zero_grad()
        loss_of(step).backward()
        optimizer.step()
    return found


def gpt2(width: int, count: int, steps: Sequence[int], probes: int) -> dict[int, BlockNorms]:
    """Return the norms of a GPT-2 shape over training."""
    torch.manual_seed(0)
    model = make_model(width, num_layers=2, length=48)
    batches = make_batches(paragraphs(8 * count, 48), 8)
    data = batches[: max(1, count // 8)]

    def loss_of(step: int) -> Tensor:
        return mean_over_tokens(*forward(model, batches[step % len(batches)]))

    def operator() -> CurvatureOperator:
        return hessian_operator(model, mean_over_tokens, data, forward=forward, num_examples=num_tokens)

    return follow(model, loss_of, operator, steps, probes)


def residual_network(
    images: Images, width: int, count: int, steps: Sequence[int], probes: int
) -> dict[int, BlockNorms]:
    """Return the norms of a residual network over training."""
    torch.manual_seed(0)
    inputs = torch.from_numpy(images.train[0][:NUM_IMAGES]).reshape(-1, *images.shape) / 255 - 0.5
    labels = torch.from_numpy(images.train[1][:NUM_IMAGES])
    model, loss_fn = ResNet(images.shape[0], images.num_classes, width), nn.CrossEntropyLoss()

    def loss_of(step: int) -> Tensor:
        rows = torch.arange(64 * step, 64 * (step + 1)) % len(inputs)
        return loss_fn(model(inputs[rows]), labels[rows])

    def operator() -> CurvatureOperator:
        return hessian_operator(model, loss_fn, [(inputs[:count], labels[:count])])

    return follow(model, loss_of, operator, steps, probes)


def draw(found: dict[str, dict[int, BlockNorms]], data: str) -> Any:
    """Return a figure: the share outside of the diagonal blocks over training, and couplings at its end.

    ``data`` is what the residual network has learnt.
    """
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.6), layout="constrained", width_ratios=(1, 1.15, 1.15))
    for color, (name, norms) in zip(("C0", "C1"), found.items(), strict=True):
        low, high = np.array([each.share_outside_interval() for each in norms.values()]).T
        places = np.arange(len(norms))
        axes[0].fill_between(places, low, high, color=color, alpha=0.25, lw=0)
        label = f"{name}, {data}" if name == "residual network" else name
        axes[0].plot(places, [each.share_outside() for each in norms.values()], ".-", color=color, label=label)
        axes[0].set_xticks(places, [f"{step:,}" for step in norms])
    axes[0].set_ylim(0, 1)
    axes[0].set_xlabel("steps of training")
    axes[0].set_ylabel(r"share of $\|H\|^2$ outside of the diagonal blocks")
    axes[0].legend(frameon=False)
    for ax, (name, norms) in zip(axes[1:], found.items(), strict=True):
        plot_block_norms(norms[max(norms)], ax=ax)
        ax.set_title(f"{name}, after training", fontsize=9)
    return figure


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Train both, estimate all blocks, draw; return the numbers."""
    options = parse(__doc__, "block_structure", argv)
    width, channels, count, steps, probes = (8, 4, 8, (0, 2), 2) if options.small else (32, 8, 32, (0, 20, 100, 400), 8)
    images = load_images("cifar10")
    found = {
        "GPT-2 shape": gpt2(width, count, steps, probes),
        "residual network": residual_network(images, channels, 4 * count, steps, probes),
    }
    print(f"The residual network learnt {images.title}.")
    return save(draw(found, images.title), options, {
        "data": images.title, "parameters": sum(found["GPT-2 shape"][0].sizes), "steps": list(steps), "probes": probes,
        **{
            name: {
                "share_outside": [each.share_outside() for each in norms.values()],
                "interval": [list(each.share_outside_interval()) for each in norms.values()],
                "cosine": [each.cosine() for each in norms.values()],
                "cosine_interval": [list(each.cosine_interval()) for each in norms.values()],
                "verdict": [verdict(each) for each in norms.values()],
            }
            for name, norms in found.items()
        },
    })  # fmt: skip


if __name__ == "__main__":
    main()
