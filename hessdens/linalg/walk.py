"""A block of probes that an operator is applied to again and again, and the moments that inner products give."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.linalg.inner_products import asymmetry, raise_if_not_finite
from hessdens.linalg.operator import Operator


def products_per_probe(num_moments: int) -> int:
    """Return the products that so many moments take per probe: one for two moments."""
    return (num_moments + 1) // 2


class Walk(ABC):
    """Vectors v_s of P probes after s products, and two moments per product from each.

    It begins with v_0, shape (N, P), or the rows of this process. ``samples`` are the moments so far, shape (P, 2
    num_steps); ``asymmetry`` is the relative difference between v·Aw and w·Av of the probes, NaN for a single one.
    It is relative to products, or to ``norm`` times the vectors if that is more (`asymmetry`).
    Error messages count from ``first_probe``. A subclass names its ``state``, the tensors that say how it goes on, with
    their axes and what holds for their entries in a file; the latest vectors, "vectors", are among them.
    """

    state: ClassVar[Mapping[str, str]]

    def __init__(self, vectors: Tensor, first_probe: int, operator: Operator, norm: float = 0.0) -> None:
        self._vectors = vectors
        self._first_probe = first_probe
        self._operator = operator
        self._norm = norm
        self.samples: FloatArray = np.empty((vectors.shape[1], 0))
        self.asymmetry = float("nan")

    @property
    def num_steps(self) -> int:
        """Products made with each probe."""
        return self.samples.shape[1] // 2

    @property
    def vectors(self) -> Tensor:
        """The latest vectors, as the walk keeps them."""
        return self._vectors

    def moments(self, num_moments: int) -> FloatArray:
        """Return estimates of the first K moments from each probe, shape (P, K), after the steps still missing."""
        while self.samples.shape[1] < num_moments:
            self.samples = np.concatenate([self.samples, self._step()], axis=1)
        return self.samples[:, :num_moments]

    @abstractmethod
    def _step(self) -> FloatArray:
        """Make one product with each vector, and return two moments of each, shape (P, 2)."""

    def _products(self) -> Tensor:
        """Return A v_s."""
        products = self._operator.matmat(self._vectors)
        if not self.num_steps:
            self.asymmetry = asymmetry(self._vectors, products, self._operator.team, self._norm)
        return products

    def _check(self, squares: Tensor) -> None:
        """Raise NonFiniteError, naming step and probe, unless the lengths of all vectors are finite."""
        raise_if_not_finite(squares, f"product {self.num_steps + 1} of probe {{}}", self._first_probe)

    def to_arrays(self) -> dict[str, Any]:
        """Return all that `resumed` needs, for a file that `layout` describes: P N numbers for a tensor of N rows."""
        tensors = {name: getattr(self, f"_{name}").movedim(0, -1).contiguous().cpu().numpy() for name in self.state}
        return {"samples": self.samples, "asymmetry": self.asymmetry, **tensors}

    @classmethod
    def layout(cls) -> dict[str, str]:
        """Return what a file of `to_arrays` holds, as `hessdens.results.storage.take` reads it."""
        return {"samples": "P K finite", "asymmetry": "error", **cls.state}

    def resumed(self, arrays: Mapping[str, Any]) -> Self:
        """Return this walk where the one stopped that `to_arrays` was asked of."""
        self.samples, self.asymmetry = arrays["samples"], float(arrays["asymmetry"])
        for name in self.state:
            tensor = torch.from_numpy(arrays[name]).to(getattr(self, f"_{name}"))  # on its device, in its dtype
            setattr(self, f"_{name}", tensor.movedim(0, -1))
        return self
