"""Rows of the Jacobian of the outputs, as factors of linear maps or entry by entry, some parameters at a time."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.curvature.containers import flattened
from hessdens.curvature.engines.general import backward_each
from hessdens.curvature.engines.loss_module import LossModule, Values
from hessdens.structure.gauss_newton.factors import Factors
from hessdens.structure.gauss_newton.linear_tape import LinearTape, Use
from hessdens.structure.gauss_newton.outputs import Root, joined_like, split_like

# Columns of rows that are converted to float64 at a time.
COLUMNS = 2**16


class OtherUseError(Exception):
    """Parameters of linear maps are used in other ways too: their rows must be made entry by entry."""

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(names)))
        self.names = names


@dataclass(frozen=True)
class Share:
    """What one pass over the data makes: factors of some parameters, and columns of others."""

    factored: frozenset[str]
    columns: Mapping[str, slice]


@dataclass
class Rows:
    """Rows of all blocks for one share of the parameters."""

    share: Share
    factors: dict[str, Factors] = field(default_factory=dict)
    entries: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(self, uses: Sequence[Use], gradients: Sequence[Tensor], entries: Mapping[str, Tensor]) -> None:
        """Take the rows of one block: gradients at the outputs of linear maps, and of parameters."""
        by_name: dict[str, list[tuple[Tensor | None, Tensor]]] = {}
        for use, gradient in zip(uses, gradients, strict=True):
            D = gradient.reshape(len(gradient), len(use.inputs), -1)
            if use.weight is not None:
                by_name.setdefault(use.weight, []).append((use.inputs, D))
            if use.bias is not None:
                by_name.setdefault(use.bias, []).append((None, D))
        missing = self.share.factored - by_name.keys()
        if missing:
            raise OtherUseError(frozenset(missing))
        for name, pairs in by_name.items():
            self.factors.setdefault(name, Factors()).add(pairs)
        for name, gradient in entries.items():
            columns = gradient.reshape(len(gradient), -1)[:, self.share.columns[name]]
            self.entries.setdefault(name, []).append(columns.clone())

    def grams(self) -> dict[str, Tensor]:
        """Return the inner products of all rows in each parameter of the share; what made them is let go."""
        grams = {}
        while self.factors:
            name, factors = self.factors.popitem()
            grams[name] = factors.gram()
        while self.entries:
            name, blocks = self.entries.popitem()
            rows = torch.cat(blocks)
            blocks.clear()
            total = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=rows.device)
            for start in range(0, rows.shape[1], COLUMNS):
                part = rows[:, start : start + COLUMNS].double()
                total.addmm_(part, part.T)
            grams[name] = total
        return grams


def add_block(rows: Rows, loss: LossModule, block: Any, values: Values, factored: Collection[str], root: Root) -> None:
    """Add the rows of one block; OtherUseError if factors do not tell all of a parameter that has them."""
    share = rows.share
    leaves = {name: value.detach().requires_grad_() for name, value in values.items()}
    tape = LinearTape(leaves, factored, share.factored)

    def made() -> None:
        with torch.enable_grad(), tape:
            outputs, _ = loss.outputs(block, leaves)
        parts = list(flattened(outputs)[0])
        probes = [use.probe for use in tape.uses]
        inputs = [*probes, *(leaves[name] for name in share.columns)]
        checked = [leaves[name] for name in share.factored]
        pairs = _pairs(parts, split_like(torch.from_numpy(root.columns), parts))
        if pairs and checked:
            found = torch.autograd.grad(
                [p for p, _ in pairs], checked, [u[0] for _, u in pairs], True, allow_unused=True
            )
            others = {name for name, gradient in zip(share.factored, found, strict=True) if gradient is not None}
            if others:
                raise OtherUseError(frozenset(others))
        gradients = backward_each(pairs, inputs, root.rank)
        own = dict(zip(share.columns, gradients[len(probes) :], strict=True))
        rows.add(tape.uses, [gradient.detach() for gradient in gradients[: len(probes)]], own)

    loss.with_values(leaves, made)


def _pairs(parts: list[Tensor], pieces: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Return outputs that depend on parameters, and what is multiplied with each from the left."""
    return [(part, piece.to(part)) for part, piece in zip(parts, pieces, strict=True) if part.requires_grad]


def pulled_parts(
    loss: LossModule, block: Any, singles: list[Any], values: Values, rows: list[FloatArray | None]
) -> Iterator[Tensor]:
    """Yield tensors of shape (k, N) whose sum is that of J^T w over examples, for rows w of each, shape (k, m).

    Examples without rows do not count. One backward pass is made for all where each of them counts.
    """
    known = [row for row in rows if row is not None]
    together = pulled(loss, block, values, known) if known and len(known) == len(rows) else None
    if together is not None:
        yield together
        return
    for single, row in zip(singles, rows, strict=True):
        part = None if row is None else pulled(loss, single, values, [row])
        if part is not None:
            yield part


def pulled(loss: LossModule, block: Any, values: Values, rows: list[FloatArray]) -> Tensor | None:
    """Return the sum of J^T w over the examples of a block, for rows w of each, shape (k, m): rows of shape (k, N).

    None if outputs are not made of examples one after the other.
    """
    leaves = {name: value.detach().requires_grad_() for name, value in values.items()}

    def made() -> list[Tensor] | None:
        with torch.enable_grad():
            outputs, _ = loss.outputs(block, leaves)
        parts = list(flattened(outputs)[0])
        pieces = joined_like(rows, parts)
        return None if pieces is None else backward_each(_pairs(parts, pieces), list(leaves.values()), len(rows[0]))

    found = loss.with_values(leaves, made)
    return None if found is None else torch.cat([part.reshape(len(part), -1) for part in found], dim=1)
