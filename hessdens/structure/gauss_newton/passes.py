"""Which parameters each pass over the data makes rows of, so that they fit the memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from hessdens.curvature.operator import CurvatureOperator
from hessdens.linalg.memory import readable_bytes
from hessdens.structure.gauss_newton.linear_tape import LinearTape, Use
from hessdens.structure.gauss_newton.outputs import Root, blocks_of
from hessdens.structure.gauss_newton.rows import Share

# Rows are in memory twice: those of each block, and joined or padded.
COPIES = 2


@dataclass
class _Plan:
    """Shares of passes, filled one after the other; ``room`` and ``used`` are bytes."""

    room: float
    shares: list[Share] = field(default_factory=list)
    factored: set[str] = field(default_factory=set)
    columns: dict[str, slice] = field(default_factory=dict)
    used: float = 0.0
    largest: float = 0.0

    def close(self) -> None:
        """Begin the share of another pass."""
        if self.factored or self.columns:
            self.shares.append(Share(frozenset(self.factored), self.columns))
        self.factored, self.columns, self.used = set(), {}, 0.0

    def add_factors(self, name: str, needed: float) -> None:
        """Make the factors of a parameter in this pass, or in the next if they do not fit."""
        if self.used + needed > self.room:
            self.close()
        self.factored.add(name)
        self._take(needed)

    def add_columns(self, name: str, size: int, needed: float) -> None:
        """Make all entries of a parameter's rows, ``needed`` bytes for each, in as many passes as they take."""
        start = 0
        while start < size:
            fits = int((self.room - self.used) // needed)
            if fits < size - start and self.used > 0:  # what does not fit begins with a pass of its own
                self.close()
                continue
            stop = min(size, start + max(1, fits))
            self.columns[name] = slice(start, stop)
            self._take(needed * (stop - start))
            start = stop
            if start < size:
                self.close()

    def _take(self, needed: float) -> None:
        self.used += needed
        self.largest = max(self.largest, self.used)


def planned_shares(
    operator: CurvatureOperator, roots: tuple[Root, ...], direct: frozenset[str], room: float, matrices: float
) -> tuple[list[Share], float]:
    """Return what each pass makes, and the bytes of the largest; MemoryError if even the smallest does not fit.

    ``room`` is what rows may take, besides the bytes of ``matrices``. ``direct`` are parameters without factors.
    """
    rows, count = sum(root.rank for root in roots), len(roots)
    bytes_of_number = COPIES * float(next(iter(operator.problem.parameters.values())).itemsize)
    sizes = factor_sizes(first_uses(operator, frozenset(operator.parameter_names) - direct))
    factored = {name: bytes_of_number * (rows * m + count * n) for name, (m, n) in sizes.items()}
    least = max([*factored.values(), bytes_of_number * rows])
    if room < least:
        raise MemoryError(
            f"The Gram matrix of {rows:,} rows needs about {readable_bytes(matrices + least)}; "
            f"{readable_bytes(max(room + matrices, 0.0))} may be used. Take fewer examples or layers, or raise "
            "memory_limit."
        )
    plan = _Plan(room)
    for name, size in operator.parameter_sizes.items():
        if name in factored:
            plan.add_factors(name, factored[name])
        else:
            plan.add_columns(name, size, bytes_of_number * rows)
    plan.close()
    return plan.shares, plan.largest


def factor_sizes(uses: list[Use]) -> Mapping[str, tuple[int, int]]:
    """Return numbers of gradients at outputs per row, and of inputs per block, of each parameter of linear maps."""
    sizes: dict[str, tuple[int, int]] = {}
    for use in uses:
        for name in (use.weight, use.bias):
            if name is not None:
                m, n = sizes.get(name, (0, 0))
                sizes[name] = (m + use.probe.numel(), n + (use.inputs.numel() if name == use.weight else 0))
    return sizes


def first_uses(operator: CurvatureOperator, names: frozenset[str]) -> list[Use]:
    """Return the uses of parameters in linear maps, in the first block."""
    loss = operator.problem.loss
    block, _ = next(iter(blocks_of(operator)))
    leaves = {name: value.detach().requires_grad_() for name, value in loss.named(operator.parameter_names).items()}
    tape = LinearTape(leaves, names, names)
    with torch.no_grad(), tape:
        loss.outputs(block, leaves)
    return tape.uses
