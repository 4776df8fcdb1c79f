"""What is said of directions: their shares in subspaces, angles between these, and the layers that carry them."""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from hessdens._types import FloatArray, Window
from hessdens.results.saved import Numbers, Saved, Size
from hessdens.results.summaries.text import counted, percent


@dataclass(frozen=True, eq=False)
class Overlap(Saved):
    """How much of a direction lies in the subspaces of clusters of eigenvalues, as shares of its squared length.

    Parameters
    ----------
    size
        N; a random direction has a share of members / N on average.
    values
        The mean eigenvalue of each cluster, shape (C,).
    members
        Number of eigenvalues of each cluster, shape (C,).
    shares, low, high
        The share of each cluster, and the limits between which that of the exact subspace is, shape (C,).
    total
        Share, lower and upper limit of all clusters together.
    """

    size: Size
    values: Annotated[FloatArray, "C finite"]
    members: Annotated[tuple[int, ...], "C count"]
    shares: Annotated[FloatArray, "C fraction"]
    low: Annotated[FloatArray, "C fraction"]
    high: Annotated[FloatArray, "C fraction"]
    total: Annotated[FloatArray, "3 fraction"]

    def __str__(self) -> str:
        count = sum(self.members)
        whole, low, high = map(percent, self.total)
        lines = [
            f"{whole} ({low} to {high}) of the squared length lies along {count} eigenvectors; "
            f"of a random direction {percent(count / self.size)}"
        ]
        for row in zip(self.values, self.members, self.shares, self.low, self.high, strict=True):
            value, members, *shares = row
            share, lower, upper = map(percent, shares)
            several = f" ({members} of them)" if members > 1 else ""
            lines.append(f"  {value:>12.6g}{several}: {share} ({lower} to {upper})")
        return "\n".join(lines)

    def _numbers(self, window: Window, level: float) -> Numbers:
        names = ("value", "members", "share", "low", "high")
        rows = zip(self.values, self.members, self.shares, self.low, self.high, strict=True)
        total = dict(zip(("share", "low", "high"), self.total, strict=True))
        return {"size": self.size, "total": total, "clusters": [dict(zip(names, row, strict=True)) for row in rows]}


@dataclass(frozen=True, eq=False)
class SubspaceAngles(Saved):
    """Principal angles between two subspaces in radians, ascending, and limits between which the exact ones are.

    Parameters
    ----------
    angles, low, high
        The angles and their limits, shape (K,), with K the dimension of the smaller subspace.
    shared_by_chance
        The mean of `shared` over random subspaces of the same dimensions: that of the larger one, divided by N. NaN in
        files of earlier versions, which do not have it.
    """

    angles: Annotated[FloatArray, "K amount"]
    low: Annotated[FloatArray, "K amount"]
    high: Annotated[FloatArray, "K amount"]
    shared_by_chance: Annotated[float, "fraction"] = math.nan

    @property
    def shared(self) -> float:
        """Mean squared cosine, the share of one subspace in the other, 1 where the smaller lies in the larger."""
        return min(float(np.mean(np.cos(self.angles) ** 2)), 1.0)  # a mean of ones may round upwards

    def __str__(self) -> str:
        chance = "" if math.isnan(self.shared_by_chance) else f"; of random ones {percent(self.shared_by_chance)}"
        lines = [f"{counted(len(self.angles), 'principal angle')}, {percent(self.shared)} shared{chance}"]
        rows = zip(self.angles, self.low, self.high, strict=True)
        return "\n".join([*lines, *(f"  {angle:.4f} ({low:.4f} to {high:.4f}) rad" for angle, low, high in rows)])

    def _numbers(self, window: Window, level: float) -> Numbers:
        rows = zip(self.angles, self.low, self.high, strict=True)
        return {
            **self._named("shared", "shared_by_chance"),
            "angles": [dict(zip(("value", "low", "high"), row, strict=True)) for row in rows],
        }


@dataclass(frozen=True, eq=False)
class Carriers(Saved):
    """Which parameters carry a direction or a subspace: the share of each layer in its squared length.

    Parameters
    ----------
    layers
        Names, shape (L,).
    sizes
        Number of parameters of each layer, shape (L,).
    shares
        Their shares in the squared length; those of layers that cover all parameters sum to 1.
    participation
        The participation ratio: 1 / sum q^2, with q the share of each parameter. The number of parameters that carry
        the direction if all carry as much: from 1 to N. About N / 3 for a random direction.
    """

    layers: Annotated[tuple[str, ...], "L text"]
    sizes: Annotated[tuple[int, ...], "L count"]
    shares: Annotated[FloatArray, "L fraction"]
    participation: Annotated[float, "amount"]

    def __str__(self) -> str:
        total = sum(self.sizes)
        lines = [f"carried by about {self.participation:,.0f} of {total:,} parameters (participation ratio)"]
        width = max(map(len, self.layers))
        for index in np.argsort(-self.shares, kind="stable"):
            ratio = self.shares[index] / (self.sizes[index] / total)
            name, share = self.layers[index].ljust(width), percent(float(self.shares[index]))
            lines.append(f"  {name}  {share} by {self.sizes[index]:,} parameters: {ratio:.2g} times their part")
        return "\n".join(lines)

    def _numbers(self, window: Window, level: float) -> Numbers:
        rows = zip(self.layers, self.sizes, self.shares, strict=True)
        names = ("layer", "size", "share")
        return {
            "participation": self.participation,
            "layers": [dict(zip(names, row, strict=True)) for row in rows],
        }
