"""Inner products of tall blocks of vectors, summed in float64, over all processes that hold a part of the vectors."""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from hessdens._types import FloatArray
from hessdens.errors import NonFiniteError
from hessdens.linalg.team import ALONE, Team

# Rows of a block that are converted to float64 at a time: 65,536 rows of 8 probes are 4 MB, which stays in the cache.
ROWS_PER_CHUNK = 65_536


def column_dots(V: Tensor, W: Tensor, team: Team = ALONE) -> Tensor:
    """Return the inner products of corresponding columns of V and W, shape (P,), summed in float64."""
    total = torch.zeros(V.shape[1], dtype=torch.float64, device=V.device)
    for start in range(0, len(V), ROWS_PER_CHUNK):
        rows = slice(start, start + ROWS_PER_CHUNK)
        total += (V[rows].double() * W[rows].double()).sum(dim=0)
    return team.sum(total)


def gram(V: Tensor, W: Tensor, team: Team = ALONE) -> FloatArray:
    """Return the inner products of all columns of V with those of W, shape (P, Q), summed in float64."""
    total = torch.zeros(V.shape[1], W.shape[1], dtype=torch.float64, device=V.device)
    for start in range(0, len(V), ROWS_PER_CHUNK):
        rows = slice(start, start + ROWS_PER_CHUNK)
        total += V[rows].double().T @ W[rows].double()
    sums: FloatArray = team.sum(total).cpu().numpy()
    return sums


def row_lengths(rows: Tensor, team: Team = ALONE) -> Tensor:
    """Return the length of each row, in float64."""
    lengths = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    return team.sum(lengths.square()).sqrt() if team.is_sharded else lengths


def raise_if_not_finite(values: Tensor, what: str, first: int = 0) -> None:
    """Raise NonFiniteError unless all values are finite, shape (P,) or (N, P): a number or all entries per product.

    ``what`` names a product in the message, with ``{}`` in place of its number; ``first`` is that of the first.
    """
    is_finite = torch.isfinite(values)
    if not is_finite.all():
        bad = int(torch.nonzero(~is_finite.reshape(-1, values.shape[-1]).all(dim=0))[0])
        raise NonFiniteError(f"Products must be finite; {what.format(first + bad)} is not (overflow or NaN).")


def asymmetry(V: Tensor, products: Tensor, team: Team = ALONE, norm: float = 0.0) -> float:
    """Return the largest difference between v·Aw and w·Av of the columns, over the root mean square of A v.

    ``products`` is A V. Where rounding is that of a larger matrix of norm ``norm``, of which A is a part, over that of
    ``norm`` v if it is larger. NaN for a single column. Cost: N P² operations in the precision of V.
    """
    if V.shape[1] < 2:
        return math.nan
    gram = team.sum((V.T @ products).double())
    length = row_lengths(products.T, team).norm()
    if norm:
        length = torch.maximum(length, norm * row_lengths(V.T, team).norm())
    scale = length / V.shape[1] ** 0.5
    return float((gram - gram.T).abs().max() / scale.clamp_min(torch.finfo(torch.float64).tiny))


def thin_qr(V: Tensor, team: Team = ALONE) -> tuple[Tensor, Tensor]:
    """Return Q with orthonormal columns, its rows where those of V lie, and R, shape (b, b) or smaller, with V = Q R.

    Over several processes: a factorisation of each part, and one of their factors R. Source: J. Demmel, L. Grigori, M.
    Hoemmen, J. Langou, Communication-optimal parallel and sequential QR and LU factorizations (2012).
    """
    q, r = torch.linalg.qr(V)
    if not team.is_sharded:
        return q, r
    width = V.shape[1]
    missing = width - r.shape[0]  # of a part with fewer rows than columns
    parts, position = team.gather(pad(r, (0, 0, 0, missing)).contiguous())
    upper, factor = torch.linalg.qr(torch.cat(parts))
    return pad(q, (0, missing)) @ upper[position * width : (position + 1) * width], factor
