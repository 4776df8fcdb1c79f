"""R networks of one specification as one program: every parameter has a first axis of length R."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from skip_paper.networks.skip_network import SkipNetwork

Statistics = Literal["running", "batch", "updated"]


class StackedNetworks:
    """The networks of section 2.3, R at once, with `SkipNetwork` as their slow twin.

    Parameters
    ----------
    networks
        R networks that differ in their weights and skip matrices only. Their parameters are copied.

    Attributes
    ----------
    parameters
        By the names of `SkipNetwork`: tensors of shape (R, *shape), with gradients.
    buffers
        Skip matrices and the running statistics of batch normalisation, likewise.
    """

    def __init__(self, networks: Sequence[SkipNetwork]) -> None:
        if not networks:
            raise ValueError("networks must hold at least 1; got 0.")
        first = networks[0]
        self.template = first
        self.architecture, self.depth = first.architecture, len(first.hidden)
        shapes = {name: p.shape for name, p in first.state_dict().items()}
        for other in networks[1:]:
            if {name: p.shape for name, p in other.state_dict().items()} != shapes:
                raise ValueError("networks must have the same specification; some differ in their shapes.")
        states = [dict(network.named_parameters()) for network in networks]
        self.parameters = {
            name: torch.stack([state[name].detach() for state in states]).requires_grad_() for name in states[0]
        }
        buffers = [dict(network.named_buffers()) for network in networks]
        self.buffers = {name: torch.stack([state[name] for state in buffers]) for name in buffers[0]}

    def __len__(self) -> int:
        return len(self.parameters["output.bias"])

    def __call__(
        self,
        inputs: Tensor,
        *,
        statistics: Statistics = "running",
        activities: Callable[[Tensor, Tensor], None] | None = None,
    ) -> Tensor:
        """Return logits, shape (R, examples, classes), of inputs of shape (R, examples, features) or without R.

        ``activities`` is called with the responses x_l and the outputs of the ReLU of each hidden layer, both of shape
        (R, examples, width). ``statistics`` are those that a layer is normalised with: the running ones, those of this
        batch, or those of the batch with an update of the running ones, as in training.
        """
        x = inputs if inputs.dim() == 3 else inputs.expand(len(self), *inputs.shape)
        previous, running_sum = x, torch.zeros((), device=x.device, dtype=x.dtype)
        for l in range(self.depth):  # noqa: E741 (the paper's letter)
            rectified = self._layer(l, x, statistics)
            after = rectified
            if l and self.architecture != "plain":
                after = rectified + self._adjacent(l, x)
            if l >= 2 and self.architecture == "hyper-residual":
                running_sum = running_sum + self._skip(l - 1, previous)
                after = after + running_sum / (l - 1)
            if activities is not None:
                activities(after, rectified)
            previous, x = x, after
        return self._affine("output", x)

    def _adjacent(self, l: int, x: Tensor) -> Tensor:  # noqa: E741
        """Return what skips from a layer to the next."""
        if self.architecture == "hyper-residual" or not self.buffers["skip_vectors"].numel():
            return x
        return self._skip(l, x)

    def _layer(self, l: int, x: Tensor, statistics: Statistics) -> Tensor:  # noqa: E741
        inputs = self._affine(f"hidden.{l}", x)
        if l + 1 == self.template.batch_norm_layer:
            inputs = self._normalised(inputs, statistics)
        return torch.relu(inputs)

    def _affine(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
        return torch.baddbmm(bias.unsqueeze(1), x, weight.mT)

    def _skip(self, k: int, x: Tensor) -> Tensor:
        """Return Q_k x."""
        matrices = self.buffers["skip_vectors"]
        vectors = matrices[:, (k - 1) % matrices.shape[1]]
        parts = x.unflatten(-1, (-1, vectors.shape[-1]))
        return (parts.sum(dim=-2) if parts.shape[-2] > 1 else parts.squeeze(-2)) @ vectors.mT

    def _normalised(self, inputs: Tensor, statistics: Statistics) -> Tensor:
        """Return batch-normalised inputs, as `torch.nn.BatchNorm1d` does."""
        layer = self.template.batch_norm
        means, variances = self.buffers["batch_norm.running_mean"], self.buffers["batch_norm.running_var"]
        if statistics == "running":
            mean, variance = means, variances
        else:
            mean, variance = inputs.mean(dim=1), inputs.var(dim=1, unbiased=False)
        if statistics == "updated":
            count, momentum = inputs.shape[1], layer.momentum or 0.0
            with torch.no_grad():
                means.lerp_(mean, momentum)
                variances.lerp_(variance * (count / max(count - 1, 1)), momentum)
                self.buffers["batch_norm.num_batches_tracked"] += 1
        scale = self.parameters["batch_norm.weight"] * torch.rsqrt(variance + layer.eps)
        return (inputs - mean.unsqueeze(1)) * scale.unsqueeze(1) + self.parameters["batch_norm.bias"].unsqueeze(1)

    @torch.no_grad()
    def hand_out(self, networks: Sequence[SkipNetwork]) -> None:
        """Copy parameters and buffers to R networks."""
        for index, network in enumerate(networks):
            for name, tensor in (*network.named_parameters(), *network.named_buffers()):
                tensor.copy_((self.parameters.get(name, self.buffers.get(name)))[index])  # type: ignore[index]
