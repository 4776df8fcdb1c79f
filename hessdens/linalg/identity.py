"""What an operator is: facts that tell it from others, on other processes, in files and in earlier runs."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from hessdens._version import __version__
from hessdens.linalg.fingerprint import CHECKSUM_ROUNDING, equal_to_rounding
from hessdens.linalg.inner_products import column_dots, raise_if_not_finite
from hessdens.linalg.operator import Operator
from hessdens.linalg.probes import operator_probes

Identity = dict[str, str | int | float]
# Facts that are computed, and so depend on the order of sums more than checksums of given numbers do.
PRODUCTS = ("a product", "vectors")
PRODUCT_ROUNDING = 1e-5
# The probe whose product identifies an operator: of a seed of its own, so that no estimate takes it.
WITNESS_SEED = 2**63


def facts_of(operator: Operator) -> Identity:
    """Return what an operator is, as far as it knows. Cost: one read of parameters and data."""
    return {**operator.origin(), "size": operator.size, "dtype": str(operator.dtype)}


def identity_of(operator: Operator) -> Identity:
    """Return what an operator is, and the versions of what computes its products."""
    return {"hessdens version": __version__, "torch version": str(torch.__version__), **facts_of(operator)}


def run_identity(operator: Operator, **settings: str | int) -> Identity:
    """Return what identifies a run: its settings and its operator. Cost: also one product, r·Ar, to recognise it."""
    probe = operator_probes(operator, WITNESS_SEED, 0, 1, "gaussian")
    value = column_dots(probe, operator.matmat(probe), operator.team)
    raise_if_not_finite(value, "one with a random vector")
    return {**settings, **identity_of(operator), "a product": float(value)}


def digest(*arrays: np.ndarray[Any, Any]) -> str:
    """Return a hash of the content of arrays."""
    state = hashlib.blake2b(digest_size=16)
    for array in arrays:
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return a phrase for each fact that is another one in a second identity."""
    return [
        f"{name} is {there.get(name)!r} there and {here.get(name)!r} here"
        for name in sorted({*there, *here})
        if not is_same_fact(name, there.get(name), here.get(name))
    ]


def is_same_fact(name: str, first: Any, second: Any) -> bool:
    """Return whether two values of a fact are equal, to the rounding of its kind."""
    return equal_to_rounding(first, second, PRODUCT_ROUNDING if name in PRODUCTS else CHECKSUM_ROUNDING)
