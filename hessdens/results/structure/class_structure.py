"""Which outliers of a Gauss-Newton matrix are those of classes: three levels of means."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from hessdens._types import FloatArray, Window
from hessdens.results.saved import Numbers, Saved, Size

# Eigenvalues that a text names.
MOST_LINES = 12
# Parts of an eigenvalue add up to it, to this share of the largest one.
SUMS = 1e-3


@dataclass(frozen=True, eq=False)
class ClassStructure(Saved):
    """Parts of eigenvalues λ of a Gauss-Newton matrix, λ = v·Gv, that means over classes make, class by class.

    Parameters
    ----------
    size
        N, the number of parameters.
    eigenvalues
        The largest ones, in descending order, shape (K,).
    class_means, cross_classes, within_classes, own_classes
        Parts of each eigenvalue, shape (K, C), as `class_structure` defines them. All four add up to the eigenvalue.
    examples
        Number of examples of each class, shape (C,).

    Examples
    --------
    >>> parts = [[1, 1.5], [0, 0]], [[0, 0.5], [0, 0]], [[0, 0], [1, 0]], [[0, 0], [0, 0]]
    >>> structure = ClassStructure(9, [3.0, 1.0], *parts, examples=(5, 5))
    >>> structure.levels
    ('class means', 'within classes')
    >>> structure.counts_by_class.tolist()
    [0, 1]
    """

    size: Size
    eigenvalues: Annotated[FloatArray, "K amount"]
    class_means: Annotated[FloatArray, "K C amount"]
    cross_classes: Annotated[FloatArray, "K C amount"]
    within_classes: Annotated[FloatArray, "K C amount"]
    own_classes: Annotated[FloatArray, "K C amount"]
    examples: Annotated[tuple[int, ...], "C count"]

    def __post_init__(self) -> None:
        super().__post_init__()
        wanted = (len(self.eigenvalues), len(self.examples))
        shapes = {name: part.shape for name, part in self._parts().items()}
        if set(shapes.values()) != {wanted}:
            raise ValueError(f"Parts must have shape {wanted}, eigenvalues and classes; got {shapes}.")
        if not len(self.eigenvalues) or (np.diff(self.eigenvalues) > 0).any():
            raise ValueError("Eigenvalues must be in descending order, and at least one.")
        total = sum(part.sum(axis=1) for part in self._parts().values())
        if not (np.abs(total - self.eigenvalues) <= SUMS * self.eigenvalues[0]).all():
            raise ValueError("Parts must add up to the eigenvalues; they do not.")

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.examples)

    @property
    def shares(self) -> Mapping[str, FloatArray]:
        """Share of each level in each eigenvalue, shape (K,), by the name of the level."""
        scale = np.where(self.eigenvalues > 0, self.eigenvalues, 1.0)
        return {name: part.sum(axis=1) / scale for name, part in self._parts().items()}

    @property
    def levels(self) -> tuple[str, ...]:
        """For each eigenvalue the level with the largest share."""
        names = list(self._parts())
        largest = np.argmax(list(self.shares.values()), axis=0)
        return tuple(names[index] for index in largest)

    @property
    def counts(self) -> Mapping[str, int]:
        """Numbers of eigenvalues of each level."""
        return {name: self.levels.count(name) for name in self._parts()}

    @property
    def counts_by_class(self) -> NDArray[np.int64]:
        """Of the eigenvalues of class means, how many have their largest part from each class, shape (C,)."""
        chosen = np.array([level == "class means" for level in self.levels])
        largest = np.argmax(self.class_means[chosen], axis=1)
        return np.bincount(largest, minlength=self.num_classes).astype(np.int64)

    def _parts(self) -> dict[str, FloatArray]:
        return {
            "class means": self.class_means,
            "cross-classes": self.cross_classes,
            "within classes": self.within_classes,
            "own classes": self.own_classes,
        }

    def summary(self) -> str:
        """Return how many eigenvalues each level has, in words."""
        title = (
            f"The {len(self.eigenvalues)} largest eigenvalues of {self.size:,}, by {self.num_classes} classes of "
            f"{sum(self.examples):,} examples"
        )
        bounds = {"class means": self.num_classes, "cross-classes": self.num_classes * (self.num_classes - 2)}
        lines = [title]
        for name, count in self.counts.items():
            share = sum(self._parts()[name].sum(axis=1)) / self.eigenvalues.sum() if self.eigenvalues.any() else 0.0
            most = f" of {bounds[name]} at most" if name in bounds else ""
            lines.append(f"  {name}: {count} eigenvalues{most}, {100 * share:.1f}% of the sum of all")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(eigenvalues={len(self.eigenvalues)}, classes={self.num_classes})"

    def __str__(self) -> str:
        shares = self.shares
        lines = [self.summary(), "  eigenvalue: class means, cross-classes, within classes, own classes; class"]
        for index in range(min(len(self.eigenvalues), MOST_LINES)):
            texts = ", ".join(f"{100 * share[index]:.1f}%" for share in shares.values())
            largest = int(np.argmax(self.class_means[index]))
            lines.append(f"  {self.eigenvalues[index]:.5g}: {texts}; {largest}")
        more = len(self.eigenvalues) - MOST_LINES
        return "\n".join([*lines, *([f"  and {more} more"] if more > 0 else [])])

    def _numbers(self, window: Window, level: float) -> Numbers:
        return {
            **self._named("size", "num_classes", "examples", "eigenvalues", "levels", "counts", "counts_by_class"),
            "shares": self.shares,
        }
