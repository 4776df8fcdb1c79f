"""Matrices and functions of other libraries as operators."""

from functools import partial
from typing import Any

import numpy as np
import scipy.sparse
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor, nn

from hessdens.errors import NonFiniteError
from hessdens.linalg.fingerprint import digest_of, fingerprint
from hessdens.linalg.operator import FunctionOperator, Operator, Wrapped
from hessdens.linalg.team import ALONE

# Products are compared by x·Ay = y·Ax. Rounding leaves a defect of a few eps |x| |Ay| / sqrt(N) in well-behaved
# products and up to sqrt(N) times that in the worst case; 10,000 eps lies above both for N up to 10^8.
SYMMETRY_TOLERANCE_IN_EPS = 1e4
CPU = torch.device("cpu")


def as_operator(
    A: Any,
    *,
    size: int | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    check_symmetric: bool = True,
) -> Operator:
    """Return ``A`` as an `Operator`.

    Parameters
    ----------
    A
        An `Operator`, which is returned as it is. A square torch tensor, NumPy array, SciPy-sparse matrix or SciPy
        ``LinearOperator``. Any object with ``shape``, a torch ``dtype``, ``device`` and ``@`` on tensors of shape (N,
        P), such as the operators of curvlinops. A callable that maps a tensor V of shape (N, P) to A V (give
        ``size``).
    size
        N, for a callable only.
    dtype, device
        Of the vectors. Default: those of ``A``, float32 for a tensor in half precision; float64 on the CPU where it
        has none.
    check_symmetric
        Verify x·Ay = y·Ax for two fixed random vectors (cost: two products, not counted in any result). Switch it off
        where the products are known to be symmetric but are noisy.

    Raises
    ------
    ValueError
        If ``A`` is not square, is not symmetric, holds values that are not finite, or ``size`` is missing or not that
        of ``A``; if ``A`` is an `Operator` of another ``dtype`` or ``device``.
    TypeError
        If ``A`` is none of the above, or is complex or integer where floating point is needed.

    Examples
    --------
    >>> import numpy as np
    >>> as_operator(np.eye(3))
    FunctionOperator(size=3, dtype=torch.float64, device=cpu)
    >>> as_operator(lambda V: 2 * V, size=4).shape
    (4, 4)
    """
    place = None if device is None else torch.device(device)
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1; got {size}.")
    operator = A if isinstance(A, Operator) else _convert(A, size, dtype, place)
    if size is not None and size != operator.size:
        raise ValueError(f"size is for callables, and must be right for others; got {size} for {operator!r}.")
    if isinstance(A, Operator):
        if (dtype or A.dtype) != A.dtype or (place or A.device) != A.device:
            raise ValueError(f"An operator keeps its dtype and device; got dtype={dtype}, device={device} for {A!r}.")
        return A
    if not operator.dtype.is_floating_point:
        raise TypeError(f"An operator must be real floating point; got {operator.dtype}. Pass dtype=torch.float64.")
    if check_symmetric:
        _check_symmetric(operator)
    return operator


def kind_of(A: Any) -> str:
    """Return what messages call what is refused: an operator by what made it, and all else by its class."""
    if not isinstance(A, Operator):
        return type(A).__name__
    if A.team is not ALONE:
        return "an operator of a sharded model" if A.team.is_sharded else "an operator that processes share"
    if isinstance(A, Wrapped):
        return "a sum or a multiple of operators"
    if isinstance(A, FunctionOperator):
        return "a matrix or a function"
    return f"the {A.name}" if A.name else type(A).__name__


