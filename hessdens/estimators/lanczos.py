"""Spectral densities by block Lanczos, and by the three-term recurrence where memory is short."""

import os
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from hessdens._calls import takes_operator
from hessdens._checks import PAPER_WINDOW, half_window
from hessdens._types import Window
from hessdens.densities.krylov import Krylov
from hessdens.densities.lanczos import LanczosDensity
from hessdens.densities.quadrature import Quadrature
from hessdens.densities.ritz import block_quadrature, tridiagonal_quadrature
from hessdens.estimators.budget import Accuracy, steps_and_probes
from hessdens.estimators.checkpoint import setting_in
from hessdens.estimators.enclosure import enclosure_of
from hessdens.estimators.krylov import TINY
from hessdens.estimators.run import Run, called_alike, check_memory
from hessdens.linalg.block_lanczos import BlockLanczos
from hessdens.linalg.inner_products import column_dots
from hessdens.linalg.operator import Combined, Operator
from hessdens.linalg.probes import Distribution
from hessdens.linalg.three_terms import ThreeTermLanczos
from hessdens.results.certificates import Certificates
from hessdens.results.eigenpairs import Eigenpairs, Separation

# The quadrature, what spaces leave open, and the sums of r·Ar and Ar·Ar over probes by the quadrature.
Reading = tuple[Quadrature, tuple[Krylov, ...], float, float]


