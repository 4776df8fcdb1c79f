"""Records what a feedforward network computes: linear layers, units, sums and fixed linear maps."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hessdens.curvature.containers import tensors_of
from hessdens.curvature.engines.engine import UnsuitableError
from hessdens.curvature.engines.loss_module import Values
from hessdens.curvature.engines.replacement import with_values
from hessdens.curvature.engines.steps import Linear, Map, Step, Sum, Units

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


def record(model: nn.Module, parameters: Values, inputs: Tensor) -> list[Step]:
    """Return the steps of ``model(inputs)`` at these values of all its parameters, in order of computation.

    Step 0 is the input, the last one the output. The model is left as it is.

    Raises
    ------
    UnsuitableError
        If the model computes something else than `Linear` layers on rows, `Units`, `Sum` and `Map`. Operations
        outside torch leave no trace, so whoever relies on a tape compares it with the model once.
    """
    tape = _Tape(inputs, parameters)

    def forward() -> Any:
        with torch.no_grad(), tape:
            return model(inputs)

    outputs = with_values(model, parameters, forward)
    if outputs is not tape.steps[-1].value:
        raise UnsuitableError("the output is not the value computed last")
    return tape.steps


class _Tape(TorchFunctionMode):
    """Sees each call of a torch function while it is active."""

    def __init__(self, inputs: Tensor, parameters: Values) -> None:
        super().__init__()
        self.steps = [Step(inputs)]
        self._index = {id(inputs): 0}
        self._names = {id(value): name for name, value in parameters.items()}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        operands = tensors_of((args, kwargs))
        if operands and id(operands[0]) in self._index:
            func = OUT_OF_PLACE.get(func.__name__, func)
            if "inplace" in kwargs:
                kwargs["inplace"] = False
        name = func.__name__
        result = func(*args, **kwargs)
        if name in IDENTITIES and operands and result is operands[0]:
            return result
        known = any(id(tensor) in self._index or id(tensor) in self._names for tensor in operands)
        if known and tensors_of(result):
            if not isinstance(result, Tensor) or any(result is tensor for tensor in operands):
                raise UnsuitableError(name)
            self.steps.append(self._step(name, func, args, kwargs, result))
            self._index[id(result)] = len(self.steps) - 1
        return result

    def _step(self, name: str, func: Any, args: Any, kwargs: Any, result: Tensor) -> Step:
        operands = tensors_of((args, kwargs))
        sources = tuple(self._index[id(tensor)] for tensor in operands if id(tensor) in self._index)
        if name == "linear":
            return self._linear(*args, **kwargs, result=result)
        if any(id(tensor) in self._names for tensor in operands) or not sources:
            raise UnsuitableError(f"{name} of a parameter")
        if name in SUMS and not kwargs and all(self.steps[i].value.shape == result.shape for i in sources):
            # In ``constant - value`` the value gets the sign -1, as the second operand of ``value - value`` does.
            negative = SUMS[name] < 0 and self._index.get(id(args[-1])) == sources[-1]
            return Sum(result, sources, factors=(*(1.0 for _ in sources[1:]), -1.0 if negative else 1.0))
        if len(sources) > 1 or not args or id(args[0]) not in self._index:
            raise UnsuitableError(f"{name} of several values")
        if name in ("mul", "div") and len(args) == 2 and isinstance(args[1], int | float) and not kwargs:
            return Sum(result, sources, factors=(float(args[1]) if name == "mul" else 1 / args[1],))
        if name not in UNITS | MAPS:
            raise UnsuitableError(name)
        make: Any = partial(Units, is_piecewise_linear=name in PIECEWISE_LINEAR) if name in UNITS else Map
        return make(result, sources, inputs=args[0], function=lambda value: func(value, *args[1:], **kwargs))

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None, *, result: Tensor) -> Step:  # noqa: A002
        name = self._names.get(id(weight))
        bias_name = None if bias is None else self._names.get(id(bias))
        is_layer = name is not None and (bias is None) == (bias_name is None)
        if id(input) not in self._index or input.ndim != 2 or name is None or not is_layer:
            raise UnsuitableError("linear with a computed weight, or not of rows")
        return Linear(result, (self._index[id(input)],), inputs=input, matrix=weight, weight=name, bias=bias_name)
