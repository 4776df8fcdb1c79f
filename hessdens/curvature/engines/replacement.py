"""A model with other values of its parameters for the time of one function, and as it was afterwards."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Result = TypeVar("Result")
# What handlers of signals have raised, and waits until the next evaluation.
INTERRUPTS: list[BaseException] = []


def raise_interrupt() -> None:
    """Raise the error that waits, if there is one."""
    if INTERRUPTS:
        raise INTERRUPTS.pop()


def put_content_back(present: Any, past: Any) -> None:
    """Give a dictionary, list or set the content that a copy has."""
    if isinstance(present, dict):
        for name in present.keys() - past.keys():
            present.pop(name, None)
        present.update(past)
    elif isinstance(present, list):
        present[:] = past
    else:
        present.clear()
        present.update(past)


def random_states() -> list[tuple[torch.Generator, Tensor]]:
    """Return torch's global generators that are in use, with their states."""
    generators = [torch.default_generator]
    if torch.cuda.is_initialized() and not torch.cuda.is_current_stream_capturing():
        generators += torch.cuda.default_generators
    return [(generator, generator.get_state()) for generator in generators]


def put_back(states: Iterable[tuple[torch.Generator, Tensor]]) -> None:
    """Give generators the states that they had."""
    for generator, state in states:
        if not torch.equal(state, generator.get_state()):
            generator.set_state(state)


@contextlib.contextmanager
def hooked(model: nn.Module, look: Callable[[str, nn.Module, Any, Any], None]) -> Iterator[None]:
    """Call ``look`` with the name, module, inputs and output of each module that finishes."""
    with contextlib.ExitStack() as handles:
        for name, module in model.named_modules():
            handles.callback(module.register_forward_hook(partial(look, name)).remove)
        yield


def called(name: str, module: nn.Module) -> str:
    """Return what messages call a module of a model by this name."""
    kind = type(module).__name__
    return f"{kind} {name!r}" if name else f"the model itself ({kind})"


def with_values(model: nn.Module, values: Mapping[str, Tensor], function: Callable[[], Result]) -> Result:
    """Return ``function()`` while the model has these values of some parameters, by name.

    The other parameters are constants there, and buffers are copies, which may be written to. Afterwards all attributes
    of all modules and the random state are as before, whatever happened. Compiled parts run as written.
    """
    raise_interrupt()
    modules = dict(model.named_modules())
    attributes = [(module.__dict__, dict(module.__dict__)) for module in modules.values()]
    places = [
        (table, name, f"{prefix}.{name}" if prefix else name, tensor)
        for prefix, module in modules.items()
        for table in (module._parameters, module._buffers)
        for name, tensor in list(table.items())
        if tensor is not None
    ]
    states = random_states()
    try:
        _put(places, values)
        with _as_written():
            return function()
    finally:
        for present, past in attributes:
            put_content_back(present, past)
        for table, name, _, tensor in places:
            table[name] = tensor
        put_back(states)


def _put(places: list[tuple[Any, str, str, Tensor]], values: Mapping[str, Tensor]) -> None:
    """Put values in: the same in each place of a tied parameter."""
    present: dict[int, Tensor] = {}
    for table, name, path, tensor in places:
        if id(tensor) not in present:
            is_parameter = isinstance(tensor, nn.Parameter)
            present[id(tensor)] = values.get(path, tensor.detach() if is_parameter else tensor.detach().clone())
        table[name] = present[id(tensor)]


def _as_written() -> contextlib.AbstractContextManager[Any]:
    """Run compiled functions as they were written, if there can be any."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else contextlib.nullcontext()
