"""Products of two matrices, of many and of fewer examples, with the same probes."""

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
from hessdens.linalg.inner_products import column_dots, gram, raise_if_not_finite, thin_qr
from hessdens.linalg.operator import Operator
from hessdens.linalg.power_walk import check_range
from hessdens.linalg.walk import products_per_probe

# Probes of a level are numbered from this many times its place, so that no two levels share one.
PROBES_PER_LEVEL = 2**32
# Of the Krylov space that the deflated directions are taken from.
WIDTH = 4


@dataclass(frozen=True)
class Setting:
    """What all levels of a call have in common."""

    num_moments: int
    seed: int
    block_size: int
    checkpoint: Path | None
    bar: Any

    @property
    def per_probe(self) -> int:
        """How many products one probe takes."""
        return products_per_probe(self.num_moments)

    def run(self, operator: Operator, name: str) -> Run:
        """Return the frame of one operator's products with probes of ±1."""
        return Run(
            operator, self.num_moments, self.seed, "rademacher", self.block_size, checkpoint=self.folder(name),
            settings={"function": "multilevel_moments"},
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


def deflated_part(setting: Setting, operator: Operator, name: str, basis: Tensor) -> FloatArray:
    """Return tr A^k - tr B^k for k = 1, 2, where B is A outside of the span of a basis, shape (K,).

    Cost: a product for each row of the basis.
    """
    run, team = setting.run(operator, name), operator.team
    products = torch.empty_like(basis)
    for start, stop in run.blocks(0, len(basis)):
        products[start:stop] = run.recorded.matmat(basis[start:stop].T.contiguous()).T
        setting.bar.update(stop - start)
    raise_if_not_finite(products.T, "product {} with a deflated direction")
    inner = gram(basis.T, products.T, team)
    squares = float(column_dots(products.T, products.T, team).sum())
    return np.array([np.trace(inner), 2 * squares - np.sum(inner**2)])[: setting.num_moments]


def samples(setting: Setting, operator: Operator, name: str, probes: tuple[int, int], basis: Tensor) -> FloatArray:
    """Return estimates of (1/N) tr B^k from probes of ±1, numbered from the first to the last, shape (P, K)."""
    run, team, per_probe = setting.run(operator, name), operator.team, setting.per_probe
    first, last = probes
    found = np.empty((last - first, 2 * per_probe))
    for start, stop in run.blocks(first, last):
        v = projected(run.probes(start, stop), basis, team)
        for step in range(per_probe):
            w = projected(run.recorded.matmat(v), basis, team)
            raise_if_not_finite(w, f"product {step + 1} of probe {{}}", start - first)
            forms = torch.stack([column_dots(v, w, team), column_dots(w, w, team)], dim=1)
            found[start - first : stop - first, 2 * step : 2 * step + 2] = forms.cpu().numpy() / operator.size
            v = w
        setting.bar.update((stop - start) * per_probe)
    check_range(found)
    return found[:, : setting.num_moments]
