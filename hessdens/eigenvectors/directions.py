"""What a direction is: its share in subspaces, the angles between these, and the layers that carry it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from hessdens._calls import takes_operator
from hessdens._types import FloatArray
from hessdens.eigenvectors.descriptions import Carriers, Overlap, SubspaceAngles
from hessdens.linalg.adapt import kind_of
from hessdens.linalg.operator import Operator
from hessdens.results.eigenpairs import Eigenpairs
from hessdens.structure.parts import Parts, Selection

# Rows whose inner products differ from those of unit vectors by more than this are not orthonormal.
ORTHONORMAL = 1e-3


def overlap(pairs: Eigenpairs, direction: Any) -> Overlap:
    """Return how much of a direction lies along eigenvectors: a gradient, an update, a mean of a class.

    Parameters
    ----------
    pairs
        From `eigenpairs`. Each cluster is one subspace.
    direction
        Shape (N,), of any length above 0: ``H.gradient()``, a difference of parameters, ``H.flatten({name: tensor})``.

    Raises
    ------
    ValueError
        If the direction has another size, is zero, or is not finite.
    TypeError
        If ``pairs`` are not from `eigenpairs`, or the direction is no real vector.

    Notes
    -----
    Limits follow from the angles of clusters: the length of a projection changes by at most the sine of the angle.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdens import eigenpairs
    >>> pairs = eigenpairs(np.diag([1.0, 2.0, 8.0, 9.0]), 2, rtol=1e-9)
    >>> overlap(pairs, np.array([0.0, 0.0, 3.0, 4.0])).shares.round(6)
    array([0.64, 0.36])
    """
    if not isinstance(pairs, Eigenpairs):
        raise TypeError(f"pairs must be from eigenpairs; got {kind_of(pairs)}. Write overlap(pairs, direction).")
    vector = _unit(direction, pairs.size, "direction")
    _check_whole(pairs)
    lengths = pairs.vectors.astype(np.float64) @ vector
    groups = [list(members) for members in pairs.subspaces]
    parts = np.array([np.linalg.norm(lengths[group]) for group in groups])
    sines = np.array([np.sin(pairs.angles[group[0]]) for group in groups])
    whole, sine = float(np.linalg.norm(lengths)), float(np.sin(pairs.total_angle))
    low, high = _squares_within(np.append(parts, whole), np.append(sines, sine))
    total = min(whole**2, 1.0)
    least, most = max(low[-1], low[:-1].sum()), min(high[-1], high[:-1].sum())  # clusters are orthogonal
    return Overlap(
        pairs.size,
        np.array([pairs.values[group].mean() for group in groups]),
        tuple(map(len, groups)),
        np.clip(parts**2, 0.0, 1.0),
        low[:-1],
        high[:-1],
        np.array([total, min(least, total), max(most, total)]),
    )


def subspace_angles(first: Any, second: Any) -> SubspaceAngles:
    """Return the principal angles between two subspaces: eigenvectors of two runs, or of two steps of one.

    Parameters
    ----------
    first, second
        `Eigenpairs`, all vectors of which span a subspace, or orthonormal vectors as rows, shape (n, N), or one vector
        of any length, shape (N,), which are exact.

    Returns
    -------
    SubspaceAngles
        As many as the smaller subspace has dimensions.

    Raises
    ------
    ValueError
        If vectors have different sizes, are zero or not finite, rows are not orthonormal, or there are none.
    TypeError
        If vectors are no real ones.

    Notes
    -----
    Limits: sines and cosines change by at most the sine of the angle between a subspace and the exact one (A. Knyazev &
    M. Argentati 2002), for both subspaces: ``total_angle`` of `Eigenpairs`.

    Examples
    --------
    >>> import numpy as np
    >>> subspace_angles(np.eye(3)[:2], np.array([0.0, 1.0, 1.0])).angles.round(4)
    array([0.7854])
    """
    (rows, sine), (others, other_sine) = _subspace(first, "first"), _subspace(second, "second")
    if rows.shape[1] != others.shape[1]:
        raise ValueError(f"Subspaces must have vectors of one size; got {rows.shape[1]:,} and {others.shape[1]:,}.")
    smaller, larger = (rows, others) if len(rows) <= len(others) else (others, rows)
    inside = smaller @ larger.T
    cosines = np.clip(np.linalg.svd(inside, compute_uv=False), 0.0, 1.0)
    sines = np.clip(np.linalg.svd(smaller - inside @ larger, compute_uv=False)[::-1], 0.0, 1.0)
    angles = np.where(cosines**2 > 0.5, np.arcsin(sines), np.arccos(cosines))
    error = sine + other_sine
    low = np.maximum(np.arccos(np.minimum(cosines + error, 1.0)), np.arcsin(np.maximum(sines - error, 0.0)))
    high = np.minimum(np.arccos(np.maximum(cosines - error, 0.0)), np.arcsin(np.minimum(sines + error, 1.0)))
    return SubspaceAngles(angles, np.minimum(low, angles), np.maximum(high, angles), len(larger) / larger.shape[1])


@takes_operator
def carriers(A: Operator, direction: Any, *, layers: Mapping[str, Selection] | None = None) -> Carriers:
    """Return which layers carry a direction or a subspace, and the number of parameters that do.

    Parameters
    ----------
    A
        From `hessian_operator` or its like, which knows the parameters.
    direction
        One direction, shape (N,) or tensors by parameter, of any length above 0; or a subspace by orthonormal rows,
        shape (n, N), such as ``pairs.subspace(3)``: what is returned does not depend on its basis.
    layers
        What each layer has, by its name, as in `layer_moments`: names and globs of parameters, or slices of them
        (`attention_parts`). Layers may overlap. Default: each parameter is one.

    Raises
    ------
    ValueError
        If the direction has another size, is zero or is not finite, or a layer does not exist.
    TypeError
        If ``A`` is no operator of a model, or the direction is no real vector.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from hessdens import eigenpairs, hessian_operator
    >>> data = [(torch.eye(4), torch.tensor([0, 1, 2, 0]))]
    >>> H = hessian_operator(nn.Linear(4, 3), nn.CrossEntropyLoss(), data)
    >>> carriers(H, eigenpairs(H, 1).vectors[0]).layers
    ('weight', 'bias')
    """
    sizes = getattr(A, "parameter_sizes", None)
    if not sizes:
        raise TypeError(f"A must be an operator of a model, from hessian_operator or its like; got {kind_of(A)}.")
    parts = Parts.of(A, {name: name for name in sizes} if layers is None else layers, may_overlap=True)
    model: Any = A
    rows = np.atleast_2d(_array(model.flatten(direction) if isinstance(direction, Mapping) else direction, "direction"))
    if len(rows) == 1:
        rows = _unit(rows[0], A.num_rows, "direction")[None]
    _check_orthonormal(rows, "direction")
    if rows.shape[1] != sum(sizes.values()):
        raise ValueError(f"direction must have {sum(sizes.values()):,} entries, as A has; got {rows.shape[1]:,}.")
    squares = np.mean(rows**2, axis=0)
    shares = parts.sums(torch.from_numpy(squares)[:, None]).numpy()[:, 0]
    return Carriers(parts.names, parts.sizes, np.minimum(shares, 1.0), float(squares.sum() ** 2 / np.sum(squares**2)))


def _array(value: Any, name: str) -> FloatArray:
    """Return a tensor or an array in float64; TypeError if it is none, or complex."""
    if isinstance(value, Mapping):
        raise TypeError(f"{name} must be a vector; got {type(value).__name__}. H.flatten makes one of it.")
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.numpy() if value.is_complex() else value.double().numpy()
    array = np.asarray(value)
    if array.dtype.kind == "O":
        hint = " Write pairs.vector(0)." if isinstance(value, Eigenpairs) else ""
        raise TypeError(f"{name} must be a vector of real numbers; got {kind_of(value)}.{hint}")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must have real numbers; got {array.dtype}.")
    return array.astype(np.float64, copy=False)


def _unit(direction: Any, size: int, name: str) -> FloatArray:
    """Return a direction of length 1; ValueError if it is none."""
    vector = _array(direction, name)
    if vector.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},); got {vector.shape}.")
    if not np.isfinite(vector).all():
        raise ValueError(f"{name} must be finite; got {np.count_nonzero(~np.isfinite(vector)):,} entries that are not.")
    largest = float(np.abs(vector).max())
    if largest == 0:
        raise ValueError(f"{name} must not be zero.")
    vector = vector / largest
    return vector / np.linalg.norm(vector)


def _subspace(value: Any, name: str) -> tuple[FloatArray, float]:
    """Return orthonormal rows, and the sine of the largest angle to what they stand for."""
    if isinstance(value, Eigenpairs):
        _check_whole(value)
        if not len(value.vectors):
            raise ValueError(f"{name} must have at least one eigenvector; it has none.")
        return value.vectors.astype(np.float64), float(np.sin(value.total_angle))
    rows = _array(value, name)
    if rows.ndim == 1:
        return _unit(rows, len(rows), name)[None], 0.0
    _check_orthonormal(rows, name)
    return rows, 0.0


def _check_whole(pairs: Eigenpairs) -> None:
    if pairs.vectors.shape[1] != pairs.size:
        raise ValueError(
            f"Eigenvectors must be whole; these are the {pairs.vectors.shape[1]:,} entries of {pairs.size:,} that one "
            "process of a sharded model holds."
        )


def _check_orthonormal(rows: FloatArray, name: str) -> None:
    """Raise ValueError unless rows are orthonormal, and so neither zero nor infinite."""
    with np.errstate(invalid="ignore"):
        defect = np.abs(rows @ rows.T - np.eye(len(rows))).max() if rows.ndim == 2 and rows.size else np.inf
    if not defect < ORTHONORMAL:
        raise ValueError(
            f"{name} must have orthonormal rows; got shape {rows.shape} and inner products off by {defect:.1g}. "
            "numpy.linalg.qr(rows.T)[0].T makes them so."
        )


def _squares_within(lengths: FloatArray, sines: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return limits of squared lengths that may be off by sines."""
    return np.maximum(lengths - sines, 0.0) ** 2, np.minimum(lengths + sines, 1.0) ** 2
