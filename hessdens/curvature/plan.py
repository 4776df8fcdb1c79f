"""How products are made, as far as the user wishes it."""

from dataclasses import dataclass
from typing import Literal

Mode = Literal["feedforward", "forward-over-reverse", "reverse-over-reverse", "central-differences"]
MODES: tuple[Mode, ...] = ("feedforward", "forward-over-reverse", "reverse-over-reverse", "central-differences")


@dataclass(frozen=True)
class Plan:
    """How products are made. What is None is the library's choice.

    Parameters
    ----------
    mode
        "feedforward" (multilayer perceptrons: one forward and backward pass for all probes), "forward-over-reverse",
        "reverse-over-reverse", or "central-differences" (of gradients, with a measured error: only where torch cannot
        differentiate twice).
    examples_per_block, probes_per_block
        The piece that is worked on at once.
    memory
        Predicted peak beside the model, the data, the probes and the products, in bytes.
    cuda_graph
        Whether the work on a block is recorded as a CUDA graph and replayed, which spares the time to launch its
        kernels, and keeps its memory for as long as the operator lives. Replays see new values of parameters and
        buffers, but no other change of the model. False on a CPU.
    tf32
        Whether products of float32 matrices may have reduced precision, where torch's own settings allow it. Otherwise
        TF32 is off while products are made.
    """

    mode: Mode | None = None
    examples_per_block: int | None = None
    probes_per_block: int | None = None
    memory: int | None = None
    cuda_graph: bool | None = None
    tf32: bool = False

    def __post_init__(self) -> None:
        if self.mode is not None and self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}; got {self.mode!r}.")
        for name in ("examples_per_block", "probes_per_block"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1; got {value}.")

    def filled(self, other: "Plan") -> "Plan":
        """Return this plan with what it leaves open taken from ``other``."""
        return Plan(
            self.mode or other.mode,
            self.examples_per_block or other.examples_per_block,
            self.probes_per_block or other.probes_per_block,
            self.memory or other.memory,
            other.cuda_graph if self.cuda_graph is None else self.cuda_graph,
            self.tf32,
        )
