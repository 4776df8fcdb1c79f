"""How large each block of a matrix is, and what lies outside its diagonal blocks."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from scipy.special import stdtrit

from hessdens._checks import LEVEL, check_level
from hessdens._types import FloatArray, Window
from hessdens.results.certificates import Certificates
from hessdens.results.saved import Numbers, Saved
from hessdens.results.structure.named import check_lengths, place_of, shown
from hessdens.results.summaries.text import counted

# Blocks that a text names.
MOST_LINES = 10


@dataclass(frozen=True, eq=False)
class BlockNorms(Saved):
    """Estimated squared Frobenius norms |H_ij|_F² of all blocks of a matrix, and traces of its diagonal blocks.

    Parameters
    ----------
    samples
        One estimate of each per probe, shape (P, B, B), symmetric.
    traces
        One estimate of each diagonal block's trace per probe, shape (P, B).
    cosines
        For each probe v, the cosine of the angle between H v and D v, D the diagonal blocks of H, shape (P,).
    names, sizes
        Of the parts, with their numbers of parameters.
    num_products
        Products spent: P for each part.
    certificates
        What the result has cost.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdens.structure import block_norms
    >>> matrix = np.diag([3.0, 4.0, 0.0]) + np.diag([0.0, 1.0], 1) + np.diag([0.0, 1.0], -1)
    >>> norms = block_norms(matrix, {"first": slice(0, 2), "last": slice(2, 3)}, num_probes=2)
    >>> norms.values.tolist()
    [[25.0, 1.0], [1.0, 0.0]]
    >>> print(norms.summary())
    Blocks of 2 parts, 3 entries, 4 products
      outside of the diagonal blocks: 7.407% of |H|² (7.407% to 7.407%)
      cosine of H v and its diagonal blocks: 0.98 (0.98 to 0.98)
    """

    samples: Annotated[FloatArray, "P B B finite"]
    traces: Annotated[FloatArray, "P B finite"]
    cosines: Annotated[FloatArray, "P finite"]
    names: Annotated[tuple[str, ...], "B text"]
    sizes: Annotated[tuple[int, ...], "B count"]
    num_products: int
    certificates: Certificates

    def __post_init__(self) -> None:
        super().__post_init__()
        check_lengths(self.names, sizes=len(self.sizes))
        count, parts = len(self.samples), len(self.names)
        shapes = self.samples.shape[1:], self.traces.shape, self.cosines.shape
        if shapes != ((parts, parts), (count, parts), (count,)) or count < 2:
            raise ValueError(
                f"samples, traces and cosines must have shapes (P, {parts}, {parts}), (P, {parts}) and (P,), P > 1; "
                f"got {self.samples.shape}, {self.traces.shape} and {self.cosines.shape}."
            )
        if not (self.samples >= 0).all() or not np.array_equal(self.samples, self.samples.transpose(0, 2, 1)):
            raise ValueError("samples must be symmetric squared norms; some are negative, or differ from those across.")

    @property
    def num_probes(self) -> int:
        """P, the number of random vectors per part."""
        return len(self.samples)

    @property
    def values(self) -> FloatArray:
        """Estimates of |H_ij|_F², shape (B, B)."""
        result: FloatArray = self.samples.mean(axis=0)
        return result

    @property
    def standard_errors(self) -> FloatArray:
        """Standard errors of `values`, shape (B, B)."""
        result: FloatArray = self.samples.std(axis=0, ddof=1) / np.sqrt(self.num_probes)
        return result

    def of(self, first: str, second: str) -> tuple[float, float]:
        """Return |H_ij|_F² of two parts, or of one with itself, and its standard error."""
        i, j = (place_of(name, self.names) for name in (first, second))
        return float(self.values[i, j]), float(self.standard_errors[i, j])

    def trace_of(self, name: str) -> tuple[float, float]:
        """Return the trace of a diagonal block, and its standard error."""
        estimates = self.traces[:, place_of(name, self.names)]
        return float(estimates.mean()), float(estimates.std(ddof=1) / np.sqrt(self.num_probes))

    def share_outside(self) -> float:
        """Return the share of |H|_F² that lies outside of the diagonal blocks: 0 for a block-diagonal matrix."""
        return self._jackknife()[0]

    def share_outside_interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return a confidence interval of that share (jackknife over probes, Student's t)."""
        return self._interval(*self._jackknife(), level)

    def cosine(self) -> float:
        """Return the mean over random vectors v of the cosine between H v and D v: 1 for a block-diagonal matrix."""
        return float(self.cosines.mean())

    def cosine_interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return a confidence interval of that mean."""
        return self._interval(self.cosine(), float(self.cosines.std(ddof=1)) / self.num_probes**0.5, level)

    def correlations(self) -> FloatArray:
        """Return |H_ij| / sqrt(|H_ii| |H_jj|), shape (B, B): the coupling of two parts on their own scale."""
        norms = np.sqrt(self.values)
        own = np.sqrt(np.diag(norms))
        scale = np.outer(own, own)
        return np.divide(norms, scale, out=np.zeros_like(norms), where=scale > 0)

    def _jackknife(self) -> tuple[float, float]:
        """Return the share outside with its bias of first order removed, and its standard error."""
        totals = np.stack([np.trace(self.samples, axis1=1, axis2=2), self.samples.sum(axis=(1, 2))])
        if not totals[1].any():
            return 0.0, 0.0
        count = self.num_probes
        inside, whole = (totals.sum(axis=1, keepdims=True) - totals) / (count - 1)
        shares = 1 - np.divide(inside, whole, out=np.ones(count), where=whole > 0)
        plain = 1 - float(totals[0].sum() / totals[1].sum())
        error = np.sqrt((count - 1) / count * np.sum((shares - shares.mean()) ** 2))
        return float(np.clip(count * plain - (count - 1) * shares.mean(), 0.0, 1.0)), float(error)

    def _interval(self, value: float, error: float, level: float) -> tuple[float, float]:
        check_level(level)
        width = float(stdtrit(self.num_probes - 1, (1 + level) / 2)) * error
        return max(0.0, value - width), min(1.0, value + width)

    def summary(self) -> str:
        """Return what lies outside of the diagonal blocks, in words."""
        parts, entries = counted(len(self.names), "part"), f"{sum(self.sizes):,} entries"
        title = f"Blocks of {parts}, {entries}, {self.num_products:,} products"
        share = "{:.4g}% of |H|² ({:.4g}% to {:.4g}%)".format(
            *(100 * part for part in (self.share_outside(), *self.share_outside_interval()))
        )
        cosine = "{:.3g} ({:.3g} to {:.3g})".format(self.cosine(), *self.cosine_interval())
        lines = (f"outside of the diagonal blocks: {share}", f"cosine of H v and its diagonal blocks: {cosine}")
        return "\n".join([title, *(f"  {line}" for line in lines)])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(parts={len(self.names)}, num_products={self.num_products})"

    def __str__(self) -> str:
        return "\n".join([self.summary(), *self._largest(), str(self.certificates)])

    def _largest(self) -> list[str]:
        """Return a line for each of the largest blocks."""
        values, errors = self.values, self.standard_errors
        rows, columns = np.triu_indices(len(self.names))
        whole = values.sum()
        order = np.argsort(-values[rows, columns])[:MOST_LINES]
        lines = []
        for i, j in zip(rows[order], columns[order], strict=True):
            names = shown(self.names[i]) if i == j else f"{shown(self.names[i])} and {shown(self.names[j])}"
            share = (1 if i == j else 2) * values[i, j] / whole if whole else 0.0
            lines.append(f"  {names}: {values[i, j]:.4g} ± {errors[i, j]:.1g} ({100 * share:.3g}%)")
        return lines

    def _numbers(self, window: Window, level: float) -> Numbers:
        share, cosine = self.share_outside_interval(level), self.cosine_interval(level)
        traces = [self.trace_of(name) for name in self.names]
        return {
            **self._named("num_products", "num_probes", "names", "sizes"),
            "share_outside": {"value": self.share_outside(), "low": share[0], "high": share[1]},
            "cosine": {"value": self.cosine(), "low": cosine[0], "high": cosine[1]},
            "squared_norms": self.values,
            "standard_errors": self.standard_errors,
            "traces": [{"value": value, "standard_error": error} for value, error in traces],
            **self.certificates._numbers(window, level),
        }
