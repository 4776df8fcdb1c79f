"""Linear maps of a forward pass: their inputs, and where gradients at their outputs are read."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from hessdens.curvature.engines.loss_module import Values


@dataclass(frozen=True)
class Use:
    """One use of a weight, a bias or both: y = x W^T + b. Only parameters that are wanted have a name.

    ``inputs`` is x, shape (T, n). ``probe`` is a zero that is added to y: its gradient is that at y.
    """

    weight: str | None
    bias: str | None
    inputs: Tensor
    probe: Tensor


class LinearTape(TorchFunctionMode):
    """Sees each ``linear`` while it is active: ``factored`` parameters are constants there, and their uses are kept.

    Other uses of these parameters go to the leaves, where a gradient tells of them. ``wanted`` are those whose uses are
    kept.
    """

    def __init__(self, leaves: Values, factored: Collection[str], wanted: Collection[str]) -> None:
        super().__init__()
        self.uses: list[Use] = []
        self._names: Mapping[int, str] = {id(leaf): name for name, leaf in leaves.items() if name in factored}
        self._wanted = frozenset(wanted)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not torch.nn.functional.linear:
            return func(*args, **kwargs)
        return self._linear(*args, **kwargs)

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:  # noqa: A002
        names = [self._names.get(id(part)) for part in (weight, bias)]
        W = weight if names[0] is None else weight.detach()
        b = bias if bias is None or names[1] is None else bias.detach()
        result = torch.nn.functional.linear(input, W, b)
        own = [name if name in self._wanted else None for name in names]
        if own == [None, None]:
            return result
        probe = torch.zeros_like(result).requires_grad_()
        self.uses.append(Use(own[0], own[1], input.detach().reshape(-1, input.shape[-1]), probe))
        return result + probe