def _convert(A: Any, size: int | None, dtype: torch.dtype | None, device: torch.device | None) -> Operator:
    """Choose the adapter for the kind of ``A``."""
    if isinstance(A, nn.Module):
        raise TypeError(
            f"A must be an operator or a matrix; got a model, {type(A).__name__}. Pass "
            "hessian_operator(model, loss_fn, data)."
        )
    if isinstance(A, np.ndarray):
        if A.dtype.kind not in "biufc":
            raise TypeError(f"An operator must be real floating point; got a NumPy array of {A.dtype}.")
        # A copy, since torch takes neither read-only memory nor another byte order; long doubles become doubles.
        is_long = A.dtype.itemsize > 8 and A.dtype.kind == "f"
        A = torch.from_numpy(A.astype(np.float64 if is_long else A.dtype.newbyteorder("=")))
    if isinstance(A, Tensor):
        _check_square(A.shape)
        if A.is_meta:
            raise ValueError("An operator must have entries; got a tensor on the meta device, which has none.")
        # Half precision has float32 vectors, as models in it have.
        usual = torch.promote_types(A.dtype, torch.float32) if A.is_floating_point() else A.dtype
        matrix = A.detach().to(device=device, dtype=dtype or usual)
        return FunctionOperator(
            matrix.__matmul__,
            size=len(matrix),
            dtype=matrix.dtype,
            device=matrix.device,
            origin=lambda: {"entries": digest_of(fingerprint(matrix))},
        )
    if scipy.sparse.issparse(A) or isinstance(A, LinearOperator):
        _check_square(A.shape)
        kind = torch.from_numpy(np.empty(0, A.dtype)).dtype
        return FunctionOperator(
            lambda V: torch.from_numpy(np.asarray(A @ V.cpu().numpy())),
            size=A.shape[0],
            dtype=dtype or kind,
            device=device or CPU,
            origin=partial(_of_sparse, A) if scipy.sparse.issparse(A) else None,
        )
    if hasattr(A, "shape") and hasattr(A, "__matmul__") and isinstance(getattr(A, "dtype", None), torch.dtype):
        _check_square(A.shape)
        own = torch.device(getattr(A, "device", "cpu"))
        return FunctionOperator(
            lambda V: A @ V.to(own, A.dtype), size=int(A.shape[0]), dtype=dtype or A.dtype, device=device or own
        )
    if callable(A):
        if size is None:
            raise ValueError("A callable needs its size; got size=None. Pass size=N.")
        return FunctionOperator(A, size=size, dtype=dtype or torch.float64, device=device or CPU)
    raise TypeError(
        "A must be an operator, a torch, NumPy or SciPy-sparse matrix, a SciPy LinearOperator, an object with shape, "
        f"torch dtype, device and @, or a callable with size=; got {type(A).__name__}. Of a "
        "model, pass hessian_operator(model, loss_fn, data)."
    )


def _of_sparse(A: Any) -> dict[str, str | int | float]:
    rows = A.tocsr()
    return {"entries": digest_of(fingerprint([rows.indptr, rows.indices, rows.data]))}


def _check_square(shape: Any) -> None:
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise ValueError(f"An operator must be square and not empty; got shape {tuple(shape)}.")


def _check_symmetric(operator: Operator) -> None:
    """Raise ValueError unless x·Ay = y·Ax to rounding for two fixed random vectors."""
    generator = torch.Generator().manual_seed(0)
    xy = torch.randn(operator.size, 2, dtype=torch.float64, generator=generator).to(operator.device, operator.dtype)
    product = operator.matmat(xy).double()
    if not torch.isfinite(product).all():
        raise NonFiniteError("An operator must have finite entries; its product with a random vector is not finite.")
    # In units of the largest entry, since squares of the smallest numbers are zero.
    product /= product.abs().max().clamp_min(torch.finfo(torch.float64).tiny)
    cross = xy.double().T @ product
    defect = float((cross[0, 1] - cross[1, 0]).abs())
    scale = float(xy.double().norm(dim=0).max() * product.norm(dim=0).max()) / operator.size**0.5
    tolerance = SYMMETRY_TOLERANCE_IN_EPS * torch.finfo(operator.dtype).eps
    if defect > tolerance * scale:
        raise ValueError(
            f"An operator must be symmetric; got x·Ay and y·Ax that differ by {defect / scale:.1e} (relative, "
            f"tolerance {tolerance:.1e}). Pass (A + A.T) / 2, or check_symmetric=False to "
            "as_operator if the products are noisy."
        )
