"""Whether the loss of a batch is the same each time, and where it begins to differ."""

from typing import Any

import torch
from torch import Tensor

from hessdens.curvature.checks import evaluated, evaluated_nearby, present
from hessdens.curvature.engines.loss_module import LossModule, Values
from hessdens.curvature.engines.replacement import called, hooked
from hessdens.linalg.fingerprint import fingerprint


def check_repeats(loss: LossModule, batch: Any, nearby: Values, first: Tensor) -> None:
    """Raise ValueError unless the loss is the same from two random states.

    ``first`` is the loss at parameters near the present ones, where all parts of a model are in use; if it is not
    finite, the present ones are taken. Cost: 1 or 2 forward passes.
    """
    parameters = nearby
    if not torch.isfinite(first):
        parameters = present(loss)
        first = evaluated(loss, batch, parameters)
    again = evaluated_nearby(loss, batch, parameters, seed=1)
    if torch.isfinite(first) and not torch.equal(first, again):
        raise ValueError(
            f"The loss must not be random; the same batch gave {float(first)!r} and then {float(again)!r}, "
            f"{_random_place(loss, batch, parameters)}. Switch off dropout and other noise, for instance with "
            "model.eval()."
        )


def _random_place(loss: LossModule, batch: Any, parameters: Values) -> str:
    """Return where two forward passes begin to differ."""
    passes: list[list[tuple[str, Any]]] = []

    def note(name: str, module: torch.nn.Module, _: Any, output: Any) -> None:
        passes[-1].append((called(name, module), fingerprint(output)))

    with hooked(loss.model, note):
        for seed in range(2):
            passes.append([])
            evaluated(loss, batch, parameters, seed=seed)
    differing = [place for (place, first), (_, second) in zip(*passes, strict=False) if first != second]
    return f"from {differing[0]} on" if differing else "outside of the model's modules"
