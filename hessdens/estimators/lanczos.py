"""Spectral densities by block Lanczos, and by the three-term recurrence where memory is short."""

import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from hessdens.densities.lanczos import LanczosDensity
from hessdens.densities.quadrature import Quadrature
from hessdens.densities.ritz import block_quadrature, tridiagonal_quadrature
from hessdens.estimators.checkpoint import Checkpoint, Recorded
from hessdens.linalg.adapt import as_operator
from hessdens.linalg.block_lanczos import BlockLanczos
from hessdens.linalg.identity import run_identity
from hessdens.linalg.inner_products import column_dots
from hessdens.linalg.operator import Operator, Wrapped
from hessdens.linalg.probes import Distribution, check_probe_arguments, operator_probes
from hessdens.linalg.three_terms import ThreeTermLanczos
from hessdens.results.certificates import TOLERANCE, Certificates, versions

TINY = np.finfo(np.float64).tiny
DEFAULT_PRODUCTS = 100
# Probes in units of the square root of the budget: 4 or 5 at 100 products, 6 at 200.
BLOCK_WIDTH = 0.45
DEFAULT_STEPS, DEFAULT_PROBES = 30, 6
# Earlier quadratures that show how far the resolution goes.
EARLIER = 3


def lanczos_density(
    A: Any,
    *,
    num_steps: int | None = None,
    num_probes: int | None = None,
    max_products: int | None = None,
    seed: int = 0,
    distribution: Distribution = "gaussian",
    low_memory: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> LanczosDensity:
    r"""Estimate the spectral density of ``A``: outliers one by one, all other eigenvalues by quadrature.

    Block Lanczos from P random vectors, reorthogonalised twice. Ritz values that have converged are eigenvalues, of
    weight 1/N each; what is left of the random vectors beside their eigenvectors sees the rest of the spectrum by Gauss
    quadrature. Fractions and cdf have intervals that hold the noise of the probes and the finite resolution.

    Parameters
    ----------
    A
        An operator of hessdens or anything that `as_operator` takes.
    num_steps, num_probes
        s >= 2 and P >= 2. Where one is given without a budget, the other is 30 or 6. More steps give a higher
        resolution and more eigenvalues, more probes less noise.
    max_products
        P s at most. Default 100: with neither steps nor probes given, these are chosen as P ≈ 0.45 sqrt(max_products).
    seed
        Probe i depends on (seed, i) alone; probes are those of `spectral_moments`.
    distribution
        Of the entries of a probe: "gaussian" or "rademacher".
    low_memory
        Keep three vectors a probe in place of s: no reorthogonalisation, so that eigenvalues are not found one by one.
    checkpoint
        A folder in which every product is kept (P N numbers a step), and found again after a run was killed or when
        more steps are asked for. Takes one product more, to recognise the operator.
    progress
        Show a progress bar on standard error.

    Returns
    -------
    LanczosDensity

    Raises
    ------
    ValueError
        If an argument is out of range, the budget too small, or the checkpoint one of another run.
    NonFiniteError
        If a product is not finite.

    Notes
    -----
    Cost: P s products; (s + 1) P N numbers of memory and 4 N (P s)² operations for orthogonality; with ``low_memory``
    4 P N numbers. Coefficients are float64 whatever the dtype of ``A``. A space that A maps to itself ends the run: the
    spectrum is then known but for multiplicities. Sources: Golub & Welsch (1969) for quadrature; Golub & Meurant
    (2010) for blocks; Papyan (2019) and Ghorbani, Krishnan & Xiao (2019) for Hessians.
    """
    num_steps, num_probes = _sizes(num_steps, num_probes, max_products)
    check_probe_arguments(num_probes, seed, distribution)
    start = time.perf_counter()
    operator = as_operator(A)
    if checkpoint is not None:
        identity = run_identity(
            operator,
            function="lanczos_density",
            seed=seed,
            distribution=distribution,
            num_probes=num_probes,
            low_memory=low_memory,
        )
        operator = Recorded(operator, Checkpoint(checkpoint, identity, operator.team))
    operator = _FirstProduct(operator)
    probes = operator_probes(operator, seed, 0, num_probes, distribution)
    space = (ThreeTermLanczos if low_memory else BlockLanczos)(operator, probes.T, num_steps)
    with tqdm(total=num_steps * num_probes, unit="product", disable=not progress) as bar:
        while space.num_steps < num_steps and not space.is_invariant:
            space.step()
            bar.update(space.num_products - bar.n)
    reading = (
        _three_terms(space, operator.size) if isinstance(space, ThreeTermLanczos) else _block(space, operator.size)
    )
    quadrature, *earlier = reading.quadratures
    mass = len(quadrature.eigenvalues) / operator.size + quadrature.weights.sum(axis=1)
    certificates = Certificates(
        symmetry=space.symmetry_defect(),
        orthogonality=space.orthogonality_defect(),
        weights=float(np.abs(mass - 1).max()),
        trace=abs(reading.trace - operator.trace) / max(operator.square, TINY) ** 0.5,
        frobenius=abs(reading.square - operator.square) / max(operator.square, TINY),
        threshold=TOLERANCE * torch.finfo(operator.dtype).eps,
        num_products=space.num_products,
        seconds=time.perf_counter() - start,
        versions=versions(torch=torch.__version__),
    )
    return LanczosDensity(quadrature, tuple(earlier), space.num_steps, space.num_products, certificates)


def _sizes(num_steps: int | None, num_probes: int | None, max_products: int | None) -> tuple[int, int]:
    """Return the numbers of steps and probes."""
    for name, value in (("num_steps", num_steps), ("num_probes", num_probes)):
        if value is not None and value < 2:
            raise ValueError(f"{name} must be at least 2; got {value}.")
    if max_products is None:
        if num_steps is not None or num_probes is not None:
            return num_steps or DEFAULT_STEPS, num_probes or DEFAULT_PROBES
        max_products = DEFAULT_PRODUCTS
    if num_probes is None:
        wanted = max(round(BLOCK_WIDTH * max(max_products, 0) ** 0.5), min(4, max_products // 4))
        num_probes = max(2, wanted if num_steps is None else max_products // num_steps)
    if num_steps is None:
        num_steps = max(2, max_products // num_probes)
    if num_steps * num_probes > max_products:
        raise ValueError(
            f"max_products must be at least {num_steps * num_probes} for {num_steps} steps of {num_probes} probes; got "
            f"{max_products}."
        )
    return num_steps, num_probes


@dataclass(frozen=True)
class _Reading:
    """What coefficients say: quadratures of the last steps, latest first, and by it r·Ar and Ar·Ar of all probes."""

    quadratures: list[Quadrature]
    trace: float
    square: float


class _FirstProduct(Wrapped):
    """An operator that keeps the sums of r·Ar and Ar·Ar over the columns of the first product."""

    def __init__(self, operator: Operator) -> None:
        super().__init__(operator)
        self.trace = self.square = float("nan")

    def _matmat(self, V: Tensor) -> Tensor:
        products = self._operator.matmat(V)
        if np.isnan(self.trace):
            self.trace, self.square = (float(column_dots(W, products, self.team).sum()) for W in (V, products))
        return products


def _block(space: BlockLanczos, size: int) -> _Reading:
    matrix, start = space.matrix(), space.start_coordinates
    known = [space.num_rows(steps) for steps in _last_steps(space.num_steps)]
    ritz, vectors = np.linalg.eigh(matrix[: known[0], : known[0]])
    shares = np.sum(vectors[: start.shape[1]] ** 2, axis=0)
    return _Reading(
        [block_quadrature(matrix, rows, start, size, space.rounding) for rows in known],
        float(shares @ ritz),
        float(shares @ ritz**2),
    )


def _three_terms(space: ThreeTermLanczos, size: int) -> _Reading:
    # A recurrence that has ended early would only add zeros.
    steps = _last_steps(len(space.diagonal))
    quadratures = [tridiagonal_quadrature(space.diagonal[:s], space.off_diagonal[:s], size) for s in steps]
    trace, square = (float((quadratures[0].weights @ quadratures[0].abscissae ** k).sum()) for k in (1, 2))
    return _Reading(quadratures, trace, square)


def _last_steps(num_steps: int) -> range:
    """Return the numbers of steps whose quadratures are wanted: the last and three before it."""
    return range(num_steps, max(0, num_steps - 1 - EARLIER), -1)
