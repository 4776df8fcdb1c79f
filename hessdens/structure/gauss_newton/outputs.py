"""The outputs of each example, and square roots of the Hessians of its loss in them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.curvature.containers import flattened
from hessdens.curvature.engines.general import backward_each
from hessdens.curvature.engines.loss_module import LossModule, Values
from hessdens.curvature.operator import CurvatureOperator
from hessdens.errors import NonFiniteError

# Eigenvalues of an output Hessian below so many roundings of the largest are zero.
ROUNDINGS_OF_ZERO = 30.0
# Columns of the identity that are multiplied at once.
COLUMNS = 256


@dataclass(frozen=True)
class Root:
    """F and signs s with F diag(s) F^T = w B: B the Hessian of the loss of one block in its outputs, w its weight.

    ``columns`` is F^T, shape (r, m), rows for each direction of the outputs in which the loss is curved.
    """

    columns: FloatArray
    signs: FloatArray

    @property
    def rank(self) -> int:
        """Number of these directions."""
        return len(self.signs)


def blocks_of(operator: CurvatureOperator) -> Iterator[tuple[Any, float]]:
    """Yield single examples with their weights, or whole batches that must not be cut, in one pass over the data."""
    problem = operator.problem
    for batch in problem.passes:
        for block in problem.blocks(batch, 1):
            weight = problem.weight(block)
            if weight > 0:
                yield block, weight


def joined_blocks(operator: CurvatureOperator) -> Iterator[tuple[Any, list[tuple[Any, bool]]]]:
    """Yield blocks as products have them, with their single examples, and whether each is one of `blocks_of`."""
    problem, length = operator.problem, operator.plan.examples_per_block
    for batch in problem.passes:
        for block in problem.blocks(batch, length):
            yield block, [(single, problem.weight(single) > 0) for single in problem.blocks(block, 1)]


def root_of(loss: LossModule, block: Any, values: Values, weight: float) -> Root:
    """Return the square root of the Hessian in the outputs."""
    with torch.no_grad():
        outputs, targets = loss.outputs(block, values)
    parts, rebuilt = flattened(outputs)
    points = [part.detach().clone().requires_grad_() for part in parts]
    with torch.enable_grad():
        value = loss.loss_of(rebuilt(points), targets)
        gradient = torch.autograd.grad(value, points, create_graph=True, materialize_grads=True)
    matrix = _hessian(gradient, points)
    if not np.isfinite(matrix).all():
        raise NonFiniteError("The loss must have a finite Hessian in the outputs; it is not.")
    eigenvalues, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    sizes = np.abs(eigenvalues)
    rounding = ROUNDINGS_OF_ZERO * torch.finfo(points[0].dtype).eps * float(sizes.max(initial=0.0))
    kept = sizes > rounding
    columns: FloatArray = (vectors[:, kept] * np.sqrt(weight * sizes[kept])).T
    return Root(columns, np.sign(eigenvalues[kept]))


def _hessian(gradient: tuple[Tensor, ...], points: list[Tensor]) -> FloatArray:
    """Return the derivative of a gradient, shape (m, m), in float64."""
    sizes = [point.numel() for point in points]
    size, matrix = sum(sizes), np.zeros((sum(sizes), sum(sizes)))
    for start in range(0, size, COLUMNS):
        stop = min(start + COLUMNS, size)
        unit = torch.zeros(stop - start, size, dtype=points[0].dtype, device=points[0].device)
        unit[torch.arange(stop - start), torch.arange(start, stop)] = 1
        pieces = split_like(unit, points)
        pairs = [(part, piece.to(part)) for part, piece in zip(gradient, pieces, strict=True) if part.requires_grad]
        rows = backward_each(pairs, points, stop - start)
        matrix[start:stop] = torch.cat([row.flatten(start_dim=1).double() for row in rows], dim=1).cpu().numpy()
    return matrix


def joined_like(rows: list[FloatArray], parts: list[Tensor]) -> list[Tensor] | None:
    """Return rows of single examples, shape (r, m) each, as tensors of the shapes of the parts of all, with an axis r.

    None if the parts are not made of examples one after the other.
    """
    count = len(rows)
    if count > 1 and any(part.ndim == 0 or len(part) != count for part in parts):
        return None
    singles = parts if count == 1 else [part[:1] for part in parts]
    if any(row.shape[1] != sum(part.numel() for part in singles) for row in rows):
        return None
    pieces = [split_like(torch.from_numpy(row), singles) for row in rows]
    return pieces[0] if count == 1 else [torch.cat(piece, dim=1) for piece in zip(*pieces, strict=True)]


def split_like(rows: Tensor, parts: list[Tensor]) -> list[Tensor]:
    """Return rows, shape (r, m), as tensors of the shapes of some parts, with a leading axis."""
    pieces = rows.split([part.numel() for part in parts], dim=1)
    return [piece.reshape(len(rows), *part.shape) for piece, part in zip(pieces, parts, strict=True)]
