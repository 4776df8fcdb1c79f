"""Chebyshev-Markov-Stieltjes: what moments or a quadrature say for certain about the mass to the left of a point."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import toeplitz

from hessdens._checks import PAPER_WINDOW, half_window
from hessdens._types import FloatArray
from hessdens.results.chebyshev import ChebyshevMoments
from hessdens.results.moments import Moments
from hessdens.results.support import Interval

Bounds = tuple[FloatArray, FloatArray]
EPS = float(np.finfo(np.float64).eps)
# Moments as sums of thousands of terms are right to some eps.
MOMENT_ROUNDING = 8 * EPS
# A squared norm that rounding may change by more than this fraction is the last that is used: in random spectra of
# clusters of eigenvalues bounds were violated, by 1e-4, from 1 on, and not at 1e-2.
LARGEST_ROUNDING = 1e-6
# Points are moved outwards by this fraction of the spectrum's scale, and masses by as much.
SLACK = 1e-9


@dataclass(frozen=True, eq=False)
class Jacobi:
    """The recurrence β_{j+1} p_{j+1} = (λ - α_j) p_j - β_j p_{j-1} of the orthonormal polynomials p_0..p_m."""

    diagonal: FloatArray  # α_0..α_{m-1}
    off_diagonal: FloatArray  # β_1..β_m, positive
    scale: float  # of the eigenvalues


def cdf_bounds(source: Any, x: ArrayLike) -> Bounds:
    """Return the least and the largest mass at or below ``x`` of all densities with given moments.

    Under which assumption the bounds hold depends on the source:

    - exact moments (an array, or `Moments` or `ChebyshevMoments` that are exact): they hold for the spectrum;
    - estimated moments: they hold for every density that has these moments; the noise of the moments is not in them;
    - the Gauss quadrature of one probe, as Lanczos gives it: they hold for that probe's own spectral measure up to
      rounding, whatever the number of steps; the noise of the probe is not in them.

    Parameters
    ----------
    source
        `Moments`; an array of power moments m_1..m_K; `ChebyshevMoments`; or a pair (nodes, weights) of a Gauss
        quadrature with n nodes, exact up to degree 2n - 1.
    x
        Points, any shape; may be infinite.

    Returns
    -------
    lower, upper
        In the shape of ``x``, in [0, 1]. Both sides of a jump at ``x`` lie between them.

    Raises
    ------
    ValueError
        If moments, nodes or weights are not finite or have wrong shapes, or weights are negative or do not sum to 1.

    Notes
    -----
    Take the measure with m_0..m_{2n} that has n + 1 atoms, of which one is at x: a Gauss-Radau quadrature. Of all
    measures with these moments it has the least mass left of x, and the largest with x included (Chebyshev, Markov,
    Stieltjes). The last of an odd number of moments adds nothing. The polynomials come from the Cholesky factor of the
    Gram matrix of the rescaled powers (Hankel), or of Chebyshev polynomials, which is what the modified Chebyshev
    algorithm computes; from a quadrature by Lanczos on its nodes. Moments from where the Gram matrix loses
    definiteness are left out: the bounds become wider, not wrong. For exact moments rounding goes outwards: the last
    norm used is taken as large as rounding may have made it, and points and masses are moved by 1e-9.

    Cost: an eigenproblem of size n + 1 per point. Source: N. I. Akhiezer, The Classical Moment Problem (1965), chapter
    2; G. H. Golub and G. Meurant, Matrices, Moments and Quadrature (2010), chapter 6.

    Examples
    --------
    Mean 0 and variance 1 leave at most 1/5 of the mass at or below -2 (Cantelli):

    >>> lower, upper = cdf_bounds([0.0, 1.0], -2.0)
    >>> print(f"{lower:.6f} to {upper:.6f}")
    0.000000 to 0.200000
    """
    points = np.asarray(x, dtype=np.float64)
    jacobi = jacobi_matrix(source)
    flat = points.reshape(-1)
    lower, upper = np.zeros(len(flat)), np.ones(len(flat))
    lower[flat == np.inf] = 1.0
    upper[flat == -np.inf] = 0.0
    finite = np.isfinite(flat)
    if len(jacobi.diagonal):
        slack = SLACK * jacobi.scale
        left, right = flat[finite] - slack, flat[finite] + slack
        lower[finite] = np.clip(masses(jacobi, left)[0] - SLACK, 0.0, 1.0)
        upper[finite] = np.clip(masses(jacobi, right)[1] + SLACK, 0.0, 1.0)
    unknown = np.isnan(flat)
    lower[unknown] = upper[unknown] = np.nan
    return lower.reshape(points.shape), upper.reshape(points.shape)


def degenerate_bounds(source: Any, window: float = PAPER_WINDOW) -> tuple[float, float]:
    """Return bounds on the mass inside a window of this size around 0, abs(λ) < window / 2.

    They hold where those of `cdf_bounds` hold, see there for each source. The two ends of the window are taken apart,
    so that the bounds are not always the sharpest.

    Examples
    --------
    With mean 0 and mean square 0.01, at most a tenth lies beyond ±0.3 on each side.

    >>> from hessdens.densities import degenerate_bounds
    >>> lower, upper = degenerate_bounds([0.0, 0.01], window=0.6)
    >>> print(f"{lower:.3f} to {upper:.3f}")
    0.800 to 1.000
    """
    half = half_window(window)
    lower, upper = cdf_bounds(source, [-half, half])
    return max(0.0, float(lower[1] - upper[0])), min(1.0, float(upper[1] - lower[0]))


def negative_bounds(source: Any, window: float = PAPER_WINDOW) -> tuple[float, float]:
    """Return bounds on the mass to the left of the window, λ <= -window / 2.

    They hold where those of `cdf_bounds` hold, see there for each source.

    Examples
    --------
    With mean 0 and mean square 0.01, at most a tenth lies at or below -0.3 (Cantelli's inequality).

    >>> from hessdens.densities import negative_bounds
    >>> lower, upper = negative_bounds([0.0, 0.01], window=0.6)
    >>> print(f"{lower:.3f} to {upper:.3f}")
    0.000 to 0.100
    """
    lower, upper = cdf_bounds(source, -half_window(window))
    return float(lower), float(upper)


def eigenvalue_support(source: Any, size: int) -> Interval:
    """Return an interval that holds all eigenvalues of an operator of this size that has the moments of ``source``.

    An eigenvalue has a mass of at least 1/N, and no density with these moments has a mass of more than 1 / Σ_j p_j(x)^2
    at x (Christoffel). Holds where `cdf_bounds` holds; ValueError if there are fewer than two usable moments.
    """
    jacobi = jacobi_matrix(source)
    if len(jacobi.diagonal) == 0:
        raise ValueError("The support needs two moments that some density has; got fewer. Pass support=(low, high).")
    matrix = np.diag(jacobi.diagonal) + np.diag(jacobi.off_diagonal[:-1], 1) + np.diag(jacobi.off_diagonal[:-1], -1)
    zeros = np.linalg.eigvalsh(matrix)
    ends = []
    for zero, side in ((zeros[0], -1.0), (zeros[-1], 1.0)):
        step = max(float(jacobi.off_diagonal.max()), SLACK * jacobi.scale)
        while largest_mass(jacobi, zero + side * step) * size >= 1:
            step *= 2
        inside = 0.0
        for _ in range(60):
            middle = (inside + step) / 2
            is_inside = largest_mass(jacobi, zero + side * middle) * size >= 1
            inside, step = (middle, step) if is_inside else (inside, middle)
        ends.append(float(zero + side * (step + SLACK * jacobi.scale)))
    return Interval.of(ends)


def jacobi_matrix(source: Any) -> Jacobi:
    """Return the recurrence of the orthonormal polynomials, as far as the source determines it."""
    if isinstance(source, ChebyshevMoments):
        return _from_chebyshev(source)
    if isinstance(source, tuple):
        if len(source) != 2:
            raise ValueError(f"A quadrature must be a pair (nodes, weights); got a tuple of {len(source)}.")
        return _from_quadrature(*(np.asarray(part, dtype=np.float64) for part in source))
    return _from_power(np.asarray(source.values if isinstance(source, Moments) else source, dtype=np.float64))


def _from_power(moments: FloatArray) -> Jacobi:
    if moments.ndim != 1 or len(moments) == 0 or not np.isfinite(moments).all():
        raise ValueError(f"moments must be finite, of shape (K,), K at least 1; got {moments}.")
    degree = len(moments) // 2
    even = np.maximum(moments[1 : 2 * degree : 2], 0.0)
    roots = even ** (0.5 / np.arange(1, degree + 1))
    scale = float(max([abs(moments[0]), *roots])) or 1.0
    scaled = np.concatenate([[1.0], moments / scale ** np.arange(1.0, len(moments) + 1)])
    gram = scaled[np.add.outer(np.arange(degree + 1), np.arange(degree + 1))] if degree else np.ones((1, 1))
    # |E[λ^(i+j)]| is at most the product of these, and rounding is relative to that.
    sizes = np.sqrt(np.maximum(np.diag(gram), 0.0))
    diagonal, off_diagonal = _recurrence(gram, np.ones(degree), sizes)
    return Jacobi(scale * diagonal, scale * off_diagonal, scale)


def _from_chebyshev(moments: ChebyshevMoments) -> Jacobi:
    values = np.concatenate([[1.0], moments.values])
    degree = len(moments.values) // 2
    orders = np.arange(degree + 1)
    gram = (toeplitz(values[: degree + 1]) + values[np.add.outer(orders, orders)]) / 2
    steps = np.where(np.arange(degree) == 0, 1.0, 0.5)  # x T_0 = T_1, x T_j = (T_{j+1} + T_{j-1}) / 2
    diagonal, off_diagonal = _recurrence(gram, steps, np.sqrt(np.arange(1.0, degree + 2)))
    scale = moments.support.half_width
    return Jacobi(moments.support.centre + scale * diagonal, scale * off_diagonal, scale + abs(moments.support.centre))


def _recurrence(gram: FloatArray, steps: FloatArray, sizes: FloatArray) -> Bounds:
    """Return α and β from the Gram matrix of polynomials φ_0, φ_1, ... with x φ_j = steps_j φ_{j+1} + (.) φ_{j-1}.

    Element (i, j) of the matrix is right to MOMENT_ROUNDING sizes_i sizes_j. With the Cholesky factor R, β_{j+1} =
    steps_j r_{j+1,j+1} / r_jj and α_j = steps_j r_{j,j+1} / r_jj - steps_{j-1} r_{j-1,j} / r_{j-1,j-1} (Golub & Welsch
    1969). Ends with the first β that is unsure, made as large as it may be, or before one that no density has.
    """
    count = len(gram)
    factor = np.zeros((count, count))  # rows of R
    monic = np.eye(count)  # row j: coefficients of the polynomial φ_j - ... that is orthogonal to φ_0..φ_{j-1}
    diagonal, off_diagonal = np.zeros(0), np.zeros(0)
    before = 0.0
    for j in range(count):
        for i in range(j):
            monic[j] -= factor[i, j] / factor[i, i] * monic[i]
        norm = float(gram[j, j] - factor[:j, j] @ factor[:j, j])
        rounding = MOMENT_ROUNDING * float(np.abs(monic[j]) @ sizes) ** 2
        if norm < -rounding:
            break
        unsure = norm <= rounding / LARGEST_ROUNDING
        length = np.sqrt(max(norm, 0.0) + rounding if unsure else norm)
        if j:
            off_diagonal = np.append(off_diagonal, steps[j - 1] * length / factor[j - 1, j - 1])
            ratio = steps[j - 1] * factor[j - 1, j] / factor[j - 1, j - 1]
            diagonal = np.append(diagonal, ratio - before)
            before = ratio
        if unsure:
            off_diagonal[-1] = max(off_diagonal[-1], EPS)
            break
        factor[j, j] = length
        factor[j, j + 1 :] = (gram[j, j + 1 :] - factor[:j, j] @ factor[:j, j + 1 :]) / length
    return diagonal, off_diagonal


def _from_quadrature(nodes: FloatArray, weights: FloatArray) -> Jacobi:
    if nodes.ndim != 1 or nodes.shape != weights.shape or len(nodes) == 0:
        raise ValueError(f"nodes and weights must both have shape (n,); got {nodes.shape} and {weights.shape}.")
    if not np.isfinite(nodes).all() or not np.all(weights >= 0) or abs(weights.sum() - 1) > 1e-6:
        raise ValueError(
            f"nodes must be finite, and weights not negative with sum 1; got least weight {weights.min()} and sum "
            f"{weights.sum()}."
        )
    scale = float(np.abs(nodes).max()) or 1.0
    rounding = 10 * len(nodes) * EPS * scale
    return lanczos_recurrence(
        lambda vector: nodes * vector, np.sqrt(weights / weights.sum()), len(nodes) - 1, rounding, scale
    )[0]


def lanczos_recurrence(
    multiply: Callable[[FloatArray], FloatArray], vector: FloatArray, num_steps: int, rounding: float, scale: float
) -> tuple[Jacobi, FloatArray]:
    """Return the recurrence of a vector of length one with a symmetric matrix, and its basis, as rows.

    It ends early where a product leaves the basis by ``rounding`` or less.
    """
    basis = np.empty((1, len(vector)))
    diagonal, off_diagonal = [], []
    for step in range(num_steps):
        if step == len(basis):
            basis = np.vstack([basis, np.empty_like(basis)])
        basis[step] = vector
        product, known = multiply(vector), basis[: step + 1]
        diagonal.append(float(product @ vector))
        for _ in range(2):
            product = product - (known @ product) @ known
        length = float(np.linalg.norm(product))
        off_diagonal.append(max(length, rounding))
        if length <= rounding:
            break
        vector = product / length
    return Jacobi(np.array(diagonal), np.array(off_diagonal), scale), basis[: len(diagonal)]


def largest_mass(jacobi: Jacobi, x: float) -> float:
    """Return 1 / Σ_j p_j(x)^2, the largest mass that a density with the moments can have at x."""
    previous, before = 0.0, 0.0
    current = total = 1.0
    for alpha, beta in zip(jacobi.diagonal, jacobi.off_diagonal, strict=True):
        previous, current = current, ((x - alpha) * current - before * previous) / beta
        before = beta
        total += current * current
        if total > 1e200:
            return 0.0
    return 1 / total


def masses(jacobi: Jacobi, x: FloatArray) -> Bounds:
    """Return the canonical representation's mass left of each x, and that with x included, shape (points,).

    Its nodes are the eigenvalues of the Jacobi matrix with a last diagonal element such that x is one of them. The
    pivots of that matrix minus x count those left of x. Where p_m(x) is nearly 0 that element is huge, and its node far
    away without mass; LAPACK keeps the others right to 1e-12 all the same (measured).
    """
    m = len(jacobi.diagonal)
    tiny = EPS**2 * jacobi.scale
    pivot = jacobi.diagonal[0] - x
    left = np.zeros(len(x), dtype=np.int64)
    for j in range(m):
        if j:
            pivot = jacobi.diagonal[j] - x - jacobi.off_diagonal[j - 1] ** 2 / pivot
        pivot = np.where(np.abs(pivot) < tiny, tiny, pivot)
        left += pivot < 0
    matrices = np.zeros((len(x), m + 1, m + 1))
    rows = np.arange(m)
    matrices[:, rows, rows] = jacobi.diagonal
    matrices[:, rows, rows + 1] = matrices[:, rows + 1, rows] = jacobi.off_diagonal
    matrices[:, m, m] = x + jacobi.off_diagonal[-1] ** 2 / pivot
    _, vectors = np.linalg.eigh(matrices)
    masses = vectors[:, 0, :] ** 2
    cumulative = np.concatenate([np.zeros((len(x), 1)), np.cumsum(masses, axis=1)], axis=1)
    points = np.arange(len(x))
    return cumulative[points, left], cumulative[points, left + 1]
