"""Checks of arguments that many functions share."""

import contextlib
import difflib
import functools
import inspect
import math
import operator
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, get_args

from hessdens._types import Window

# Eigenvalues at most half of this from 0 count as degenerate, unless asked otherwise; the window of the paper.
PAPER_WINDOW = 0.2
# Of confidence intervals, unless asked otherwise.
LEVEL = 0.95
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


def at_least(name: str, value: float, least: float) -> None:
    """Raise ValueError, naming the argument, unless ``value`` is at least ``least``."""
    if not value >= least:
        raise ValueError(f"{name} must be at least {least}; got {value}.")


def whole_at_least(name: str, value: int, least: int) -> None:
    """Raise TypeError, naming the argument, unless ``value`` is a whole number; ValueError if it is below ``least``."""
    check_whole(name, value)
    at_least(name, value, least)


def check_whole(name: str, value: Any) -> None:
    """Raise TypeError, naming the argument and what to write, unless ``value`` is a whole number of an integer type."""
    hint = ""
    with contextlib.suppress(TypeError):
        if not isinstance(value, bool):
            operator.index(value)
            return
    if isinstance(value, str | float):
        with contextlib.suppress(ValueError, OverflowError):
            hint = f" Write {name}={round(float(value)):d}." if abs(float(value)) >= 1 else ""
    raise TypeError(f"{name} must be a whole number; got {value!r} of type {type(value).__name__}.{hint}")


def check_real(name: str, value: Any) -> None:
    """Raise TypeError, naming the argument and what to write, unless ``value`` is a real number."""
    with contextlib.suppress(TypeError):
        if not isinstance(value, bool | str):
            float(value)
            return
    share = _percentage(value) if isinstance(value, str) else math.nan
    hint = f" Write {name}={share:g}." if math.isfinite(share) else ""
    raise TypeError(f"{name} must be a number; got {value!r} of type {type(value).__name__}.{hint}")


def half_window(window: Window, largest: float | None = None) -> float:
    """Return half the window around 0; ValueError if it is negative or not finite.

    A share, as "1%", is of the largest absolute eigenvalue, where that is known.
    """
    if isinstance(window, str):
        share = _share(window)
        if largest is None:
            raise ValueError(
                f"window must be a number where the largest eigenvalue is not known; got {window!r}. A Spectrum or a "
                "LanczosDensity knows it."
            )
        return share * largest / 2
    if not (window >= 0 and math.isfinite(window)):
        raise ValueError(f"window must be finite and at least 0; got {window}.")
    return window / 2


def _share(window: str) -> float:
    """Return "1%" as 0.01; ValueError if it is no percentage."""
    share = _percentage(window)
    if not (window.endswith("%") and 0 <= share < math.inf):
        raise ValueError(f'window must be a number, or a share as "1%" of the largest eigenvalue; got {window!r}.')
    return share


def _percentage(text: str) -> float:
    """Return "1%" as 0.01, "0.01" as 0.01, and NaN where there is no number."""
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        return math.nan


def check_interval(low: float, high: float) -> None:
    """Raise ValueError if ``low`` exceeds ``high``."""
    if not low <= high:
        raise ValueError(f"low must not exceed high; got {low} and {high}.")


def check_level(level: float) -> None:
    """Raise ValueError unless ``level`` is a probability in (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1; got {level}.")


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
