"""What an operator is: facts that tell it from others."""

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from hessdens._version import __version__
from hessdens.errors import NonFiniteError
from hessdens.linalg.inner_products import column_dots
from hessdens.linalg.operator import Operator
from hessdens.linalg.probes import operator_probes

# Numbers that identify a run are sums over products or data, equal to rounding.
ROUNDING = 1e-5
# The probe whose product identifies an operator: of a seed of its own, so that no estimate takes it.
WITNESS_SEED = 2**63
Identity = Mapping[str, str | int | float]


def run_identity(operator: Operator, **settings: str | int) -> dict[str, str | int | float]:
    """Return what identifies a run: its settings, versions, and the operator. Cost: one product, to recognise it."""
    return {
        **settings,
        "hessdens version": __version__,
        "torch version": torch.__version__,
        "size": operator.size,
        "dtype": str(operator.dtype),
        **operator.origin(),
        "a product": _witness(operator),
    }


def digest(*arrays: np.ndarray[Any, Any]) -> str:
    """Return a hash of the content of arrays."""
    state = hashlib.blake2b(digest_size=16)
    for array in arrays:
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def _witness(operator: Operator) -> float:
    """Return r·Ar for a fixed vector, which tells operators apart that cannot say what they are."""
    probe = operator_probes(operator, WITNESS_SEED, 0, 1, "gaussian")
    value = float(column_dots(probe, operator.matmat(probe), operator.team))
    if not math.isfinite(value):
        raise NonFiniteError("Products must be finite; one with a random vector is not (overflow or NaN).")
    return value


def differences(found: Mapping[str, Any], wanted: Identity) -> list[str]:
    """Return a phrase for each entry in which two identities differ by more than rounding."""
    return [
        f"{name} is {found.get(name)!r} there and {wanted.get(name)!r} here"
        for name in sorted({*found, *wanted})
        if not _equal(found.get(name), wanted.get(name))
    ]


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=ROUNDING)
    return bool(first == second)
