"""Records what a feedforward network computes: linear layers, units, sums and fixed linear maps."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

PIECEWISE_LINEAR = {"relu", "leaky_relu", "relu6", "hardtanh"}
UNITS = PIECEWISE_LINEAR | {
    "tanh", "sigmoid", "log_sigmoid", "softplus", "softsign", "tanhshrink", "gelu", "silu", "elu", "celu", "selu",
    "mish", "sin", "cos", "exp", "square",
}  # fmt: skip
SUMS = {"add": 1, "sub": -1}
# Linear in the one argument that depends on the input, the others being constants.
MAPS = {
    "mul", "div", "neg", "matmul", "__matmul__", "flatten", "unflatten", "sum", "mean", "reshape", "view", "dropout",
}  # fmt: skip
# These may return their argument as it is.
IDENTITIES = {"dropout", "contiguous", "to"}
# What an operation on a value in place is replaced by: ``x += y`` then gives a new value to the name x.
OUT_OF_PLACE: dict[str, Any] = {
    "add_": Tensor.add, "sub_": Tensor.sub, "mul_": Tensor.mul, "div_": Tensor.div, "relu_": Tensor.relu,
}  # fmt: skip


class NotFeedforwardError(Exception):
    """The model computes something else than the known steps."""


@dataclass(frozen=True)
class Step:
    """One value of the network, and the steps whose values it is made of."""

    value: Tensor
    sources: tuple[int, ...] = ()


@dataclass(frozen=True)
class Linear(Step):
    """x W^T + b; ``weight`` and ``bias`` are names of parameters."""

    weight: str = ""
    bias: str | None = None


@dataclass(frozen=True)
class Units(Step):
    """f(z), entry by entry."""

    function: Callable[[Tensor], Tensor] = torch.relu
    is_piecewise_linear: bool = True


@dataclass(frozen=True)
class Sum(Step):
    """Sum of the sources times ``factors``; constants are left out."""

    factors: tuple[float, ...] = ()


@dataclass(frozen=True)
class Map(Step):
    """A fixed linear map of each example: scaling, reshaping, product with a constant matrix."""

    function: Callable[[Tensor], Tensor] = torch.neg


def record(model: nn.Module, parameters: Mapping[str, Tensor], inputs: Tensor) -> list[Step]:
    """Return the steps of ``model(inputs)`` at these values of all its parameters, in order of computation.

    Step 0 is the input, the last one the output. Buffers are copied, so that the model is left as it is.

    Raises
    ------
    NotFeedforwardError
        If the model computes something else than `Linear` layers on rows, `Units`, `Sum` and `Map`. Operations
        outside torch leave no trace, so whoever relies on a tape compares it with the model once.
    """
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.no_grad(), _Tape(inputs, parameters) as tape:
        outputs = functional_call(model, {**parameters, **buffers}, (inputs,))
    if outputs is not tape.steps[-1].value:
        raise NotFeedforwardError("the output is not the value computed last")
    return tape.steps


class _Tape(TorchFunctionMode):
    """Sees each call of a torch function while it is active."""

    def __init__(self, inputs: Tensor, parameters: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.steps = [Step(inputs)]
        self._index = {id(inputs): 0}
        self._names = {id(value): name for name, value in parameters.items()}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        given = list(_tensors((args, kwargs)))
        if given and id(given[0]) in self._index:
            func = OUT_OF_PLACE.get(func.__name__, func)
            if "inplace" in kwargs:
                kwargs["inplace"] = False
        name = func.__name__
        result = func(*args, **kwargs)
        if name in IDENTITIES and given and result is given[0]:
            return result
        known = any(id(tensor) in self._index or id(tensor) in self._names for tensor in given)
        if known and any(True for _ in _tensors(result)):
            if not isinstance(result, Tensor) or any(result is tensor for tensor in given):
                raise NotFeedforwardError(name)
            self.steps.append(self._step(name, func, args, kwargs, result))
            self._index[id(result)] = len(self.steps) - 1
        return result

    def _step(self, name: str, func: Any, args: Any, kwargs: Any, result: Tensor) -> Step:
        sources = tuple(self._index[id(t)] for t in _tensors((args, kwargs)) if id(t) in self._index)
        if name == "linear":
            return self._linear(*args, **kwargs, result=result)
        if any(id(tensor) in self._names for tensor in _tensors((args, kwargs))) or not sources:
            raise NotFeedforwardError(f"{name} of a parameter")
        if name in SUMS and not kwargs and all(self.steps[i].value.shape == result.shape for i in sources):
            # A constant minus a value has the sign that a value minus a value gives to its last.
            negative = SUMS[name] < 0 and self._index.get(id(args[-1])) == sources[-1]
            return Sum(result, sources, (*(1.0 for _ in sources[1:]), -1.0 if negative else 1.0))
        if len(sources) > 1 or not args or id(args[0]) not in self._index:
            raise NotFeedforwardError(f"{name} of several values")
        if name in ("mul", "div") and len(args) == 2 and isinstance(args[1], int | float) and not kwargs:
            return Sum(result, sources, (float(args[1]) if name == "mul" else 1 / args[1],))
        if name in UNITS:
            return Units(result, sources, lambda z: func(z, *args[1:], **kwargs), name in PIECEWISE_LINEAR)
        if name in MAPS:
            return Map(result, sources, lambda x: func(x, *args[1:], **kwargs))
        raise NotFeedforwardError(name)

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None, *, result: Tensor) -> Step:  # noqa: A002
        names = [None if tensor is None else self._names.get(id(tensor)) for tensor in (weight, bias)]
        if id(input) not in self._index or input.ndim != 2 or names[0] is None or (bias is not None and not names[1]):
            raise NotFeedforwardError("linear with a computed weight, or not of rows")
        return Linear(result, (self._index[id(input)],), names[0], names[1])


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
