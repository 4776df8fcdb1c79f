"""The part of moments that a Krylov basis of the dominant eigenspace gives exactly."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.estimators.budget import Budget
from hessdens.estimators.krylov import KrylovCoefficients
from hessdens.estimators.run import Run
from hessdens.linalg.block_lanczos import BlockLanczos
from hessdens.linalg.memory import usual_bytes
from hessdens.linalg.operator import Operator
from hessdens.linalg.team import ALONE, Team

# Columns of the Krylov blocks in units of the square root of the budget: 2 at 50 products, 4 at 150.
DEFLATION_WIDTH = 0.3
# Columns of the Krylov blocks where an accuracy is given, if the budget allows.
WIDTH_FOR_ACCURACY = 4
# Probes of B that a deeper Krylov space must leave over where the budget allows, for a useful standard error.
FEWEST_PROBES_LEFT = 6
# Steps before the first look at what a Krylov space is worth: after one, only its scale is known.
FIRST_LOOK = 2
# Between two looks a Krylov space grows by this factor, and by one block at least.
GROWTH = 1.1
# Samples of the rest within so many roundings of what is known are rounding: where the rest is 0 they were within 23.
ROUNDINGS_OF_NOTHING = 100.0
# The largest basis.
MOST_VECTORS = 2_000


@dataclass(frozen=True)
class Deflation:
    """A subspace that is treated exactly, what its products say of moments, and what they cost.

    ``basis`` is Q, orthonormal rows, shape (rows, N); none where deflation is not worth its products. ``known`` is
    tr A^k - tr B^k for k = 1..K, and ``rounding`` its error if that of products is one eps. ``samples`` are estimates
    of tr A^k from the b start vectors, shape (b, K), as probes give them, where Q has no rows; else (0, K).
    ``norm`` is a lower bound of the operator's norm. ``symmetry`` and ``orthogonality`` are defects of the Krylov
    basis; NaN where there is none.
    """

    basis: Tensor
    known: FloatArray
    rounding: FloatArray
    samples: FloatArray
    num_products: int
    num_start: int
    norm: float = 0.0
    symmetry: float = math.nan
    orthogonality: float = math.nan

    def leaves_rounding(self, samples: FloatArray, size: int) -> bool:
        """Return whether estimates of m_1..m_K, shape (P, K), add nothing but rounding to what is known."""
        added = np.abs(samples * size - self.known)
        return len(self.basis) > 0 and bool((added <= ROUNDINGS_OF_NOTHING * self.rounding).all())


def not_deflated(operator: Operator, num_moments: int) -> Deflation:
    """Return a deflation by no subspace, without any product."""
    basis = torch.empty(0, operator.num_rows, dtype=operator.dtype, device=operator.device)
    nothing = np.zeros(num_moments)
    return Deflation(basis, nothing, nothing, np.empty((0, num_moments)), 0, 0)


def projected(V: Tensor, basis: Tensor, team: Team = ALONE) -> Tensor:
    """Return the columns of V without their parts in the span of the basis, each in one piece."""
    if not len(basis):
        return V
    rows = torch.addmm(V.T, team.sum(V.T @ basis.T), basis, alpha=-1)
    return rows.addmm_(team.sum(rows @ basis.T), basis, alpha=-1).T  # once more for what rounding has left


def deflate(run: Run, budget: Budget, bar: Any) -> Deflation:
    """Return a Krylov basis worth its products, so that the rest of the budget serves for probes.

    Let Q be the basis of some blocks of a Krylov space, and B = (1 - Q Q^T) A (1 - Q Q^T). Then tr A^k - tr B^k is a
    sum over closed walks of length k between blocks that touch Q. They reach at most k/2 blocks beyond it, so the
    products that made these blocks give it exactly. Probes estimate tr B^k, each with variance 2 tr B^{2k}, without the
    outliers. Where an accuracy is asked for, the basis is no larger than that needs.
    """
    num_moments, max_products = budget.num_moments, budget.max_products - budget.pilot * budget.per_probe
    width, most_steps = _width_and_most_steps(run.operator, budget, max_products)
    space = BlockLanczos(run.recorded, run.probes(0, width).T, most_steps)
    next_look = max(FIRST_LOOK, budget.per_probe)
    while not space.is_invariant and space.num_steps < most_steps:
        if space.num_steps >= next_look:
            if not _is_worth_more(KrylovCoefficients(space, num_moments), budget, max_products, most_steps):
                break
            next_look = int(GROWTH * space.num_steps) + 1
        space.step()
        bar.update(space.num_products - bar.n)
    coefficients = KrylovCoefficients(space, num_moments)
    defects = space.norm, space.symmetry_defect(), space.orthogonality_defect()
    num_probes = (max_products - space.num_products) // budget.per_probe
    if not space.is_invariant:
        # The variance of the mean of all probes, the start vectors among them where nothing is deflated.
        plain, deflated = coefficients.remaining_sizes(budget.per_probe, (0, coefficients.num_blocks))
        if plain - np.log(num_probes + width) < deflated - np.log(num_probes):
            samples, nothing = coefficients.quadratic_forms(), np.zeros(num_moments)
            return Deflation(space.basis(0), nothing, nothing, samples, space.num_products, width, *defects)
    basis = space.basis(coefficients.num_blocks).clone()
    known, largest = coefficients.known_part(len(basis))
    rounding = torch.finfo(run.operator.dtype).eps * largest
    return Deflation(basis, known, rounding, np.empty((0, num_moments)), space.num_products, width, *defects)


def _width_and_most_steps(operator: Operator, budget: Budget, max_products: int) -> tuple[int, int]:
    """Return the columns of a Krylov block and the most steps that products, memory and time allow."""
    per_probe = budget.per_probe
    if budget.rtol is None:
        width = round(DEFLATION_WIDTH * max_products**0.5)
    else:
        width = min(WIDTH_FOR_ACCURACY, max_products // (4 * per_probe))
    width = min(max(2, width), operator.size)
    fewest_probes = max(2, min(FEWEST_PROBES_LEFT, max_products // (3 * per_probe)))
    by_products = (max_products - per_probe * fewest_probes) // width
    block_bytes = width * operator.num_rows * operator.dtype.itemsize
    by_memory = operator.team.least(usual_bytes(operator.device) // block_bytes - 1)
    return width, max(per_probe, min(by_products, by_memory, MOST_VECTORS // width))


def _is_worth_more(coefficients: KrylovCoefficients, budget: Budget, max_products: int, most_steps: int) -> bool:
    """Return whether another step of the Krylov space is worth more than the probes that its products would pay."""
    left = max_products - coefficients.num_known
    if budget.rtol is not None and coefficients.num_steps > budget.per_probe:
        left = min(left, budget.per_probe * coefficients.probes_needed(budget.rtol))
    return coefficients.will_gain(left, most_steps) or coefficients.has_gained(left)
