"""The operator that a user's function makes: found by name, called, and what it returns checked."""

import argparse
import difflib
import importlib
import importlib.util
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from hessdens.cli.errors import CommandError, UsageError
from hessdens.curvature import fisher_operator, ggn_operator, hessian_operator
from hessdens.curvature.containers import map_tensors
from hessdens.linalg import Operator, as_operator

CURVATURES: dict[str, Any] = {"hessian": hessian_operator, "ggn": ggn_operator, "fisher": fisher_operator}
EXPECTED = (
    "(model, loss_fn, data), (model, loss_fn, data, {keyword arguments of hessian_operator}), or an operator or matrix"
)
EXAMPLE = "Write, for example: return model, torch.nn.CrossEntropyLoss(), batches."


def operator_from(arguments: argparse.Namespace) -> Operator:
    """Return the operator that FACTORY makes, "package.module:function" or "file.py:function"."""
    place = arguments.factory
    curvature = arguments.curvature
    parameters = arguments.parameters
    precision: torch.dtype | None = None if arguments.dtype is None else getattr(torch, arguments.dtype)
    target = None if arguments.device is None else checked_device(arguments.device)
    made = find(place)()
    if not isinstance(made, tuple):
        if curvature is not None or parameters is not None:
            option = "--curvature" if curvature is not None else "--parameters"
            raise CommandError(f"{option} is for a model; {place} returned {type(made).__name__}. Leave it out.")
        if made is None:
            raise CommandError(f"{place} must return {EXPECTED}; got None. {EXAMPLE}")
        if isinstance(made, nn.Module):
            raise CommandError(f"{place} must return {EXPECTED}; got the model alone. {EXAMPLE}")
        try:
            return as_operator(made, device=target, dtype=precision)
        except (TypeError, ValueError) as error:
            raise CommandError(f"{place} must return {EXPECTED}; got {type(made).__name__}: {error}") from error
    function = CURVATURES[curvature or "hessian"]
    model, loss_fn, data, keywords = _checked(made, place, function)
    if target is not None or precision is not None:
        model, data = model.to(target, precision), _moved(data, target, precision)
    if parameters is not None:
        keywords = {**keywords, "parameters": parameters}
    return function(model, loss_fn, data, **keywords)


def find(place: str) -> Any:
    """Return the function at ``place``; the current folder is searched first, as ``python -m`` does."""
    module_name, colon, name = place.rpartition(":")
    if not (colon and module_name and name.isidentifier()):
        raise UsageError(f"FACTORY must be package.module:function or path/to/file.py:function; got {place!r}.")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    module = _from_file(Path(module_name)) if module_name.endswith(".py") else _imported(module_name)
    if not hasattr(module, name):
        raise UsageError(f"{module_name} must have a function {name!r}; it has none.{_hint(name, dir(module))}")
    function = getattr(module, name)
    if not callable(function):
        raise UsageError(f"{place} must be a function; got {type(function).__name__}.")
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise UsageError(
            f"{place} must be callable without arguments; {error}. Give its parameters defaults, or write a function "
            "that calls it."
        ) from error
    return function


def _imported(name: str) -> ModuleType:
    if any(not part.isidentifier() for part in name.split(".")):
        raise UsageError(f"FACTORY must name a module before the colon, such as package.module; got {name!r}.")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise  # the module is there, and what it imports is not
        raise UsageError(
            f"FACTORY must name a module that can be imported; there is no {error.name!r} in {os.getcwd()} or the "
            "installed packages. Change to the folder that has it, or give path/to/file.py:function."
        ) from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"FACTORY must name a file that exists; there is no {path}.")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as Python does for a script
    name = path.stem if path.stem not in sys.modules else f"hessdens_factory_{path.stem}"
    file = os.path.abspath(path)
    loader = SourceFileLoader(name, file)
    spec = ModuleSpec(name, loader, origin=file)
    spec.has_location = True  # the module has a __file__
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _checked(made: tuple[Any, ...], place: str, function: Any) -> tuple[nn.Module, Any, Any, dict[str, Any]]:
    kinds = f"({', '.join(type(part).__name__ for part in made)})"
    if len(made) not in (3, 4) or not isinstance(made[0], nn.Module):
        raise CommandError(f"{place} must return {EXPECTED}; got {kinds}. {EXAMPLE}")
    model, loss_fn, data, *rest = made
    keywords = rest[0] if rest else {}
    if not isinstance(keywords, dict):
        raise CommandError(f"{place} must return a dictionary in fourth place, of keywords; got {kinds}. {EXAMPLE}")
    known = list(inspect.signature(function).parameters)[3:]
    unknown = [name for name in keywords if name not in known]
    if unknown:
        hint = _hint(str(unknown[0]), known)
        raise CommandError(f"{place} must return keyword arguments of {function.__name__}; got {unknown[0]!r}.{hint}")
    return model, loss_fn, data, keywords


def _hint(name: str, names: list[str]) -> str:
    """Return a sentence with the nearest of ``names``; nothing where none is near."""
    near = difflib.get_close_matches(name, names, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def checked_device(device: str) -> torch.device:
    """Return a device that this machine has, and that keeps numbers."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that torch once knew
            place = torch.device(device)
            torch.zeros(1, device=place).item()
    except Exception as error:  # each backend raises another one
        reason = f"{error}".partition("\n")[0].partition(". ")[0]
        raise UsageError(
            f"--device must be a device that this machine has; got {device[:40]!r}: {reason[:200]}."
        ) from error
    return place


def _moved(data: Any, device: torch.device | None, dtype: torch.dtype | None) -> Any:
    """Return data on another device, and their floating-point tensors in another precision."""

    def moved(tensor: Tensor) -> Tensor:
        return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)

    move = partial(map_tensors, moved)
    if isinstance(data, list | tuple):
        return [move(batch) for batch in data]
    # What cannot be read again and again is for hessian_operator to refuse.
    return _Moved(data, move) if isinstance(data, Iterable) and not isinstance(data, Iterator) else data


@dataclass(frozen=True)
class _Moved:
    batches: Iterable[Any]
    move: Callable[[Any], Any]

    def __iter__(self) -> Iterator[Any]:
        return map(self.move, self.batches)
