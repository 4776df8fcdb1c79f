"""What `as_operator` takes: matrices of several kinds and sizes of entries, functions, and what it must refuse."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse
import torch
from scipy.sparse.linalg import aslinearoperator

DENSE = np.array([[2.0, 1.0, 0.0], [1.0, -1.0, 0.5], [0.0, 0.5, 3.0]])
TENSOR = torch.from_numpy(DENSE)


@dataclass(frozen=True)
class Matrix:
    """What is given, and the matrix that it is or the pattern of an error."""

    name: str
    make: Callable[[], Any]
    expected: Any = None
    refusal: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


class Foreign:
    """An operator of another library."""

    shape, dtype, device = (3, 3), torch.float64, "cpu"

    def __matmul__(self, V):
        return TENSOR @ V


def of_parameter():
    matrix = torch.nn.Parameter(TENSOR.clone())
    return lambda V: matrix @ V


SIZE = {"size": 3}
FLOAT32 = torch.from_numpy(DENSE.astype(np.float32))
MATRICES = [
    Matrix("torch", lambda: TENSOR, DENSE),
    Matrix("float32", lambda: FLOAT32, DENSE),
    Matrix("float16", lambda: TENSOR.half(), DENSE),
    Matrix("bfloat16", lambda: TENSOR.bfloat16(), DENSE),
    Matrix("numpy", lambda: DENSE, DENSE),
    Matrix("read-only numpy of other byte order", lambda: DENSE.astype(">f8"), DENSE),
    Matrix("scipy sparse", lambda: scipy.sparse.csr_array(DENSE), DENSE),
    Matrix("scipy operator", lambda: aslinearoperator(DENSE), DENSE),
    Matrix("torch sparse", lambda: TENSOR.to_sparse(), DENSE),
    Matrix("operator of another library", Foreign, DENSE),
    Matrix("function", lambda: lambda V: TENSOR @ V, DENSE, options=SIZE),
    Matrix("function of a parameter", of_parameter, DENSE, options=SIZE),
    Matrix("parameter", lambda: torch.nn.Parameter(TENSOR.clone()), DENSE),
    Matrix("tiny entries", lambda: 1e-200 * TENSOR, 1e-200 * DENSE),
    Matrix("huge entries", lambda: 1e200 * TENSOR, 1e200 * DENSE),
    Matrix("subnormal entries", lambda: 1e-310 * TENSOR, 1e-310 * DENSE),
    Matrix("zero", lambda: 0 * TENSOR, 0 * DENSE),
    Matrix("one number", lambda: TENSOR[:1, :1], DENSE[:1, :1]),
    Matrix("meta tensor", lambda: TENSOR.to("meta"), refusal="meta"),
    Matrix("integers", lambda: torch.eye(3, dtype=torch.int64), refusal="real floating point"),
    Matrix("complex", lambda: TENSOR.to(torch.complex128), refusal="real floating point"),
    Matrix("not symmetric", lambda: TENSOR.triu(), refusal="must be symmetric"),
    Matrix("not symmetric, tiny", lambda: 1e-200 * TENSOR.triu(), refusal="must be symmetric"),
    Matrix("not square", lambda: TENSOR[:2], refusal="must be square"),
    Matrix("not finite", lambda: TENSOR / 0, refusal="finite"),
    Matrix("function without size", lambda: lambda V: V, refusal="needs its size"),
    Matrix("model", lambda: torch.nn.Linear(3, 3), refusal="hessian_operator"),
    Matrix("function of another shape", lambda: lambda V: V[:2], refusal="must return a tensor of V's shape",
           options=SIZE),
    Matrix("list", lambda: DENSE.tolist(), refusal="must be an operator"),
]  # fmt: skip
