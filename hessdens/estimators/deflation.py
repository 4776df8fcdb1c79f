"""A Krylov basis of the dominant eigenspace, the part of moments that it gives exactly, and samples of the rest."""

import math
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.estimators.budget import Budget
from hessdens.estimators.krylov import Forecast, KrylovCoefficients
from hessdens.estimators.run import Run
from hessdens.linalg.block_lanczos import BlockLanczos
from hessdens.linalg.inner_products import gram, thin_qr
from hessdens.linalg.memory import usual_bytes
from hessdens.linalg.operator import Combined, Operator
from hessdens.linalg.power_walk import PowerWalk
from hessdens.linalg.team import ALONE, Team
from hessdens.results.exchange import exchanged_samples, plain_samples

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
# Probes that are orthogonal to one another and change places: time grows with their cube, half a second here.
MOST_EXCHANGED = 200


@dataclass(frozen=True)
class Deflation:
    """A subspace that is treated exactly, what its products say of moments, and what they cost.

    ``basis`` is Q, orthonormal rows, shape (rows, N). ``known`` is tr A^k - tr B^k for k = 1..K, and ``rounding`` its
    error if that of products is one eps. ``num_start`` is the number of start vectors. ``norm`` is a lower bound of the
    operator's norm. ``symmetry`` and ``orthogonality`` are defects of the Krylov basis; NaN where there is none.
    ``forecast`` is what probes of the rest promise.
    """

    basis: Tensor
    known: FloatArray
    rounding: FloatArray
    num_products: int
    num_start: int
    norm: float = 0.0
    symmetry: float = math.nan
    orthogonality: float = math.nan
    forecast: Forecast | None = None

    def leaves_rounding(self, samples: FloatArray, size: int) -> bool:
        """Return whether estimates of m_1..m_K, shape (P, K), add nothing but rounding to what is known."""
        added = np.abs(samples * size - self.known)
        return len(self.basis) > 0 and bool((added <= ROUNDINGS_OF_NOTHING * self.rounding).all())


def not_deflated(operator: Operator, num_moments: int) -> Deflation:
    """Return a deflation by no subspace, without any product."""
    basis = torch.empty(0, operator.num_rows, dtype=operator.dtype, device=operator.device)
    nothing = np.zeros(num_moments)
    return Deflation(basis, nothing, nothing, 0, 0)


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
    products that made these blocks give it exactly. `remaining_samples` estimate tr B^k, without the outliers. Where an
    accuracy is asked for, the basis is no larger than that needs.
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
    basis = space.basis(coefficients.num_blocks).clone()
    known, largest = coefficients.known_part(len(basis))
    rounding = torch.finfo(run.operator.dtype).eps * largest
    forecast = coefficients.forecast(len(basis), run.operator.size)
    return Deflation(basis, known, rounding, space.num_products, width, *defects, forecast)


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
        left = min(left, budget.per_probe * coefficients.probes_needed(budget.standard_error))
    # For m_1 alone probes take what the latest blocks have taken too, and change places.
    return coefficients.will_gain(left, most_steps) or (budget.num_moments > 1 and coefficients.has_gained(left))


def remaining_samples(run: Run, budget: Budget, deflation: Deflation, first: int, last: int, bar: Any) -> FloatArray:
    """Return estimates of m_1..m_K from probes ``first`` to ``last - 1``, with what is known, shape (P, K).

    Groups of probes are orthonormal in the complement of the basis, where their directions are uniform. Those of one
    group change places for m_1 (`exchanged_samples`). If the first block adds nothing but rounding, no others follow.
    """
    operator = run.operator
    vector_bytes = 2 * operator.num_rows * operator.dtype.itemsize
    most = max(run.block_size, operator.team.least(usual_bytes(operator.device) // vector_bytes))
    num_groups = -(-(last - first) // min(most, MOST_EXCHANGED, operator.size - len(deflation.basis)))
    ends = np.linspace(first, last, num_groups + 1).astype(int).tolist()
    parts: list[FloatArray] = []
    for start, stop in pairwise(ends):
        parts.append(_group_samples(run, budget, deflation, start, stop, bar))
        if len(parts[-1]) < stop - start:
            break
    return np.concatenate(parts)


def _group_samples(run: Run, budget: Budget, deflation: Deflation, first: int, last: int, bar: Any) -> FloatArray:
    """Return the same from one group of probes: fewer where the first block of it adds nothing but rounding."""
    operator, size = run.operator, run.operator.size
    room = size - len(deflation.basis)
    rest = partial(projected, basis=deflation.basis, team=operator.team)
    part = Combined(lambda V: rest(run.recorded.matmat(V)), operator)
    probes = run.probes(first, last)
    for _ in range(2):  # once more for what rounding has left
        probes = thin_qr(rest(probes), operator.team)[0].T.contiguous().T
    products = torch.empty_like(probes)
    forms = np.empty((last - first, budget.num_moments))
    for start, stop in run.blocks(0, last - first):
        walk = PowerWalk(probes[:, start:stop], first + start, part, deflation.norm)
        walk.moments(1)
        products[:, start:stop] = walk.vectors / deflation.norm
        forms[start:stop] = walk.moments(budget.num_moments)
        run.asymmetry = float(np.fmax(run.asymmetry, walk.asymmetry))
        bar.update((stop - start) * budget.per_probe)
        samples = plain_samples(forms[:stop], room) + deflation.known / size
        if start < 2 <= stop and deflation.leaves_rounding(samples, size):
            return samples
    compression, squares = (gram(V, products, operator.team) for V in (probes, products))
    accuracy = torch.finfo(operator.dtype).eps
    traces = deflation.norm * exchanged_samples((compression + compression.T) / 2, squares, room, accuracy)
    samples[:, 0] = (traces + deflation.known[0]) / size
    return samples
