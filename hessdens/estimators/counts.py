"""Guaranteed numbers of negative, degenerate and positive eigenvalues."""

import math
import os
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from hessdens._calls import takes_operator
from hessdens._checks import PAPER_WINDOW, at_least, check_level, half_window
from hessdens._types import FloatArray
from hessdens.densities.bounds import Jacobi
from hessdens.densities.count_bounds import Deflated, Evidence, Range, count_bounds, jacobi_of
from hessdens.estimators.checkpoint import Checkpoint, Recorded
from hessdens.estimators.count_split import Split, best_split, deflated_by, is_whole
from hessdens.estimators.run import Run, called_alike, check_memory
from hessdens.linalg.block_lanczos import BlockLanczos
from hessdens.linalg.operator import Operator, Wrapped
from hessdens.results.certificates import TOLERANCE
from hessdens.results.counts import CertifiedCounts

CERTIFIED_LEVEL = 0.99
CERTIFIED_PRODUCTS = 200
# Two vectors of a space, and a probe of two steps.
FEWEST_PRODUCTS = 4
# The deflated space starts from a probe that is never tested, so that it is independent of those that are.
START_PROBE = 2**31
# The space is first looked at after this share of the products, and again when it has grown by this factor.
FIRST_LOOK = 0.25
GROWTH = 1.4
# Each look at a checkpoint has probes of its own.
PROBES_OF_A_LOOK = 2**20
# Probes that are tested in one multi-vector product.
PROBES_AT_ONCE = 8
# A known error of products explains so many times as large an asymmetry.
ASYMMETRY_OF_ERRORS = 4.0


