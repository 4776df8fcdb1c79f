"""Makes the engines of a model, and keeps the one that is replayed."""

from collections.abc import Hashable, Mapping

import torch
from torch import Tensor

from hessdens.curvature.engines.cuda_graphs import GraphedProducts
from hessdens.curvature.engines.engine import Engine, Make, Replayable
from hessdens.curvature.engines.loss_module import LossModule, Values
from hessdens.curvature.engines.tables import Mode


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
        autocast = torch.is_autocast_enabled(probes.device.type)
        # Replays read this memory, and do the same work.
        places = tuple((tensor.data_ptr(), tensor.dtype, tensor.shape) for tensor in state)
        key = (mode, probes.shape, probes_per_block, autocast, places)
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
