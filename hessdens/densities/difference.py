"""Change between two Lanczos densities from the same probes: what probes and resolution do to both cancels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from scipy.special import stdtrit

from hessdens._calls import warn_caller
from hessdens._checks import LEVEL, PAPER_WINDOW, check_level
from hessdens._types import FloatArray, Window
from hessdens.densities.base import NUM_MOMENTS, Density
from hessdens.densities.krylov import Krylov, shares_between
from hessdens.densities.quadrature import Quadrature
from hessdens.results.saved import Numbers, Saved, Size
from hessdens.results.storage import ROUNDING
from hessdens.results.summaries.text import listed, same_window

NAMES = (*(f"m_{k}" for k in range(1, NUM_MOMENTS + 1)), "degenerate", "negative")
# Errors exceed the spread over probes, since probes decide together which eigenvalues are found one by one: by 5 to
# 15%, with a bias of up to a quarter of the spread in the highest moments.
SUBSPACE = 1.25


@dataclass(frozen=True)
class NumbersOfProbes:
    """The moments and fractions of a density that `DensityDifference` compares, and how certain they are."""

    values: FloatArray  # (6,)
    left_out: FloatArray  # (P, 6): the same without one probe each
    ends: FloatArray  # (2, 6): the least and the most that the probes leave open
    size: int  # N

    def noise(self) -> FloatArray:
        """Return standard errors by the probes (jackknife), shape (6,)."""
        spread = np.mean((self.left_out - self.left_out.mean(axis=0)) ** 2, axis=0)
        return SUBSPACE * np.sqrt((len(self.left_out) - 1) * spread)

    def resolution(self) -> FloatArray:
        """Return how far values may be off by what the probes leave open, shape (6,)."""
        return np.abs(self.ends - self.values).max(axis=0)

    def minus(self, other: Self) -> Self:
        """Return the change from numbers of the same probes. What is left open is in the same place in both."""
        return type(self)(self.values - other.values, self.left_out - other.left_out, self.ends - other.ends, self.size)


def without_one(samples: FloatArray) -> FloatArray:
    """Return the means of all samples except one, in the shape of ``samples``, (P, m)."""
    return (samples.sum(axis=0) - samples) / (len(samples) - 1)


@dataclass(frozen=True, eq=False)
class DensityDifference(Saved):
    """Changes of moments and fractions from one density to another with the same probes.

    Parameters
    ----------
    values
        Second minus first, shape (6,): m_1..m_4, the degenerate and the negative fraction.
    noise, resolution
        Errors of `values`, shape (6,): standard errors by the probes, and how far the finite resolution of both may
        shift them.
    unpaired_errors
        Standard errors if the two densities had independent probes, shape (6,).
    num_probes
        P, the number of probes that both densities share.
    title
        From which density to which, for printing.
    window
        Size of the window around 0 that counts as degenerate; NaN in files of earlier versions.
    """

    values: Annotated[FloatArray, "6 finite"]
    noise: Annotated[FloatArray, "6 amount"]
    resolution: Annotated[FloatArray, "6 amount"]
    unpaired_errors: Annotated[FloatArray, "6 amount"]
    num_probes: Size
    title: str
    window: Annotated[float, "error"] = math.nan

    def __post_init__(self) -> None:
        super().__post_init__()
        changes = self.values[NUM_MOMENTS:]
        if self.num_probes < 2 or np.any(np.abs(changes) > 1 + ROUNDING):
            raise ValueError(
                f"A change must be of 2 probes at least, and of fractions at most 1; got {self.num_probes} probes, "
                f"{changes}."
            )

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
        half_width = stdtrit(self.num_probes - 1, (1 + level) / 2) * self.noise + self.resolution
        return np.stack([self.values - half_width, self.values + half_width])

    def _numbers(self, window: Window, level: float) -> Numbers:
        low, high = self.interval(level)
        columns = {"value": self.values, "standard_error": self.standard_errors, "low": low, "high": high}
        changes = {name: {key: column[index] for key, column in columns.items()} for index, name in enumerate(NAMES)}
        return {**self._named("num_probes", "title", "window"), "level": level, "changes": changes}

    def __str__(self) -> str:
        rows = zip(NAMES, self.values, self.standard_errors, self.unpaired_errors, strict=True)
        lines = [
            f"  {name:<10} {value:+.3e} ± {error:.1e}  (independent probes: ± {unpaired:.1e})"
            for name, value, error, unpaired in rows
        ]
        title = f"Change {self.title} ± standard errors (the same {self.num_probes} probes)"
        return "\n".join([title, *lines, *same_window(self.window)])


def difference_of(
    before: NumbersOfProbes, after: NumbersOfProbes, title: str, window: float = math.nan
) -> DensityDifference:
    """Return the changes between numbers of the same probes, and fractions in the same window."""
    change = after.minus(before)
    # What is open in both lies in the same place, the more likely the less it is; half of all may lie anywhere, and
    # so may one eigenvalue.
    widths = np.stack([np.ptp(numbers.ends, axis=0)[NUM_MOMENTS:] for numbers in (before, after)])
    resolution = change.resolution()
    resolution[NUM_MOMENTS:] += np.minimum(4 * widths.max(axis=0) ** 2, 1.0) * widths.mean(axis=0)
    resolution[NUM_MOMENTS:] += np.minimum(widths.sum(axis=0), 1 / before.size)
    errors = (before.noise(), before.resolution(), after.noise(), after.resolution())
    unpaired = np.sqrt(sum(error**2 for error in errors))
    return DensityDifference(change.values, change.noise(), resolution, unpaired, len(change.left_out), title, window)


def numbers_of(quadrature: Quadrature, spaces: Sequence[Krylov], num_steps: int, half: float) -> NumbersOfProbes:
    """Return the moments and both fractions, in a window of which this is half, whose changes are told."""

    def fractions(weights: FloatArray) -> FloatArray:
        measure = quadrature.measure(weights, num_steps)
        negative = quadrature.cdf(np.array([-half]), measure)
        return np.concatenate([quadrature.inside(half, measure), negative], axis=-1)

    low, high = np.array([-half, -np.inf]), np.array([half, -half])
    shares = shares_between(spaces, low, high) * (1 - len(quadrature.eigenvalues) / quadrature.size)
    samples, (below, above) = quadrature.moment_samples(NUM_MOMENTS), quadrature.moment_errors(NUM_MOMENTS)
    values = np.concatenate([samples.mean(axis=0), fractions(quadrature.mean_weights())])
    left_out = np.concatenate([without_one(samples), fractions(without_one(quadrature.weights))], axis=1)
    ends = shares + quadrature.found_between(low, high) / quadrature.size
    of_moments = values[:NUM_MOMENTS] + np.stack([-below, above])
    return NumbersOfProbes(values, left_out, np.concatenate([of_moments, ends], axis=1), quadrature.size)


def common_window(densities: Sequence[Density]) -> float:
    """Return the size of the window in which densities are compared: of the first that has one of its own, or else 0.2.

    The caller of the public function is warned where others have other ones.
    """
    sizes = list(dict.fromkeys(density.window for density in densities if density.has_window)) or [PAPER_WINDOW]
    if len(sizes) > 1:
        several = listed([f"{size:.3g}" for size in sizes])
        warn_caller(
            f"The densities were estimated for windows of different sizes, {several}; all fractions are in one of "
            f"{sizes[0]:.3g}. Write window={max(sizes):.3g}, or another size, to choose."
        )
    return sizes[0]
