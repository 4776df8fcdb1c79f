"""Batches that stay as they are for a whole run."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from hessdens.batches import map_tensors


def on_device_of(model: nn.Module, data: Iterable[Any]) -> list[Any]:
    """Return the batches of one pass, on the device of the model's first parameter."""
    device = next(model.parameters()).device
    return [map_tensors(lambda tensor: tensor.to(device), batch) for batch in data]
