"""A model, its loss and its data, all checked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from hessdens.curvature.engines.loss_module import LossModule
from hessdens.curvature.passes import RepeatedPasses


@dataclass(frozen=True)
class Problem:
    """A model, its loss and its data, all checked: the mean of ``loss`` over ``passes``, weighted by ``weight``."""

    loss: LossModule
    passes: RepeatedPasses
    weight: Callable[[Any], float]
    parameters: dict[str, nn.Parameter]
    is_pair: bool
    splits: bool
