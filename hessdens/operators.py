"""Symmetric linear operators: one protocol for curvature matrices, dense and sparse matrices, and callables."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from hessdens.team import ALONE, Team

# Products are compared by x·Ay = y·Ax. Rounding leaves a defect of a few eps |x| |Ay| / sqrt(N) in well-behaved
# products and up to sqrt(N) times that in the worst case; 10,000 eps lies above both for N up to 10^8.
SYMMETRY_TOLERANCE_IN_EPS = 1e4


class Operator(ABC):
    """A symmetric linear map of R^N that is known by its products only.

    Attributes
    ----------
    size
        N.
    dtype, device
        Of the vectors that it takes and returns.
    team
        The processes that share its work, and the entries of a vector that each holds: by default this one, all.
    """

    size: int
    dtype: torch.dtype
    device: torch.device
    team: Team = ALONE

    @abstractmethod
    def _matmat(self, V: Tensor) -> Tensor:
        """Return A V for a checked V of shape (N, P)."""

    @property
    def num_rows(self) -> int:
        """Number of entries of a vector that this process holds: N, but for models that are sharded."""
        return sum(part.stop - part.start for part in self.team.rows(self.size))

    @property
    def shape(self) -> tuple[int, int]:
        """(N, N)."""
        return (self.size, self.size)

    def matmat(self, V: Tensor) -> Tensor:
        """Return A V, shape (N, P), for V of shape (N, P). Cost: P products."""
        if V.ndim != 2 or V.shape[0] != self.num_rows:
            raise ValueError(f"V must have shape ({self.num_rows}, P); got {tuple(V.shape)}.")
        if V.dtype != self.dtype or V.device != self.device:
            raise ValueError(
                f"V must be {self.dtype} on {self.device}, as the operator is; got {V.dtype} on {V.device}. "
                "Convert it with V.to(operator.device, operator.dtype)."
            )
        return self._matmat(V)

    def matvec(self, v: Tensor) -> Tensor:
        """Return A v, shape (N,), for v of shape (N,). Cost: one product."""
        if v.ndim != 1:
            raise ValueError(f"v must have shape ({self.num_rows},); got {tuple(v.shape)}.")
        return self.matmat(v[:, None])[:, 0]

    def __matmul__(self, V: Tensor) -> Tensor:
        return self.matvec(V) if V.ndim == 1 else self.matmat(V)

    def identity(self) -> "Operator":
        """Return the identity of this operator's size, dtype and device: ``H + 5e-4 * H.identity()``. Cost: none."""
        return _like(self, torch.clone)

    def origin(self) -> dict[str, str | int | float]:
        """Return what this operator was made of, by name, as far as it knows: a checkpoint compares it."""
        return {}

    def state_checksum(self) -> float:
        """Return a checksum of what products depend on and may change, such as parameters: processes compare it."""
        return 0.0

    def __add__(self, other: "Operator") -> "Operator":
        return _sum(self, other, 1.0) if isinstance(other, Operator) else _not_an_operator(other)

    def __sub__(self, other: "Operator") -> "Operator":
        return _sum(self, other, -1.0) if isinstance(other, Operator) else _not_an_operator(other)

    def __mul__(self, factor: float) -> "Operator":
        if not isinstance(factor, int | float | np.number) or isinstance(factor, bool) or not np.isfinite(factor):
            raise TypeError(f"An operator is multiplied by a finite number; got {factor!r}. Use @ for vectors.")
        scale = float(factor)
        return _like(self, lambda V: scale * self.matmat(V))

    __rmul__ = __mul__

    def __neg__(self) -> "Operator":
        return -1.0 * self

    def to_scipy(self) -> LinearOperator:
        """Return the operator as a SciPy ``LinearOperator`` on NumPy arrays (eigsh, cg, ... take it)."""

        def matmat(V: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            tensor = torch.as_tensor(np.ascontiguousarray(V)).to(self.device, self.dtype)
            product: np.ndarray[Any, Any] = self.matmat(tensor).cpu().numpy()
            return product

        def matvec(v: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            return matmat(v.reshape(-1, 1))[:, 0]

        if self.team.shards:
            raise TypeError("SciPy takes whole vectors; those of this operator are sharded over processes.")
        if self.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"SciPy takes float32 and float64 only; the operator is {self.dtype}.")
        numpy_dtype = torch.empty(0, dtype=self.dtype).numpy().dtype
        return LinearOperator(
            self.shape, matvec=matvec, rmatvec=matvec, matmat=matmat, rmatmat=matmat, dtype=numpy_dtype
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, dtype={self.dtype}, device={self.device})"


class FunctionOperator(Operator):
    """An operator given by a function of a matrix of columns: ``function(V)`` returns A V, both of shape (N, P)."""

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        *,
        size: int,
        dtype: torch.dtype,
        device: torch.device,
        team: Team = ALONE,
    ) -> None:
        self.size, self.dtype, self.device, self.team = size, dtype, device, team
        self._function = function

    def _matmat(self, V: Tensor) -> Tensor:
        product = self._function(V)
        if not isinstance(product, Tensor) or product.shape != V.shape:
            received = tuple(product.shape) if isinstance(product, Tensor) else type(product).__name__
            raise ValueError(f"The function must return a tensor of V's shape {tuple(V.shape)}; got {received}.")
        return product.to(device=self.device, dtype=self.dtype)


