"""Rules that are written into the list of claims: which measured numbers are compared, how, and behind which gates."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from skip_paper.verdicts import gates
from skip_paper.verdicts.evidence import SEQUENTIAL, Evidence, spread, stopped
from skip_paper.verdicts.looks import Plan
from skip_paper.verdicts.means import difference, smaller_share
from skip_paper.verdicts.orders import rank_correlation, trend
from skip_paper.verdicts.quantities import FRACTIONS, Group, Measured, Quantity, Scene, complete, missing

Array = NDArray[np.float64]


class Rule(Protocol):
    """How one claim is judged."""

    def evidence(self, group: Group, scene: Scene, margin: float, plan: Plan) -> Evidence:
        """Return what the runs of a figure say."""


@dataclass(frozen=True)
class Larger:
    """One kind of network has more of a quantity than another.

    ``paired``: their runs share their starts so closely that pairs are judged.
    """

    larger: str
    smaller: str
    quantity: Quantity
    paired: bool = False

    def evidence(self, group: Group, scene: Scene, margin: float, plan: Plan = SEQUENTIAL) -> Evidence:
        """Return what the runs of a figure say."""
        labels = (self.larger, self.smaller)
        if why := missing(self.quantity, labels, group):
            return stopped(why, margin)
        values, lost = zip(*(complete(self.quantity, group[label], scene) for label in labels), strict=True)
        if any(lost):
            return stopped(_lost(labels, lost, self.quantity), margin)
        found = difference(*values, margin=margin, paired=self.paired, plan=plan)
        return _with_gates(found, self.quantity, labels, group, scene)


@dataclass(frozen=True)
class Slightly:
    """A kind is below the best one by less than half of the distance of that to another."""

    best: str
    near: str
    far: str
    quantity: Quantity
    paired: bool = True

    def evidence(self, group: Group, scene: Scene, margin: float, plan: Plan = SEQUENTIAL) -> Evidence:
        """Return what the runs of a figure say."""
        labels = (self.best, self.near, self.far)
        if why := missing(self.quantity, labels, group):
            return stopped(why, margin)
        values, lost = zip(*(complete(self.quantity, group[label], scene) for label in labels), strict=True)
        if any(lost):
            return stopped(_lost(labels, lost, self.quantity), margin)
        found = smaller_share(*values, paired=self.paired, plan=plan)
        return _with_gates(found, self.quantity, labels[:2], group, scene)


@dataclass(frozen=True)
class Rising:
    """A quantity rises over kinds whose labels are numbers, or falls. Seeds are the blocks of Page's test.

    ``prefix``: before the number in a label. ``same_start``: gradients at the start must be alike, or the order may
    have another cause.
    """

    quantity: Quantity
    prefix: str = ""
    falling: bool = False
    same_start: bool = False

    def evidence(self, group: Group, scene: Scene, margin: float, plan: Plan = SEQUENTIAL) -> Evidence:
        """Return what the runs of a figure say."""
        labels = sorted((label for label in group if self._is_one(label)), key=self._number)
        if len(labels) < 3:
            return stopped(f"{len(labels)} conditions, and a trend needs 3", margin)
        if why := missing(self.quantity, labels, group):
            return stopped(why, margin)
        values, lost = zip(*(complete(self.quantity, group[label], scene) for label in labels), strict=True)
        if any(lost):
            return stopped(_lost(labels, lost, self.quantity), margin)
        found = trend(values[::-1] if self.falling else values, margin=margin, plan=plan)
        if self.same_start:
            start = Quantity("gradient_norm", "start", "first")
            found = found.gated(gates.confounded({label: start.of(group[label]) for label in labels}))
        if self.quantity.name.endswith("accuracy"):
            best = {label: _best(group[label], self.quantity.name) for label in labels}
            alive = [label for label in labels if not gates.chance({label: best[label]}, scene.classes)]
            if len(alive) < 3:
                found = found.gated(gates.chance(best, scene.classes))
        return found

    def _is_one(self, label: str) -> bool:
        try:
            self._number(label)
        except ValueError:
            return False
        return label.startswith(self.prefix)

    def _number(self, label: str) -> float:
        return float(label.removeprefix(self.prefix))


@dataclass(frozen=True)
class Related:
    """Two quantities rise together over all runs of one kind; ``given``: at equal values of a third.

    ``falling``: one falls where the other rises. All runs are judged once, whatever their number.
    """

    label: str
    first: Quantity
    second: Quantity
    given: Quantity | None = None
    falling: bool = False

    def evidence(self, group: Group, scene: Scene, margin: float, plan: Plan = SEQUENTIAL) -> Evidence:
        """Return what the runs of a figure say."""
        quantities = [q for q in (self.first, self.second, self.given) if q is not None]
        for quantity in quantities:
            if why := missing(quantity, (self.label,), group):
                return stopped(why, margin)
        columns, lost = zip(*(complete(q, group[self.label], scene) for q in quantities), strict=True)
        if any(lost):
            # Ranks need an order only: a run without a number is the worst of all, and its start is known.
            columns = tuple(np.nan_to_num(c, nan=np.nanmin(c) - 1.0) for c in columns)
        x, y = columns[0], -columns[1] if self.falling else columns[1]
        found = rank_correlation(x, y, given=columns[2] if self.given else None, margin=margin)
        for quantity in quantities:
            if quantity.name in FRACTIONS:
                found = found.gated(_poor(group[self.label], quantity.name))
        return found.gated(gates.chance({self.label: _best(group[self.label], "train_accuracy")}, scene.classes))


@dataclass(frozen=True)
class Varies:
    """A quantity varies over runs of one kind by more than ``least`` (a standard deviation)."""

    label: str
    quantity: Quantity
    least: float

    def evidence(self, group: Group, scene: Scene, margin: float, plan: Plan = SEQUENTIAL) -> Evidence:
        """Return what the runs of a figure say."""
        if why := missing(self.quantity, (self.label,), group):
            return stopped(why, margin)
        values, _ = complete(self.quantity, group[self.label], scene)
        found = spread(values, self.least)
        return found.gated(gates.chance({self.label: _best(group[self.label], self.quantity.name)}, scene.classes))


@dataclass(frozen=True)
class Level:
    """A quantity of one kind of network is above a limit, or below it, in the mean over runs."""

    label: str
    quantity: Quantity
    limit: float = 0.0
    below: bool = False

    def evidence(self, group: Group, scene: Scene, margin: float, plan: Plan = SEQUENTIAL) -> Evidence:
        """Return what the runs of a figure say."""
        if why := missing(self.quantity, (self.label,), group):
            return stopped(why, margin)
        values, lost = complete(self.quantity, group[self.label], scene)
        if lost:
            return stopped(_lost((self.label,), (lost,), self.quantity), margin)
        limit = np.full(len(values), self.limit)
        pair = (limit, values) if self.below else (values, limit)
        return replace(difference(*pair, margin=margin, paired=True, plan=plan), test="t of one sample")


@dataclass(frozen=True)
class Track:
    """Two quantities rise and fall together over the epochs of a run, or against each other (``falling``).

    The effect is the mean over runs of Spearman's correlation over epochs; times that both have are used.
    """

    label: str
    first: Quantity
    second: Quantity
    falling: bool = False

    def evidence(self, group: Group, scene: Scene, margin: float, plan: Plan = SEQUENTIAL) -> Evidence:
        """Return what the runs of a figure say."""
        for quantity in (self.first, self.second):
            if why := missing(quantity, (self.label,), group):
                return stopped(why, margin)
        series = group[self.label]
        epochs = sorted(set(series.epochs(self.first.name)) & set(series.epochs(self.second.name)))
        if len(epochs) < 4:
            return stopped(f"{len(epochs)} common times, and a correlation needs 4", margin)
        a, b = (np.array([replace(q, when=(t,)).of(series) for t in epochs]).T for q in (self.first, self.second))
        usable = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
        rho = np.array([float(stats.spearmanr(x, y).statistic) for x, y in zip(a[usable], b[usable], strict=True)])
        zero = np.zeros(len(rho))
        found = difference(*((zero, rho) if self.falling else (rho, zero)), margin=margin, paired=True, plan=plan)
        return replace(found, test=f"t of one sample, Spearman's correlation over {len(epochs)} epochs")


@dataclass(frozen=True)
class Peak:
    """A quantity is largest in the middle of ordered kinds: above both ends, each a mean over several kinds.

    Both must hold, so the end with the weaker evidence counts.
    """

    low: tuple[str, ...]
    middle: tuple[str, ...]
    high: tuple[str, ...]
    quantity: Quantity

    def evidence(self, group: Group, scene: Scene, margin: float, plan: Plan = SEQUENTIAL) -> Evidence:
        """Return what the runs of a figure say."""
        parts = []
        for labels in (self.low, self.middle, self.high):
            if why := missing(self.quantity, labels, group):
                return stopped(why, margin)
            parts.append(np.mean([complete(self.quantity, group[label], scene)[0] for label in labels], axis=0))
        low, middle, high = parts
        ends = [difference(middle, end, margin=margin, paired=True, plan=plan) for end in (low, high)]
        best = {label: _best(group[label], "train_accuracy") for label in self.middle}
        weaker = min(ends, key=lambda found: found.low).gated(gates.chance(best, scene.classes))
        return replace(weaker, test=f"{weaker.test} against the better end")


@dataclass(frozen=True)
class Computed:
    """A computation of the figure itself gives the evidence; here is only how it is called there."""

    how: str

    def evidence(self, group: Group, scene: Scene, margin: float, plan: Plan = SEQUENTIAL) -> Evidence:
        """Return that the figure has to give it."""
        return stopped(f"not computed: {self.how}", margin)


def _with_gates(found: Evidence, quantity: Quantity, labels: tuple[str, ...], group: Group, scene: Scene) -> Evidence:
    """Return evidence behind the gates that its quantity has."""
    if quantity.name.endswith("accuracy"):
        return found.gated(
            gates.chance({label: _best(group[label], quantity.name) for label in labels}, scene.classes)
        )  # fmt: skip
    if quantity.name not in ("degenerate", "negative", "relative"):
        return found
    for label in labels:
        found = found.gated(_poor(group[label], quantity.name))
    sources = {group[label].source(quantity.name) for label in labels}
    if "mixture" in sources and quantity.name == "degenerate":
        found = gates.bounded(found, _bound(group[labels[0]]), _bound(group[labels[1]]))
    found = replace(found, test=f"{found.test}, {' and '.join(sorted(sources))}")
    if "lanczos" in sources:
        found = found.gated(gates.unresolved({label: quantity.ends(group[label]) for label in labels}))
    return gates.one_eigenvalue(found, scene.parameters, quantity.scale)


def _poor(series: Measured, name: str) -> str:
    if series.source(name) != "mixture":
        return ""
    fits = [fit for fit in series.fits.fits.flat if fit is not None]  # type: ignore[attr-defined]
    return gates.poor_fit(sum(fit.is_poor for fit in fits), len(fits))


def _bound(series: Measured) -> gates.Bound:
    """Return which bound mixture fits are: on the largest weight of the grid, "at most" so many are degenerate."""
    if series.source("degenerate") != "mixture":
        return ""
    fits = [fit for fit in series.fits.fits.flat if fit is not None]  # type: ignore[attr-defined]
    upper = sum("weight upper" in fit.on_edge for fit in fits)
    lower = sum("weight lower" in fit.on_edge for fit in fits)
    return "at most" if 2 * upper > len(fits) else "at least" if 2 * lower > len(fits) else ""


def _best(series: Measured, name: str) -> Array:
    """Return the best accuracy that each run reached, 0 where it diverged."""
    values: Array = np.nan_to_num(series.values(name), nan=0.0).max(axis=1)
    return values


def _lost(labels: tuple[str, ...] | list[str], lost: tuple[int, ...], quantity: Quantity) -> str:
    words = ", ".join(f"{count} of {label}" for label, count in zip(labels, lost, strict=True) if count)
    return f"diverged: {words}, whose {quantity.name.replace('_', ' ')} is not known"
