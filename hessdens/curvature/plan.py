"""How products are made: as far as the user wishes it, and as it was decided."""

from dataclasses import dataclass, replace
from typing import get_args

from hessdens._checks import at_least
from hessdens.curvature.engines.tables import Mode

__all__ = ["Mode", "Plan", "Schedule"]


@dataclass(frozen=True)
class Plan:
    """What a user wishes of how products are made. What is None is the library's choice, in `Schedule`.

    Parameters
    ----------
    mode
        "feedforward" (multilayer perceptrons: one forward and backward pass for all probes), "forward-over-reverse",
        "reverse-over-reverse", or "central-differences" (of gradients, with a measured error: only where torch cannot
        differentiate twice).
    examples_per_block, probes_per_block
        The piece that is worked on at once.
    cuda_graph
        Whether the work on a block is recorded as a CUDA graph and replayed, which spares the time to launch its
        kernels, and keeps its memory for as long as the operator lives. Replays see new values of parameters and
        buffers, but no other change of the model. False on a CPU.
    tf32
        Whether products of float32 matrices may have reduced precision, where torch's own settings allow it. Otherwise
        TF32 is off while products are made.

    Examples
    --------
    >>> from hessdens import Plan
    >>> Plan("reverse-over-reverse", examples_per_block=100, probes_per_block=4)
    Plan(mode='reverse-over-reverse', examples_per_block=100, probes_per_block=4, cuda_graph=None, tf32=False)
    """

    mode: Mode | None = None
    examples_per_block: int | None = None
    probes_per_block: int | None = None
    cuda_graph: bool | None = None
    tf32: bool = False

    def __post_init__(self) -> None:
        modes = get_args(Mode)
        if self.mode is not None and self.mode not in modes:
            raise ValueError(f"mode must be one of {', '.join(modes)}; got {self.mode!r}.")
        for name in ("examples_per_block", "probes_per_block"):
            if getattr(self, name) is not None:
                at_least(name, getattr(self, name), 1)


@dataclass(frozen=True)
class Schedule:
    """How products are made: a `Plan` that leaves nothing open.

    ``memory`` is the predicted peak besides the model, the data, the probes and the products, in bytes; 0 where a
    complete plan and no limit left nothing to predict it for.
    """

    mode: Mode
    examples_per_block: int
    probes_per_block: int
    cuda_graph: bool
    tf32: bool
    memory: int

    @property
    def work(self) -> tuple[int, int]:
        """What makes one block larger than another: products, and of equal ones probes, which share work."""
        return self.examples_per_block * self.probes_per_block, self.probes_per_block

    def halved(self, *, splits: bool) -> "Schedule | None":
        """Return the schedule with half the examples, if batches may be split, or else probes; None at one of each."""
        if splits and self.examples_per_block > 1:
            return replace(self, examples_per_block=self.examples_per_block // 2)
        if self.probes_per_block > 1:
            return replace(self, probes_per_block=self.probes_per_block // 2)
        return None