def _sum(first: Operator, second: Operator, factor: float) -> Operator:
    """Return ``first + factor * second``."""
    mine, others = (f"size {A.size:,}, {A.dtype}, {A.device}" for A in (first, second))
    if mine != others:
        raise ValueError(f"Operators in a sum must have one size, dtype and device; got {mine} and {others}.")
    if first.team.shards != second.team.shards:
        raise ValueError("Operators in a sum must both be sharded over processes, or neither; got one of each.")
    team = second.team if first.team is ALONE else first.team
    return _like(first, lambda V: torch.add(first.matmat(V), second.matmat(V), alpha=factor), team)


def _like(operator: Operator, function: Callable[[Tensor], Tensor], team: Team | None = None) -> Operator:
    """Return a function as an operator on the vectors of another."""
    return FunctionOperator(
        function, size=operator.size, dtype=operator.dtype, device=operator.device, team=team or operator.team
    )


def _not_an_operator(other: object) -> Operator:
    raise TypeError(
        f"Only operators add to an operator; got {type(other).__name__}. Wrap a matrix with as_operator; for a shift "
        "by c add c * operator.identity()."
    )


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
        One of: an `Operator` (returned as it is); a square torch tensor, NumPy array or SciPy-sparse matrix; a SciPy
        ``LinearOperator``; any object with ``shape``, a torch ``dtype``, ``device`` and ``@`` on tensors of shape (N,
        P), such as the operators of curvlinops; a callable that maps a tensor V of shape (N, P) to A V (give
        ``size``).
    size
        N, for a callable only.
    dtype, device
        Of the vectors. Default: those of ``A``; float64 on the CPU where it has none.
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


def _convert(A: Any, size: int | None, dtype: torch.dtype | None, device: torch.device | None) -> Operator:
    """Choose the adapter for the kind of ``A``."""
    if isinstance(A, np.ndarray):
        if A.dtype.kind not in "biufc":
            raise TypeError(f"An operator must be real floating point; got a NumPy array of {A.dtype}.")
        # A copy, since torch takes neither read-only memory nor another byte order; long doubles become doubles.
        A = torch.from_numpy(
            A.astype(np.float64 if A.dtype.itemsize > 8 and A.dtype.kind == "f" else A.dtype.newbyteorder("="))
        )
    if isinstance(A, Tensor):
        _check_square(A.shape)
        matrix = A.detach().to(device=device, dtype=dtype)
        return FunctionOperator(matrix.__matmul__, size=len(matrix), dtype=matrix.dtype, device=matrix.device)
    if scipy.sparse.issparse(A) or isinstance(A, LinearOperator):
        return _from_scipy(A, dtype, device)
    if hasattr(A, "shape") and hasattr(A, "__matmul__") and isinstance(getattr(A, "dtype", None), torch.dtype):
        _check_square(A.shape)
        own = torch.device(getattr(A, "device", "cpu"))
        return FunctionOperator(
            lambda V: A @ V.to(own, A.dtype), size=int(A.shape[0]), dtype=dtype or A.dtype, device=device or own
        )
    if callable(A):
        if size is None:
            raise ValueError("A callable needs its size; got size=None. Pass size=N.")
        return FunctionOperator(A, size=size, dtype=dtype or torch.float64, device=device or torch.device("cpu"))
    raise TypeError(
        "A must be an operator, a torch, NumPy or SciPy-sparse matrix, a SciPy LinearOperator, an object with shape, "
        f"torch dtype, device and @, or a callable with size=; got {type(A).__name__}."
    )


def _from_scipy(A: Any, dtype: torch.dtype | None, device: torch.device | None) -> Operator:
    """Adapt a SciPy-sparse matrix or ``LinearOperator``, whose products run in NumPy on the CPU."""
    _check_square(A.shape)
    numpy_dtype = np.dtype(A.dtype or np.float64)
    own = torch.from_numpy(np.empty(0, numpy_dtype)).dtype

    def product(V: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(A @ V.cpu().numpy()))

    return FunctionOperator(product, size=A.shape[0], dtype=dtype or own, device=device or torch.device("cpu"))


def _check_square(shape: Any) -> None:
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise ValueError(f"An operator must be square and not empty; got shape {tuple(shape)}.")


def _check_symmetric(operator: Operator) -> None:
    """Raise ValueError unless x·Ay = y·Ax to rounding for two fixed random vectors."""
    generator = torch.Generator().manual_seed(0)
    xy = torch.randn(operator.size, 2, dtype=torch.float64, generator=generator).to(operator.device, operator.dtype)
    product = operator.matmat(xy).double()
    if not torch.isfinite(product).all():
        raise ValueError("An operator must have finite entries; its product with a random vector is not finite.")
    cross = xy.double().T @ product
    defect = float((cross[0, 1] - cross[1, 0]).abs())
    scale = float(xy.double().norm(dim=0).max() * product.norm(dim=0).max()) / operator.size**0.5
    tolerance = SYMMETRY_TOLERANCE_IN_EPS * torch.finfo(operator.dtype).eps
    if defect > tolerance * scale:
        raise ValueError(
            f"An operator must be symmetric; got x·Ay and y·Ax that differ by {defect:.2e} (relative "
            f"{defect / scale:.1e}, tolerance {tolerance:.1e}). Pass (A + A.T) / 2, or check_symmetric=False to "
            "as_operator if the products are noisy."
        )
