"""Note 1 and section 2.1: what makes a Hessian singular, and whether skips remove it.

Each function returns sizes over a few random networks, which are zero where the statement holds.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skip_paper.verdicts.exact.tiny_network import OUTPUTS, Case, exchange, exchanges, flatten, null_amounts, zeros

SEEDS = range(5)
Array = NDArray[np.float64]


def overlap_anywhere() -> float:
    """Return the least change of the gradient, over its size, as weight moves between two equal units, at any error."""
    sizes = []
    for seed in SEEDS:
        case = Case(seed, "tanh")
        case.overlap()
        hessian = case.hessian()
        moved = hessian @ exchange(torch.ones(OUTPUTS).double())
        sizes.append(float(moved.norm() / hessian.norm()))
    return min(sizes)


def overlap_regular() -> float:
    """Return the smallest absolute eigenvalue of a whole network with two equal units and one output."""
    x = torch.linspace(-1, 2, 7, dtype=torch.float64)

    def loss(theta: Tensor) -> Tensor:
        w, incoming = theta[:2], theta[2:]
        return ((torch.tanh(x[:, None] * incoming) @ w - torch.cos(x)) ** 2).mean() / 2

    hessian = torch.func.hessian(loss)(torch.tensor([0.7, 0.4, 0.9, 0.9], dtype=torch.float64))
    return float(torch.linalg.eigvalsh(hessian).abs().min())


def overlap_corrected() -> float:
    """Return the greatest size of H d where it must vanish: at zero error, and with more units above than below."""
    sizes = []
    for seed in SEEDS:
        case = Case(seed, "tanh")
        case.overlap()
        sizes.append(float((case.hessian() @ exchange(null_amounts(case))).norm()))
        case.interpolate()
        sizes.append(float((case.hessian() @ exchanges()).norm()))
    return max(sizes)


def dead_unit(*, skip: bool) -> tuple[float, float]:
    """Return the sizes of the Hessian's columns of the outgoing weights of a unit that is always zero: greatest, least."""
    greatest, least = [], []
    for seed in SEEDS:
        case = Case(seed, "relu", skip=skip)
        case.weights["b1"][0] = -20.0  # beyond what any input of the layer can lift
        columns = zeros()
        columns["W2"][:, 0] = 1
        block = case.hessian()[:, flatten(columns).bool()]
        greatest.append(float(block.abs().max()))
        least.append(float(torch.linalg.svdvals(block).min()))
    return max(greatest), min(least)


def zero_weights(kind: Literal["J", "w"], *, skip: bool, at_zero_error: bool) -> tuple[float, float]:
    """Return least and greatest size of H d, d being the weights that zero weights make unidentifiable.

    ``kind`` "J": the incoming weights are zero, and d are the outgoing ones; "w": the reverse. For "w" the skip leads
    from the unit to the layer above, so that the network has a third hidden layer, x3 = tanh(V x2) + x2.
    """
    sizes = []
    for seed in SEEDS:
        case = _Deep(seed, skip=skip) if kind == "w" else Case(seed, "tanh", skip=skip)
        direction = zeros()
        if kind == "J":
            case.weights["W1"][0], case.weights["b1"][0] = 0.0, 0.0
            direction["W2"][:, 0] = 1.0
        else:
            case.v[:, 0] = 0.0  # type: ignore[attr-defined]
            direction["W1"][0] = 1.0
        if at_zero_error:
            case.interpolate()
        sizes.append(float((case.hessian() @ flatten(direction)).norm()))
    return min(sizes), max(sizes)


class _Deep(Case):
    """A `Case` with a third hidden layer of fixed weights, x3 = tanh(V x2) (+ x2), between x2 and the outputs."""

    def __init__(self, seed: int, *, skip: bool) -> None:
        super().__init__(seed, "tanh")
        self.v = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
        self.above = skip

    def layers(self, w: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        x1, x2 = super().layers(w)
        return x1, torch.tanh(x2 @ self.v.T) + (x2 if self.above else 0)


def dependence(activation: str, *, skip: bool, distance: float = 0.0) -> tuple[float, float]:
    """Return least and greatest size of H d, at zero error, where J_c is J_a / 2 - J_b, to a distance."""
    sizes = []
    for seed in SEEDS:
        case = Case(seed, activation, skip=skip)
        for name in ("W1", "b1"):
            away = torch.randn(case.weights[name][2].shape, generator=torch.Generator().manual_seed(seed)).double()
            case.weights[name][2] = case.weights[name][0] / 2 - case.weights[name][1] + distance * away
        case.interpolate()
        direction = zeros()
        direction["W2"][0] = torch.tensor([0.5, -1.0, -1.0], dtype=torch.float64)
        sizes.append(float((case.hessian() @ flatten(direction)).norm()))
    return min(sizes), max(sizes)


def near_overlap() -> float:
    """Return the slope of the size of H d against the distance of two units from overlap, both logarithmic."""
    distances, sizes = np.geomspace(1e-4, 1e-1, 7), []
    for distance in distances:
        total = 0.0
        for seed in SEEDS:
            case = Case(seed, "tanh")
            case.overlap()
            case.weights["W1"][1] += distance
            case.interpolate()
            total += float((case.hessian() @ exchange(torch.ones(OUTPUTS).double())).norm())
        sizes.append(total)
    return float(np.polyfit(np.log(distances), np.log(sizes), 1)[0])


def overlap_with_skips() -> float:
    """Return the least size of H d over all d that move weight between two equal units with skips, at zero error."""
    sizes = []
    for seed in SEEDS:
        case = Case(seed, "tanh", skip=True)
        case.overlap()
        case.interpolate()
        sizes.append(float(torch.linalg.svdvals(case.hessian() @ exchanges()).min()))
    return min(sizes)


def null_directions() -> list[int]:
    """Return how many null directions 1, 2 and 3 equal units of three give to the outgoing weights, at zero error."""
    counts = []
    for equal in (1, 2, 3):
        case = Case(0, "tanh")
        for unit in range(1, equal):
            case.weights["W1"][unit], case.weights["b1"][unit] = case.weights["W1"][0], case.weights["b1"][0]
        case.interpolate()
        columns = zeros()
        columns["W2"][:] = 1
        mask = flatten(columns).bool()
        block = case.hessian()[mask][:, mask]
        counts.append(int(len(block) - torch.linalg.matrix_rank(block, hermitian=True, rtol=1e-10)))
    return counts
