"""Training of one network as in section 2.3: Adam, learning rate 0.0005, batches of 500, cross-entropy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

BATCH_SIZE = 500
LEARNING_RATE = 5e-4


@dataclass(frozen=True)
class BiasPenalty:
    """BiasReg: lambda ||b - target||^2 over the biases of hidden units; targets have shape (layers, width)."""

    strength: float
    targets: NDArray[np.float64]


def bias_penalty(seed: int, *, depth: int, width: int, mean: float, scale: float, strength: float) -> BiasPenalty:
    """Return a penalty with targets drawn once for each unit from N(mean, scale)."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3,)))
    return BiasPenalty(strength, mean + scale * rng.standard_normal((depth, width)))


def orders(seed: int, num_examples: int) -> Iterator[NDArray[np.int64]]:
    """Yield the order of the examples in each epoch, which the seed decides alone."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
    while True:
        yield rng.permutation(num_examples)


def train(
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    measure_at: Sequence[int],
    seed: int,
    penalty: BiasPenalty | None = None,
    batch_size: int = BATCH_SIZE,
    learning_rate: float = LEARNING_RATE,
) -> Iterator[bool]:
    """Train one network, and pause after each number of steps in ``measure_at`` (ascending; 0 is before the first).

    The plain loop that `skip_paper.networks.batched_training` is tested and timed against. Yields whether all losses
    have been finite so far. A last batch that would be short is left out.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    batch_size = min(batch_size, len(inputs))
    steps_an_epoch = len(inputs) // batch_size
    epochs = orders(seed, len(inputs))
    finite, step, order = True, 0, torch.empty(0, dtype=torch.int64)
    for pause in measure_at:
        losses: list[Any] = []
        while step < pause:
            batch = step % steps_an_epoch
            if batch == 0:
                order = torch.from_numpy(next(epochs)).to(inputs.device)
            examples = order[batch * batch_size : (batch + 1) * batch_size]
            loss = F.cross_entropy(network(inputs[examples]), targets[examples])
            if penalty is not None:
                loss = loss + _distance(network, penalty)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
            step += 1
        finite = finite and (not losses or bool(torch.isfinite(torch.stack(losses)).all()))
        yield finite


def _distance(network: nn.Module, penalty: BiasPenalty) -> Tensor:
    biases = torch.stack([layer.bias for layer in network.hidden])  # type: ignore[union-attr]
    return penalty.strength * (biases - torch.from_numpy(penalty.targets).to(biases)).square().sum()
