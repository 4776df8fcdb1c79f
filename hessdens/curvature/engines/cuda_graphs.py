"""Products replayed as CUDA graphs, for models whose kernels are shorter than the time to launch them."""

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from hessdens.curvature.containers import leaves_of, map_tensors, tensors_of
from hessdens.curvature.engines.engine import Replayable


class GraphedProducts:
    """An engine that is kept from product to product, with the work on blocks of one shape captured once.

    The first block of a shape is worked on as usual, which also warms the libraries up, the second is captured. What
    cannot be captured (a model that waits for the device, say) goes on as usual. Memory: the engine's, for as long as
    this object lives, and a copy of a block of each shape.
    Weights have dtype and device of ``like``.
    """

    def __init__(self, engine: Replayable, like: Tensor) -> None:
        self._engine = engine
        self._like = like
        self._seen: set[Hashable] = set()
        self._graphs: dict[Hashable, _Graph] = {}
        self.is_capturable = True

    @property
    def error(self) -> float | None:
        """That of the engine."""
        return self._engine.error

    def load(self, probes: Tensor) -> None:
        """Start anew with other probes, as many as before."""
        self._engine.load(probes)

    def add(self, batch: Any, weight: float | Tensor) -> Tensor:
        """Add ``weight`` times the products of one block of examples; return its `check_sums`."""
        block = (self._like.new_tensor(weight), batch)
        key = (self._engine.structure, *(_kind(leaf) for leaf in leaves_of(batch)))
        if key in self._graphs:
            return self._graphs[key].replay(block)
        if key in self._seen and self.is_capturable:
            try:
                self._graphs[key] = _Graph(self._engine, block)
            except RuntimeError:
                self.is_capturable = False
            else:
                return self._graphs[key].replay(block)
        self._seen.add(key)
        return self._engine.add(batch, weight)

    def total(self) -> Tensor:
        """Return the sum, shape (P, N): a copy, since the next products write to the same memory."""
        return self._engine.total().clone()


class _Graph:
    """Captured work on a block, and the memory from which it reads the block and its weight."""

    def __init__(self, engine: Replayable, block: tuple[Tensor, Any]) -> None:
        weight, batch = map_tensors(torch.clone, block)
        self._static = tensors_of((weight, batch))
        self._replay, self._sums = _capture(lambda: engine.add(batch, weight))

    def replay(self, block: tuple[Tensor, Any]) -> Tensor:
        """Do the work on another block of the same shape."""
        for static, tensor in zip(self._static, tensors_of(block), strict=True):
            static.copy_(tensor)
        self._replay()
        return self._sums.clone()


def _kind(leaf: Any) -> Hashable:
    return (tuple(leaf.shape), leaf.dtype) if isinstance(leaf, Tensor) else repr(leaf)


def _capture(add: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Record the kernels of ``add`` without running them; return what runs them, and the tensor they write to."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        sums = add()
    return graph.replay, sums
