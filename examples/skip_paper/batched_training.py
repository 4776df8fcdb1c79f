"""Training of many networks of one shape as one program: each step is one batch of matrix products for all."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F  # noqa: N812


def train_together(
    networks: Sequence[nn.Module],
    inputs: Tensor,
    targets: Tensor,
    *,
    measure_at: Sequence[int],
    seeds: Sequence[int],
    batch_size: int = 500,
    learning_rate: float = 5e-4,
) -> Iterator[np.ndarray[Any, Any]]:
    """Train networks that differ in their weights, and pause after each number of steps in ``measure_at``.

    Each network goes through the examples in the order of its own seed and ends, to rounding, with the weights that
    `skip_paper.training.train` gives it alone, whichever others there are: losses are summed, so that gradients and
    Adam's steps, which are elementwise, do not mix.

    Parameters
    ----------
    networks
        R networks of the same class, sizes, dtype and device; they have the trained weights at each pause.
    inputs, targets
        The examples of all, on the device of the networks.
    measure_at
        Ascending numbers of steps; 0 is before the first.
    seeds
        R numbers: the order of the examples of each.
    batch_size, learning_rate
        Of each network.

    Yields
    ------
    ndarray
        Whether all losses of each network have been finite since the pause before, shape (R,).
    """
    if not networks or len(networks) != len(seeds):
        raise ValueError(f"networks and seeds must be as many, at least 1; got {len(networks)} and {len(seeds)}.")
    parameters, buffers = stack_module_state(list(networks))
    template = networks[0]
    optimizer = torch.optim.Adam(parameters.values(), lr=learning_rate, fused=True)

    def loss_of_one(state: dict[str, Tensor], fixed: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(template, (state, fixed), (x,)), y)

    losses_of_all = vmap(loss_of_one)
    batches = _batches(len(inputs), min(batch_size, len(inputs)), seeds, inputs.device)
    step = 0
    for pause in measure_at:
        finite = torch.ones(len(networks), dtype=torch.bool, device=inputs.device)
        while step < pause:
            examples = next(batches)
            x = inputs.index_select(0, examples.reshape(-1)).unflatten(0, examples.shape)
            losses = losses_of_all(parameters, buffers, x, targets[examples])
            optimizer.zero_grad()
            losses.sum().backward()
            optimizer.step()
            finite &= torch.isfinite(losses.detach())
            step += 1
        _hand_out(parameters, networks)
        yield finite.cpu().numpy()


def _batches(num_examples: int, batch_size: int, seeds: Sequence[int], device: torch.device) -> Iterator[Tensor]:
    """Return examples of each network without end, shape (R, batch_size); a last batch that is short is left out."""
    generators = [np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,))) for seed in seeds]
    while True:
        order = torch.from_numpy(np.stack([rng.permutation(num_examples) for rng in generators])).to(device)
        for start in range(0, num_examples - batch_size + 1, batch_size):
            yield order[:, start : start + batch_size]


@torch.no_grad()
def _hand_out(parameters: dict[str, Tensor], networks: Sequence[nn.Module]) -> None:
    for index, network in enumerate(networks):
        for name, parameter in network.named_parameters():
            parameter.copy_(parameters[name][index])
