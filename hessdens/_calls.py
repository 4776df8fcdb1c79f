"""How functions are called: what to write for calls that they do not take, and warnings at the caller's line."""

import difflib
import functools
import inspect
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar, get_args

# What PyHessian, hessian-eigenthings, curvlinops and SciPy call arguments that have another name here.
OTHER_NAMES = {
    "criterion": "loss_fn", "dataloader": "data", "iter": "num_steps", "loader": "data", "loss": "loss_fn",
    "maxIter": "max_products", "maxiter": "max_products", "max_iter": "max_products", "n_v": "num_probes",
    "ncv": "num_vectors", "num_eigenthings": "k", "params": "parameters", "tol": "rtol", "top_n": "k",
}  # fmt: skip
DEVICES = ("cuda", "device", "use_gpu")
PACKAGE = Path(__file__).parent
P = ParamSpec("P")
R = TypeVar("R")


def takes_operator(function: Callable[P, R]) -> Callable[P, R]:
    """Let a call with arguments that a function does not take say what to write, as Python's own error does not.

    Functions of other libraries take a model, a loss and data. Those here take an operator that is made of them.
    """
    return _explained(function, of_model=False)


def takes_model(function: Callable[P, R]) -> Callable[P, R]:
    """Do what `takes_operator` does, for a function, or the ``__init__`` of a class, that takes a model."""
    return _explained(function, of_model=True)


def _explained(function: Callable[P, R], *, of_model: bool) -> Callable[P, R]:
    parameters = inspect.signature(function).parameters.values()
    called, is_class = function.__name__, function.__name__ == "__init__"
    if is_class:
        called = function.__qualname__.split(".")[-2]
    places = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD][is_class:]
    names = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    most = math.inf if any(each.kind is each.VAR_POSITIONAL for each in parameters) else len(places)
    is_open = False
    for each in parameters:
        if each.kind is each.VAR_KEYWORD:  # of a dictionary whose keys are known, or of any
            names += [name for options in get_args(each.annotation) for name in options.__annotations__]
            is_open = not get_args(each.annotation)

    @functools.wraps(function)
    def checked(*arguments: P.args, **keywords: P.kwargs) -> R:
        others = [] if is_open else [name for name in keywords if name not in (*places, *names)]
        is_model = "model" in others or (bool(arguments) and hasattr(arguments[0], "named_parameters"))
        is_mistaken = is_model and not of_model
        if others or len(arguments) - is_class > (1 if is_mistaken else most):
            message = _with_operator if is_mistaken else _with_names
            raise TypeError(message(called, places, names, others))
        return function(*arguments, **keywords)

    return checked


def _with_operator(function: str, places: list[str], *_: list[str]) -> str:
    """Return the message about a call with a model."""
    first = places[0]
    made = {
        "G": "ggn_operator(model, loss_fn, data)",
        "operators": "[hessian_operator(model, loss_fn, [batch]) for batch in data]",
    }.get(first, "hessian_operator(model, loss_fn, data)")
    kind = "operators" if first == "operators" else "an operator"
    return (
        f"{function} takes {kind}, not a model, a loss and data. Write {first} = {made}, and then {function}({first})."
    )


def _with_names(function: str, places: list[str], names: list[str], others: list[str]) -> str:
    """Return the message about a call with more arguments by place than a function takes, or one that is unknown."""
    if others:
        known = [*places, *names]
        near = [OTHER_NAMES[others[0]]] if OTHER_NAMES.get(others[0]) in known else []
        near += difflib.get_close_matches(others[0], known, n=1)
        hint = f"Write {near[0]}=." if near else f"It takes {', '.join(known)}."
        if others[0] in DEVICES:
            hint = "It is where the model is: write model.to(device), and batch.to(device)."
        return f"{function} takes no argument {others[0]!r}. {hint}"
    hint = f"Write the name: {', '.join(f'{name}=' for name in names)}."
    if places[1:] == ["loss_fn", "data"]:
        hint = f"Write {function}({places[0]}, loss_fn, [(inputs, targets)])."
    several = f"{', '.join(places[:-1])} and {places[-1]}" if len(places) > 1 else places[0]
    return f"{function} takes {several} by place, and all else by name. {hint}"


def warn_caller(message: str) -> None:
    """Warn at the line outside of hessdens from which it was called, however deep in it the reason was met."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and PACKAGE in Path(frame.f_code.co_filename).parents:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level + 1)
