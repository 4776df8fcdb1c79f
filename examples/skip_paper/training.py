"""Training of one network as in section 2.3: Adam, learning rate 0.0005, batches of 500, cross-entropy."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

ACCURACY_EXAMPLES = 10_000


def train(
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    measure_at: Sequence[int],
    seed: int,
    batch_size: int = 500,
    learning_rate: float = 5e-4,
) -> Iterator[bool]:
    """Train, and pause after each number of steps in ``measure_at`` (ascending; 0 is before the first step).

    Yields whether all losses have been finite since the pause before. ``seed`` decides the order of the examples, drawn
    anew in each epoch, whatever the state of torch's global generator. A last batch that would be short is left out.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
    batch_size = min(batch_size, len(inputs))
    order: list[Tensor] = []
    step = 0
    for pause in measure_at:
        losses = []
        while step < pause:
            if not order:
                permutation = torch.from_numpy(rng.permutation(len(inputs))).to(inputs.device)
                order = list(permutation.split(batch_size))[: len(inputs) // batch_size]
            batch = order.pop(0)
            loss = F.cross_entropy(network(inputs[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
            step += 1
        yield bool(torch.isfinite(torch.stack(losses)).all()) if losses else True


@torch.no_grad()
def accuracy(network: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """Return the fraction of correct predictions on the first 10,000 examples (training order of the data set)."""
    logits = network(inputs[:ACCURACY_EXAMPLES])
    return float((logits.argmax(dim=1) == targets[:ACCURACY_EXAMPLES]).float().mean())
