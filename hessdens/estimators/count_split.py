"""How the products of a certificate of counts are shared between a deflated space and fresh probes."""

from dataclasses import dataclass

import numpy as np

from hessdens._types import FloatArray, IntArray
from hessdens.densities.bounds import SLACK, Jacobi, lanczos_recurrence, masses
from hessdens.densities.count_bounds import NUM_STATEMENTS, Deflated, fewest_of_share, most_of_share
from hessdens.densities.ritz import CONVERGED
from hessdens.linalg.block_lanczos import BlockLanczos

# Sizes of the deflated space that are compared, from what there is to all products.
TRIED_SIZES = 6
# Numbers of steps that are compared grow by this factor, up to so many.
STEP_GROWTH = 1.5
MOST_STEPS = 150
# Points that stand for the spectrum: so many at least, and so many for each product.
LEAST_POINTS = 1_000
POINTS_PER_PRODUCT = 2
# Where the chance of a wider range is below exp(-SAFE), a larger space is worth more than other probes.
SAFE = 5.0
# A space that A leaves by so many roundings of products is taken to be invariant.
ROUNDINGS = 100.0
# Larger spaces are not looked at: their cost in memory and operations grows with their square.
MOST_DEFLATED = 1_000


@dataclass(frozen=True)
class Split:
    """Vectors of the deflated space, and the fresh probes and the steps that each of them takes."""

    num_deflated: int
    num_probes: int
    num_steps: int


def deflated_by(space: BlockLanczos, size: int, max_products: int) -> Deflated:
    """Return what the Krylov space of one start vector, a Gaussian probe, says of an operator of this size.

    A Ritz value that has converged is an eigenvalue. The weights of the others say how many they stand for, one each at
    least; these are spread around it, except in a space that is whole.
    """
    matrix, known = space.matrix(), space.num_products
    coupling = np.zeros(known) if space.is_invariant else matrix[known, :known]
    ritz, vectors = np.linalg.eigh(matrix[:known, :known])
    gaps = np.diff(ritz, prepend=-np.inf, append=np.inf)
    is_eigenvalue = np.abs(coupling @ vectors) < CONVERGED * np.minimum(gaps[:-1], gaps[1:])
    if is_whole(space):
        is_eigenvalue[:] = False  # multiplicities are left open
    start = space.start_coordinates @ vectors[: space.start_coordinates.shape[1]]
    counts = np.where(is_eigenvalue, 1.0, np.maximum(np.mean(start**2, axis=0), 1.0))
    others = counts[~is_eigenvalue].sum()
    if others > 0:
        counts[~is_eigenvalue] *= (size - np.count_nonzero(is_eigenvalue)) / others
    points, places = ritz, np.arange(known)
    if not is_whole(space) and known > 1:
        points, places = _spread(ritz, counts, max(LEAST_POINTS, POINTS_PER_PRODUCT * max_products))
    shares = (counts / np.bincount(places))[places]
    return Deflated(matrix[:known, :known], coupling, size, points, shares, is_eigenvalue[places])


def is_whole(space: BlockLanczos) -> bool:
    """Return whether a larger space of the same start vector would add rounding alone."""
    if space.is_invariant:
        return True
    matrix, known = space.matrix(), space.num_products
    return bool(np.abs(matrix[known, :known]).max() <= ROUNDINGS * space.rounding)


