"""Processes that send messages to one another: how they join, what they send, and errors that name who is lost."""

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, rendezvous  # type: ignore[attr-defined]
from torch.distributed.device_mesh import DeviceMesh

from hessdens.errors import RankError

ENVIRONMENT = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
LAUNCH = "Start the script with `torchrun --nproc-per-node 4 script.py`"
# What users give for a group: one of torch's, or one dimension of a mesh; None for all processes.
GroupLike = dist.ProcessGroup | DeviceMesh | None


def start(*, timeout: float = 600.0) -> torch.device:
    """Join the processes that ``torchrun`` has started, and return this one's device.

    NCCL and a GPU of its own for each process where there are GPUs, gloo and the CPU elsewhere. A process that has
    joined already, by ``torch.distributed.init_process_group``, only gets its device.

    Parameters
    ----------
    timeout
        Seconds after which the others give up on a process that does not answer. It must be longer than the slowest
        process may lag behind the fastest in one product, and three times as long as it may lag in joining.

    Raises
    ------
    RankError
        If no launcher has said which process this is, or not in numbers that can be, or not all processes have joined
        within the timeout.
    """
    if not timeout > 0:
        raise ValueError(f"timeout must be positive; got {timeout}.")
    missing = [name for name in ENVIRONMENT if name not in os.environ]
    if missing and not dist.is_initialized():
        raise RankError(f"start needs the environment of a launcher; it lacks {', '.join(missing)}. {LAUNCH}.")
    has_gpu = torch.cuda.is_available()
    local_rank = _number("LOCAL_RANK", 0, torch.cuda.device_count() - 1 if has_gpu else None)
    if not dist.is_initialized():
        _number("RANK", 0, _number("WORLD_SIZE", 1) - 1)
        _number("MASTER_PORT", 0, 2**16 - 1)
    device = torch.device("cuda", local_rank) if has_gpu else torch.device("cpu")
    if has_gpu:
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        try:
            _join("nccl" if has_gpu else "gloo", timeout)
        except dist.DistError as error:
            rank, num_ranks = os.environ["RANK"], os.environ["WORLD_SIZE"]
            raise RankError(
                f"Rank {rank} must be joined by all {num_ranks} ranks within {timeout:g} s; one of them has died or "
                f"has not begun: {str(error).splitlines()[0]} Start all ranks again."
            ) from error
    return device


def _number(name: str, least: int, most: int | None = None) -> int:
    """Return the whole number in a variable of the environment; the least where it is not set."""
    text = os.environ.get(name, str(least))
    if not (text.isdecimal() and len(text) < 10 and least <= int(text) <= (int(text) if most is None else most)):
        limits = f"at least {least}" if most is None else f"from {least} to {most}"
        raise RankError(f"{name} must be a whole number {limits} in the environment; got {text!r}. {LAUNCH}.")
    return int(text)


def _join(backend: str, timeout: float) -> None:
    """Join the launcher's processes, or raise within the timeout."""
    # Where the first process is gone, torch waits for it, pauses for as long at most, and waits once more.
    third, whole = timedelta(seconds=timeout / 3), timedelta(seconds=timeout)
    store, rank, num_ranks = next(rendezvous("env://", timeout=third))
    store.set_timeout(whole)
    store = PrefixStore("default_pg", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=num_ranks, timeout=whole)


T = TypeVar("T")


class Group:
    """Processes that call the same methods in the same order; error messages name them by their ``global_ranks``."""

    def __init__(self, group: GroupLike, caller: str) -> None:
        if not dist.is_initialized():
            raise RankError(
                f"{caller} needs several processes; torch.distributed is not initialised. {LAUNCH}, which calls "
                "hessdens.distributed.start() first."
            )
        if isinstance(group, DeviceMesh) and group.ndim != 1:
            raise ValueError(
                f"{caller} takes one dimension of a device mesh; got {group.ndim}. Choose one, mesh['examples']."
            )
        group = group.get_group() if isinstance(group, DeviceMesh) else group
        self._group: Any = group or dist.group.WORLD
        self.global_ranks: list[int] = dist.get_process_group_ranks(self._group)
        self.rank = dist.get_rank(self._group)
        self.num_ranks = len(self.global_ranks)

    def sum(self, part: Tensor) -> Tensor:
        """Return the sum of a tensor over the processes, in its memory where that is in one piece."""
        return self._reduced(part.contiguous(), dist.ReduceOp.SUM)

    def least(self, value: int, device: torch.device) -> int:
        """Return the smallest value of all processes."""
        return int(self._reduced(torch.tensor(value, dtype=torch.int64, device=device), dist.ReduceOp.MIN))

    def _reduced(self, part: Tensor, operation: Any) -> Tensor:
        self._call(dist.all_reduce, part, operation)
        return part

    def gather(self, part: Tensor) -> list[Tensor]:
        """Return a tensor of every process, all of one shape."""
        part = part.contiguous()
        parts = list(part.new_empty(self.num_ranks, *part.shape))
        self._call(dist.all_gather, parts, part)
        return parts

    def gather_objects(self, value: Any) -> list[Any]:
        """Return a small object of every process."""
        values: list[Any] = [None] * self.num_ranks
        self._call(dist.all_gather_object, values, value)
        return values

    def broadcast(self, value: Any) -> Any:
        """Return the first process' object."""
        values = [value]
        self._call(dist.broadcast_object_list, values, self.global_ranks[0])
        return values[0]

    def attempt(self, function: Callable[[], T]) -> T:
        """Return what ``function`` returns on this process; an error on one is an error on all, naming it."""
        value, failure = None, None
        try:
            value = function()
        except Exception as error:
            failure = error
        self.stop_together(failure)
        return cast(T, value)

    def together(self, function: Callable[[], T]) -> list[T]:
        """Return what ``function`` returns on each process; an error on one is an error on all, naming it."""
        return self.gather_objects(self.attempt(function))

    def stop_together(self, failure: Exception | None) -> None:
        """Raise the error of this process, or else one that names those that have failed, if there are any."""
        rank = self.global_ranks[self.rank]
        message = None if failure is None else f"rank {rank} failed with {type(failure).__name__}: {failure}"
        messages = [text for text in self.gather_objects(message) if text is not None]
        if failure is not None:
            failure.add_note(f"On rank {rank}; the other ranks stop too.")
            raise failure
        if messages:
            raise RankError(f"Ranks stop together; {'; '.join(messages)}")

    def _call(self, collective: Callable[..., Any], *arguments: Any) -> None:
        """Call a collective operation; after a lost process or a timeout, raise an error that says what to do."""
        try:
            collective(*arguments, group=self._group)
        except RuntimeError as error:  # torch's own DistBackendError among them
            own = self.global_ranks[self.rank]
            others = named_ranks([rank for rank in self.global_ranks if rank != own])
            raise RankError(
                f"Rank {own} must hear from {others}; one of them has died, hangs or does other work: {error}. "
                "Finished work is in the checkpoint, if there is one: start all ranks again."
            ) from error


def named_ranks(ranks: Sequence[int]) -> str:
    """Return ranks in words."""
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(str(rank) for rank in ranks)}"
