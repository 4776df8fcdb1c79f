"""Between which bounds a whole spectrum lies, with a stated probability, by a Krylov space from random vectors.

An eigenvector u of an eigenvalue x has entries y in the basis of the space that follow from w, those in its first
block: A Q = Q T gives a linear recursion. Outside of the Ritz values they grow fast, but |y| is at most 1. So w is
short, and random directions of b vectors have short w with small probability: |w|² is Beta(b/2, (N - b)/2).

Source: J. van Dorsselaer, M. Hochstenbach & H. van der Vorst, Computing probabilistic bounds for extreme eigenvalues of
symmetric matrices with the Lanczos method (2000); here also for blocks.
"""

import numpy as np
from scipy.stats import beta

from hessdens._types import FloatArray

# Bounds are looked for up to this many ranges of the Ritz values beyond them, and to this part of the range.
FARTHEST, FINEST = 1e3, 1e-12
STEPS = 50
# Singular values are right to this part of the largest one.
ROUNDING = 1e-12


def excludes(matrix: FloatArray, num_known: int, width: int, size: int, value: float, risk: float) -> bool:
    """Return whether an eigenvalue beyond the Ritz values, at ``value`` or farther, has a probability below ``risk``.

    ``matrix`` is A of order ``size`` in a Krylov basis, shape (d, d), of which the first vectors have been multiplied;
    d is their number and ``width``, that of the random vectors at the start.
    """
    known = matrix[:, :num_known].T - value * np.eye(num_known, len(matrix))
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            others = np.linalg.solve(known[:, width:], -known[:, :width])
            if not np.isfinite(others).all():
                return True
            lengths = np.linalg.svd(np.concatenate([np.eye(width), others]), compute_uv=False)
    except np.linalg.LinAlgError:
        return False
    shortest = max(1.0, float(lengths[-1] - ROUNDING * lengths[0]))
    return bool(shortest**-2 <= beta.ppf(risk, width / 2, (size - width) / 2)) if width < size else True


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
