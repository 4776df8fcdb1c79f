"""What processes send to make a product: counted before it is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from hessdens._checks import at_least
from hessdens.distributed.exchange import HEADER

Kind = Literal["all-reduce", "all-gather", "reduce-scatter"]
BYTES_OF_HEADER = 8 * HEADER
# Gradients at four points make a central difference of fourth order.
GRADIENTS = 4


@dataclass(frozen=True)
class Traffic:
    """Collective operations that a process takes part in, and what that makes it send.

    Parameters
    ----------
    num_ranks
        n.
    collectives
        Kind, bytes that each process contributes, and how many such operations.
    """

    num_ranks: int
    collectives: tuple[tuple[Kind, int, int], ...]

    @property
    def bytes_given(self) -> int:
        """Bytes that a process hands to the collective operations."""
        return sum(size * count for _, size, count in self.collectives)

    @property
    def bytes_sent(self) -> float:
        """Bytes that a process sends by ring algorithms, without the headers of a transport.

        For B bytes: 2 (n - 1) / n B in an all-reduce, (n - 1) / n B in a reduce-scatter, (n - 1) B in an all-gather.
        Source: P. Patarasuk, X. Yuan, Bandwidth optimal all-reduce algorithms for clusters of workstations (2009).
        """
        n = self.num_ranks
        factors = {"all-reduce": 2 * (n - 1) / n, "reduce-scatter": (n - 1) / n, "all-gather": n - 1.0}
        return sum(factors[kind] * size * count for kind, size, count in self.collectives)

    @property
    def messages(self) -> int:
        """Messages that a process sends to the next by ring algorithms: 2 (n - 1) in an all-reduce, else n - 1."""
        steps = {"all-reduce": 2, "reduce-scatter": 1, "all-gather": 1}
        return sum(steps[kind] * (self.num_ranks - 1) * count for kind, _, count in self.collectives)

    def __str__(self) -> str:
        count = sum(number for _, _, number in self.collectives)
        return (
            f"{count:,} collective operations of {self.num_ranks} ranks: each sends {self.bytes_sent:,.0f} bytes in "
            f"{self.messages:,} messages"
        )


def examples_traffic(size: int, num_vectors: int, num_ranks: int, *, dtype: torch.dtype = torch.float32) -> Traffic:
    """Return what a product with P vectors of R^N sends where examples are shared: a header, and a sum of P N numbers.

    It does not depend on the number of examples.
    """
    _check(size, num_vectors, num_ranks)
    numbers = size * num_vectors * dtype.itemsize
    return Traffic(num_ranks, (("all-gather", BYTES_OF_HEADER, 1), ("all-reduce", numbers, 1)))


def probes_traffic(size: int, num_vectors: int, num_ranks: int, *, dtype: torch.dtype = torch.float32) -> Traffic:
    """Return what a product with P vectors of R^N sends where probes are shared: a header, ceil(P / n) N numbers."""
    _check(size, num_vectors, num_ranks)
    numbers = size * -(-num_vectors // num_ranks) * dtype.itemsize
    return Traffic(num_ranks, (("all-gather", BYTES_OF_HEADER, 1), ("all-gather", numbers, 1)))


def sharded_traffic(
    shard_sizes: Sequence[int],
    num_vectors: int,
    num_ranks: int,
    *,
    num_batches: int = 1,
    gathers: int = 2,
    dtype: torch.dtype = torch.float32,
) -> Traffic:
    """Return what a product with P vectors sends where parameters are sharded.

    These are four gradients per vector. Each gathers the parameters of every ``fully_shard`` in the forward pass and
    again in the backward pass, and adds up and scatters their gradients. A few numbers for the step and the error come
    on top.

    Parameters
    ----------
    shard_sizes
        Numbers of parameters that a process holds of each ``fully_shard`` group, padding included:
        `ShardedOperator.shard_sizes`.
    num_vectors, num_ranks, num_batches
        P, n, and batches in a pass over the data: the most that a process has.
    gathers
        1 where parameters are kept between the passes (``reshard_after_forward=False``, and parameters of the root).
    """
    _check(max(shard_sizes), num_vectors, num_ranks)
    passes = GRADIENTS * num_vectors * num_batches
    collectives: list[tuple[Kind, int, int]] = [
        ("all-reduce", 8, 3 + 2 * num_vectors),
        ("all-reduce", 8 * num_vectors, 1),
    ]
    for size in shard_sizes:
        collectives.append(("all-gather", size * dtype.itemsize, gathers * passes))
        collectives.append(("reduce-scatter", num_ranks * size * dtype.itemsize, passes))
    return Traffic(num_ranks, tuple(collectives))


def _check(size: int, num_vectors: int, num_ranks: int) -> None:
    for name, value in (("size", size), ("num_vectors", num_vectors), ("num_ranks", num_ranks)):
        at_least(name, value, 1)
