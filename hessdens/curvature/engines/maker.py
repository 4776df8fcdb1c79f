"""Makes the engines of a model, and keeps the one whose work is replayed as CUDA graphs.

Graphs are for models whose kernels are shorter than the time to launch them.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from torch import Tensor

from hessdens.curvature.containers import leaves_of, map_tensors, tensors_of
from hessdens.curvature.engines.engine import Engine, Make, Replayable
from hessdens.curvature.engines.loss_module import LossModule, Values
from hessdens.curvature.engines.tables import Mode

# The weight of a block of examples, and the block.
Weighted = tuple[Tensor, Any]


class EngineMaker:
    """Makes engines for a loss by mode: a new one each time, or for CUDA graphs the latest one if it fits."""

    def __init__(self, table: Mapping[Mode, Make], loss: LossModule, parameters: Values) -> None:
        self.parameters = parameters
        self._table = table
        self._loss = loss
        self._graphed: GraphedProducts | None = None
        self._key: Hashable = None

    def engine(self, mode: Mode, probes: Tensor, probes_per_block: int, *, cuda_graph: bool = False) -> Engine:
        """Return what adds up the products with each row."""
        make = self._table[mode]
        if not cuda_graph:
            return make(self._loss, self.parameters, probes, probes_per_block)
        state = (*self._loss.model.parameters(), *self._loss.model.buffers())
        # Replays read this memory, and do the same work.
        places = tuple((tensor.data_ptr(), tensor.dtype, tensor.shape) for tensor in state)
        key = (mode, probes.shape, probes_per_block, torch.is_autocast_enabled(probes.device.type), places)
        if self._graphed is not None and self._key == key:
            self._graphed.load(probes)
            return self._graphed
        self.release()  # before more memory is taken
        engine = make(self._loss, self.parameters, probes.clone(), probes_per_block)
        if not isinstance(engine, Replayable):
            return engine
        self._graphed, self._key = GraphedProducts(engine, like=probes), key
        return self._graphed

    def release(self) -> None:
        """Give up what is kept, and its memory."""
        self._graphed = None


class Adding:
    """Adds up products of blocks with each row of ``probes``, by an engine that may be another for the next block."""

    def __init__(self, maker: EngineMaker, probes: Tensor) -> None:
        self._maker, self._probes = maker, probes
        self._engine: Engine | None = None
        self._made_for: Hashable = None
        self._before: Tensor | None = None

    def engine(self, mode: Mode, probes_per_block: int, *, cuda_graph: bool) -> Engine:
        """Return the engine of the next block."""
        made_for = (mode, probes_per_block, cuda_graph)
        if self._engine is None or made_for != self._made_for:
            if self._engine is not None:
                self._before, self._engine = self.total(), None  # before more memory is taken
            self._engine = self._maker.engine(mode, self._probes, probes_per_block, cuda_graph=cuda_graph)
            self._made_for = made_for
        return self._engine

    def total(self) -> Tensor:
        """Return the sum, shape (P, N)."""
        assert self._engine is not None, "data have at least one block"
        total = self._engine.total()
        return total if self._before is None else total.add_(self._before)

    @property
    def error(self) -> float | None:
        """The measured relative error of the sum: of the latest engine, since those with errors do not change."""
        return None if self._engine is None else self._engine.error


class GraphedProducts:
    """An engine that is kept from product to product, with the work on blocks of one shape captured once.

    The first block of a shape is worked on as usual, which also warms the libraries up, the second is captured. What
    cannot be captured (a model that waits for the device, say) goes on as usual. Memory: the engine's, for as long as
    this object lives, and a copy of a block of each shape. Weights have dtype and device of ``like``.
    """

    def __init__(self, engine: Replayable, like: Tensor) -> None:
        self.load = engine.load
        self.is_capturable = True
        self._engine = engine
        self._like = like
        self._seen: set[Hashable] = set()
        self._replays: dict[Hashable, Callable[[Weighted], Tensor]] = {}

    @property
    def error(self) -> float | None:
        """That of the engine."""
        return self._engine.error

    def add(self, batch: Any, weight: float | Tensor) -> Tensor:
        """Add ``weight`` times the products of one block of examples; return its `check_sums`."""
        block = (self._like.new_tensor(weight), batch)
        key = (self._engine.structure, *(_kind(leaf) for leaf in leaves_of(batch)))
        if key in self._seen and key not in self._replays and self.is_capturable:
            try:
                self._replays[key] = _captured(self._engine, block)
            except RuntimeError:
                self.is_capturable = False
        if key in self._replays:
            return self._replays[key](block)
        self._seen.add(key)
        return self._engine.add(batch, weight)

    def total(self) -> Tensor:
        """Return the sum, shape (P, N): a copy, since the next products write to the same memory."""
        return self._engine.total().clone()


def _kind(leaf: Any) -> Hashable:
    return (tuple(leaf.shape), leaf.dtype) if isinstance(leaf, Tensor) else repr(leaf)


def _captured(engine: Replayable, block: Weighted) -> Callable[[Weighted], Tensor]:
    """Capture the work on a block; return what does it on others of the same shape, copied to the same memory."""
    weight, batch = map_tensors(torch.clone, block)
    memory = tensors_of((weight, batch))
    run, sums = _capture(lambda: engine.add(batch, weight))

    def replay(block: Weighted) -> Tensor:
        for place, tensor in zip(memory, tensors_of(block), strict=True):
            place.copy_(tensor)
        run()
        return sums.clone()

    return replay


def _capture(add: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Record the kernels of ``add`` without running them; return what runs them, and the tensor they write to."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        sums = add()
    return graph.replay, sums
