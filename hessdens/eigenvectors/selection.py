"""Which Ritz pairs of a Krylov space are wanted: of one end, of both, largest in magnitude, or near a value."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hessdens._types import FloatArray

End = Literal["largest", "smallest", "both", "magnitude"]
# The names of SciPy's ``eigsh``.
ARPACK: dict[str, End] = {"LA": "largest", "SA": "smallest", "LM": "magnitude", "BE": "both"}
# A shift is moved by so much of the longest product where it is nearer than a tenth of this to an eigenvalue that has
# converged: what A less the shift makes of its eigenvector would be rounding.
MOVED = 1e-7


@dataclass(frozen=True)
class RitzPairs:
    """Approximate eigenpairs in a basis of d vectors, those that are wanted most first.

    ``coordinates`` of n orthonormal vectors, and of their ``residuals``, are columns, shape (d, n). The matrix maps the
    first ones into the span of themselves and of ``following``, shape (d, b).
    """

    values: FloatArray
    coordinates: FloatArray
    residuals: FloatArray
    following: FloatArray


def checked_which(which: Any) -> End | float:
    """Return which eigenvalues are meant; ValueError if none are, TypeError if it is neither text nor a number."""
    if isinstance(which, str):
        if which not in get_args(End):
            hint = f" Write which={ARPACK[which]!r}." if which in ARPACK else ""
            raise ValueError(f"which must be one of {', '.join(get_args(End))}, or a number; got {which!r}.{hint}")
        return which  # type: ignore[return-value]
    try:
        value = float(which)
    except (TypeError, ValueError):
        raise TypeError(f"which must be one of {', '.join(get_args(End))}, or a number; got {which!r}.") from None
    if isinstance(which, bool) or not math.isfinite(value):
        raise ValueError(f"which must be a finite number to find eigenvalues near it; got {which}.")
    return value


def named(which: End | float) -> str:
    """Return what a result says of which eigenvalues it has."""
    return which if isinstance(which, str) else f"near {which:g}"


def order_of(values: FloatArray, which: End | float) -> NDArray[np.intp]:
    """Return indices of values, those that are wanted most first."""
    if which == "largest":
        return np.argsort(-values, kind="stable")
    if which == "smallest":
        return np.argsort(values, kind="stable")
    if which == "both":
        falling = np.argsort(-values, kind="stable")  # read from its end it rises: equal values come once each
        return np.stack([falling, falling[::-1]], axis=1).reshape(-1)[: len(values)]
    return np.argsort(-np.abs(values) if which == "magnitude" else np.abs(values - which), kind="stable")


def ritz_pairs(matrix: FloatArray, num_known: int, which: End | float, num_inner: int) -> RitzPairs:
    """Return Ritz pairs of a space: ``matrix`` is A in all blocks, of which the first vectors have been multiplied.

    Near a value, the pairs are of ``num_inner`` harmonic Ritz vectors: these do not mistake a mean of far eigenvalues
    for one nearby. Source: R. B. Morgan, Computing interior eigenvalues of large matrices (1991).
    """
    if isinstance(which, float):
        return _interior_pairs(matrix[:, :num_known], which, num_inner)
    values, vectors = np.linalg.eigh(matrix[:num_known, :num_known])
    order = order_of(values, which)
    coordinates = np.zeros((len(matrix), len(order)))
    coordinates[:num_known] = vectors[:, order]
    residuals = np.zeros_like(coordinates)
    residuals[num_known:] = matrix[num_known:, :num_known] @ vectors[:, order]
    return RitzPairs(values[order], coordinates, residuals, np.eye(len(matrix))[:, num_known:])


def _interior_pairs(columns: FloatArray, target: float, count: int) -> RitzPairs:
    """Return the pairs of the harmonic Ritz vectors nearest to a value, from A V = ``columns`` in the basis.

    With G = (A - s) V: of the pencil (V'G) y = ν (G'G) y those with the largest abs(ν) = 1 / abs(θ - s). What G leaves
    of the basis is the only direction of their harmonic residuals, so that a restart goes on from them.
    """
    size, known = columns.shape
    shift = np.eye(size, known)
    left, lengths, right = np.linalg.svd(columns - target * shift)
    longest = float(lengths.max(initial=0.0))
    if lengths.min(initial=longest) < 0.1 * MOVED * longest:
        left, lengths, right = np.linalg.svd(columns - (target + MOVED * longest) * shift)
    inverse = right.T / np.maximum(lengths, np.finfo(np.float64).eps * longest or 1.0)
    inner = inverse.T @ left[:known, :known]
    inverses, mixtures = np.linalg.eigh((inner + inner.T) / 2)
    chosen = mixtures[:, np.argsort(-np.abs(inverses), kind="stable")[:count]]
    basis, _ = np.linalg.qr(inverse @ chosen)
    values, rotation = np.linalg.eigh(basis.T @ columns[:known] @ basis)
    order = order_of(values, target)
    values, coordinates = values[order], np.zeros((size, len(order)))
    coordinates[:known] = basis @ rotation[:, order]
    following = left[:, known:] - coordinates @ (coordinates.T @ left[:, known:])
    residuals = columns @ coordinates[:known] - coordinates * values
    return RitzPairs(values, coordinates, residuals, np.linalg.qr(following)[0])
