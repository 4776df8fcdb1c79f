"""Moments of a matrix whose dominant eigenspace is treated exactly, and the rest by random probes.

Let Q be an orthonormal basis of a block Krylov space and B = (1 - Q Q^T) A (1 - Q Q^T). Then tr A^k - tr B^k is known
from the products that made Q: it is a sum over closed walks of length k between blocks that touch Q, and these reach at
most k/2 blocks beyond it. What is left, tr B^k, is estimated by probes, each with variance 2 tr B^{2k}, without the
outliers.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.linalg.block_lanczos import BlockLanczos
from hessdens.linalg.memory import usual_bytes
from hessdens.linalg.operator import Operator, Wrapped
from hessdens.linalg.power_walk import half
from hessdens.linalg.probes import Distribution, operator_probes
from hessdens.linalg.team import ALONE, Team

# Columns of the Krylov blocks in units of the square root of the budget: 2 at 50 products, 4 at 150.
BLOCK_WIDTH = 0.3
# Probes of the rest that a deeper Krylov space must leave over where the budget allows, for a useful standard error.
FEWEST_PROBES = 6
# Columns of the Krylov blocks where an accuracy is given.
WIDTH_FOR_ACCURACY = 4
# Eigenvalues that a basis vector is expected to remove.
EFFICIENCY = 0.6
# Numbers of further steps that are looked at, from one to all.
TRIED_STEPS = 20
# Steps before the first look at what a Krylov space is worth: one shows no more than the scale.
FIRST_LOOK = 2
# A Krylov space grows by this factor, at least by a block, between looks at what it is worth, and to so many vectors.
GROWTH, MOST_VECTORS = 1.1, 2_000
# A Ritz value whose residual is below this share of its distance to the next stands for one eigenvalue.
CONVERGED = 0.3


@dataclass(frozen=True)
class Deflation:
    """What some products give, and how to go on.

    Attributes
    ----------
    basis
        Q, shape (rows, N). Without rows where deflation is not worth its products.
    known, rounding
        tr A^k - tr B^k for k = 1..K, and what an error of one eps in products makes of it.
    samples
        Where Q has no rows: estimates of tr A^k from the start vectors, shape (b, K), as probes give them; else (0, K).
    num_products, num_start
        Products spent, and b, the number of start vectors.
    symmetry, orthogonality
        Defects of the Krylov basis (see `Certificates`); NaN where there is none.
    """

    basis: Tensor
    known: FloatArray
    rounding: FloatArray
    samples: FloatArray
    num_products: int
    num_start: int
    symmetry: float = math.nan
    orthogonality: float = math.nan


def not_deflated(operator: Operator, num_moments: int) -> Deflation:
    """Return what there is before any product."""
    basis = torch.empty(0, operator.num_rows, dtype=operator.dtype, device=operator.device)
    nothing = np.zeros(num_moments)
    return Deflation(basis, nothing, nothing, np.empty((0, num_moments)), 0, 0)


class Deflated(Wrapped):
    """(1 - Q Q^T) A, for vectors that are orthogonal to Q."""

    def __init__(self, operator: Operator, basis: Tensor) -> None:
        super().__init__(operator)
        self._basis = basis

    def _matmat(self, V: Tensor) -> Tensor:
        return without(self._operator.matmat(V), self._basis, self.team)


def without(V: Tensor, basis: Tensor, team: Team = ALONE) -> Tensor:
    """Return the columns of V without their parts in the span of ``basis``, each in one piece."""
    rows = torch.addmm(V.T, team.sum(V.T @ basis.T), basis, alpha=-1)
    return rows.addmm_(team.sum(rows @ basis.T), basis, alpha=-1).T  # once more for what rounding has left


def deflate(
    operator: Operator,
    num_moments: int,
    max_products: int,
    seed: int,
    distribution: Distribution,
    advance: Callable[[int], object],
    rtol: float | None = None,
) -> Deflation:
    """Return a Krylov basis worth its products, so that the rest of ``max_products`` serves for probes.

    ``advance`` is told the products of each step. With ``rtol``, the basis is no larger than that accuracy needs.
    """
    least = half(num_moments)
    wanted = round(BLOCK_WIDTH * max_products**0.5)
    if rtol is not None:
        wanted = min(WIDTH_FOR_ACCURACY, max_products // (4 * least))
    width = min(max(2, wanted), operator.size)
    fewest = max(2, min(FEWEST_PROBES, max_products // (3 * least)))
    most_steps = (max_products - least * fewest) // width
    in_memory = usual_bytes(operator.device) // (width * operator.num_rows * operator.dtype.itemsize) - 1
    most_steps = max(least, min(most_steps, operator.team.least(in_memory), MOST_VECTORS // width))
    start = operator_probes(operator, seed, 0, width, distribution)
    space = BlockLanczos(operator, start.T, most_steps)
    next_look = max(FIRST_LOOK, least)
    while not space.is_invariant and space.num_steps < most_steps:
        if space.num_steps >= next_look:
            left = max_products - space.num_products
            if rtol is not None and space.num_steps > least:
                left = min(left, least * _probes_needed(space, num_moments, rtol))
            if not (_will_gain(space, num_moments, left, most_steps) or _has_gained(space, least, left)):
                break
            next_look = int(GROWTH * space.num_steps) + 1
        before = space.num_products
        space.step()
        advance(space.num_products - before)
    matrix, num_blocks = space.matrix(), _depth(space, least)
    defects = (space.symmetry_defect(), space.orthogonality_defect())
    num_probes = (max_products - space.num_products) // least
    if not space.is_invariant:
        plain, deflated = _remaining_sizes(space, least, (0, num_blocks))
        if plain - np.log(num_probes + width) < deflated - np.log(num_probes):
            samples = _quadratic_forms(matrix, space.start_coordinates, num_moments)
            nothing = np.zeros(num_moments)
            return Deflation(space.basis(0), nothing, nothing, samples, space.num_products, width, *defects)
    known, largest = _known_part(matrix, space.num_rows(num_blocks), num_moments)
    rounding = torch.finfo(operator.dtype).eps * largest
    samples = np.empty((0, num_moments))
    return Deflation(space.basis(num_blocks).clone(), known, rounding, samples, space.num_products, width, *defects)


def _probes_needed(space: BlockLanczos, num_moments: int, rtol: float) -> int:
    """Return the probes of the rest that should give standard errors of ``rtol`` times the moments of abs(A).

    The variance of a probe's k-th estimate is 2 tr B^{2k}, here from what the Krylov space shows of it.
    """
    nodes, counts = _nodes_and_counts(space)
    orders = np.arange(1, num_moments + 1)
    least = half(num_moments)
    traces = _remaining_traces(space, num_moments, (_depth(space, least),))[0]
    wanted = rtol * np.sum(counts * np.abs(nodes) ** orders[:, None], axis=1)
    return int(np.ceil(np.max(2 * traces / np.maximum(wanted, np.finfo(np.float64).tiny) ** 2)))


def _depth(space: BlockLanczos, least: int) -> int:
    """Return the number of blocks that can be deflated: walks of K steps from them stay within what is known."""
    return space.num_steps if space.is_invariant else space.num_steps + 1 - least


def _scaled(matrix: FloatArray) -> FloatArray:
    """Return the matrix with entries up to 1, for what is asked up to a constant."""
    return matrix / max(float(np.abs(matrix).max()), np.finfo(np.float64).tiny)


def _known_part(matrix: FloatArray, num_deflated: int, num_moments: int) -> tuple[FloatArray, FloatArray]:
    """Return tr A^k - tr B^k for k = 1..K, and the sum of the k-th powers of absolute eigenvalues.

    ``matrix`` is A in the basis of all blocks, of which the first are deflated.
    """
    whole, rest = np.linalg.eigvalsh(matrix), np.linalg.eigvalsh(matrix[num_deflated:, num_deflated:])
    powers = range(1, num_moments + 1)
    with np.errstate(over="ignore", invalid="ignore"):  # the caller looks for what overflows
        known = np.array([np.sum(whole**k) - np.sum(rest**k) for k in powers])
        return known, np.array([np.sum(np.abs(whole) ** k) for k in powers])


def _quadratic_forms(matrix: FloatArray, start: FloatArray, num_moments: int) -> FloatArray:
    """Return x·A^k x for each start vector x and k = 1..K, shape (b, K)."""
    vectors = np.zeros((len(matrix), len(start)))
    vectors[: start.shape[1]] = start.T
    powers = [vectors]
    for _ in range(num_moments):
        powers.append(matrix @ powers[-1])
    return np.stack([np.sum(vectors * power, axis=0) for power in powers[1:]], axis=1)


def _has_gained(space: BlockLanczos, least: int, products_left: int) -> bool:
    """Return whether the latest blocks have made the variance fall by more than the probes for another are worth."""
    width, depth = len(space.start_coordinates), _depth(space, least)
    back = min(2, depth)
    before, now = _remaining_sizes(space, least, (depth - back, depth))
    gain = (before - now) / back
    return products_left > width and gain > np.log(products_left / (products_left - width))


def _will_gain(space: BlockLanczos, num_moments: int, products_left: int, most_steps: int) -> bool:
    """Return whether some more steps should pay, by the density that the start vectors have shown so far.

    Six in ten basis vectors, but for the start, are taken to remove an eigenvalue each, the largest first. Where a node
    stands for many, as in the bulk, that changes little.
    """
    nodes, counts = _nodes_and_counts(space)
    order = np.argsort(-np.abs(nodes))
    squares, counts = nodes[order] ** 2, counts[order]
    width = len(space.start_coordinates)

    def size(num_steps: int) -> float:
        removed = EFFICIENCY * width * (num_steps - half(num_moments))
        left = np.clip(np.cumsum(counts) - removed, 0.0, counts)
        sums = np.array([np.sum(left * squares**k) for k in range(1, num_moments + 1)])
        return float(np.mean(np.log(np.maximum(sums, np.finfo(np.float64).tiny))))

    furthest = most_steps - space.num_steps
    for more in np.unique(np.geomspace(1, max(1, furthest), num=TRIED_STEPS).astype(int)):
        steps = space.num_steps + int(more)
        rest = products_left - int(more) * width
        if rest > 0 and size(space.num_steps) - size(steps) > np.log(products_left / rest):
            return True
    return False


def _nodes_and_counts(space: BlockLanczos) -> tuple[FloatArray, FloatArray]:
    """Return the nodes of the start vectors' quadrature, in units of the largest coefficient, and eigenvalues of each.

    One where the node is an eigenvalue, and never less, since the j-th largest eigenvalue is at least the j-th largest
    node (Cauchy).
    """
    matrix, start = _scaled(space.matrix()), space.start_coordinates
    known = space.num_products
    nodes, vectors = np.linalg.eigh(matrix[:known, :known])
    counts = np.sum((start @ vectors[: start.shape[1]]) ** 2, axis=0) / len(start)
    residuals = np.linalg.norm(matrix[known:, :known] @ vectors, axis=0)
    gaps = np.diff(nodes, prepend=-np.inf, append=np.inf)
    is_eigenvalue = residuals < CONVERGED * np.minimum(gaps[:-1], gaps[1:])
    return nodes, np.where(is_eigenvalue, 1.0, np.maximum(counts, 1.0))


def _remaining_sizes(space: BlockLanczos, num_powers: int, depths: tuple[int, ...]) -> list[float]:
    """Return for each depth the mean over k of log tr B^{2k}, up to a constant: the variance of a probe's estimates."""
    traces = _remaining_traces(space, num_powers, depths)
    return [float(x) for x in np.mean(np.log(np.maximum(traces, np.finfo(np.float64).tiny)), axis=1)]


