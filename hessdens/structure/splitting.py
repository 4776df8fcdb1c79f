"""The Hessian in two halves: the Gauss-Newton matrix and the rest."""

import os
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from hessdens._calls import takes_operator
from hessdens.curvature.checks import check_curvature_of_loss
from hessdens.curvature.operator import CurvatureOperator
from hessdens.curvature.settings import TURN
from hessdens.densities.lanczos import LanczosDensity
from hessdens.estimators.checkpoint import folder_within
from hessdens.estimators.lanczos import lanczos_density
from hessdens.estimators.run import Run, called_alike
from hessdens.linalg.adapt import as_operator, kind_of
from hessdens.linalg.operator import Operator
from hessdens.structure.diagonal import check_whole
from hessdens.structure.halves import CurvatureHalves, bound_of_parts


@takes_operator
def curvature_halves(
    H: Any,
    G: Any = None,
    *,
    max_products: int = 100,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> CurvatureHalves:
    """Split a Hessian into the Gauss-Newton matrix and the rest, H = G + R, and say which half outliers lie in.

    G is the curvature of the loss, as if the network were linear in its parameters; R that of the network itself. Large
    eigenvalues of trained classifiers lie in G almost entirely, and negative ones in R.

    Parameters
    ----------
    H, G
        From `hessian_operator` and `ggn_operator` with the same model, loss and data, or two symmetric matrices.
        Default: G is made from the problem of H.
    max_products
        For each of the three densities.
    seed, checkpoint, progress
        As in `lanczos_density`: all three have the same probes, and a folder each within that of the checkpoint.

    Returns
    -------
    CurvatureHalves
        Three densities, and for each eigenvalue λ of H that was found one by one, with eigenvector v, the part v·Gv.

    Raises
    ------
    ValueError
        If H and G differ in size or parameters, or vectors are sharded over processes.
    NonFiniteError
        If a product is not finite.

    Notes
    -----
    Cost: 2 max_products with H, and 2 max_products and one for each outlier with G. The bound of a part is sin θ |G|,
    where θ bounds the angle between v and the eigenvector (`Eigenpairs.angles`), with the largest eigenvalue of G as
    its norm. Sources: V. Papyan, The full spectrum of deepnet Hessians at scale (2019); L. Sagun and others, Empirical
    analysis of the Hessian of over-parametrized neural networks (2018).

    Examples
    --------
    >>> import numpy as np
    >>> from hessdens.structure import curvature_halves
    >>> G = np.diag([9.0, 4.0, *np.zeros(18)])
    >>> H = G + np.diag([0.0, 0.4, *np.zeros(17), -1.0])
    >>> halves = curvature_halves(H, G, max_products=40)
    >>> halves.outliers.round(6), halves.parts[:2].round(6)
    (array([ 9. ,  4.4, -1. ]), array([9., 4.]))
    """
    operator = called_alike("curvature_halves", H, {**locals(), "G": None, "H": None})
    other = gauss_newton_of(operator) if G is None else as_operator(G)
    check_whole(operator, "curvature_halves")
    _check_alike(operator, other)
    settings: dict[str, str | int] = {"function": "curvature_halves"}
    Run(operator, seed=seed, checkpoint=checkpoint, settings=settings)  # whose folder it is

    def density(matrix: Operator, name: str, **options: Any) -> LanczosDensity:
        folder = folder_within(checkpoint, name)
        return lanczos_density(
            matrix, max_products=max_products, seed=seed, checkpoint=folder, progress=progress, **options
        )

    hessian = density(operator, "hessian", eigenvectors=True)
    gauss_newton, rest = density(other, "gauss-newton"), density(operator - other, "rest")
    pairs = hessian.eigenpairs
    order = np.argsort(-np.abs(pairs.values))
    parts = np.empty(len(order))
    recorded = Run(other, seed=seed, checkpoint=folder_within(checkpoint, "parts"), settings=settings).recorded
    for row, index in enumerate(order):
        vector = torch.tensor(pairs.vectors[index]).to(other.device, other.dtype)
        parts[row] = float(vector.double() @ recorded.matvec(vector).double())
    found = gauss_newton.nodes()
    bounds = bound_of_parts(pairs.angles[order], float(np.abs(found[[0, -1]]).max()))
    return CurvatureHalves(
        replace(hessian, pairs=None),
        gauss_newton,
        rest,
        pairs.values[order],
        pairs.errors[order],
        parts,
        bounds + pairs.errors[order],
        hessian.num_products + gauss_newton.num_products + 2 * rest.num_products + len(order),
    )


def gauss_newton_of(H: Operator) -> CurvatureOperator:
    """Return the Gauss-Newton matrix of the problem of a Hessian."""
    if not isinstance(H, CurvatureOperator) or H.matrix != "hessian":
        raise TypeError(f"curvature_halves needs G where H is not from hessian_operator; got {kind_of(H)}. Pass both.")
    problem = H.problem
    with TURN, problem.undisturbed():
        check_curvature_of_loss(problem.loss, problem.passes.first_batch)
        return CurvatureOperator(problem, "gauss-newton")


def _check_alike(H: Operator, G: Operator) -> None:
    """Raise ValueError unless both are matrices of the same parameters."""
    kinds = [(A.size, A.dtype, A.device, tuple(A.parameter_shapes)) for A in (H, G)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"H and G must be matrices of the same parameters; got {H!r} and {G!r}. Make both from one model, with the "
            "same parameters=."
        )
