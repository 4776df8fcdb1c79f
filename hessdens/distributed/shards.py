"""The shards of a model's parameters that a process holds, and where they lie in a vector."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule


@dataclass(frozen=True)
class Shard:
    """A process' part of a parameter, in the parameter's memory; it begins at ``first_row`` of the first dimension."""

    parameter: Any
    local: Tensor
    first_row: int

    def gradient(self) -> Tensor:
        """Return the part of the gradient, zeros where there is none."""
        gradient = self.parameter.grad
        return torch.zeros_like(self.local) if gradient is None else gradient.to_local()


def shards_of(model: nn.Module) -> tuple[dict[str, Shard], DeviceMesh]:
    """Return this process' shards of the trainable parameters by name, and the processes.

    Raises ValueError unless all are sharded along their first dimension, over one mesh of one dimension, in float32 or
    float64.
    """
    from torch.distributed.tensor import DTensor  # here, because it takes 0.5 s to import
    from torch.distributed.tensor import Shard as ShardOf

    trainable: dict[str, Any] = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trainable:
        raise ValueError("The operator needs at least one trainable parameter; the model has none.")
    shards = {}
    for name, parameter in trainable.items():
        if not isinstance(parameter, DTensor):
            raise ValueError(
                f"sharded_operator needs parameters sharded by fully_shard; {name!r} is a plain tensor. Call "
                "fully_shard(model), or use hessian_operator for models that every process holds."
            )
        if parameter.device_mesh.ndim != 1 or parameter.placements != (ShardOf(0),):
            raise ValueError(
                f"sharded_operator needs parameters sharded along their first dimension, over a mesh of one dimension; "
                f"{name!r} has {parameter.placements} over {parameter.device_mesh.ndim}."
            )
        if parameter.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"Differences of gradients need parameters in float32 or float64; {name!r} is {parameter.dtype}. "
                "Convert the model before it is sharded: model.float()."
            )
        local, mesh = parameter.to_local().detach(), parameter.device_mesh
        # The first processes have rows / ranks, rounded up.
        first_row = min(mesh.get_local_rank() * -(-parameter.shape[0] // mesh.size()), parameter.shape[0])
        shards[name] = Shard(parameter, local, first_row)
    if len({(p.device_mesh, p.dtype) for p in trainable.values()}) > 1:
        raise ValueError("sharded_operator needs parameters of one dtype over one mesh; got several.")
    return shards, mesh


def rows_of(shards: list[Shard]) -> list[slice]:
    """Return the places of a process' entries in a vector of all entries of all parameters."""
    rows, begin = [], 0
    for shard in shards:
        size = shard.parameter.numel()
        first = begin + shard.first_row * (size // shard.parameter.shape[0])
        rows.append(slice(first, first + shard.local.numel()))
        begin += size
    return rows


def _units(model: nn.Module) -> "dict[str, FSDPModule]":
    """Return the modules that ``fully_shard`` was called with, by name."""
    from torch.distributed.fsdp import FSDPModule  # here, because it takes 0.5 s to import

    return {name: module for name, module in model.named_modules() if isinstance(module, FSDPModule)}


def group_sizes(model: nn.Module) -> list[int]:
    """Return the parameters that a process holds of each ``fully_shard``, with the padding that is sent along."""
    sizes: Counter[str] = Counter()
    roots = sorted(_units(model), key=len)
    parameters: dict[str, Any] = dict(model.named_parameters())
    for name, parameter in parameters.items():
        owner = [root for root in roots if not root or name == root or name.startswith(root + ".")][-1]
        rows = -(-parameter.shape[0] // parameter.device_mesh.size())
        sizes[owner] += rows * (parameter.numel() // parameter.shape[0])
    return list(sizes.values())


@contextmanager
def gradients_aside(shards: Iterable[Shard]) -> Iterator[None]:
    """Take the user's gradients away, and put them back."""
    gradients = [(shard.parameter, shard.parameter.grad) for shard in shards]
    try:
        for parameter, _ in gradients:
            parameter.grad = None
        yield
    finally:
        for parameter, gradient in gradients:
            parameter.grad = gradient


def reshard(model: nn.Module) -> None:
    """Free gathered parameters: those of a forward pass without a backward pass are kept, and would be out of date."""
    for module in _units(model).values():
        module.reshard()


@contextmanager
def kept(shards: Sequence[Shard], model: nn.Module) -> Iterator[list[Tensor]]:
    """Hand out the values of shards, and put them back afterwards; no gathered parameters stay before and after."""
    reshard(model)
    starts = [shard.local.clone() for shard in shards]
    try:
        yield starts
    finally:
        for shard, start in zip(shards, starts, strict=True):
            shard.local.copy_(start)
        reshard(model)