def _remaining_traces(space: BlockLanczos, num_powers: int, depths: tuple[int, ...]) -> FloatArray:
    """Return estimates of tr B^{2k} for each depth and k = 1..num_powers, in units of the largest coefficient.

    Each start vector in turn serves as a probe of the matrix without the Krylov space of so many blocks of the others,
    all in coordinates, so that it takes no product. Later probes are independent of it.
    """
    matrix, start = _scaled(space.matrix()), space.start_coordinates
    traces = np.zeros((len(depths), num_powers))
    for left_out in range(len(start)):
        bases = _krylov_bases(matrix, np.delete(start, left_out, axis=0), max(depths))
        for row, depth in enumerate(depths):
            basis = bases[depth]
            vector = np.zeros(len(matrix))
            vector[: start.shape[1]] = start[left_out]
            vector -= basis @ (basis.T @ vector)
            for k in range(num_powers):
                vector = matrix @ vector
                vector -= basis @ (basis.T @ vector)
                traces[row, k] += vector @ vector / len(start)
    return traces


def _krylov_bases(matrix: FloatArray, start: FloatArray, depth: int) -> list[FloatArray]:
    """Return orthonormal bases, as columns, of the block Krylov spaces of the rows of ``start`` of 0..depth blocks."""
    block = np.zeros((len(matrix), len(start)))
    block[: start.shape[1]] = start.T
    columns, used = np.zeros((len(matrix), min(len(matrix), depth * len(start))), order="F"), [0]
    for _ in range(depth):
        basis = columns[:, : used[-1]]
        for _ in range(2):
            block = block - basis @ (basis.T @ block)
            q, r = np.linalg.qr(block)
            left, lengths, _ = np.linalg.svd(r)
            block = q @ left[:, lengths > 1e-10 * max(1e-300, float(lengths.max(initial=0.0)))]
        used.append(min(used[-1] + block.shape[1], len(matrix)))
        columns[:, used[-2] : used[-1]] = block[:, : used[-1] - used[-2]]
        block = matrix @ block
    return [columns[:, :count] for count in used]
