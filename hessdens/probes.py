"""Random probe vectors: probe i of a seed is the same whatever the block, the device or the order of calls."""

from typing import Literal, get_args

import numpy as np
import torch

Distribution = Literal["gaussian", "rademacher"]


def probe_block(
    seed: int, start: int, stop: int, size: int, *, distribution: Distribution, dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """Return probes ``start`` to ``stop - 1`` of ``seed`` as columns, shape (size, stop - start), each in one piece.

    Each probe has a random stream of its own, `numpy.random.SeedSequence(seed, spawn_key=(i,))`, drawn in float64 on
    the CPU and then cast, so 200 probes extend 100, and the CPU and a GPU see the same ones.
    """
    block = torch.empty(stop - start, size, dtype=dtype, device=device)
    draw = np.empty(size)
    for row, index in zip(block, range(start, stop), strict=True):
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(index,))))
        if distribution == "gaussian":
            generator.standard_normal(out=draw)
        else:
            draw[:] = 2.0 * generator.integers(0, 2, size, dtype=np.int8) - 1.0
        row.copy_(torch.from_numpy(draw))
    return block.T


def check_probe_arguments(num_probes: int, seed: int, distribution: str) -> None:
    """Raise ValueError unless the arguments describe at least two probes of a known distribution."""
    if num_probes < 2:
        raise ValueError(f"num_probes must be at least 2, for a standard error; got {num_probes}.")
    if seed < 0:
        raise ValueError(f"seed must be a non-negative integer; got {seed}.")
    if distribution not in get_args(Distribution):
        raise ValueError(f"distribution must be one of {get_args(Distribution)}; got {distribution!r}.")
