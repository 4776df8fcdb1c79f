"""A model with other values of its parameters for the time of one function, and as it was afterwards."""

import contextlib
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Result = TypeVar("Result")
# Threads take turns: models and settings of torch are changed for the time of a product.
TURN = threading.RLock()


def with_values(model: nn.Module, values: Mapping[str, Tensor], function: Callable[[], Result]) -> Result:
    """Return ``function()`` while the model has these values of some parameters, by name.

    The other parameters are constants there, and buffers are copies, which may be written to. Afterwards all attributes
    of all modules and the random state are as before, whatever happened. Compiled parts run as written.
    """
    with TURN:
        modules = dict(model.named_modules())
        attributes = [(module.__dict__, dict(module.__dict__)) for module in modules.values()]
        places = [
            (table, name, f"{prefix}.{name}" if prefix else name, tensor)
            for prefix, module in modules.items()
            for table in (module._parameters, module._buffers)
            for name, tensor in list(table.items())
            if tensor is not None
        ]
        random_states = _random_states()

        def restore() -> None:
            for present, past in attributes:
                for name in present.keys() - past.keys():
                    present.pop(name, None)
                present.update(past)
            for table, name, _, tensor in places:
                table[name] = tensor
            for generator, state in random_states:
                if not torch.equal(state, generator.get_state()):
                    generator.set_state(state)

        try:
            try:
                _put(places, values)
                with _as_written():
                    return function()
            finally:
                restore()
        finally:  # Ctrl-C may have struck while the first was at work
            restore()


def _put(places: list[tuple[Any, str, str, Tensor]], values: Mapping[str, Tensor]) -> None:
    """Put values in: the same in each place of a tied parameter."""
    present: dict[int, Tensor] = {}
    for table, name, path, tensor in places:
        if id(tensor) not in present:
            is_parameter = isinstance(tensor, nn.Parameter)
            present[id(tensor)] = values.get(path, tensor.detach() if is_parameter else tensor.detach().clone())
        table[name] = present[id(tensor)]


def _random_states() -> list[tuple[torch.Generator, Tensor]]:
    generators = [torch.default_generator]
    if torch.cuda.is_initialized() and not torch.cuda.is_current_stream_capturing():
        generators += torch.cuda.default_generators
    return [(generator, generator.get_state()) for generator in generators]


def _as_written() -> contextlib.AbstractContextManager[Any]:
    """Run compiled functions as they were written, if there can be any."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else contextlib.nullcontext()
