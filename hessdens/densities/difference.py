"""Change between two Lanczos densities from the same probes: what probes and resolution do to both cancels."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import ndtri, stdtrit

from hessdens._checks import LEVEL, PAPER_WINDOW, check_level, half_window
from hessdens._types import FloatArray
from hessdens.densities.base import NUM_MOMENTS
from hessdens.densities.lanczos import SUBSPACE, LanczosDensity
from hessdens.densities.quadrature import Quadrature
from hessdens.results.saved import Numbers, Saved

NAMES = (*(f"m_{k}" for k in range(1, NUM_MOMENTS + 1)), "degenerate", "negative")


@dataclass(frozen=True, eq=False)
class DensityDifference(Saved):
    """Changes of moments and fractions from one density to another with the same probes.

    Parameters
    ----------
    values
        Second minus first, shape (6,): m_1..m_4, the degenerate and the negative fraction.
    noise, resolution
        Standard errors of `values`, shape (6,): by the probes, and by the finite resolution of both.
    unpaired_errors
        Standard errors if the two densities had independent probes, shape (6,).
    num_probes
        P, the number of probes that both densities share.
    title
        From which density to which, for printing.
    """

    layout: ClassVar = {
        **dict.fromkeys(("values", "noise", "resolution", "unpaired_errors"), f"{len(NAMES)} finite"),
        "num_probes": "size",
        "title": "text",
    }
    values: FloatArray
    noise: FloatArray
    resolution: FloatArray
    unpaired_errors: FloatArray
    num_probes: int
    title: str

    @property
    def names(self) -> tuple[str, ...]:
        """What the entries are."""
        return NAMES

    @property
    def standard_errors(self) -> FloatArray:
        """Noise and resolution together, shape (6,)."""
        return np.hypot(self.noise, self.resolution)

    @property
    def gain(self) -> FloatArray:
        """How many times smaller errors are than unpaired ones, shape (6,); NaN where both are 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.unpaired_errors / self.standard_errors

    def interval(self, level: float = LEVEL) -> FloatArray:
        """Return confidence intervals of the changes, shape (2, 6): lower ends, upper ends."""
        check_level(level)
        tail = (1 + level) / 2
        half_width = np.hypot(stdtrit(self.num_probes - 1, tail) * self.noise, ndtri(tail) * self.resolution)
        return np.stack([self.values - half_width, self.values + half_width])

    def _numbers(self, window: float, level: float) -> Numbers:
        low, high = self.interval(level)
        columns = {"value": self.values, "standard_error": self.standard_errors, "low": low, "high": high}
        changes = {name: {key: column[index] for key, column in columns.items()} for index, name in enumerate(NAMES)}
        return {"num_probes": self.num_probes, "title": self.title, "level": level, "changes": changes}

    def __str__(self) -> str:
        rows = zip(NAMES, self.values, self.standard_errors, self.unpaired_errors, self.gain, strict=True)
        lines = [
            f"  {name:<10} {value:+.3e} ± {error:.1e}  (unpaired ± {unpaired:.1e}, {gain:.3g} times as much)"
            for name, value, error, unpaired, gain in rows
        ]
        return "\n".join([f"Change {self.title} (the same {self.num_probes} probes)", *lines])


@dataclass(frozen=True)
class _Statistics:
    """What is asked of a density, shape (6,), and the same without one probe each, and some steps before."""

    values: FloatArray
    left_out: FloatArray
    before: list[FloatArray]
    unresolved: FloatArray

    def minus(self, other: "_Statistics") -> "_Statistics":
        """Return the change from another density. Mass between Ritz values lies elsewhere in each: it adds up."""
        before = [second - first for second, first in zip(self.before, other.before, strict=False)]
        unresolved = np.hypot(self.unresolved, other.unresolved)
        return _Statistics(self.values - other.values, self.left_out - other.left_out, before, unresolved)

    def errors(self) -> tuple[FloatArray, FloatArray]:
        """Return noise (jackknife) and resolution, as `LanczosDensity.degenerate_interval` takes them."""
        count = len(self.left_out)
        spread = np.mean((self.left_out - self.left_out.mean(axis=0)) ** 2, axis=0)
        changes = [(earlier - self.values) ** 2 for earlier in self.before] or [np.zeros_like(self.values)]
        resolution = np.hypot(np.sqrt(np.mean(changes, axis=0)), self.unresolved / np.sqrt(12))
        return SUBSPACE * np.sqrt((count - 1) * spread), resolution


def density_difference(
    first: LanczosDensity,
    second: LanczosDensity,
    *,
    window: float = PAPER_WINDOW,
    title: str = "from the first to the second",
) -> DensityDifference:
    """Return the change from ``first`` to ``second``, two densities that `lanczos_density` made from the same probes.

    Parameters
    ----------
    first, second
        Densities of as many eigenvalues, from the same seed and number of probes.
    window
        Size of the window around 0 that counts as degenerate.
    title
        Of what to what, for printing.

    Raises
    ------
    ValueError
        If the numbers of eigenvalues or probes differ, or ``window`` is negative or not finite.

    Notes
    -----
    Every statistic is a function of the mean over probes, so the leave-one-out values of both densities, subtracted
    probe by probe, give the jackknife error of the change; for moments that is the standard error of paired samples.
    """
    kinds = [(density.size, density.num_probes) for density in (first, second)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            "Densities must have the same eigenvalues and probes in number; got "
            f"{kinds[0][0]:,} and {kinds[1][0]:,} eigenvalues, {kinds[0][1]} and {kinds[1][1]} probes."
        )
    before, after = _statistics(first, window), _statistics(second, window)
    change = after.minus(before)
    noise, resolution = change.errors()
    unpaired = np.sqrt(sum(error**2 for part in (before, after) for error in part.errors()))
    return DensityDifference(change.values, noise, resolution, unpaired, first.num_probes, title)


def _statistics(density: LanczosDensity, window: float) -> _Statistics:
    half, count = half_window(window), density.num_probes

    def fractions(quadrature: Quadrature, weights: FloatArray) -> FloatArray:
        """Return degenerate and negative fraction for other weights, (n,) or (L, n); shape (2,) or (L, 2)."""
        return np.concatenate([quadrature.inside(half, weights), quadrature.cdf(np.array([-half]), weights)], axis=-1)

    quadrature, samples = density.quadrature, density.moment_samples(NUM_MOMENTS)
    moments, weights = samples.mean(axis=0), quadrature.weights
    without_one = [(total.sum(axis=0) - total) / (count - 1) for total in (samples, weights)]
    edges = quadrature.unresolved(np.array([-half, half]))
    return _Statistics(
        np.concatenate([moments, fractions(quadrature, weights.mean(axis=0))]),
        np.concatenate([without_one[0], fractions(quadrature, without_one[1])], axis=1),
        # Moments do not depend on the resolution: quadrature knows four from three steps on.
        [np.concatenate([moments, fractions(each, each.weights.mean(axis=0))]) for each in density.earlier],
        np.concatenate([np.zeros(NUM_MOMENTS), [edges.sum(), edges[0]]]),
    )
