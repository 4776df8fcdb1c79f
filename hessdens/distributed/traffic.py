"""What processes send to make a product: counted before it is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from hessdens._checks import at_least
from hessdens.distributed.exchange import HEADER

Kind = Literal["all-reduce", "all-gather", "reduce-scatter"]
Collective = tuple[Kind, int, int]
HEADERS: Collective = ("all-gather", 8 * HEADER, 1)
# Gradients at four points make a central difference of fourth order.
GRADIENTS = 4


@dataclass(frozen=True)
class Traffic:
    """Collective operations of n processes, and what each sends: kind, bytes that it contributes, how many of these."""

    num_ranks: int
    collectives: tuple[Collective, ...]

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
        """Messages that a process sends to the next by ring algorithms, 2 (n - 1) in an all-reduce, else n - 1."""
        return sum((1 + (kind == "all-reduce")) * (self.num_ranks - 1) * count for kind, _, count in self.collectives)

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
    return Traffic(num_ranks, (HEADERS, ("all-reduce", size * num_vectors * dtype.itemsize, 1)))


def probes_traffic(size: int, num_vectors: int, num_ranks: int, *, dtype: torch.dtype = torch.float32) -> Traffic:
    """Return what a product with P vectors of R^N sends where probes are shared: a header, ceil(P / n) N numbers."""
    _check(size, num_vectors, num_ranks)
    return Traffic(num_ranks, (HEADERS, ("all-gather", size * -(-num_vectors // num_ranks) * dtype.itemsize, 1)))


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

    These are four gradients per vector, and a few numbers for the step and the error. Each gradient gathers the
    parameters of every ``fully_shard`` in the forward pass and again in the backward pass (``gathers=1``: not again, as
    with ``reshard_after_forward=False``, and at the root), and adds up and scatters their gradients. ``shard_sizes``
    is `ShardedOperator.shard_sizes`, padding included; ``num_batches`` is the most that a process has.
    """
    _check(max(shard_sizes), num_vectors, num_ranks)
    passes = GRADIENTS * num_vectors * num_batches
    collectives: list[Collective] = [("all-reduce", 8, 3), ("all-reduce", 24, num_vectors)]
    collectives.append(("all-reduce", 8 * num_vectors, 1))
    collectives.append(("all-reduce", 64, num_vectors))  # losses and slopes at four points
    for size in shard_sizes:
        collectives.append(("all-gather", size * dtype.itemsize, gathers * passes))
        collectives.append(("reduce-scatter", num_ranks * size * dtype.itemsize, passes))
    return Traffic(num_ranks, tuple(collectives))


def _check(size: int, num_vectors: int, num_ranks: int) -> None:
    for name, value in (("size", size), ("num_vectors", num_vectors), ("num_ranks", num_ranks)):
        at_least(name, value, 1)