@takes_operator
def lanczos_density(
    A: Any,
    *,
    num_steps: int | None = None,
    num_probes: int | None = None,
    max_products: int | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    window: Window = PAPER_WINDOW,
    seed: int = 0,
    distribution: Distribution = "gaussian",
    low_memory: bool = False,
    eigenvectors: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> LanczosDensity:
    r"""Estimate the spectral density of ``A``: outliers one by one, all other eigenvalues by quadrature.

    Block Lanczos from P random vectors, with full reorthogonalisation. Ritz values that have converged are eigenvalues,
    of weight 1/N each. The parts of the random vectors orthogonal to their eigenvectors see the rest of the spectrum,
    by Gauss quadrature. Intervals of fractions and of the cdf allow for the noise of probes and for finite resolution.

    Parameters
    ----------
    A
        An operator of hessdens or anything that `as_operator` takes.
    num_steps, num_probes
        s >= 2 and P >= 2. Where one is given without a budget, the other is 30 or 6. More steps give a higher
        resolution and more eigenvalues, more probes less noise.
    max_products
        P s at most. Default 100: with neither steps nor probes given, these are chosen as P ≈ 0.45 sqrt(max_products).
    rtol, atol
        Stop as soon as both ends of the 95% interval of the fraction outside of ``window`` are this near to it,
        relative to it or absolute; ``max_products`` is then 300 by default. A warning says where it is not reached.
    window
        Size of the window around 0 whose eigenvalues count as degenerate, or "1%" of the largest absolute eigenvalue.
        The density keeps it: summaries, numbers and pictures are of it.
    seed, distribution, checkpoint, progress
        As in `spectral_moments`, with the same probes. The checkpoint keeps every product, P N numbers per step. More
        steps, or a larger budget, extend fewer: unless P is given, it is that of the work in the checkpoint.
    low_memory
        Keep three vectors per probe instead of s: there is no reorthogonalisation, and eigenvalues are not found one by
        one.
    eigenvectors
        Keep the eigenvectors of eigenvalues that were found, in ``density.eigenpairs``, at no further product. With
        Gaussian probes these also say between which values all eigenvalues lie, with probability 0.95.

    Raises
    ------
    ValueError
        If an argument is out of range, the budget too small, or the checkpoint one of another run.
    NonFiniteError
        If a product is not finite.

    Notes
    -----
    Cost: P s products; (s + 1) P N numbers of memory and 2 N (P s)² operations for orthogonality; with ``low_memory``
    4 P N numbers. Coefficients are float64 whatever the dtype of ``A``. A space that A maps to itself ends the run: the
    spectrum is then known, except for multiplicities. Sources: Golub & Welsch (1969) for quadrature; Golub & Meurant
    (2010) for blocks; Papyan (2019) and Ghorbani, Krishnan & Xiao (2019) for Hessians.

    Examples
    --------
    >>> import numpy as np
    >>> density = lanczos_density(np.diag([*np.zeros(97), 3.0, 4.0, 9.0]))
    >>> density.eigenvalues_found.round(6)
    array([3., 4., 9.])
    >>> round(density.fraction_degenerate(), 6)
    0.97
    """
    operator = called_alike("lanczos_density", A, locals())
    if low_memory and eigenvectors:
        raise ValueError("eigenvectors need the whole basis; got low_memory=True too. Use one of them.")
    kept = None if checkpoint is None else setting_in(checkpoint, "num_probes", operator.team)
    accuracy = Accuracy(rtol, atol, window)
    accuracy.check_steps(num_steps)
    num_steps, num_probes = steps_and_probes(num_steps, num_probes, max_products, kept, to_accuracy=accuracy.is_asked)
    settings: Any = {"function": "lanczos_density", "num_probes": num_probes, "low_memory": low_memory}
    run = Run(operator, 1, seed, distribution, checkpoint=checkpoint, settings=settings, progress=progress)
    recorded = run.recorded
    _check_memory(operator, num_steps, num_probes, low_memory=low_memory)
    sums: list[float] = []  # of r·Ar and Ar·Ar over the columns of the first product

    def product(V: Tensor) -> Tensor:
        products = recorded.matmat(V)
        if not sums:
            sums.extend(float(column_dots(W, products, recorded.team).sum()) for W in (V, products))
        return products

    lanczos = ThreeTermLanczos if low_memory else BlockLanczos
    space = lanczos(Combined(product, recorded), run.probes(0, num_probes).T, num_steps)
    density: LanczosDensity | None = None
    with run.bar(num_steps * num_probes, is_limit=accuracy.is_asked) as bar:
        while space.num_steps < num_steps and not space.is_invariant:
            space.step()
            bar.update(space.num_products - bar.n)
            density = _density_of(space, run, sums, window) if accuracy.is_due(space.num_products) else None
            if density is not None and accuracy.is_reached(density):
                break
    if density is None:
        density = _density_of(space, run, sums, window)
    accuracy.warn_if_short(density, num_steps * num_probes)
    if not eigenvectors or not isinstance(space, BlockLanczos):
        return density
    is_random = distribution == "gaussian"  # in direction, too
    return replace(density, pairs=_found(space, density.quadrature, density.certificates, is_random=is_random))


def _density_of(space: BlockLanczos | ThreeTermLanczos, run: Run, sums: list[float], window: Window) -> LanczosDensity:
    """Return the density that a space tells, with ``sums`` of r·Ar and Ar·Ar over the columns of its first product."""
    size = run.operator.size
    reading = _of_block(space, size) if isinstance(space, BlockLanczos) else _of_three_terms(space, size)
    quadrature, spaces, trace, square = reading
    mass = len(quadrature.eigenvalues) / size + quadrature.weights.sum(axis=1)
    first_trace, first_square = sums
    certificates = run.certificates(
        space.num_products,
        symmetry=space.symmetry_defect(),
        orthogonality=space.orthogonality_defect(),
        weights=float(np.abs(mass - 1).max()),
        trace=abs(trace - first_trace) / max(first_square, TINY) ** 0.5,
        frobenius=abs(square - first_square) / max(first_square, TINY),
    )
    size_of_window = 2 * half_window(window, float(np.abs(quadrature.ritz_values()).max()))
    return LanczosDensity(quadrature, spaces, space.num_steps, space.num_products, certificates, window=size_of_window)


def _check_memory(operator: Operator, num_steps: int, num_probes: int, *, low_memory: bool) -> None:
    rows = 4 * num_probes if low_memory else num_probes + min((num_steps + 1) * num_probes, operator.size)
    coefficients = 2 * num_steps * num_probes if low_memory else rows**2
    needed = rows * operator.num_rows * operator.dtype.itemsize + 8 * coefficients
    what = f"lanczos_density with {num_steps:,} steps of {num_probes:,} probes"
    check_memory(
        operator, needed, operator.device, what, "Take fewer of them" + ("." if low_memory else ", or low_memory.")
    )


def _of_block(space: BlockLanczos, size: int) -> Reading:
    matrix, start, known = space.matrix(), space.start_coordinates, space.num_products
    ritz, vectors = np.linalg.eigh(matrix[:known, :known])
    shares = np.sum(vectors[: start.shape[1]] ** 2, axis=0)
    quadrature, rest = block_quadrature(matrix, known, start, size, space.rounding)
    return quadrature, (rest,), float(shares @ ritz), float(shares @ ritz**2)


def _found(space: BlockLanczos, quadrature: Quadrature, certificates: Certificates, *, is_random: bool) -> Eigenpairs:
    """Return the eigenvalues that a quadrature has one by one, with their vectors.

    If the start vectors have random directions, it is known between which values the whole spectrum lies.
    """
    matrix, known = space.matrix(), space.num_products
    ritz, vectors = np.linalg.eigh(matrix[:known, :known])  # as of the quadrature
    is_found = np.isin(ritz, quadrature.eigenvalues)
    residuals = matrix[known:, :known] @ vectors
    lengths = np.linalg.norm(residuals, axis=0) + space.rounding
    count = int(is_found.sum())
    slack, converged = np.full(count, space.rounding), np.ones(count, dtype=bool)
    others = (ritz[~is_found], lengths[~is_found])
    width, rounding = space.start_coordinates.shape[1], max(space.rounding, space.asymmetry())
    separation = Separation.of(ritz[is_found], residuals[:, is_found], slack, converged, others)
    return Eigenpairs(
        quadrature.size,
        "found",
        ritz[is_found],
        separation.errors,
        separation.gaps,
        separation.outer_gaps,
        separation.clusters,
        space.combinations(vectors[:, is_found]).cpu().numpy(),
        converged,
        np.inf,
        space.num_steps,
        certificates,
        *(enclosure_of(space, width, quadrature.size, rounding) if is_random else (-np.inf, np.inf)),
    )


def _of_three_terms(space: ThreeTermLanczos, size: int) -> Reading:
    quadrature, spaces = tridiagonal_quadrature(space.diagonal, space.off_diagonal, size, space.rounding)
    trace, square = (float((quadrature.weights @ quadrature.abscissae**k).sum()) for k in (1, 2))
    return quadrature, spaces, trace, square
