"""Spectral densities by block Lanczos, and by the three-term recurrence where memory is short."""

import math
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
from hessdens.densities.ritz import _tridiagonal_quadrature, block_quadrature
from hessdens.errors import NonFiniteError
from hessdens.estimators.checkpoint import Checkpoint, Recorded
from hessdens.linalg.adapt import as_operator
from hessdens.linalg.block_lanczos import ROUNDING, BlockLanczos
from hessdens.linalg.identity import run_identity
from hessdens.linalg.inner_products import column_dots
from hessdens.linalg.operator import Operator, Wrapped
from hessdens.linalg.probes import Distribution, check_probe_arguments, operator_probes
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
    with tqdm(total=num_steps * num_probes, unit="product", disable=not progress) as bar:
        run = (_three_terms if low_memory else _block)(operator, probes, num_steps, bar)
    found = run.quadratures[0]
    total = len(found.eigenvalues) / operator.size + found.weights.sum(axis=1)
    certificates = Certificates(
        symmetry=run.symmetry,
        orthogonality=run.orthogonality,
        weights=float(np.abs(total - 1).max()),
        trace=abs(run.trace - operator.trace) / max(operator.square, TINY) ** 0.5,
        frobenius=abs(run.square - operator.square) / max(operator.square, TINY),
        threshold=TOLERANCE * torch.finfo(operator.dtype).eps,
        num_products=run.num_products,
        seconds=time.perf_counter() - start,
        versions=versions(torch=torch.__version__),
    )
    return LanczosDensity(found, tuple(run.quadratures[1:]), run.num_steps, run.num_products, certificates)


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


@dataclass(frozen=True)
class _Run:
    """What either recurrence gives: quadratures of the last steps, latest first, and what the witness saw by these."""

    quadratures: list[Quadrature]
    trace: float
    square: float
    symmetry: float
    orthogonality: float
    num_steps: int
    num_products: int


def _block(operator: Operator, probes: Tensor, num_steps: int, bar: Any) -> _Run:
    space = BlockLanczos(operator, probes.T, num_steps)
    while space.num_steps < num_steps and not space.is_invariant:
        before = space.num_products
        space.step()
        bar.update(space.num_products - before)
    matrix, start = space.matrix(), space.start_coordinates
    known = [space.num_rows(steps) for steps in _last_steps(space.num_steps)]
    quadratures = [block_quadrature(matrix, rows, start, operator.size, space.rounding) for rows in known]
    ritz, vectors = np.linalg.eigh(matrix[: known[0], : known[0]])
    shares = np.sum(vectors[: start.shape[1]] ** 2, axis=0)
    return _Run(
        quadratures,
        float(shares @ ritz),
        float(shares @ ritz**2),
        space.symmetry_defect(),
        space.orthogonality_defect(),
        space.num_steps,
        space.num_products,
    )


def _last_steps(num_steps: int) -> range:
    """Return the numbers of steps whose quadratures are kept: the last and three before it."""
    return range(num_steps, max(0, num_steps - 1 - EARLIER), -1)


def _three_terms(operator: Operator, probes: Tensor, num_steps: int, bar: Any) -> _Run:
    """Run Lanczos from each probe by itself, all in one product, keeping the last two vectors of each."""
    eps, team = torch.finfo(operator.dtype).eps, operator.team
    diagonal, beside = np.zeros((num_steps, probes.shape[1])), np.zeros((num_steps, probes.shape[1]))
    lengths = column_dots(probes, probes, team).sqrt()
    vectors = probes / lengths.to(operator.dtype)
    previous, scale, symmetry = torch.zeros_like(vectors), 0.0, 0.0
    going = torch.ones(probes.shape[1], dtype=torch.bool, device=operator.device)
    num_products = 0
    for step in range(num_steps):
        products = operator.matmat(vectors).clone()
        num_products += int(going.sum())
        bar.update(int(going.sum()))
        squares = column_dots(products, products, team)
        if not torch.isfinite(squares).all():
            bad = int(torch.nonzero(~torch.isfinite(squares))[0])
            raise NonFiniteError(
                f"Products must be finite; that of probe {bad} in Lanczos step {step + 1} is not (overflow or NaN)."
            )
        scale = max(scale, float(squares.max().sqrt()))
        back = column_dots(previous, products, team).cpu().numpy()
        if step:
            symmetry = max(symmetry, float(np.abs(back - beside[step - 1])[going.cpu().numpy()].max(initial=0.0)))
        for _ in range(2):
            along = column_dots(vectors, products, team)
            diagonal[step] += along.cpu().numpy()
            products -= along.to(operator.dtype) * vectors
            products -= column_dots(previous, products, team).to(operator.dtype) * previous
        norms = column_dots(products, products, team).sqrt()
        going &= norms > ROUNDING * eps * scale
        beside[step] = torch.where(going, norms, 0.0).cpu().numpy()
        if not going.any():
            break
        previous, vectors = vectors, products / torch.where(going, norms, float("inf")).to(operator.dtype)
    quadratures = [
        _tridiagonal_quadrature(diagonal[:steps], beside[:steps], operator.size) for steps in _last_steps(num_steps)
    ]
    sums = [float((quadratures[0].weights @ quadratures[0].abscissae ** k).sum()) for k in (1, 2)]
    return _Run(quadratures, sums[0], sums[1], symmetry / max(scale, TINY), math.nan, num_steps, num_products)
