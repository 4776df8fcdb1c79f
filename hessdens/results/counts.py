"""Numbers of eigenvalues that are guaranteed, with what they rest on."""

from dataclasses import dataclass
from typing import Annotated

from hessdens._types import Window
from hessdens.results.certificates import Certificates
from hessdens.results.saved import Numbers, Saved, Size
from hessdens.results.summaries.text import counted

SIDES = ("negative", "degenerate", "positive")


@dataclass(frozen=True, eq=False)
class CertifiedCounts(Saved):
    """The fewest and most negative, degenerate and positive eigenvalues; all six numbers hold at once at ``level``.

    Parameters
    ----------
    negative, degenerate, positive
        (fewest, most) eigenvalues with λ <= -window/2, abs(λ) < window/2 and λ >= window/2.
    size
        N, the number of eigenvalues.
    window
        Size of the window around 0, in units of the eigenvalues.
    level
        Probability that all bounds hold, over the random probes; with a checkpoint, those of all its looks together.
    num_products
        Products with the operator that were spent.
    num_deflated, num_probes, num_steps
        Vectors of the deflated space, fresh probes in its complement, and steps of Lanczos from each of these.
    error
        How far rounding and known errors of products may have moved eigenvalues: the edges of the window were moved
        outwards by so much.
    look
        1 for the first look at the probes; budgets of a checkpoint count from there.
    certificates
        Measured defects of what should be exact.

    Examples
    --------
    >>> from hessdens.estimators import certified_counts
    >>> import numpy as np
    >>> counts = certified_counts(np.diag([*np.zeros(97), -3.0, 4.0, 9.0]))
    >>> print(counts.summary())
    Counts of 100 eigenvalues, certified at level 99% (window 0.2)
      negative: 1 of 100
      degenerate: 97 of 100
      positive: 2 of 100
    """

    negative: Annotated[tuple[int, int], "2 count"]
    degenerate: Annotated[tuple[int, int], "2 count"]
    positive: Annotated[tuple[int, int], "2 count"]
    size: Size
    window: Annotated[float, "amount"]
    level: Annotated[float, "fraction"]
    num_products: int
    num_deflated: int
    num_probes: int
    num_steps: int
    error: Annotated[float, "amount"]
    look: Size
    certificates: Certificates

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in SIDES:
            fewest, most = getattr(self, name)
            if not fewest <= most <= self.size:
                raise ValueError(f"{name} must be (fewest, most), at most {self.size:,}; got ({fewest:,}, {most:,}).")

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the bounds rest on."""
        return (
            "A is symmetric, and one matrix in all products.",
            "Probes are independent Gaussian vectors.",
            f"Errors of products move no eigenvalue by more than {self.error:.1e}, and know nothing of the probes.",
        )

    def summary(self) -> str:
        """Return the counts in words."""
        title = (
            f"Counts of {self.size:,} eigenvalues, certified at level {100 * self.level:.10g}% (window {self.window:g})"
        )
        return "\n".join([title, *(f"  {name}: {self._range(getattr(self, name))}" for name in SIDES)])

    def _range(self, counts: tuple[int, int]) -> str:
        fewest, most = counts
        return f"{fewest:,}{f' to {most:,}' if most > fewest else ''} of {self.size:,}"

    def __str__(self) -> str:
        deflated, probes = counted(self.num_deflated, "deflated dimension"), counted(self.num_probes, "probe")
        source = f"  {deflated}, {probes}, edges ± {self.error:.1e}"
        return "\n".join([self.summary(), source, str(self.certificates)])

    def _numbers(self, window: Window, level: float) -> Numbers:
        counts = {name: dict(zip(("fewest", "most"), getattr(self, name), strict=True)) for name in SIDES}
        names = ("size", "window", "level", "num_products", "num_deflated", "num_probes", "num_steps", "error", "look")
        return {
            **self._named(*names),
            **counts,
            "assumptions": self.assumptions,
            **self.certificates._numbers(window, level),
        }
