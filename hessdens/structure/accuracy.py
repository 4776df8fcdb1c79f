"""The accuracy that is asked of traces of layers, and what it takes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from hessdens._checks import LEVEL
from hessdens._types import FloatArray
from hessdens.results.structure.named import shown


@dataclass(frozen=True)
class TraceAccuracy:
    """How far the ends of the 95% intervals of traces may be from the estimates; the larger amount counts.

    Parameters
    ----------
    rtol, atol
        Relative to the absolute value of each trace, and absolute.
    eps
        The rounding of products: no trace is known better than this part of the largest one.

    Raises
    ------
    ValueError
        If one of them is none.
    """

    rtol: float | None
    atol: float | None
    eps: float = 0.0

    def __post_init__(self) -> None:
        if self.rtol is not None and not 0 < self.rtol < 1:
            raise ValueError(f"rtol must lie between 0 and 1; got {self.rtol}.")
        if self.atol is not None and not 0 < self.atol < np.inf:
            raise ValueError(f"atol must be positive and finite; got {self.atol}.")

    @property
    def is_asked(self) -> bool:
        """Whether any accuracy is asked for."""
        return self.rtol is not None or self.atol is not None

    def allowed(self, values: FloatArray) -> FloatArray:
        """Return how wide each interval may be on either side, shape (L,)."""
        sizes = np.abs(values)
        relative = np.maximum((self.rtol or 0.0) * sizes, self.atol or 0.0)
        result: FloatArray = np.maximum(relative, self.eps * sizes.max(initial=0.0))
        return result

    def excess(self, values: FloatArray, widths: FloatArray) -> FloatArray:
        """Return half the widths of intervals over what is allowed, shape (L,): at most 1 where it is reached."""
        allowed = self.allowed(values)
        infinite = np.where(widths > 0, np.inf, 0.0)
        return np.divide(widths, allowed, out=infinite, where=allowed > 0)

    def part(self, share: float) -> "TraceAccuracy":
        """Return the accuracy of something that makes this share of the variance."""
        scale = share**0.5
        rtol, atol = (None if amount is None else scale * amount for amount in (self.rtol, self.atol))
        return replace(self, rtol=rtol, atol=atol)

    def message(
        self, names: Sequence[str], values: FloatArray, widths: FloatArray, spent: str, needed: float | None
    ) -> str:
        """Return what was reached, and what it takes, in words.

        ``spent`` says what it has cost, and ``needed`` is what would do, in products; None where that is not foreseen.
        """
        asked = " and ".join(
            f"{name}={amount:g}" for name, amount in (("rtol", self.rtol), ("atol", self.atol)) if amount is not None
        )
        excess = self.excess(values, widths)
        short, worst = int(np.count_nonzero(excess > 1)), int(excess.argmax())
        words = (
            f"{asked} was not reached after {spent}: 95% intervals are wider for {short} of {len(names)} layers, most "
            f"for {shown(names[worst])!r}, whose trace is {values[worst]:.3g} ± {widths[worst]:.1g}."
        )
        if self.rtol is not None and widths[worst] >= abs(values[worst]):
            absolute = float(self.rtol * np.abs(values).max())
            return f"{words} It may be 0: ask for an absolute accuracy too, such as atol={absolute:.1g}."
        return words if needed is None else f"{words} It takes about {float(f'{needed:.2g}'):,.10g} products."


def half_widths(samples: FloatArray, level: float = LEVEL) -> tuple[FloatArray, FloatArray]:
    """Return the means of samples, shape (P, L), and half the widths of their intervals (Student's t)."""
    count = len(samples)
    errors = samples.std(axis=0, ddof=1) / np.sqrt(count)
    return samples.mean(axis=0), stdtrit(count - 1, (1 + level) / 2) * errors
