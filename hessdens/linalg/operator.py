"""Symmetric linear operators, known by their products only."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from hessdens._threads import WATCH
from hessdens.linalg.team import ALONE, Team

Vectors = TypeVar("Vectors", Tensor, NDArray[Any])


class Operator(ABC):
    """A symmetric linear map of R^N that is known by its products only. A subclass defines ``_matmat``.

    Attributes
    ----------
    size
        N.
    dtype, device
        Of the vectors that it takes and returns.
    team
        The processes that share its work, and the entries of a vector that each holds. Default: this one holds all.
    name
        What the matrix is called in summaries and pictures, such as "Hessian"; empty if it has no name.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from hessdens import as_operator
    >>> A = as_operator(np.diag([1.0, 2.0, 6.0]))
    >>> (2 * A + 0.5) @ torch.ones(3, dtype=A.dtype)
    tensor([ 2.5000,  4.5000, 12.5000], dtype=torch.float64)
    >>> A @ np.ones(3)
    array([1., 2., 6.])
    """

    size: int
    dtype: torch.dtype
    device: torch.device
    team: Team = ALONE
    name: str = ""

    @abstractmethod
    def _matmat(self, V: Tensor) -> Tensor:
        """Return A V for a checked V of shape (N, P)."""

    @property
    def num_rows(self) -> int:
        """Number of entries of a vector that this process holds, N except for models that are sharded."""
        return sum(part.stop - part.start for part in self.team.rows(self.size))

    @property
    def shape(self) -> tuple[int, int]:
        """(N, N)."""
        return (self.size, self.size)

    def matmat(self, V: Tensor) -> Tensor:
        """Return A V, shape (N, P), for V of shape (N, P). Cost: P products."""
        _check_vectors(V)
        if V.ndim != 2 or V.shape[0] != self.num_rows:
            raise ValueError(f"V must have shape ({self.num_rows}, P); got {tuple(V.shape)}.")
        if V.dtype != self.dtype or V.device != self.device:
            raise ValueError(
                f"V must be {self.dtype} on {self.device}, as the operator is; got {V.dtype} on {V.device}. "
                "Convert it with V.to(operator.device, operator.dtype)."
            )
        with WATCH.work(self.device):
            return self._matmat(V)

    def matvec(self, v: Tensor) -> Tensor:
        """Return A v, shape (N,), for v of shape (N,). Cost: one product."""
        _check_vectors(v)
        if v.ndim != 1:
            raise ValueError(f"v must have shape ({self.num_rows},); got {tuple(v.shape)}.")
        return self.matmat(v[:, None])[:, 0]

    # NumPy would multiply entry by entry.
    __array_ufunc__ = None

    def __matmul__(self, V: Vectors) -> Vectors:
        """Return A V, shape (N,) or (N, P), as that of V: of a tensor a tensor, of a NumPy array an array."""
        if isinstance(V, np.ndarray):
            return self._product_of_array(V)
        _check_vectors(V)
        return self.matvec(V) if V.ndim == 1 else self.matmat(V)

    def __rmatmul__(self, V: Vectors) -> Vectors:
        if not isinstance(V, np.ndarray):
            _check_vectors(V)
        return self @ V if V.ndim == 1 else (self @ V.T).T  # by symmetry

    def _product_of_array(self, V: NDArray[Any]) -> NDArray[Any]:
        """Return A V of an array, which is converted to the operator's dtype, as an array."""
        if V.dtype.kind not in "fiub":
            raise TypeError(f"An operator multiplies arrays of real numbers; got {V.dtype}.")
        product = (self @ torch.tensor(np.ascontiguousarray(V)).to(self.device, self.dtype)).cpu()
        return (product if self.dtype == torch.float64 else product.float()).numpy()

    def identity(self) -> "Operator":
        """Return the identity of this operator's size, dtype and device; ``H + 5e-4`` adds a multiple. Cost: none."""
        kind: Any = {"size": self.size, "dtype": self.dtype, "device": self.device, "team": self.team}
        return FunctionOperator(torch.clone, origin=dict, **kind)

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter of a model, in the order of their entries in a vector; empty where there is none."""
        return {}

    @property
    def parameter_sizes(self) -> dict[str, int]:
        """Number of entries of a vector that belong to each parameter of a model; empty where there is none."""
        return {name: math.prod(shape) for name, shape in self.parameter_shapes.items()}

    def origin(self) -> dict[str, str | int | float]:
        """Return what this operator was made of, by name, as far as it knows: a checkpoint compares it."""
        return {}

    @property
    def has_whole_origin(self) -> bool:
        """Whether `origin` sees all numbers that products are made of; else a checkpoint compares bits of products."""
        return False

    def state_checksum(self) -> float:
        """Return a checksum of what products depend on and may change, such as parameters: processes compare it."""
        return 0.0

    def __add__(self, other: "Operator | float") -> "Operator":
        return _sum(self, other, 1.0)

    __radd__ = __add__

    def __sub__(self, other: "Operator | float") -> "Operator":
        return _sum(self, other, -1.0)

    def __rsub__(self, other: float) -> "Operator":
        return _sum(-self, other, 1.0)

    def __mul__(self, factor: float) -> "Operator":
        scale = _finite_number(factor)
        if scale is None:
            raise TypeError(f"An operator is multiplied by a finite number; got {_shortly(factor)}. Use @ for vectors.")
        return Combined(lambda V: scale * self.matmat(V), self, factor=scale)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> "Operator":
        number = _finite_number(divisor)
        if not number:
            raise TypeError(f"An operator is divided by a finite number other than 0; got {_shortly(divisor)}.")
        return self * (1 / number)

    def __neg__(self) -> "Operator":
        return -1.0 * self

    def to_scipy(self) -> LinearOperator:
        """Return the operator as a SciPy ``LinearOperator`` on NumPy arrays (eigsh, cg, ... take it)."""

        def product(V: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            columns = np.ascontiguousarray(V.reshape(self.size, -1))
            tensor = torch.as_tensor(columns).to(self.device, self.dtype)
            return self.matmat(tensor).cpu().numpy().reshape(V.shape)

        if self.team.is_sharded:
            raise TypeError("SciPy takes whole vectors; those of this operator are sharded over processes.")
        if self.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"SciPy takes float32 and float64 only; the operator is {self.dtype}.")
        numpy_dtype = torch.empty(0, dtype=self.dtype).numpy().dtype
        return LinearOperator(
            self.shape, matvec=product, rmatvec=product, matmat=product, rmatmat=product, dtype=numpy_dtype
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, dtype={self.dtype}, device={self.device})"


class FunctionOperator(Operator):
    """An operator given by a function of a matrix of columns: ``function(V)`` returns A V, both of shape (N, P).

    ``origin`` returns what the function was made of, where that is known.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        *,
        size: int,
        dtype: torch.dtype,
        device: torch.device,
        team: Team = ALONE,
        origin: Callable[[], dict[str, str | int | float]] | None = None,
    ) -> None:
        self.size = size
        self.dtype = dtype
        self.device = device
        self.team = team
        self._function = function
        self._origin = origin

    def origin(self) -> dict[str, str | int | float]:
        """Return what the function was made of; nothing where that is not known."""
        return {} if self._origin is None else self._origin()

    @property
    def has_whole_origin(self) -> bool:
        """Whether it is known what the function was made of."""
        return self._origin is not None

    def _matmat(self, V: Tensor) -> Tensor:
        product = self._function(V)
        if not isinstance(product, Tensor) or product.shape != V.shape:
            received = tuple(product.shape) if isinstance(product, Tensor) else type(product).__name__
            raise ValueError(f"The function must return a tensor of V's shape {tuple(V.shape)}; got {received}.")
        return product.detach().to(device=self.device, dtype=self.dtype)


