"""Exact losses of a model along one or two directions, with what gradient and curvature predict."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from hessdens._calls import takes_operator
from hessdens._types import FloatArray
from hessdens.eigenvectors.slices import LossSlice
from hessdens.errors import NonFiniteError
from hessdens.estimators.run import progress_bar
from hessdens.linalg.adapt import kind_of
from hessdens.linalg.inner_products import gram
from hessdens.linalg.operator import Operator
from hessdens.linalg.team import Team

# Points along a direction, and along each of two.
NUM_OFFSETS = (21, 11)
# Squares of shorter directions, times an eigenvalue, may be lost to rounding.
SHORTEST = 1e-75
# Roundings of a loss that its sums may have.
ROUNDINGS = 10.0


@runtime_checkable
class Landscape(Protocol):
    """An operator that knows the loss that it is made of, as those of models do, of one process or of several."""

    dtype: torch.dtype
    device: torch.device
    team: Team

    def loss(self) -> float:
        """Return the loss at the present parameters."""

    def gradient(self) -> Tensor:
        """Return its gradient, shape (N,)."""

    def matmat(self, V: Tensor) -> Tensor:
        """Return products, shape (N, P)."""

    def flatten(self, direction: Mapping[str, Any]) -> Tensor:
        """Return tensors by parameter as one vector."""

    def unflatten(self, direction: Any) -> dict[str, Tensor]:
        """Return a vector as a tensor for each parameter."""

    def displaced(self, direction: Any) -> AbstractContextManager[None]:
        """Add a direction to the parameters for a while."""


@takes_operator
def loss_slice(
    H: Operator,
    *directions: Any,
    offsets: ArrayLike | None = None,
    progress: bool = False,
) -> LossSlice:
    """Return exact losses along one or two directions, on the operator's data; the model stays as it is.

    Parameters
    ----------
    H
        From `hessian_operator`, also after `share_examples` or `share_probes`; its loss, with the penalty of
        ``weight_decay=``, is evaluated. From `sharded_operator`, of which each process passes its own entries of the
        directions. Of another matrix, the prediction is by that one.
    directions
        One or two, each of shape (N,) or tensors by parameter, such as ``pairs.vector(0)``. They need not be of length
        1, nor orthogonal.
    offsets
        Ascending multiples of the directions, shape (n,). Default: 21 numbers, or 11 for each of two, around 0, up to
        where the curvature or the slope changes the loss by as much as it is.
    progress
        Whether to show a bar.

    Raises
    ------
    TypeError
        If H is no operator of a model, there are not one or two directions, or one is complex.
    ValueError
        If a direction is of another size, zero, far too short or long, or not finite, two are parallel, or offsets are
        not ascending.

    Notes
    -----
    Cost: n forward passes over the data, or n^2 along two directions, a gradient, and a product for each direction. A
    loss that is not finite at some point is NaN there.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from hessdens import hessian_operator
    >>> data = [(torch.eye(2), torch.ones(2, 1))]
    >>> H = hessian_operator(nn.Linear(2, 1), nn.MSELoss(), data)
    >>> curve = loss_slice(H, torch.tensor([1.0, 0.0, 0.0]), offsets=[-1, 0, 1])
    >>> curve.curvatures.round(6), curve.reach()
    (array([[1.]]), (-inf, inf))
    """
    if not isinstance(H, Landscape):
        raise TypeError(f"H must be from hessian_operator or its like, which knows the loss; got {kind_of(H)}.")
    if len(directions) not in (1, 2):
        raise TypeError(f"A loss is sliced along one or two directions; got {len(directions)}.")
    vectors = torch.stack([_vector(H, direction) for direction in directions], dim=1)
    inner = gram(vectors, vectors, H.team)
    for square in np.diag(inner):
        if not SHORTEST <= square**0.5 <= 1 / SHORTEST:
            raise ValueError(
                f"A direction must have a length from {SHORTEST:g} to {1 / SHORTEST:g}, so that rounding leaves its "
                f"curvature; got {square**0.5:.3g}. Divide it by its largest entry."
            )
    if len(directions) == 2 and abs(inner[0, 1]) > (1 - 1e-6) * (inner[0, 0] * inner[1, 1]) ** 0.5:
        raise ValueError("Two directions must not be parallel.")
    loss, gradient = H.loss(), H.gradient()
    slopes = gram(vectors, gradient[:, None], H.team)[:, 0]
    curvatures = gram(vectors, H.matmat(vectors), H.team)
    curvatures = (curvatures + curvatures.T) / 2
    points = _offsets(offsets, loss, slopes, np.diag(curvatures))
    shape = (len(points), len(points) if len(directions) == 2 else 1)
    losses = np.empty(shape)
    with progress_bar(losses.size, "point", shown=progress) as bar:
        for index in np.ndindex(shape):
            steps = [points[place] for place in index[: len(directions)]]
            direction = vectors @ torch.tensor(steps, dtype=vectors.dtype, device=vectors.device)
            losses[index] = _loss_at(H, direction) if any(steps) else loss
            bar.update()
    rounding = ROUNDINGS * float(torch.finfo(H.dtype).eps) * abs(loss)
    return LossSlice(points, losses, loss, slopes, curvatures, np.sqrt(np.diag(inner)), rounding)


def _loss_at(H: Landscape, direction: Tensor) -> float:
    """Return the loss in some distance, NaN where it is not finite."""
    try:
        with H.displaced(direction):
            return H.loss()
    except NonFiniteError:
        return float("nan")


def _vector(H: Landscape, direction: Any) -> Tensor:
    """Return a direction as a vector; ValueError if it is none."""
    vector = H.flatten(direction if isinstance(direction, Mapping) else H.unflatten(direction))
    if not H.team.least(int(torch.isfinite(vector).all())):
        raise ValueError("A direction must be finite; got entries that are not.")
    if not H.team.least(-int(vector.any())):  # on no process
        raise ValueError("A direction must not be zero.")
    return vector


def _offsets(offsets: ArrayLike | None, loss: float, slopes: FloatArray, curvatures: FloatArray) -> FloatArray:
    """Return offsets, by default up to where a term of the prediction is as large as the loss."""
    if offsets is None:
        size = max(abs(loss), np.finfo(np.float64).tiny)
        with np.errstate(divide="ignore"):
            reaches = np.minimum((2 * size / np.abs(curvatures)) ** 0.5, size / np.abs(slopes))
        reach = float(reaches.min())
        return np.linspace(-1, 1, NUM_OFFSETS[len(slopes) - 1]) * (reach if 0 < reach < np.inf else 1.0)
    points = np.asarray(offsets, dtype=np.float64)
    if points.ndim != 1 or not len(points) or not np.isfinite(points).all() or not (np.diff(points) > 0).all():
        raise ValueError(f"offsets must be finite and ascending, shape (n,); got {offsets!r}.")
    return points
