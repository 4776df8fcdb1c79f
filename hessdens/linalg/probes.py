"""Random probe vectors: probe i of a seed is the same whatever the block, the device or the order of calls."""

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from hessdens.linalg.operator import Operator

Distribution = Literal["gaussian", "rademacher"]
# Entries that are drawn at a time: 8 MB. A multiple of 8, so that draws of ±1 from bytes go on where they ended.
PROBE_CHUNK = 2**20


def operator_probes(A: Operator, seed: int, start: int, stop: int, distribution: Distribution) -> Tensor:
    """Return probes ``start`` to ``stop - 1`` of ``seed`` as columns, shape (N, stop - start), each in one piece.

    Each probe has a random stream of its own, `numpy.random.SeedSequence(seed, spawn_key=(i,))`. It is drawn in float64
    on the CPU and then cast, so 200 probes extend 100, and the CPU and a GPU see the same ones. A process that holds a
    shard draws all entries, chunk by chunk, and keeps its own.
    """
    A.team.check_same({"seed": seed, "first probe": start, "last probe": stop - 1, "distribution": distribution})
    block = torch.empty(stop - start, A.num_rows, dtype=A.dtype, device=A.device)
    for row, index in zip(block, range(start, stop), strict=True):
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(index,))))
        for begin in range(0, A.size, PROBE_CHUNK):
            count = min(PROBE_CHUNK, A.size - begin)
            if distribution == "gaussian":
                chunk = generator.standard_normal(count)
            else:
                chunk = 2.0 * generator.integers(0, 2, count, dtype=np.int8).astype(np.float64) - 1.0
            held = 0
            for part in A.team.rows(A.size):  # what this process keeps of the chunk
                low, high = max(part.start, begin), min(part.stop, begin + len(chunk))
                if low < high:
                    place = slice(held + low - part.start, held + high - part.start)
                    row[place] = torch.from_numpy(chunk[low - begin : high - begin])
                held += part.stop - part.start
    return block.T


def check_probe_arguments(num_probes: int, seed: int, distribution: str) -> None:
    """Raise ValueError unless the arguments describe at least two probes of a known distribution."""
    if num_probes < 2:
        raise ValueError(f"num_probes must be at least 2, for a standard error; got {num_probes}.")
    if seed < 0:
        raise ValueError(f"seed must be a non-negative integer; got {seed}.")
    if distribution not in get_args(Distribution):
        raise ValueError(f"distribution must be one of {get_args(Distribution)}; got {distribution!r}.")
