"""Between which bounds a whole spectrum lies, with a stated probability, by a Krylov space from random vectors.

An eigenvector u of an eigenvalue x has entries y in the basis of the space that follow from w, those in its first
block: A Q = Q T gives a linear recursion. Outside of the Ritz values they grow fast, but |y| is at most 1. So w is
short, and random directions of b vectors have short w with small probability: |w|² is Beta(b/2, (N - b)/2).

Source: J. van Dorsselaer, M. Hochstenbach & H. van der Vorst, Computing probabilistic bounds for extreme eigenvalues of
symmetric matrices with the Lanczos method (2000); here also for blocks.
"""

import numpy as np
from scipy.stats import beta

from hessdens._checks import LEVEL
from hessdens._types import FloatArray
from hessdens.linalg.block_lanczos import BlockLanczos

# Bounds are looked for up to this many ranges of the Ritz values beyond them, and to this part of the range.
FARTHEST, FINEST = 1e3, 1e-12
STEPS = 24
# Singular values are right to this part of the largest one.
ROUNDING = 1e-12
# The ends of a space that is mapped to itself are known to so many errors of products.
ENDED = 100.0


def enclosure_of(space: BlockLanczos, width: int, size: int, rounding: float) -> tuple[float, float]:
    """Return bounds of all eigenvalues, at `LEVEL`, from a space of ``width`` random vectors that was never restarted.

    ``rounding`` is the error of products.
    """
    matrix, known = space.matrix(), space.num_products
    if space.is_invariant:
        ritz = np.linalg.eigvalsh(matrix)
        return float(ritz[0] - ENDED * rounding), float(ritz[-1] + ENDED * rounding)
    low, high = enclosure(matrix, known, width, size, LEVEL)
    return low - rounding, high + rounding


def excludes(matrix: FloatArray, num_known: int, width: int, size: int, value: float, risk: float) -> bool:
    """Return whether an eigenvalue beyond the Ritz values, at ``value`` or farther, has a probability below ``risk``.

    ``matrix`` is A of order ``size`` in a Krylov basis, shape (d, d), of which the first vectors have been multiplied.
    ``width`` is the number of random vectors at the start: as many have not been, or fewer where directions have ended.
    """
    known = matrix[:, :num_known].T - value * np.eye(num_known, len(matrix))
    limit = float(beta.ppf(risk, width / 2, (size - width) / 2)) if width < size else 1.0
    if len(matrix) < num_known + width:
        return _longest_start(known, width) ** 2 <= limit
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            others = np.linalg.solve(known[:, width:], -known[:, :width])
            if not np.isfinite(others).all():
                return True
            lengths = np.linalg.svd(np.concatenate([np.eye(width), others]), compute_uv=False)
    except np.linalg.LinAlgError:
        return False
    shortest = max(1.0, float(lengths[-1] - ROUNDING * lengths[0]))
    return shortest**-2 <= limit


def _longest_start(known: FloatArray, width: int) -> float:
    """Return a bound of |w|, from the solutions y of length one of ``known`` y = 0, fewer than w has entries."""
    _, lengths, right = np.linalg.svd(known)
    longest = np.linalg.norm(right[len(known) :, :width], 2) if len(known) < known.shape[1] else 0.0
    rounding = len(known) * np.finfo(np.float64).eps * lengths[0] / max(lengths[-1], np.finfo(np.float64).tiny)
    return float(min(longest + rounding, 1.0))


def enclosure(matrix: FloatArray, num_known: int, width: int, size: int, level: float) -> tuple[float, float]:
    """Return bounds between which all eigenvalues lie with probability ``level``; infinite where nothing is known."""
    ritz = np.linalg.eigvalsh(matrix[:num_known, :num_known])
    scale, risk = max(np.ptp(ritz), np.abs(ritz).max()), (1 - level) / 2
    bounds = []
    for end, sign in ((ritz[0], -1.0), (ritz[-1], 1.0)):
        near, far = np.log(FINEST), np.log(FARTHEST)
        if scale == 0 or not excludes(matrix, num_known, width, size, end + sign * FARTHEST * scale, risk):
            bounds.append(sign * np.inf)
            continue
        for _ in range(STEPS):
            middle = (near + far) / 2
            if excludes(matrix, num_known, width, size, end + sign * np.exp(middle) * scale, risk):
                far = middle
            else:
                near = middle
        bounds.append(end + sign * np.exp(far) * scale)
    return float(bounds[0]), float(bounds[1])
