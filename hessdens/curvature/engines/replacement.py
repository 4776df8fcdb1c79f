"""A model with other values of its parameters for the time of one function, and as it was afterwards."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from hessdens._threads import WATCH
from hessdens._torch import is_checkpointed, may_be_compiled
from hessdens.curvature.containers import flattened, tensors_of

Result = TypeVar("Result")
# What handlers of signals have raised, and waits until the next evaluation.
INTERRUPTS: list[BaseException] = []


def raise_interrupt() -> None:
    """Raise the error that waits, if there is one."""
    if INTERRUPTS:
        error = INTERRUPTS.pop()
        vars(error)["has_waited"] = True
        raise error


def is_of_the_model(error: Exception) -> bool:
    """Return whether an error is that of an evaluation: neither a lack of memory nor an interrupt."""
    return not isinstance(error, torch.OutOfMemoryError) and "has_waited" not in vars(error)


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
    WATCH.look()
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
        with _as_written(), _computed_anew():
            return function()
    finally:
        for present, past in attributes:
            put_content_back(present, past)
        for table, name, _, tensor in places:
            table[name] = tensor
        put_back(states)


def _put(places: list[tuple[Any, str, str, Tensor]], values: Mapping[str, Tensor]) -> None:
    """Put values in: the same in each place of a tied parameter, and with its attributes, as models may read them."""
    present: dict[int, Tensor] = {}
    for table, name, path, tensor in places:
        if id(tensor) not in present:
            is_parameter = isinstance(tensor, nn.Parameter)
            value = values.get(path, tensor.detach() if is_parameter else tensor.detach().clone())
            if is_parameter and value is not tensor:
                vars(value).update(vars(tensor), _is_param=True)  # by which torch knows a parameter
            present[id(tensor)] = value
        table[name] = present[id(tensor)]


def _as_written() -> contextlib.AbstractContextManager[Any]:
    """Run compiled functions as they were written, if there can be any."""
    return torch.compiler.set_stance("force_eager") if may_be_compiled() else contextlib.nullcontext()


@contextlib.contextmanager
def _computed_anew() -> Iterator[None]:
    """Do without the weights that parametrisations have cached, and cache none: they are those of other values."""
    caches = [name for name in ("_cache_enabled", "_cache") if hasattr(parametrize, name)]
    kept = {name: getattr(parametrize, name) for name in caches}
    try:
        vars(parametrize).update({name: type(value)() for name, value in kept.items()})  # 0 and {}
        yield
    finally:
        vars(parametrize).update(kept)


class Constants(TorchFunctionMode):
    """Keeps what a loss takes as constants for evaluations at other parameters, where it stays as in the first one.

    That is what calls return that take a tensor with a derivative and give none: ``detach``, ``.data``, ``item``,
    comparisons, and all under ``no_grad``. Inside custom functions, which have derivatives of their own, it is nothing.
    Torch disables gradients there itself, while any other code calls a function of torch for it, which is seen here.
    ValueError if such numbers are made inside a checkpoint, whose backward pass makes them anew.
    """

    def __init__(self, first: "Constants | None" = None) -> None:
        super().__init__()
        self.kept: list[list[Any]] = []
        self._rest = None if first is None else iter(first.kept)
        # Whether gradients are enabled in the loss, and in the custom functions that are under way, innermost last.
        self._enabled = [True]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self._follow()
        operands = tensors_of((args, kwargs))
        has_derivative = any(tensor.requires_grad for tensor in operands)
        result = func(*args, **kwargs)
        if not torch.is_inference_mode_enabled():
            self._enabled[-1] = torch.is_grad_enabled()  # the call may have been that of no_grad
        if not has_derivative:
            return result
        leaves, rebuilt = flattened(result)
        if any(_is_wrapped(leaf) for leaf in [*operands, *leaves]):
            return result
        if any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in leaves):
            return result
        if not any(isinstance(leaf, Tensor | float | bool) for leaf in leaves):
            return result
        if self._enabled[0] and len(self._enabled) > 1:
            return result
        if is_checkpointed() and any(is_number(leaf) for leaf in leaves):
            raise ValueError(
                "Central differences keep what is detached, which a checkpoint computes anew. Switch checkpointing off."
            )
        if self._rest is None:
            self.kept.append([leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves])
            return result
        kept = next(self._rest, [])
        if len(kept) != len(leaves):
            raise RuntimeError("The loss takes another way at other parameters.")
        return rebuilt([_constant(*pair, operands) for pair in zip(leaves, kept, strict=True)])

    def _follow(self) -> None:
        """Notice that a custom function has begun or ended: gradients are disabled or enabled without a call."""
        is_enabled = torch.is_grad_enabled()
        if is_enabled == self._enabled[-1] or torch.is_inference_mode_enabled():
            return
        if len(self._enabled) > 1 and is_enabled == self._enabled[-2]:
            self._enabled.pop()
        else:
            self._enabled.append(is_enabled)


def _constant(leaf: Any, kept: Any, operands: list[Tensor]) -> Any:
    """Return what was kept in the place of a result, in the same tensor if that is an operand."""
    if not isinstance(leaf, Tensor):
        return kept if isinstance(leaf, float | bool) else leaf
    if any(leaf is operand for operand in operands):
        return leaf.copy_(kept)
    return kept.clone()


def is_number(leaf: Any) -> bool:
    """Return whether something is a real number, or a tensor of these: it may have a derivative."""
    return leaf.is_floating_point() if isinstance(leaf, Tensor) else isinstance(leaf, float)


def _is_wrapped(leaf: Any) -> bool:
    """Return whether a tensor is one that torch.func wraps, which ends with its transform: its memory is not shown."""
    if not isinstance(leaf, Tensor) or leaf.layout != torch.strided:
        return False
    try:
        leaf.untyped_storage()
    except NotImplementedError:
        return True
    return False
