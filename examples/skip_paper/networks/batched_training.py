"""Training of many networks of one specification as one program: a step is one batch of matrix products for all."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from skip_paper.networks.stacked import StackedNetworks
from skip_paper.networks.training import BATCH_SIZE, LEARNING_RATE, BiasPenalty, orders

EAGER_STEPS = 2


class BatchedTraining:
    """R networks in training. Each ends, to rounding, with the weights that `training.train` gives it alone.

    Losses are summed, so that gradients and Adam's steps, which are elementwise, do not mix: a network depends on its
    own seed, whichever others there are.

    Parameters
    ----------
    networks
        R networks; their parameters change as training goes on.
    inputs, targets
        The examples of all, on the device of the networks.
    seeds
        R numbers: the order of the examples of each.
    penalties
        R penalties on biases, or None.
    batch_size, learning_rate
        Of each network.

    Notes
    -----
    On CUDA the third step is recorded as a graph, and later ones replay it: one launch a step, where small networks
    would wait for hundreds.
    """

    def __init__(
        self,
        networks: StackedNetworks,
        inputs: Tensor,
        targets: Tensor,
        *,
        seeds: Sequence[int],
        penalties: Sequence[BiasPenalty] | None = None,
        batch_size: int = BATCH_SIZE,
        learning_rate: float = LEARNING_RATE,
    ) -> None:
        if len(networks) != len(seeds):
            raise ValueError(f"networks and seeds must be as many; got {len(networks)} and {len(seeds)}.")
        self.networks, self.inputs, self.targets, self.seeds = networks, inputs, targets, tuple(seeds)
        self.batch_size = min(batch_size, len(inputs))
        self.steps_an_epoch = len(inputs) // self.batch_size
        self.steps = 0
        on_cuda = inputs.device.type == "cuda"
        self.optimizer = torch.optim.Adam(
            networks.parameters.values(), lr=learning_rate, fused=True, capturable=on_cuda
        )
        self._graph = RecordedStep(self._step) if on_cuda else None
        self.finite = torch.ones(len(networks), dtype=torch.bool, device=inputs.device)
        self._orders = [orders(seed, len(inputs)) for seed in self.seeds]
        self._order = torch.empty(0)
        self._epochs_drawn = 0
        self._penalty = _Penalty(penalties, networks) if penalties is not None else None

    def run(self, steps: int) -> None:
        """Go on to this number of steps."""
        step = self._step if self._graph is None else self._graph
        while self.steps < steps:
            step(self._examples())
            self.steps += 1

    def _examples(self) -> Tensor:
        """Return the next examples of each network, shape (R, batch size)."""
        epoch, batch = divmod(self.steps, self.steps_an_epoch)
        while self._epochs_drawn <= epoch:  # more than one after a resumption
            self._order = torch.from_numpy(np.stack([next(order) for order in self._orders])).to(self.inputs.device)
            self._epochs_drawn += 1
        return self._order[:, batch * self.batch_size : (batch + 1) * self.batch_size]

    def _step(self, examples: Tensor) -> None:
        x = self.inputs.index_select(0, examples.reshape(-1)).unflatten(0, examples.shape)
        logits = self.networks(x, statistics="updated")
        count, size, classes = logits.shape
        targets = self.targets[examples].reshape(-1)
        losses = F.cross_entropy(logits.reshape(-1, classes), targets, reduction="none").view(count, size).mean(dim=1)
        if self._penalty is not None:
            losses = losses + self._penalty()
        self.optimizer.zero_grad()
        losses.sum().backward()
        self.optimizer.step()
        self.finite &= torch.isfinite(losses.detach())

    def state(self) -> list[dict[str, np.ndarray[Any, Any]]]:
        """Return what each network needs to go on from here."""
        tensors = {f"parameter {k}": v for k, v in self.networks.parameters.items()}
        tensors |= {f"buffer {k}": v for k, v in self.networks.buffers.items()}
        for name, parameter in self.networks.parameters.items():
            entry = self.optimizer.state.get(parameter, {})
            tensors |= {f"{key} {name}": entry[key] for key in ("exp_avg", "exp_avg_sq") if key in entry}
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
        finite = self.finite.cpu().numpy()
        return [
            {name: array[i] for name, array in arrays.items()} | {"steps": np.array(self.steps), "finite": finite[i]}
            for i in range(len(self.seeds))
        ]

    @torch.no_grad()
    def restore(self, states: Sequence[dict[str, np.ndarray[Any, Any]]]) -> None:
        """Go on from states of the same number of steps."""
        if self._graph is not None:
            self._graph = RecordedStep(self._step)  # the old one works on the moments that are replaced
        self.steps = int(states[0]["steps"])
        device = self.inputs.device

        def stacked(name: str) -> Tensor:
            return torch.from_numpy(np.stack([state[name] for state in states])).to(device)

        for kind, tensors in (("parameter", self.networks.parameters), ("buffer", self.networks.buffers)):
            for name, tensor in tensors.items():
                tensor.copy_(stacked(f"{kind} {name}"))
        if self.steps:
            for name, parameter in self.networks.parameters.items():
                self.optimizer.state[parameter] = {
                    "step": torch.tensor(float(self.steps), device=device),
                    **{key: stacked(f"{key} {name}") for key in ("exp_avg", "exp_avg_sq")},
                }
        self.finite = stacked("finite")


class RecordedStep:
    """A training step on CUDA: eager a few times, which allocates what it needs, then recorded once and replayed."""

    def __init__(self, step: Callable[[Tensor], None]) -> None:
        self._step = step
        self._eager = 0
        self._examples = torch.empty(0)
        self._replay: Callable[[], None] | None = None

    def __call__(self, examples: Tensor) -> None:
        """Take one step on these examples, always of one shape."""
        if self._replay is None and self._eager < EAGER_STEPS:
            self._eager += 1
            _on_side_stream(lambda: self._step(examples))
            return
        if self._replay is None:
            self._examples = examples.clone()
            self._replay = _record(lambda: self._step(self._examples))
        self._examples.copy_(examples)
        self._replay()


def _on_side_stream(work: Callable[[], None]) -> None:
    """Do work on a stream that is not the default one, as the recording will."""
    stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        work()
    current.wait_stream(stream)


def _record(work: Callable[[], None]) -> Callable[[], None]:
    """Record kernels without running them; return what runs them."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


class _Penalty:
    """The penalties of all networks, lambda ||b - target||^2 over the biases of hidden units."""

    def __init__(self, penalties: Sequence[BiasPenalty], networks: StackedNetworks) -> None:
        names = [f"hidden.{l}.bias" for l in range(networks.depth)]  # noqa: E741
        self.biases = [networks.parameters[name] for name in names]
        sample = self.biases[0]
        targets = np.stack([penalty.targets for penalty in penalties], axis=1)
        self.targets = torch.from_numpy(targets).to(sample)  # (layers, R, width)
        self.strengths = torch.tensor([penalty.strength for penalty in penalties], dtype=torch.float64).to(sample)

    def __call__(self) -> Tensor:
        distances = (torch.stack(self.biases) - self.targets).square().sum(dim=(0, 2))
        return self.strengths * distances
