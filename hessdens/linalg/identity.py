"""What an operator is: facts that tell it from others, on other processes, in files and in earlier runs."""

import functools
import hashlib
from collections.abc import Callable, Mapping
from types import CellType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hessdens._version import __version__
from hessdens.linalg.fingerprint import digest_of, equal_to_rounding, fingerprint
from hessdens.linalg.inner_products import column_dots, raise_if_not_finite
from hessdens.linalg.operator import Operator
from hessdens.linalg.probes import operator_probes

Identity = dict[str, str | int | float]
# Facts that are computed, and so equal to rounding only: on float64 products, and on others.
PRODUCTS = ("a product", "vectors")
PRODUCT_ROUNDING = {"torch.float64": 1e-10}
USUAL_ROUNDING = 1e-5
# The probe whose product identifies an operator: of a seed of its own, so that no estimate takes it.
WITNESS_SEED = 2**63


def facts_of(operator: Operator) -> Identity:
    """Return what an operator is, as far as it knows. Cost: one read of parameters and data."""
    return {**operator.origin(), "size": operator.size, "dtype": str(operator.dtype)}


def identity_of(operator: Operator) -> Identity:
    """Return what an operator is, and the versions of what computes its products."""
    return {"hessdens version": __version__, "torch version": str(torch.__version__), **facts_of(operator)}


def with_product(operator: Operator) -> Identity:
    """Return the identity of an operator with the value r·Ar of a fixed vector. Cost: also one product."""
    return {**identity_of(operator), "a product": _witness(operator)[0]}


def run_identity(operator: Operator, **settings: str | int) -> Identity:
    """Return what identifies a run: its settings, its operator, and a product r·Ar to recognise what code does.

    Where the operator does not know all that it is made of, the last bits of the product count too, if they are the
    same in a second one. Cost: also one product, or two.
    """
    value, bits = _witness(operator)
    identity = {**settings, **identity_of(operator), "a product": value}
    if not operator.has_whole_origin:
        repeats = operator.team.least(int(_witness(operator)[1] == bits))
        identity["bits of a product"] = bits if repeats else "other ones each time"
    return identity


def _witness(operator: Operator) -> tuple[float, str]:
    """Return r·Ar for a fixed random vector, and a digest of Ar."""
    probe = operator_probes(operator, WITNESS_SEED, 0, 1, "gaussian")
    products = operator.matmat(probe)
    value = column_dots(probe, products, operator.team)
    raise_if_not_finite(value, "one with a random vector")
    return float(value), digest_of(fingerprint(products))


def settings_of(value: Any, around: tuple[int, ...] = ()) -> Any:
    """Return what numbers, texts and tensors a function or a callable object holds, in containers: its settings.

    These are attributes, arguments that are bound, defaults, constants in the code, and variables of the functions
    around it. What belongs to torch in a module is not looked at, nor attributes of objects that cannot be called.
    """
    if hasattr(value, "to_local"):  # each process has another part
        return type(value).__name__
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.number | np.ndarray | Tensor):
        return value
    if id(value) in around:
        return None
    inside: Callable[[Any], Any] = functools.partial(settings_of, around=(*around, id(value)))
    if isinstance(value, Mapping):
        return {str(key): inside(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [inside(part) for part in value]
    if isinstance(value, functools.partial):
        return [inside(part) for part in (value.func, value.args, value.keywords)]
    if isinstance(value, MethodType):
        return [inside(value.__func__), inside(value.__self__)]
    if isinstance(value, FunctionType):
        # A variable that has no value yet has an empty cell, which is equal to a new one.
        cells = [cell.cell_contents for cell in value.__closure__ or () if cell != CellType()]
        parts = (value.__code__.co_consts, value.__defaults__, value.__kwdefaults__, cells)
        return [value.__qualname__, *map(inside, parts)]
    attributes = vars(value) if callable(value) and not isinstance(value, type) and hasattr(value, "__dict__") else {}
    if isinstance(value, nn.Module):
        own = {name: part for name, part in attributes.items() if name[0] != "_" and name != "training"}
        attributes = own | dict(value.named_parameters()) | dict(value.named_buffers())
    return [type(value).__qualname__, {name: inside(part) for name, part in attributes.items()}]


def digest(*arrays: np.ndarray[Any, Any]) -> str:
    """Return a hash of the content of arrays."""
    state = hashlib.blake2b(digest_size=16)
    for array in arrays:
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return a phrase for each fact that is another one in a second identity."""
    rounding = PRODUCT_ROUNDING.get(here.get("dtype", ""), USUAL_ROUNDING)
    return [
        f"{name} is {there.get(name)!r} there and {here.get(name)!r} here"
        for name in sorted({*there, *here})
        if not is_same_fact(name, there.get(name), here.get(name), rounding)
    ]


def is_same_fact(name: str, first: Any, second: Any, rounding: float = USUAL_ROUNDING) -> bool:
    """Return whether two values of a fact are equal, those of products to ``rounding``."""
    return equal_to_rounding(first, second, rounding if name in PRODUCTS else 0.0)
