"""Exact spectra of Gauss-Newton matrices from the Gram matrix of output gradients."""

from collections.abc import Mapping
from typing import Any

from hessdens._calls import takes_operator
from hessdens.curvature.operator import CurvatureOperator
from hessdens.linalg.adapt import kind_of
from hessdens.linalg.operator import Operator
from hessdens.linalg.team import ALONE
from hessdens.structure.gauss_newton.gram import OutputGram, make_gram
from hessdens.structure.parts import Parts, Selection

# Rows that are accepted unasked: a matrix of 800 MB.
MOST_ROWS = 10_000


@takes_operator
def output_gram(
    G: Any,
    layers: Mapping[str, Selection] | None = None,
    *,
    max_rows: int = MOST_ROWS,
    memory_limit: int | None = None,
    progress: bool = False,
) -> OutputGram:
    """Return the Gram matrix of output gradients, which has all eigenvalues of a Gauss-Newton matrix, exactly.

    The matrix G = J^T B J, with n examples of C outputs, has n C eigenvalues at most that are not zero. With B = F
    diag(s) F^T they are those of F^T J J^T F diag(s), a matrix of n C rows however many parameters there are. For
    linear layers its entries are made of inner products of inputs and of gradients at outputs, so that no gradient of a
    weight is ever made (as in ViViT and in kernel methods). Others are made for some parameters at a time.

    Parameters
    ----------
    G
        From `ggn_operator` or `fisher_operator`, with any loss that they take.
    layers
        Parameters of each layer by its name, whole tensors, for `OutputGram.layer_spectra`. Default: the parameters of
        each module make a layer.
    max_rows
        Rows of the Gram matrix that are accepted; more are refused, with what they need.
    memory_limit
        Bytes that may be used. Default: half of what is free. Less memory takes more passes over the data.
    progress
        Show a progress bar on standard error.

    Returns
    -------
    OutputGram
        ``spectrum()``, ``layer_spectra()`` and ``eigenvectors(count)``.

    Raises
    ------
    ValueError
        If there are more rows than ``max_rows``, a layer is a part of a tensor, or layers overlap.
    TypeError
        If ``G`` is no Gauss-Newton matrix of a model.
    MemoryError
        If the matrix does not fit into ``memory_limit``; the message says how much it needs. Raised before the work
        begins.

    Notes
    -----
    Cost: for each example, the Hessian of the loss in the outputs, and a forward and C backward passes for each group
    of parameters that fits the memory. Then O((n C)²) operations for each unit of a layer, and O((n C)³) for the
    eigenvalues. Source: F. Dangel, L. Tatzel & P. Hennig, ViViT: curvature access through the generalized
    Gauss-Newton's low-rank structure (2022).

    Examples
    --------
    >>> import torch
    >>> from hessdens import ggn_operator
    >>> from hessdens.structure import output_gram
    >>> model = torch.nn.Sequential(torch.nn.Linear(100, 50), torch.nn.Tanh(), torch.nn.Linear(50, 2)).double()
    >>> data = [(torch.eye(100, dtype=torch.float64)[:5], torch.zeros(5, 2, dtype=torch.float64))]
    >>> gram = output_gram(ggn_operator(model, torch.nn.MSELoss(), data))
    >>> gram.num_rows, gram.spectrum()
    (10, LowRankSpectrum(rank=10, size=5152))
    """
    if not isinstance(G, CurvatureOperator) or G.matrix != "gauss-newton":
        is_shared = isinstance(G, Operator) and G.team is not ALONE
        raise TypeError(
            "output_gram needs a Gauss-Newton matrix, as ggn_operator or fisher_operator makes it; got "
            f"{kind_of(G)}. Write output_gram(ggn_operator(model, loss_fn, data))"
            f"{', with all data on one process' if is_shared else ''}."
        )
    return make_gram(G, _whole_layers(G, layers), max_rows, memory_limit, progress=progress)


def _whole_layers(G: CurvatureOperator, layers: Mapping[str, Selection] | None) -> dict[str, frozenset[str]]:
    """Return the names of the parameters of each layer; ValueError unless these are whole tensors."""
    parts = Parts.of(G, layers)
    for name, pieces in zip(parts.names, parts.pieces, strict=True):
        for piece in pieces:
            if piece.size != G.parameter_sizes[piece.tensor]:
                raise ValueError(
                    f"layers[{name!r}] must have whole tensors; got a slice of {piece.tensor!r}. Leave the slice out."
                )
    return {
        name: frozenset(piece.tensor for piece in pieces)
        for name, pieces in zip(parts.names, parts.pieces, strict=True)
    }