@takes_operator
def certified_counts(
    A: Any,
    *,
    window: float = PAPER_WINDOW,
    level: float = CERTIFIED_LEVEL,
    max_products: int = CERTIFIED_PRODUCTS,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> CertifiedCounts:
    r"""Bound the numbers of negative, degenerate and positive eigenvalues of ``A``, guaranteed at ``level``.

    An eigenvalue is degenerate where abs(λ) < window / 2. The bounds hold for any symmetric matrix after any number of
    products: probes enter by an exact distribution, everything else without chance, rounded outwards.

    Parameters
    ----------
    A
        An operator of hessdens or anything that `as_operator` takes. Products with a measured error (`product_error`)
        move the edges of the window outwards.
    window
        Size of the window around 0, positive.
    level
        Probability, over the probes, that all six bounds hold at once.
    max_products
        Products that may be spent, at least 4. Fewer are spent where these give exact counts.
    seed
        Of the probes, which are Gaussian.
    checkpoint, progress
        As in `spectral_moments`. The checkpoint keeps every product, N numbers each. A larger budget extends it, by a
        larger deflated space and other probes. All results from one checkpoint hold at once, so that the next budget or
        window may be chosen by what the last one has shown: result j takes 1 / (j (j + 1)) of its failure probability.
        None is wider than an earlier one of the same window and level.

    Returns
    -------
    CertifiedCounts
        (fewest, most) of each kind, and what they rest on.

    Raises
    ------
    ValueError
        If an argument is out of range, products are not symmetric, or only a part of ``A`` knows its error.
    NonFiniteError
        If a product is not finite.

    Notes
    -----
    Cost: ``max_products`` products at most; so many vectors of memory, N numbers each. Lanczos from one random vector
    makes a deflated space. How many of the products go there is chosen from the spectrum that it shows; the probes that
    are tested have no say. The page on certificates has the proof. Sources: Haynsworth (1968) for the inertia of
    blocks, Golub & Meurant (2010) for quadrature as bounds, Akhiezer (1965) for the inequalities.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdens.estimators import certified_counts
    >>> eigenvalues = np.concatenate([np.linspace(-0.02, 0.02, 990), -np.ones(3), np.arange(1.0, 8.0)])
    >>> counts = certified_counts(np.diag(eigenvalues), max_products=100)
    >>> counts.degenerate
    (990, 990)
    """
    operator = called_alike("certified_counts", A, locals())
    half = _checked(window, level, max_products)
    settings = {"function": "certified_counts"}
    run = Run(operator, seed=seed, checkpoint=checkpoint, settings=settings, progress=progress)
    measured = _Measured(operator, run.checkpoint)
    what = f"certified_counts with max_products={max_products:,}"
    vectors = min(max_products + PROBES_AT_ONCE + 1, operator.size)
    needed = vectors * operator.num_rows * operator.dtype.itemsize + 8 * vectors**2
    check_memory(operator, needed, operator.device, what, "Take fewer products.")
    looks = _Looks(run.checkpoint, window, level, max_products)
    with run.bar(max_products) as bar:
        space, deflated, split = _deflate(run, measured, max_products, half, 1 - level, bar)
        evidence, defects = _test(run, measured, space, deflated, split, looks.first_probe, bar)
    num_products = split.num_deflated + sum(len(ritz) - split.num_deflated for ritz in evidence.ritz)
    ranges = looks.with_earlier(count_bounds(evidence, half, looks.failure))
    certificates = run.certificates(num_products, **defects)
    return CertifiedCounts(
        *ranges,
        size=operator.size,
        window=window,
        level=level,
        num_products=num_products,
        num_deflated=split.num_deflated,
        num_probes=split.num_probes,
        num_steps=split.num_steps,
        error=evidence.error,
        look=looks.number,
        certificates=certificates,
    )


def _checked(window: float, level: float, max_products: int) -> float:
    """Return half the window; ValueError if an argument is out of range."""
    half = half_window(window)
    if half == 0:
        raise ValueError("window must be above 0: an eigenvalue of 0 would be negative and positive at once; got 0.")
    check_level(level)
    at_least("max_products", max_products, FEWEST_PRODUCTS)
    return half


class _Measured(Wrapped):
    """An operator that keeps the largest relative error that it knows of its products, also in a checkpoint."""

    def __init__(self, operator: Operator, checkpoint: Checkpoint | None) -> None:
        super().__init__(operator)
        self._checkpoint = checkpoint
        kept = None if checkpoint is None else checkpoint.load("error", {"largest": "amount"})
        self.error: float = kept["largest"] if kept else 0.0

    @property
    def recorded(self) -> Operator:
        """The operator, whose products are kept in the checkpoint if there is one."""
        return self if self._checkpoint is None else Recorded(self, self._checkpoint)

    def _matmat(self, V: Tensor) -> Tensor:
        products = self._operator.matmat(V)
        error = _relative_error(self._operator)
        if self.team.least(int(not math.isnan(error))) == 0:
            raise ValueError(
                "Certified counts need to know the error of products; an operator inside a sum, or inside one that "
                "processes share, has a product_error, which says nothing of the whole. Certify it alone."
            )
        if error > self.error:
            self.error = error
            if self._checkpoint is not None:
                self._checkpoint.save("error", {"largest": error})
        return products


def _relative_error(operator: Operator) -> float:
    """Return the error of the latest product relative to its length; 0 if that is rounding, NaN if it is unknown."""
    known = getattr(operator, "product_error", None)
    if known is not None:
        return float(known)
    parts: tuple[Operator, ...] = getattr(operator, "_parts", ())
    errors = [_relative_error(part) for part in parts]
    is_whole = len(parts) == 1 and parts[0].team is operator.team
    if not any(errors):
        return 0.0
    return errors[0] if is_whole else math.nan


def _deflate(
    run: Run, operator: _Measured, max_products: int, half: float, failure: float, bar: Any
) -> tuple[BlockLanczos, Deflated, Split]:
    """Return a Krylov space, what it says, and how what is left of the products should be spent.

    Where all vectors can be multiplied they are, and no probe is left to test.
    """
    size, team = operator.size, operator.team
    is_all = size <= max_products
    start = run.probes(START_PROBE, START_PROBE + 1).T
    space = BlockLanczos(operator.recorded, start, max_products, PROBES_AT_ONCE)
    next_look = size if is_all else max(2, int(FIRST_LOOK * max_products))
    while True:
        while space.num_products < next_look and not space.is_invariant:
            space.step()
            bar.update()
        _check_symmetry(space, operator)
        known = space.num_products
        if is_all and known < size:
            number = START_PROBE + known  # of its own for each part that is not connected with those before
            space.restart(space.num_steps, run.probes(number, number + 1).T)
            continue
        deflated = deflated_by(space, size, max_products)
        if known == size:
            return space, deflated, Split(size, 0, 0)
        split = best_split(deflated, max_products, half, failure, whole=is_whole(space))
        split = Split(*(team.least(number) for number in (split.num_deflated, split.num_probes, split.num_steps)))
        if split.num_deflated <= known:
            return space, deflated, split
        next_look = min(split.num_deflated, int(GROWTH * known) + 1)


def _test(
    run: Run, operator: _Measured, space: BlockLanczos, deflated: Deflated, split: Split, first_probe: int, bar: Any
) -> tuple[Evidence, dict[str, float]]:
    """Return what probes from ``first_probe`` on say of the complement of the space, and defects of all spaces."""
    known, blocks = split.num_deflated, space.num_steps
    probes: list[tuple[Jacobi, float]] = []
    ritz = [_eigenvalues(deflated.matrix)]
    error, defects = _error(space, operator), _defects(space)
    for first in range(0, split.num_probes, PROBES_AT_ONCE):
        last = min(first + PROBES_AT_ONCE, split.num_probes)
        space.restart(blocks, run.probes(first_probe + first, first_probe + last).T)
        for _ in range(split.num_steps):
            if not space.is_invariant:
                before = space.num_products
                space.step()
                bar.update(space.num_products - before)
        _check_symmetry(space, operator)
        matrix, multiplied = space.matrix(), space.num_products
        for row in space.start_coordinates:
            jacobi = jacobi_of(matrix[known:, known:], row, space.num_steps - blocks, space.rounding)
            probes.append((jacobi, float(row @ row)))
        ritz.append(_eigenvalues(matrix[:multiplied, :multiplied]))
        error = max(error, _error(space, operator))
        defects = {name: max(value, defects[name]) for name, value in _defects(space).items()}
    return Evidence(deflated, tuple(probes), tuple(ritz), error), defects


def _eigenvalues(matrix: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.eigvalsh(matrix), dtype=np.float64)


def _defects(space: BlockLanczos) -> dict[str, float]:
    return {"symmetry": space.symmetry_defect(), "orthogonality": space.orthogonality_defect()}


def _check_symmetry(space: BlockLanczos, operator: _Measured) -> None:
    """Raise ValueError if products differ from those of a symmetric matrix by more than their errors explain."""
    defect = space.symmetry_defect()
    threshold = max(TOLERANCE * torch.finfo(operator.dtype).eps, ASYMMETRY_OF_ERRORS * operator.error)
    if defect > threshold:
        raise ValueError(
            f"Certified counts need symmetric products; got v·Aw and w·Av that differ by {defect:.1e} of the longest "
            f"product, where errors explain {threshold:.1e}. Is the operator symmetric, and the same in each product?"
        )


def _error(space: BlockLanczos, operator: _Measured) -> float:
    """Return the norm of a symmetric matrix that makes up for all errors: A with it added has the coefficients found.

    That is the norm of what A Q - Q T differs by from what it should be (Kahan 1967): rounding and known errors of each
    product, the asymmetry of the coefficients, and what the basis lacks in orthogonality.
    """
    known = space.num_products
    coefficients = space.matrix()[:, :known]
    basis = space.basis(space.num_steps)
    gram = operator.team.sum(basis @ basis.T).double().cpu().numpy()
    departure = float(np.linalg.norm(gram - np.eye(known), 2))
    largest = float(np.linalg.norm(coefficients, 2))
    of_products = known**0.5 * space.rounding + operator.error * float(np.linalg.norm(coefficients))
    return of_products + space.asymmetry() + departure * largest


class _Looks:
    """The results of a checkpoint so far, and the probes and the share of failures that the next one may take.

    A look is a budget, a window and a level. Look j takes probes of its own and fails with probability (1 - level) /
    (j (j + 1)) at most, whatever earlier ones have shown. So all of them hold at once, at the lowest of their levels.
    """

    layout: ClassVar = {"budgets": "L count", "edges": "L 2 finite", "ranges": "L 3 2 count"}

    def __init__(self, checkpoint: Checkpoint | None, window: float, level: float, max_products: int) -> None:
        self._checkpoint = checkpoint
        arrays = None if checkpoint is None else checkpoint.load("looks", self.layout)
        kept = {name: [] if arrays is None else arrays[name].tolist() for name in self.layout}
        looks = [(budget, *edge) for budget, edge in zip(kept["budgets"], kept["edges"], strict=True)]
        self._kept = kept
        self._look = max_products, window, level
        self.number = (looks.index(self._look) if self._look in looks else len(looks)) + 1
        self.first_probe = (self.number - 1) * PROBES_OF_A_LOOK
        self.failure = (1 - level) / (1 if checkpoint is None else self.number * (self.number + 1))

    def with_earlier(self, ranges: tuple[Range, Range, Range]) -> tuple[Range, Range, Range]:
        """Return ranges that are no wider than earlier ones of the same window and level, and keep them.

        Those of a look that was finished before are what they were.
        """
        if self._checkpoint is None:
            return ranges
        if self.number <= len(self._kept["ranges"]):
            negative, degenerate, positive = ((low, high) for low, high in self._kept["ranges"][self.number - 1])
            return negative, degenerate, positive
        budget, *edges = self._look
        for other, counts in zip(self._kept["edges"], self._kept["ranges"], strict=True):
            if other == edges:
                pairs = zip(ranges, counts, strict=True)
                negative, degenerate, positive = ((max(a, c), min(b, d)) for (a, b), (c, d) in pairs)
                if all(low <= high for low, high in (negative, degenerate, positive)):
                    ranges = negative, degenerate, positive
        news = {"budgets": budget, "edges": edges, "ranges": ranges}
        self._checkpoint.save("looks", {name: [*self._kept[name], new] for name, new in news.items()})
        return ranges
