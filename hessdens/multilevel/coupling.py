"""Products of two matrices, of many and of fewer examples, with the same probes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.estimators.deflation import projected
from hessdens.estimators.run import Run
from hessdens.linalg.block_lanczos import BlockLanczos
from hessdens.linalg.inner_products import raise_if_not_finite, thin_qr
from hessdens.linalg.operator import Operator
from hessdens.linalg.power_walk import check_range
from hessdens.multilevel.quantities import Quantity

# Probes of a level are numbered from this many times its place, so that no two levels share one.
PROBES_PER_LEVEL = 2**32
# Of the Krylov space that the deflated directions are taken from.
WIDTH = 4


@dataclass(frozen=True)
class Setting:
    """What all levels of a call have in common."""

    quantity: Quantity
    seed: int
    block_size: int
    checkpoint: Path | None
    bar: Any

    def run(self, operator: Operator, name: str) -> Run:
        """Return the frame of one operator's products with probes of ±1."""
        return Run(
            operator, 1, self.seed, "rademacher", self.block_size, checkpoint=self.folder(name),
            settings={"function": self.quantity.function},
        )  # fmt: skip

    def folder(self, name: str) -> Path | None:
        """Return the folder of a part of the work; None where there is no checkpoint."""
        return None if self.checkpoint is None else self.checkpoint / name


def dominant_directions(setting: Setting, operator: Operator, most: int, name: str) -> Tensor:
    """Return directions of the largest absolute eigenvalues of an operator, roughly, orthonormal rows, at most so many.

    Cost: twice as many products.
    """
    if most < 1:
        return torch.empty(0, operator.num_rows, dtype=operator.dtype, device=operator.device)
    run = setting.run(operator, name)
    width = min(WIDTH, operator.size)
    steps = max(1, min(2 * most, operator.size) // width)
    space = BlockLanczos(run.recorded, run.probes(0, width).T, steps)
    while space.num_steps < steps and not space.is_invariant:
        space.step()
    values, vectors = np.linalg.eigh(space.matrix()[: space.num_products, : space.num_products])
    order = np.argsort(-np.abs(values))[:most]
    coordinates = np.zeros((len(space.matrix()), len(order)))
    coordinates[: space.num_products] = vectors[:, order]
    return thin_qr(space.combinations(coordinates).T, operator.team)[0].T


def multiplied(setting: Setting, operator: Operator, name: str, basis: Tensor) -> Tensor:
    """Return the products of a basis, both with a row for each vector."""
    run = setting.run(operator, name)
    products = torch.empty_like(basis)
    for start, stop in run.blocks(0, len(basis)):
        products[start:stop] = run.recorded.matmat(basis[start:stop].T.contiguous()).T
        setting.bar.update(stop - start)
    raise_if_not_finite(products.T, "product {} with a deflated direction")
    return products


def deflated_part(setting: Setting, operator: Operator, name: str, basis: Tensor) -> FloatArray:
    """Return by how much A exceeds B, which is A outside of the span of a basis, shape (K,).

    Cost: a product for each row of the basis.
    """
    return setting.quantity.known(operator, basis, multiplied(setting, operator, name, basis))


def samples(setting: Setting, operator: Operator, name: str, probes: tuple[int, int], basis: Tensor) -> FloatArray:
    """Return estimates of B from probes of ±1, numbered from the first to the last, shape (P, K)."""
    run, team, quantity = setting.run(operator, name), operator.team, setting.quantity
    first, last = probes
    found = np.empty((last - first, quantity.count))
    for start, stop in run.blocks(first, last):
        V = run.probes(start, stop)
        inside, forms = projected(V, basis, team), []
        for step in range(quantity.per_probe):
            W = projected(run.recorded.matmat(inside), basis, team)
            raise_if_not_finite(W, f"product {step + 1} of probe {{}}", start - first)
            forms.append(quantity.forms(operator, V, W))
            V = inside = W
        found[start - first : stop - first] = np.concatenate(forms, axis=1)[:, : quantity.count]
        setting.bar.update((stop - start) * quantity.per_probe)
    check_range(found)
    return found


def samples_of_ranks(
    setting: Setting, operator: Operator, name: str, probes: tuple[int, int], basis: Tensor, ranks: Sequence[int]
) -> list[FloatArray]:
    """Return `samples` for each number of the first rows of a basis, from the same products.

    Cost: those of the probes and, where anything is deflated, of the basis.
    """
    if max(ranks) == 0:
        return [samples(setting, operator, name, probes, basis[:0]) for _ in ranks]
    run, team, quantity = setting.run(operator, name), operator.team, setting.quantity
    products = multiplied(setting, operator, name, basis[: max(ranks)])
    found = np.empty((len(ranks), probes[1] - probes[0], quantity.count))
    for start, stop in run.blocks(*probes):
        V = run.probes(start, stop)
        W = run.recorded.matmat(V)
        raise_if_not_finite(W, "product 1 of probe {}", start - probes[0])
        for index, rank in enumerate(ranks):
            some = basis[:rank]
            left = projected(W - products[:rank].T @ team.sum(some @ V), some, team)
            found[index, start - probes[0] : stop - probes[0]] = quantity.forms(operator, V, left)[:, : quantity.count]
        setting.bar.update(stop - start)
    check_range(found)
    return list(found)