def best_split(deflated: Deflated, max_products: int, half: float, failure: float, *, whole: bool) -> Split:
    """Return the split that should give the narrowest bounds, by the spectrum that the space has shown so far.

    Deflation is tried out on a diagonal matrix of the eigenvalues that are expected. What a larger space leaves of them
    gives the masses that probes will have beyond ±half. A space that is ``whole`` is not enlarged, and where fewer
    probes give the same bounds, fewer are taken. Bounds hold whatever the split, since no fresh probe has a say.
    """
    now = len(deflated.matrix)
    points, counts = deflated.points, deflated.counts
    largest = now if whole else max(now, min(max_products - 1, MOST_DEFLATED, len(points) - 1))
    removed = np.cumsum(_lanczos(points, counts, largest)[1] ** 2, axis=0)
    best: tuple[tuple[float, ...], Split] | None = None
    for num_deflated in np.unique(np.linspace(now, largest, TRIED_SIZES).astype(int)).tolist():
        left = max_products - num_deflated
        weights = np.maximum(counts - removed[min(num_deflated, len(removed)) - 1], 0.0)
        dimension = deflated.size - num_deflated
        for num_steps, shares in _shares(points, weights, half, min(left, MOST_STEPS)):
            num_probes = left // num_steps
            width, chance = _width(shares, dimension, num_probes, failure / NUM_STATEMENTS)
            while whole and num_probes > 1:
                if _width(shares, dimension, num_probes // 2, failure / NUM_STATEMENTS)[0] > width:
                    break
                num_probes //= 2
            rank = [float(num_probes * num_steps)] if whole else [-num_deflated if chance < -SAFE else 0.0, chance]
            if best is None or (width, *rank) < best[0]:
                best = (width, *rank), Split(num_deflated, num_probes, num_steps)
    if best is None:
        raise AssertionError("there is at least one product left for a probe")
    split = best[1]
    steps = split.num_steps if whole else (max_products - split.num_deflated) // split.num_probes
    return Split(split.num_deflated, split.num_probes, steps)


def _lanczos(points: FloatArray, weights: FloatArray, num_steps: int) -> tuple[Jacobi, FloatArray]:
    """Return the recurrence of masses at points, and the basis, as rows, that Lanczos finds for a diagonal matrix."""
    scale = float(np.abs(points).max()) or 1.0
    return lanczos_recurrence(lambda v: points * v, np.sqrt(weights / weights.sum()), num_steps, SLACK * scale, scale)


def _spread(ritz: FloatArray, counts: FloatArray, num_points: int) -> tuple[FloatArray, IntArray]:
    """Return points that stand for one eigenvalue each, as far as so many allow, and the place of their Ritz value.

    They are spread evenly around it, on either side by half the distance to the nearer of its neighbours.
    """
    gaps = np.diff(ritz, prepend=-np.inf, append=np.inf)
    reach = np.minimum(gaps[:-1], gaps[1:]) / 2
    numbers = np.clip(np.round(counts), 1, max(1, num_points // len(ritz))).astype(np.int64)
    places = np.repeat(np.arange(len(ritz)), numbers)
    within = np.concatenate([(np.arange(number) + 0.5) / number for number in numbers.tolist()])
    return ritz[places] + np.where(numbers[places] > 1, reach[places] * (2 * within - 1), 0.0), places


def _shares(
    points: FloatArray, weights: FloatArray, half: float, most_steps: int
) -> list[tuple[int, list[tuple[float, float]]]]:
    """Return for some numbers of steps the least and the largest share of the weights beyond -half and beyond half."""
    if weights.sum() <= 0:
        return [(1, [(0.0, 0.0), (0.0, 0.0)])]
    whole, _ = _lanczos(points, weights, most_steps)
    found, steps = [], 1
    while steps <= len(whole.diagonal):
        beyond = []
        for sign in (-1, 1):
            jacobi = Jacobi(sign * whole.diagonal[:steps], whole.off_diagonal[:steps], whole.scale)
            left, with_edge = masses(jacobi, np.array([half]))
            beyond.append((1 - float(with_edge[0]), 1 - float(left[0])))
        found.append((steps, beyond))
        steps = max(steps + 1, int(STEP_GROWTH * steps))
    return found


def _width(shares: list[tuple[float, float]], dimension: int, num_probes: int, failure: float) -> tuple[float, float]:
    """Return the width of the three ranges together, and the logarithm of a chance that makes them wider.

    That is, relative to the allowed failure, that one eigenvalue beyond the edges has a share this small.
    """
    sums = [*shares, (sum(low for low, _ in shares), sum(high for _, high in shares))]
    width = 0.0
    for low, high in sums:
        most = most_of_share(high, dimension, num_probes, failure)
        width += most - fewest_of_share(low, dimension, num_probes, failure)
    return width, num_probes / 2 * float(np.log(max(sums[-1][1], SLACK))) - float(np.log(failure))
