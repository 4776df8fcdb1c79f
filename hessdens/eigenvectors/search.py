"""Some eigenvalues of an operator with their eigenvectors, to an accuracy that is asked for."""

import os
from typing import Any

import numpy as np

from hessdens._calls import takes_operator, warn_caller
from hessdens._checks import whole_at_least
from hessdens._types import BoolArray
from hessdens.eigenvectors.restarts import RestartedLanczos
from hessdens.eigenvectors.selection import End, checked_which, named
from hessdens.estimators.run import Run, called_alike, check_memory
from hessdens.linalg.operator import Operator
from hessdens.results.eigenpairs import Eigenpairs, Separation

# Vectors in memory, at least, and for each pair: half of them survive a restart. A block needs more of them for as many
# steps between restarts: with 60, blocks of two take half the passes of ``eigsh`` even at the end of a semicircle.
FEWEST_VECTORS = 20
VECTORS_PER_COLUMN = 20
VECTORS_PER_PAIR = 3
MOST_PRODUCTS = 1_000
BLOCK = 2


@takes_operator
def eigenpairs(
    A: Any,
    k: int = 10,
    *,
    which: End | float = "largest",
    rtol: float = 1e-2,
    max_products: int = MOST_PRODUCTS,
    block_size: int | None = None,
    num_vectors: int | None = None,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Eigenpairs:
    """Find ``k`` eigenvalues of ``A`` and their eigenvectors, with bounds of their errors.

    Block Lanczos with full reorthogonalisation, which keeps the Ritz vectors that are wanted when it restarts. It stops
    once each error is small enough. Eigenvalues that are not told apart are a cluster: its vectors are a subspace.

    Parameters
    ----------
    A
        An operator of hessdens or anything that `as_operator` takes.
    k
        Number of eigenvalues.
    which
        The "largest", the "smallest", "both" ends (the larger half from the upper one), the largest in "magnitude",
        or a number: those nearest to it. Inside of a spectrum that takes many more products.
    rtol
        The largest error relative to each eigenvalue, between 0 and 1. Rounding of products is allowed in any case.
    max_products
        The limit. Where it ends the search, a warning says so, and the errors are as large as they are.
    block_size
        Vectors in a product, b; fewer where the eigenvalues that are left need fewer. Fewer passes over the data with
        more, and more products. Copies of a multiple eigenvalue are found up to b; more of them where rounding or the
        end of the space shows them. With 1, and a loose ``rtol``, one of two close eigenvalues may be missed, as by
        other Lanczos methods. Default: 2; and 1 for a single eigenvalue at an end, where the search goes on until one
        beyond it is unlikely (see ``highest``).
    num_vectors
        Vectors in memory, at least k + 2 b. Default: 20 + 20 b, at least 60 and 3 k. More of them save products.
    seed, checkpoint, progress
        As in `lanczos_density`. The checkpoint keeps every product; a smaller ``rtol`` or a larger budget extend it.

    Raises
    ------
    ValueError
        If an argument is out of range, ``k`` above N or the budget, or the checkpoint one of another run.
    NonFiniteError
        If a product is not finite.
    MemoryError
        If the vectors do not fit into the free memory.

    Notes
    -----
    Cost: products until it stops, and 4 N m operations for each, of m vectors in memory. Errors are norms of residuals
    (W. Kahan 1967: as many eigenvalues lie within them), angles of vectors and subspaces follow from the gaps (C. Davis
    & W. Kahan 1970). Nothing can show eigenvalues that no product has met. So angles take it that there are none in the
    gaps, and values may rank lower in the matrix than they are listed, never higher (Cauchy). Sources: K. Wu & H. Simon
    (2000) for the restart; R. Morgan (1991) for eigenvalues inside of a spectrum.

    Examples
    --------
    >>> import numpy as np
    >>> pairs = eigenpairs(np.diag([*np.linspace(-1, 1, 96), 3.0, 3.0, 4.0, 9.0]), 3, rtol=1e-6)
    >>> pairs.values.round(6)
    array([9., 4., 3.])
    >>> int(abs(pairs.vector(0)).argmax())
    99
    """
    operator = called_alike("eigenpairs", A, locals())
    which = checked_which(which)
    whole_at_least("k", k, 1)
    is_alone = block_size is None and k == 1 and not isinstance(which, float)
    block_size = (1 if is_alone else BLOCK) if block_size is None else block_size
    whole_at_least("block_size", block_size, 1)
    block_size = min(block_size, operator.size)
    num_vectors = _checked(operator, k, rtol, max_products, block_size, num_vectors)
    settings: Any = {
        "function": "eigenpairs",
        "k": k,
        "which": named(which),
        "block": block_size,
        "vectors": num_vectors,
    }
    run = Run(operator, 1, seed, block_size=block_size, checkpoint=checkpoint, settings=settings, progress=progress)
    walk = RestartedLanczos(
        run.recorded,
        lambda index: run.probes(index * block_size, (index + 1) * block_size),
        which,
        k,
        num_vectors,
        k + (num_vectors - k) // 2,
    )
    with run.bar(max_products, is_limit=True) as bar:
        while not (walk.is_whole or walk.num_products + walk.width > max_products):
            if walk.has_found(rtol) and (not is_alone or walk.excludes_others(rtol)):
                break
            walk.step(rtol)
            bar.update(walk.num_products - bar.n)
    separation, is_converged = walk.separation(rtol)
    if not is_converged.all() and not walk.is_whole:
        warn_caller(
            f"rtol={rtol:g} was not reached by {k - is_converged.sum()} of {k} eigenvalues after {walk.num_products:,} "
            f"products of max_products={max_products:,}: the errors say what was.",
        )
    return _result(walk, named(which), k, rtol, separation, is_converged, run)


def _result(
    walk: RestartedLanczos, which: str, k: int, rtol: float, separation: Separation, is_converged: BoolArray, run: Run
) -> Eigenpairs:
    """Return the pairs that are wanted, in order."""
    values = walk.pairs.values[:k]
    order = np.argsort(-values, kind="stable") if which == "both" else np.arange(k)
    orthogonality = walk.space.orthogonality_defect()
    return Eigenpairs(
        run.operator.size,
        which,
        values[order],
        separation.errors[order],
        separation.gaps[order],
        separation.outer_gaps[order],
        tuple(separation.clusters[index] for index in order),
        walk.space.combinations(walk.pairs.coordinates[:, order]).cpu().numpy(),
        is_converged[order],
        rtol,
        walk.num_passes,
        run.certificates(walk.num_products, symmetry=walk.symmetry_defect, orthogonality=orthogonality),
        *walk.enclosure(),
    )


def _checked(
    operator: Operator, k: int, rtol: float, max_products: int, block_size: int, num_vectors: int | None
) -> int:
    """Return the number of vectors; ValueError or MemoryError if what is asked for is impossible."""
    size = operator.size
    if k > size:
        raise ValueError(f"k must be at most the number of eigenvalues, {size:,}; got {k:,}.")
    if not 0 < rtol < 1:
        raise ValueError(f"rtol must lie between 0 and 1; got {rtol}.")
    fewest = -(-k // block_size) * block_size
    if max_products < fewest:
        raise ValueError(
            f"max_products must be at least {fewest:,} for k={k:,} eigenvalues by blocks of {block_size}; got "
            f"{max_products:,}."
        )
    least = k + 2 * block_size
    if num_vectors is None:
        num_vectors = max(FEWEST_VECTORS + VECTORS_PER_COLUMN * max(block_size, BLOCK), VECTORS_PER_PAIR * k, least)
    whole_at_least("num_vectors", num_vectors, 1)
    if num_vectors < least:
        raise ValueError(f"num_vectors must be at least k + 2 block_size = {least:,}; got {num_vectors:,}.")
    rows = min(num_vectors + 2 * block_size, size) + 2 * k
    needed = rows * operator.num_rows * operator.dtype.itemsize + 8 * 4 * rows**2
    advice = "Take a smaller num_vectors, or fewer pairs."
    check_memory(operator, needed, operator.device, f"eigenpairs with {num_vectors:,} vectors", advice)
    return num_vectors