class Wrapped(Operator):
    """An operator made of others on the same vectors; ``facts`` tell it from others that are made of these."""

    def __init__(self, *parts: Operator, **facts: float) -> None:
        operator = parts[0]
        self.size = operator.size
        self.dtype = operator.dtype
        self.device = operator.device
        self.team = operator.team
        self.name = operator.name
        self._operator = operator
        self._parts = parts
        self._facts: Mapping[str, str | int | float] = facts

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Those of the first operator inside that knows them."""
        return next((part.parameter_shapes for part in self._parts if part.parameter_shapes), {})

    def origin(self) -> dict[str, str | int | float]:
        """Return what the operators inside were made of, and the facts."""
        joined: dict[str, str | int | float] = {}
        for origin in (*(part.origin() for part in self._parts), self._facts):
            for name, value in origin.items():
                while name in joined:
                    name = f"other {name}"
                joined[name] = value
        return joined

    @property
    def has_whole_origin(self) -> bool:
        """Whether that holds for all operators inside."""
        return all(part.has_whole_origin for part in self._parts)

    def state_checksum(self) -> float:
        """Return that of all operators inside."""
        return sum(part.state_checksum() for part in self._parts)


class Combined(Wrapped):
    """An operator made of others on the same vectors, whose products a function gives."""

    def __init__(self, product: Callable[[Tensor], Tensor], *parts: Operator, **facts: float) -> None:
        super().__init__(*parts, **facts)
        self.name = ""  # it is another matrix
        self._product = product

    def _matmat(self, V: Tensor) -> Tensor:
        return self._product(V)


def _sum(first: Operator, second: Any, sign: float) -> Operator:
    """Return ``first + sign * second``; a number is a multiple of the identity."""
    if (number := _finite_number(second)) is not None:
        second = number * first.identity()
    if not isinstance(second, Operator):
        raise TypeError(
            "Operators and finite numbers add to an operator, a number as a multiple of the identity; got "
            f"{_shortly(second)}. Wrap a matrix with as_operator."
        )
    mine, others = (f"size {A.size:,}, {A.dtype}, {A.device}" for A in (first, second))
    if mine != others:
        raise ValueError(f"Operators in a sum must have one size, dtype and device; got {mine} and {others}.")
    if first.team.is_sharded != second.team.is_sharded:
        raise ValueError("Operators in a sum must both be sharded over processes, or neither; got one of each.")
    combined = Combined(lambda V: torch.add(first.matmat(V), second.matmat(V), alpha=sign), first, second, sign=sign)
    combined.team = second.team if first.team is ALONE else first.team
    return combined


def _finite_number(value: Any) -> float | None:
    """Return a finite real number, of a tensor or array its single entry where it has no dimensions; None of others."""
    if isinstance(value, Tensor | np.ndarray) and value.ndim == 0:
        value = value.item()
    is_number = isinstance(value, int | float | np.floating | np.integer) and not isinstance(value, bool)
    return float(value) if is_number and np.isfinite(value) else None


def _check_vectors(V: Any) -> None:
    """Raise TypeError unless V is a tensor."""
    if isinstance(V, Operator):
        raise TypeError(
            "An operator multiplies vectors, tensors of shape (N,) or (N, P); got another operator. Multiply by one "
            "after the other: A @ (B @ V)."
        )
    if not isinstance(V, Tensor):
        raise TypeError(
            f"An operator multiplies vectors, tensors of shape (N,) or (N, P); got {type(V).__name__}. Convert it with "
            "torch.as_tensor(V, dtype=operator.dtype); operator @ V takes NumPy arrays too."
        )


def _shortly(value: Any) -> str:
    """Return what a message says of a value: of large ones the shape."""
    is_large = isinstance(value, Tensor | np.ndarray) and value.ndim > 0
    return f"{type(value).__name__} of shape {tuple(value.shape)}" if is_large else repr(value)
