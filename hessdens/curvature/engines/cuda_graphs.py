"""Products replayed as CUDA graphs, for models whose kernels are shorter than the time to launch them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from hessdens.curvature.containers import map_tensors, tensors_of


class GraphedProducts:
    """An engine that is kept from product to product, with the work on blocks of one shape captured once.

    The first block of a shape is worked on as usual, which also warms the libraries up, the second is captured. What
    cannot be captured (a model that waits for the device, say) goes on as usual. Memory: the engine's, for as long as
    this object lives, and a copy of a block of each shape.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._seen: set[Any] = set()
        self._graphs: dict[Any, _Graph] = {}
        self.is_capturable = True

    def load(self, probes: Tensor) -> None:
        """Start anew with other probes, as many as before."""
        self._engine.load(probes)

    def add(self, batch: Any, weight: float) -> Tensor:
        """Add ``weight`` times the products of one block of examples; return its `check_sums`."""
        key = (weight, self._engine.structure, *(_kind(leaf) for leaf in tree_leaves(batch)))
        if key in self._graphs:
            return self._graphs[key].replay(batch)
        if key in self._seen and self.is_capturable:
            static = map_tensors(torch.clone, batch)
            try:
                self._graphs[key] = _Graph(*_capture(lambda: self._engine.add(static, weight)), tensors_of(static))
            except RuntimeError:
                self.is_capturable = False
            else:
                return self._graphs[key].replay(batch)
        self._seen.add(key)
        return self._engine.add(batch, weight)

    def total(self) -> Tensor:
        """Return the sum, shape (P, N): a copy, since the next products write to the same memory."""
        return self._engine.total().clone()


class _Graph:
    """Captured work on a block, and the memory that it reads the block from."""

    def __init__(self, replay: Callable[[], None], sums: Tensor, static: list[Tensor]) -> None:
        self._replay, self._sums, self._static = replay, sums, static

    def replay(self, batch: Any) -> Tensor:
        for static, tensor in zip(self._static, tensors_of(batch), strict=True):
            static.copy_(tensor)
        self._replay()
        return self._sums.clone()


def _kind(leaf: Any) -> Any:
    return (tuple(leaf.shape), leaf.dtype) if isinstance(leaf, Tensor) else repr(leaf)


def _capture(add: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Record the kernels of ``add`` without running them; return what runs them, and the tensor they write to."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        sums = add()
    return graph.replay, sums
